package main

import (
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) serviceResync() *cobra.Command {
	return a.dryRun(&cobra.Command{
		Use:   "resync NAME [NAMESPACE/TENANT[/BUCKET]]",
		Short: "Compare what a link has copied from the beginning, and copy what is missing",
		Long: `Compares what a link serves with its other end from the beginning, in the
directions that the link has, and copies what is missing. It only merges:
nothing is removed that was not removed on purpose. A link of type initial
copies again what it serves by this and in no other way.

The command returns at once; service show tells how it goes on. While the sites
are apart the wish waits.`,
		Example: "isgwctl service resync hawaii\nisgwctl service resync hawaii Hawaii/Cola/bk1 --dry-run",
		Args:    takes("NAME", "[NAMESPACE/TENANT[/BUCKET]]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			path, what := "", "all that it serves"
			if len(args) > 1 {
				path, what = args[1], args[1]
			}
			service, err := c.Resyncs.Start(cmd.Context(), args[0], path)
			if err != nil {
				return err
			}
			return a.made(service, "service %s compares %s again", service.GetName(), what)
		}),
	}, func(args []string) *adminpb.PlanRequest {
		req := &adminpb.StartResyncRequest{Name: args[0]}
		if len(args) > 1 {
			req.Path = args[1]
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resync{Resync: req}}
	})
}
