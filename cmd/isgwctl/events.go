package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

func (a *app) linkEvents() *cobra.Command {
	most := uint32(0)
	cmd := &cobra.Command{
		Use:   "events NAME",
		Short: "List what happened to a link, the newest first",
		Long: `Lists what happened to a link, the newest first: how it stood whenever that
changed, with the cause; full comparisons that it began by itself, and why; and
who changed what. BY is empty, a dash, where nobody did it.

The node that is asked tells of the last 100. How links stood it keeps in its
memory: that begins anew when it starts. Changes are those that were made
through it; they are in its record too, which admin audit lists.`,
		Example: "isgwctl link events hawaii\nisgwctl link events hawaii --limit 5 -o json",
		Args:    takes("NAME"),
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		// Events come with charts, and do not depend on their range: the smallest.
		res, err := c.Console.History(cmd.Context(), &adminpb.HistoryRequest{Service: args[0], RangeSeconds: 1, Points: 1})
		if err != nil {
			return err
		}
		all := res.GetEvents()
		if most > 0 && len(all) > int(most) {
			all = all[:most]
		}
		switch {
		case a.structured():
			return listJSON(a, all)
		case a.form == formName: // an event is called by what happened
			for _, e := range all {
				if _, err := fmt.Fprintln(a.out, plain(e.GetText())); err != nil {
					return err
				}
			}
			return nil
		}
		if err := a.events(all); err != nil {
			return err
		}
		if len(all) == 0 {
			a.done("nothing happened to link %s since the node started", args[0])
		}
		return nil
	})
	cmd.Flags().Uint32Var(&most, "limit", 0, "list at most `N`")
	return a.watched(cmd)
}

// events writes a table of what happened to a link.
func (a *app) events(all []*adminpb.LinkEvent) error {
	header := []string{"TIME", "STATE", "WHAT", "BY"}
	if a.form == formWide {
		header = append(header, "SEVERITY")
	}
	t := a.table(header...)
	for _, e := range all {
		row := []string{instant(e.GetTime()), e.GetGlyph(), e.GetText(), orDash(e.GetPrincipal())}
		if a.form == formWide {
			row = append(row, manifest.Word(e.GetSeverity()))
		}
		t.row(row...)
	}
	return t.end()
}
