package main

import (
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) linkCommand() *cobra.Command {
	return group("link", "Look after a link: what happened and what failed, pauses",
		`What goes on over a link while it runs. Its settings, and what it serves, are
those of its service: see isgwctl service.`,
		a.linkVerify(), a.linkEvents(), a.linkFailed(), a.linkRetry(), a.linkSkip(), a.linkPause(true), a.linkPause(false))
}

func (a *app) linkPause(pause bool) *cobra.Command {
	name, short, long, now := "pause", "Stop what moves over a link, and stay connected",
		`Nothing moves over a paused link in either direction, and both sites know how
much waits: its lag rises. service disable ends the connection as well.`, "is paused"
	if !pause {
		name, short, now = "resume", "Let a paused link go on", "goes on"
		long = "Lets a paused link go on where it was."
	}
	request := func(args []string) *adminpb.PlanRequest {
		if pause {
			return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: args[0]}}}
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: args[0]}}}
	}
	return a.dryRun(&cobra.Command{
		Use:     name + " NAME",
		Short:   short,
		Long:    long,
		Example: "isgwctl link " + name + " hawaii",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, err := a.planned(cmd, c, request(args))
			if err != nil {
				return err
			}
			return a.made(service, "link %s %s", args[0], now)
		}),
	}, request)
}
