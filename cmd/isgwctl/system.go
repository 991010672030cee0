package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

func (a *app) systemCommand() *cobra.Command {
	return group("system", "Initialise a site and show how a node does",
		"A node with a fresh data directory serves nothing but system init and system\nstatus until its site was initialised.",
		a.systemInit(), a.systemStatus(), a.systemSummary(), a.systemEdit())
}

func (a *app) systemInit() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a site of a fresh node",
		Long: `Makes the site's identity and its first node out of a node with a fresh data
directory. It asks nothing; -f is there for scripts written for EdgeFS. A site
that exists is never made anew: a second init is refused.`,
		Example: "isgwctl system init",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			status, err := c.System.Init(cmd.Context(), &adminpb.InitRequest{Force: force})
			if err != nil {
				return err
			}
			return a.made(status, "site %s is initialised with node %s; its id is %s", status.GetSiteName(), status.GetNodeName(), status.GetSiteId())
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "accept what the node found without asking")
	return cmd
}

// systemEdit changes settings that hold for all of the site.
func (a *app) systemEdit() *cobra.Command {
	profile := ""
	edit := &adminpb.PlanEditSite{}
	request := func([]string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditSite{EditSite: edit}}
	}
	cmd := a.dryRun(&cobra.Command{
		Use:   "edit",
		Short: "Change settings that hold for all of the site",
		Long: `Changes settings that hold for all of the site. The resource profile is that of
links that have none of their own.`,
		Example: "isgwctl system edit --resource-profile embedded\nisgwctl system edit --resource-profile performance --dry-run",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			if _, err := a.planned(cmd, c, request(nil)); err != nil {
				return err
			}
			return a.did("site", "the site is changed")
		}),
	}, request)
	cmd.Flags().StringVar(&profile, "resource-profile", "", "`PROFILE` of links that have none of their own: performance or embedded")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("resource-profile") {
			return usage("say what to change: --resource-profile")
		}
		edit.Profile = &profile
		return nil
	}
	return cmd
}

func (a *app) systemStatus() *cobra.Command {
	check := false
	cmd := a.watched(&cobra.Command{
		Use:   "status",
		Short: "Show the node, its site, raft, endpoints and storage",
		Long: `Shows how one node does. With --check the exit status is 8 when it serves
nothing: its site is not initialised or has no leader. How its links do is in
isgwctl status.`,
		Example: "isgwctl system status\nisgwctl system status -o json\nisgwctl system status --check -o name",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			status, err := c.System.Status(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.show(status, func(s *sheet) { writeStatus(s, status) }); err != nil || !check {
				return err
			}
			return serves(status)
		}),
	})
	cmd.Flags().BoolVar(&check, "check", false, "exit with 8 when the node serves nothing")
	return cmd
}

// serves returns an error unless clients can read and write at the node.
func serves(st *adminpb.StatusResponse) error {
	switch {
	case !st.GetInitialised():
		return admin.Errorf(admin.CodeUnhealthy, "node %s is not initialised", st.GetNodeName()).WithHint("run `isgwctl system init`")
	case st.GetRaft().GetLeader() == "":
		return admin.Errorf(admin.CodeUnhealthy, "site %s has no leader: nothing can be written", st.GetSiteName()).WithHint("see the node's log")
	}
	return nil
}

func writeStatus(s *sheet, st *adminpb.StatusResponse) {
	if st.GetInitialised() {
		s.line("state", strings.ToUpper(manifest.Word(st.GetState())))
	} else {
		s.line("state", "not initialised: run system init")
	}
	s.line("node", named(st.GetNodeName(), st.GetNodeId()))
	s.line("site", named(st.GetSiteName(), st.GetSiteId()))
	s.some("version", st.GetVersion())
	s.line("started", instant(st.GetStarted()))
	s.line("time", instant(st.GetTime()))
	s.some("data directory", st.GetDataDir())
	s.some("resource profile", st.GetProfile())
	for _, name := range sortedNames(st.GetLabels()) {
		s.line("label", name+"="+st.GetLabels()[name])
	}
	if r := st.GetRaft(); r != nil {
		s.line("raft state", r.GetState())
		s.line("raft leader", orDash(r.GetLeader()))
		s.line("raft term", fmt.Sprint(r.GetTerm()))
		s.line("raft applied", fmt.Sprintf("%d of %d", r.GetAppliedIndex(), r.GetCommitIndex()))
		s.line("raft snapshot", fmt.Sprint(r.GetSnapshotIndex()))
		s.line("raft voters", strings.Join(r.GetVoters(), " "))
	}
	for _, e := range st.GetEndpoints() {
		value := e.GetAddress()
		if !e.GetListening() {
			value += " (not listening)"
		}
		s.line(e.GetName()+" endpoint", value)
	}
	if d := st.GetStorage(); d != nil {
		s.line("objects", fmt.Sprint(d.GetObjects()))
		s.line("logical bytes", byteCount(d.GetLogicalBytes()))
		s.line("chunks", fmt.Sprint(d.GetChunks()))
		s.line("chunk bytes", byteCount(d.GetChunkBytes()))
		s.line("disk capacity", byteCount(d.GetDiskCapacity()))
		s.line("disk free", byteCount(d.GetDiskFree()))
	}
	for _, p := range st.GetProblems() {
		text := p.GetWhat()
		if p.GetNextStep() != "" {
			text += "; " + p.GetNextStep()
		}
		s.line("problem", text)
	}
}

// named is a name with its id, as far as there are such.
func named(name, id string) string {
	switch {
	case name != "" && id != "":
		return name + " (" + id + ")"
	case name != "":
		return name
	}
	return orDash(id)
}
