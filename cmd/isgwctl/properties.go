package main

import (
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

// serviceConfig sets one setting by the name that EdgeFS had for it.
func (a *app) serviceConfig() *cobra.Command {
	request := func(args []string) (*adminpb.PlanRequest, error) {
		edit, err := manifest.Property(args[0], args[1], args[2])
		if err != nil {
			return nil, usage("%v", err)
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit}}, nil
	}
	cmd := a.dryRun(&cobra.Command{
		Use:   "config NAME PROPERTY VALUE",
		Short: "Change a setting of a service by its EdgeFS name",
		Long: `Sets what service edit sets, for people and scripts that know EdgeFS:
X-ISGW-Remote, X-ISGW-Local, X-ISGW-Direction, X-ISGW-Replication,
X-ISGW-Encrypted-Tunnel and X-ISGW-Number-Of-Connections, and names of the same
kind for the other settings; docs/manifests.md has them all. X-ISGW-MDOnly and
X-ISGW-DFLocal are refused, unless the value is their default.`,
		Example: "isgwctl service config hawaii X-ISGW-Remote ccow://10.3.32.240:14000\nisgwctl service config hawaii X-ISGW-Number-Of-Connections 4 --dry-run",
		Args:    takes("NAME", "PROPERTY", emptyValue),
		PreRunE: func(_ *cobra.Command, args []string) error {
			_, err := request(args)
			return err
		},
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			change, err := request(args)
			if err != nil {
				return err
			}
			service, err := a.planned(cmd, c, change)
			if err != nil {
				return err
			}
			return a.made(service, "service %s has %s %q", args[0], args[1], args[2])
		}),
	}, func(args []string) *adminpb.PlanRequest {
		change, _ := request(args) // PreRunE has seen that it is one
		return change
	})
	return cmd
}
