package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// dryRun adds --dry-run to a command that changes a service: with it the change
// is planned and printed instead of made.
func (a *app) dryRun(cmd *cobra.Command, request func(args []string) *adminpb.PlanRequest) *cobra.Command {
	return a.dryRuns(cmd, func(args []string) ([]*adminpb.PlanRequest, error) {
		return []*adminpb.PlanRequest{request(args)}, nil
	})
}

// dryRuns is dryRun of a command that makes several changes. Nothing is printed
// when one of them cannot be planned.
func (a *app) dryRuns(cmd *cobra.Command, requests func(args []string) ([]*adminpb.PlanRequest, error)) *cobra.Command {
	dry := false
	change := cmd.RunE
	shown := a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		all, err := requests(args)
		if err != nil {
			return err
		}
		plans := make([]*adminpb.Plan, len(all))
		for i, req := range all {
			if plans[i], err = c.Plans.Plan(cmd.Context(), req); err != nil {
				return err
			}
		}
		return a.showPlans(plans)
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

// showPlans prints plans, and fails when one of them would be refused. Where
// there are several, JSON has one object after the other and YAML one document.
func (a *app) showPlans(plans []*adminpb.Plan) error {
	for i, plan := range plans {
		if i > 0 {
			if err := a.separate(); err != nil {
				return err
			}
		}
		if err := a.writePlan(plan); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(plans, (*adminpb.Plan).GetBlocked) {
		return admin.Errorf(admin.CodeConflict, "a check of the plan failed: it would be refused")
	}
	return nil
}

// separate writes what stands between two plans.
func (a *app) separate() (err error) {
	switch a.form {
	case formYAML:
		_, err = fmt.Fprintln(a.out, "---")
	case formTable, formWide:
		_, err = fmt.Fprintln(a.out)
	}
	return err
}

// writePlan writes a plan: its text, which is what the console shows, or all of
// it in another form, without a token that the change may have.
func (a *app) writePlan(plan *adminpb.Plan) error {
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
	_, err := fmt.Fprint(a.out, text)
	return err
}

// planned plans a change and makes it.
func (a *app) planned(cmd *cobra.Command, c *admin.Client, req *adminpb.PlanRequest) (*adminpb.Service, error) {
	service, _, err := a.carriedOut(cmd, c, req)
	return service, err
}

// carriedOut is planned that also says whether anything was to be done.
func (a *app) carriedOut(cmd *cobra.Command, c *admin.Client, req *adminpb.PlanRequest) (service *adminpb.Service, changes bool, err error) {
	plan, err := c.Plans.Plan(cmd.Context(), req)
	if err != nil {
		return nil, false, err
	}
	res, err := c.Plans.Apply(cmd.Context(), &adminpb.ApplyRequest{Plan: plan, TypedName: plan.GetNeedsTypedName()})
	if err != nil {
		return nil, false, err
	}
	if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED {
		return nil, false, admin.Errorf(admin.CodeConflict, "nothing was changed: %s", res.GetReason()).WithHint("try again")
	}
	return res.GetService(), len(plan.GetWhat()) > 0, nil
}

func (a *app) serviceEdit() *cobra.Command {
	edit := &adminpb.PlanEditService{}
	request := func(args []string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit}}
	}
	cmd := a.dryRun(&cobra.Command{
		Use:   "edit NAME",
		Short: "Change settings of a service",
		Long: `Changes the settings that are given; the others stay. They take effect on the
running link, which goes on where it was. docs/links.md says what they do.
--annotations, --resources and --placement also take @FILE.`,
		Example: `isgwctl service edit hawaii --lag-target 45s
isgwctl service edit hawaii --remote ccow://10.3.32.240:14000 --dry-run
isgwctl service edit hawaii --tunnel true --chunk-cache 256Mi
isgwctl service edit hawaii --receive-limit 10MiB/s,1MiB/s@08:00-18:00`,
		Args: takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, changes, err := a.carriedOut(cmd, c, request(args))
			if err != nil {
				return err
			}
			if !changes {
				return a.made(service, "nothing changes: service %s is so already", args[0])
			}
			return a.made(service, "service %s is changed", args[0])
		}),
	}, request)
	settings := addSettings(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.ContainsFunc(settingFlags, func(s settingFlag) bool { return cmd.Flags().Changed(s.flag) }) {
			return usage("%s needs a setting to change; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
		edit.Name = args[0]
		return settings(edit)
	}
	return cmd
}
