package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// dryRun adds --dry-run to a command that changes a service: with it the change
// is planned and printed instead of made.
func (a *app) dryRun(cmd *cobra.Command, request func(args []string) *adminpb.PlanRequest) *cobra.Command {
	dry := false
	change := cmd.RunE
	shown := a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		plan, err := c.Plans.Plan(cmd.Context(), request(args))
		if err != nil {
			return err
		}
		return a.showPlan(plan)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dry {
			return shown(cmd, args)
		}
		return change(cmd, args)
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would happen, and change nothing")
	return cmd
}

// showPlan prints a plan: its text, which is what the console shows, or all of
// it in another form, without a token that the change may have.
func (a *app) showPlan(plan *adminpb.Plan) error {
	if a.structured() {
		return a.json(plan, "token")
	}
	text := plainLines(plan.GetText())
	if a.form == formName { // of what would change
		text = ""
		for _, step := range plan.GetWhat() {
			text += plain(step.GetName()) + "\n"
		}
	}
	if _, err := fmt.Fprint(a.out, text); err != nil {
		return err
	}
	if plan.GetBlocked() {
		return admin.Errorf(admin.CodeConflict, "a check of the plan failed: it would be refused")
	}
	return nil
}

// planned plans a change and makes it.
func (a *app) planned(cmd *cobra.Command, c *admin.Client, req *adminpb.PlanRequest) (*adminpb.Service, error) {
	plan, err := c.Plans.Plan(cmd.Context(), req)
	if err != nil {
		return nil, err
	}
	res, err := c.Plans.Apply(cmd.Context(), &adminpb.ApplyRequest{Plan: plan, TypedName: plan.GetNeedsTypedName()})
	if err != nil {
		return nil, err
	}
	if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED {
		return nil, admin.Errorf(admin.CodeConflict, "nothing was changed: %s", res.GetReason()).WithHint("try again")
	}
	return res.GetService(), nil
}

func (a *app) serviceEdit() *cobra.Command {
	var target time.Duration
	var connections uint32
	var remote, direction, replication string
	var flags = func() *adminpb.PlanEditService { return nil }
	request := func(args []string) *adminpb.PlanRequest {
		edit := flags()
		edit.Name = args[0]
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit}}
	}
	cmd := a.dryRun(&cobra.Command{
		Use:   "edit NAME",
		Short: "Change settings of a service",
		Long: `Changes the settings that are given; the others stay. The link is started anew
with them and goes on where it was.`,
		Example: "isgwctl service edit hawaii --lag-target 45s\nisgwctl service edit hawaii --remote ccow://10.3.32.240:14000 --dry-run",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if cmd.Flags().NFlag() == 0 {
				return usage("%s needs a setting to change; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			service, err := a.planned(cmd, c, request(args))
			if err != nil {
				return err
			}
			return a.made(service, "service %s is changed", args[0])
		}),
	}, request)
	cmd.Flags().DurationVar(&target, "lag-target", 0, "call the link lagging above this `LAG` (0: the node's default)")
	cmd.Flags().Uint32Var(&connections, "connections", 0, "open `N` connections for content in each direction (0: the default)")
	cmd.Flags().StringVar(&remote, "remote", "", "`URL` of the other site's link endpoint: ccow://HOST:PORT, or empty")
	cmd.Flags().StringVar(&direction, "direction", "", "let versions flow in this `DIRECTION`: send+receive")
	cmd.Flags().StringVar(&replication, "replication", "", "replicate in this `WAY`: initial+continuous")
	flags = func() *adminpb.PlanEditService {
		edit := &adminpb.PlanEditService{}
		if cmd.Flags().Changed("lag-target") {
			edit.LagTargetSeconds = new(target.Seconds())
		}
		if cmd.Flags().Changed("connections") {
			edit.Connections = &connections
		}
		if cmd.Flags().Changed("remote") {
			edit.Remote = &remote
		}
		if cmd.Flags().Changed("direction") {
			edit.Direction = &direction
		}
		if cmd.Flags().Changed("replication") {
			edit.Replication = &replication
		}
		return edit
	}
	return cmd
}
