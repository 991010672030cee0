package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
)

func (a *app) systemSummary() *cobra.Command {
	return a.watched(&cobra.Command{
		Use:   "summary",
		Short: "Show the site in a few lines: health, sites, storage, last changes",
		Long: `Shows on one page whether replication is healthy, the sites that are known, how
the links do, what is stored, and who changed what last.`,
		Example: "isgwctl system summary",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			snapshot, err := snapshot(cmd.Context(), c)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.json(snapshot)
			}
			if a.form == formName {
				_, err := fmt.Fprintln(a.out, plain(snapshot.GetSiteName()))
				return err
			}
			if err := a.writeSnapshot(snapshot); err != nil {
				return err
			}
			if sites := snapshot.GetSites(); len(sites) > 0 {
				fmt.Fprintln(a.out)
				header := []string{"SITE", "HERE", "NODES", "LEADER", "LINKS", "FAILED", "ADDRESS"}
				if a.form == formWide {
					header = append(header, "OUT", "IN", "ID")
				}
				t := a.table(header...)
				for _, x := range sites {
					nodes := unknown
					if x.GetNodes() > 0 {
						nodes = fmt.Sprintf("%d/%d", x.GetNodesUp(), x.GetNodes())
					}
					row := []string{x.GetName(), yesNo(x.GetHere()), nodes, orDash(x.GetLeader()), fmt.Sprint(x.GetLinks()), fmt.Sprint(x.GetLinksFailed()), orDash(x.GetAddress())}
					if a.form == formWide {
						row = append(row, rate(x.OutRate), rate(x.InRate), x.GetSiteId())
					}
					t.row(row...)
				}
				if err := t.end(); err != nil {
					return err
				}
			}
			s := a.sheet()
			if d := snapshot.GetStorage(); d != nil {
				s.line("\nobjects", fmt.Sprint(d.GetObjects()))
				s.line("logical bytes", byteCount(d.GetLogicalBytes()))
				s.line("chunk bytes", byteCount(d.GetChunkBytes()))
				s.line("disk free", fmt.Sprintf("%s of %s", roundBytes(float64(d.GetDiskFree())), roundBytes(float64(d.GetDiskCapacity()))))
			}
			const most = 5
			changes := snapshot.GetLastChanges()
			for _, change := range changes[:min(len(changes), most)] {
				text := change.GetText()
				if change.GetFailed() {
					text += " (refused)"
				}
				s.line("change", instant(change.GetTime())+" "+change.GetPrincipal()+" "+text)
			}
			return s.err
		}),
	})
}
