package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

func (a *app) serviceCommand() *cobra.Command {
	return group("service", "Make links, say what they serve, and see how they do",
		`A service of type isgw is a link: this site, another one, and the buckets that
flow between them. It has the same name at both sites. A bucket flows out over a
link where it is served, and is accepted in when the other site serves it too.`,
		a.serviceCreate(), a.serviceList(), a.serviceShow(), a.serviceServe(), a.serviceUnserve(),
		a.serviceEnable(true), a.serviceEnable(false), a.serviceEdit(), a.serviceResync(), a.serviceConfig(), a.serviceDelete())
}

func (a *app) serviceCreate() *cobra.Command {
	whole := &adminpb.PlanCreateService{}
	var serves []string
	request := func([]string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: whole}}
	}
	cmd := a.dryRun(&cobra.Command{
		Use:   "create isgw NAME",
		Short: "Make a link",
		Long: `Makes a link. The order at the two sites does not matter, and it may be made
before they are paired. Without --remote the other site has to dial this one.
docs/links.md says what the settings do; service edit changes them later.

--pair and --serve do in one step what site pair and service serve do.
--annotations, --resources and --placement also take @FILE.`,
		Example: `isgwctl service create isgw hawaii --remote ccow://10.3.32.240:14000
isgwctl service create isgw hawaii --serve Hawaii/Cola,exclude=tmp/ --dry-run
isgwctl service create isgw hawaii --direction send --send-limit 10MiB/s`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "isgw" {
				return usage("the type goes before the name: %s isgw %s", cmd.CommandPath(), args[0])
			}
			return takes("isgw", "NAME")(cmd, args)
		},
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			var service *adminpb.Service
			var err error
			if whole.GetToken() != "" || len(whole.GetServes()) > 0 {
				service, err = a.planned(cmd, c, request(args))
			} else {
				service, err = c.Services.Create(cmd.Context(), whole.GetService())
			}
			if err != nil {
				return err
			}
			return a.made(service, "service %s is created", service.GetName())
		}),
	}, request)
	settings := addSettings(cmd)
	cmd.Flags().StringVar(&whole.Token, "pair", "", "pair with the site that made this `TOKEN` first")
	cmd.Flags().StringArrayVar(&serves, "serve", nil, "serve these `PATHS` over it, with their options, with commas between them")
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		edit := &adminpb.PlanEditService{}
		if err := settings(edit); err != nil {
			return err
		}
		whole.Service = createRequest(args[0], args[1], edit)
		whole.Serves = manifest.SplitServed(strings.Join(serves, ","))
		return nil
	}
	return cmd
}

func (a *app) serviceList() *cobra.Command {
	filter := ""
	cmd := a.watched(&cobra.Command{
		Use:     "list",
		Short:   "List the services with their state",
		Example: "isgwctl service list\nisgwctl service list --filter Hawaii/Cola\nisgwctl service list --watch -o json",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			services, err := filteredServices(cmd.Context(), c, filter)
			if err != nil {
				return err
			}
			if a.listed() {
				return listJSON(a, services)
			}
			header := []string{"NAME", "TYPE", "STATE", "PEER", "REMOTE", "SERVES", "CAUSE"}
			if a.form == formWide {
				header = append(header, "DIRECTION", "LAG TARGET", "PEER ID", "NEXT STEP")
			}
			t := a.table(header...)
			for _, s := range services {
				row := []string{
					s.GetName(), s.GetType(), manifest.Word(s.GetStatus().GetState()), orDash(peer(s)), orDash(s.GetRemote()),
					fmt.Sprint(len(s.GetServes())), orDash(s.GetStatus().GetCause()),
				}
				if a.form == formWide {
					target := unknown
					if s.GetLagTargetSeconds() > 0 {
						target = seconds(&s.LagTargetSeconds)
					}
					row = append(row, s.GetDirection(), target, orDash(s.GetPeerId()), orDash(s.GetStatus().GetNextStep()))
				}
				t.row(row...)
			}
			return t.end()
		}),
	})
	cmd.Flags().StringVar(&filter, "filter", "", "only those with `TEXT` in their name, peer, remote or served paths, in letters of either case")
	return cmd
}

// filteredServices asks for all services that have a filter, page by page.
func filteredServices(ctx context.Context, c *admin.Client, filter string) ([]*adminpb.Service, error) {
	var all []*adminpb.Service
	req := &adminpb.ListServicesRequest{Filter: filter, Limit: 200}
	for {
		page, err := c.Services.Page(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetServices()...)
		if !page.GetMore() || len(page.GetServices()) == 0 {
			return all, nil
		}
		req.After = all[len(all)-1].GetName()
	}
}

// peer is what to call the site at a link's other end, empty when it is not known.
func peer(s *adminpb.Service) string {
	if s.GetPeerName() != "" {
		return s.GetPeerName()
	}
	return s.GetPeerId()
}

func (a *app) serviceShow() *cobra.Command {
	stats := false
	cmd := a.watched(&cobra.Command{
		Use:   "show NAME",
		Short: "Show a service, and with -s how it does",
		Long: `Shows the settings and the state of a service, with the cause of the state and
what to do about it. With -s it also shows every bucket, and the counts of both
directions since the node started, which go on over changes of the settings. A
dash is a number that is not known. -o json has the same numbers.`,
		Example: "isgwctl service show hawaii\nisgwctl service show hawaii -s\nisgwctl service show hawaii -s -o json",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, err := c.Services.Get(cmd.Context(), args[0], stats)
			if err != nil {
				return err
			}
			if err := a.show(service, func(s *sheet) { writeService(s, service) }); err != nil || !stats || a.form != formTable && a.form != formWide {
				return err
			}
			return a.serviceStats(service.GetStatus())
		}),
	})
	cmd.Flags().BoolVarP(&stats, "stats", "s", false, "with statistics")
	return cmd
}

func (a *app) serviceServe() *cobra.Command {
	text := func(path string) string { return path }
	cmd := a.dryRun(&cobra.Command{
		Use:   "serve NAME NAMESPACE/TENANT[/BUCKET]",
		Short: "Serve a bucket, or all of a tenant, over a link",
		Long: `Lets a bucket, or every bucket of a tenant, flow out over a link, and accepts it
in. A bucket that does not exist yet may be served: the link waits for it, or
makes it when the other site has it.

The options are flags, or follow the path after commas as EdgeFS had them:
include=PREFIX, exclude=PREFIX, direction=send|receive, deletes=keep|travel; a
comma in a prefix is written %2C. Serving a path again with other options
replaces those that it had. A bucket's options go before those of its tenant.`,
		Example: `isgwctl service serve hawaii Hawaii/Cola/bk1
isgwctl service serve hawaii Hawaii/Cola --exclude tmp/ --deletes keep
isgwctl service serve hawaii Hawaii/Cola/logs,include=2026/,direction=send`,
		Args: takes("NAME", "NAMESPACE/TENANT[/BUCKET]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, err := c.Services.Serve(cmd.Context(), args[0], text(args[1]))
			if err != nil {
				return err
			}
			return a.made(service, "service %s serves %s", service.GetName(), text(args[1]))
		}),
	}, func(args []string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Serve{Serve: &adminpb.ServeRequest{Name: args[0], Path: text(args[1])}}}
	})
	text = serveFlags(cmd)
	return cmd
}

func (a *app) serviceUnserve() *cobra.Command {
	return a.dryRun(&cobra.Command{
		Use:     "unserve NAME NAMESPACE/TENANT[/BUCKET]",
		Short:   "Take a bucket or tenant off a link",
		Long:    "Takes a bucket or tenant off a link. What was copied stays at both sites.",
		Example: "isgwctl service unserve hawaii Hawaii/Cola/bk1",
		Args:    takes("NAME", "NAMESPACE/TENANT[/BUCKET]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, err := c.Services.Unserve(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.made(service, "service %s does not serve %s any more", service.GetName(), args[1])
		}),
	}, func(args []string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Unserve{Unserve: &adminpb.UnserveRequest{Name: args[0], Path: args[1]}}}
	})
}

func (a *app) serviceEnable(enabled bool) *cobra.Command {
	name, short, now := "enable", "Start a service that was disabled", "is enabled"
	if !enabled {
		name, short, now = "disable", "Stop a service, keeping its settings and cursors", "is disabled"
	}
	return a.dryRun(&cobra.Command{
		Use:     name + " NAME",
		Short:   short,
		Example: "isgwctl service " + name + " hawaii",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			service, err := c.Services.SetEnabled(cmd.Context(), args[0], enabled)
			if err != nil {
				return err
			}
			return a.made(service, "service %s %s", service.GetName(), now)
		}),
	}, func(args []string) *adminpb.PlanRequest {
		if enabled {
			return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: args[0]}}}
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: args[0]}}}
	})
}

func (a *app) serviceDelete() *cobra.Command {
	return a.dryRun(&cobra.Command{
		Use:     "delete NAME",
		Short:   "End a service",
		Long:    "Ends a service. Nothing that it copied is deleted, at either site.",
		Example: "isgwctl service delete hawaii",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := c.Services.Delete(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.did(args[0], "service %s is deleted", args[0])
		}),
	}, func(args []string) *adminpb.PlanRequest {
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: args[0]}}}
	})
}

func writeService(s *sheet, v *adminpb.Service) {
	st := v.GetStatus()
	s.line("name", v.GetName())
	s.line("type", v.GetType())
	s.line("state", manifest.Word(st.GetState()))
	s.some("cause", st.GetCause())
	s.some("next step", st.GetNextStep())
	s.line("enabled", yesNo(v.GetEnabled()))
	if v.GetPaused() {
		s.line("paused", "yes, by this site")
	}
	s.line("remote", orDash(v.GetRemote()))
	s.line("peer", named(v.GetPeerName(), v.GetPeerId()))
	s.line("direction", v.GetDirection())
	s.line("replication", v.GetReplication())
	if v.GetConnections() > 0 {
		s.line("connections", fmt.Sprint(v.GetConnections()))
	}
	if v.GetLagTargetSeconds() > 0 {
		s.line("lag target", seconds(&v.LagTargetSeconds))
	}
	writeSettings(s, v)
	s.line("created", instant(v.GetCreated()))
	writeServed(s, v)
}

// serviceStats writes what EdgeFS wrote for service show -s, and more.
func (a *app) serviceStats(st *adminpb.ServiceStatus) error {
	s := a.sheet()
	s.line("\nserver", orDash(st.GetServer()))
	s.line("timestamp", instant(st.GetTime()))
	status := "offline"
	if st.GetConnected() {
		status = "online"
	}
	s.line("status", status)
	s.line("mode", orDash(st.GetMode()))
	s.line("connected to", orDash(st.GetRemoteAddress()))
	s.line("connected since", instant(st.GetConnectedSince()))
	if st.GetNextAttempt() != nil {
		s.line("next attempt", instant(st.GetNextAttempt()))
	}
	s.line("open connections", fmt.Sprint(st.GetConnections()))
	s.line("lag target", seconds(&st.LagTargetSeconds))
	s.line("backlog grows by", perSecond(st.Slope))
	s.line("drains in", drainsIn(st.Slope, st.DrainSeconds))
	s.line("network errors", fmt.Sprint(st.GetNetworkErrors()))
	s.line("local I/O errors", fmt.Sprint(st.GetLocalIoErrors()))
	s.line("remote I/O errors", fmt.Sprint(st.GetRemoteIoErrors()))
	if s.err != nil {
		return s.err
	}
	fmt.Fprintln(a.out)
	if err := a.directions(st.GetSend(), st.GetReceive()); err != nil || len(st.GetBuckets()) == 0 {
		return err
	}
	fmt.Fprintln(a.out)
	return a.buckets(bucketsBelow([]*adminpb.Service{{Status: &adminpb.ServiceStatus{Buckets: st.GetBuckets()}}}, ""), false)
}

// What of both directions only the site that receives counts.
const (
	quarantinedRow = "quarantined"
	notNeededRow   = "data chunks not needed"
)

// directions writes the counts of both directions side by side.
func (a *app) directions(send, receive *adminpb.DirectionStats) error {
	t := a.table("STATISTIC", "SENT", "RECEIVED")
	for _, row := range []struct {
		name string
		of   func(*adminpb.DirectionStats) string
	}{
		{"lag", func(d *adminpb.DirectionStats) string { return seconds(backlogOf(d.GetBacklog()).LagSeconds) }},
		{"backlog versions", func(d *adminpb.DirectionStats) string {
			return optionalCount(backlogOf(d.GetBacklog()).Versions, d.GetBacklog().GetEstimated())
		}},
		{"backlog bytes", func(d *adminpb.DirectionStats) string {
			return optionalBytes(backlogOf(d.GetBacklog()).Bytes, d.GetBacklog().GetEstimated())
		}},
		{"oldest unsent", func(d *adminpb.DirectionStats) string {
			if d.GetBacklog().GetOldestKey() == "" {
				return unknown
			}
			return d.GetBacklog().GetOldestBucket() + "/" + d.GetBacklog().GetOldestKey()
		}},
		{"pending", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetBacklog().GetPending()) }},
		{quarantinedRow, func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetBacklog().GetQuarantined()) }},
		{"processing delay", func(d *adminpb.DirectionStats) string { return seconds(d.ProcessingDelaySeconds) }},
		{"latency", func(d *adminpb.DirectionStats) string { return seconds(d.LatencySeconds) }},
		{"requests", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetRequests()) }},
		{"version manifests", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetVersions()) }},
		{"chunk manifests", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetManifests()) }},
		{"data chunks", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetChunks()) }},
		{notNeededRow, func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetChunksSkipped()) }},
		{"snapviews", func(d *adminpb.DirectionStats) string { return fmt.Sprint(d.GetSnapviews()) }},
		{"bytes on the wire", func(d *adminpb.DirectionStats) string { return byteCount(d.GetWireBytes()) }},
		{"logical bytes", func(d *adminpb.DirectionStats) string { return byteCount(d.GetLogicalBytes()) }},
		{"throughput", func(d *adminpb.DirectionStats) string { return roundBytes(d.GetThroughput()) + "/s" }},
		{"limit", func(d *adminpb.DirectionStats) string { return orDash(d.GetLimit()) }},
		{"limit holds it", func(d *adminpb.DirectionStats) string { return yesNo(d.GetHeld() != "") }},
		{"versions per second", func(d *adminpb.DirectionStats) string { return fmt.Sprintf("%.1f", d.GetVersionsRate()) }},
	} {
		cells := []string{row.name, unknown, unknown}
		for i, d := range []*adminpb.DirectionStats{send, receive} {
			if d != nil && (i > 0 || row.name != quarantinedRow && row.name != notNeededRow) {
				cells[i+1] = row.of(d)
			}
		}
		t.row(cells...)
	}
	return t.end()
}

// perSecond writes a slope of versions; a negative one drains.
func perSecond(slope *float64) string {
	if slope == nil {
		return unknown
	}
	return fmt.Sprintf("%.1f versions/s", *slope)
}

// drainsIn is how long a backlog needs at its slope, which may not be known.
func drainsIn(slope, drains *float64) string {
	if slope != nil && drains == nil {
		return "never, as it goes now"
	}
	return seconds(drains)
}

// backlogOf is a backlog whose numbers can be asked for, also when there is none.
func backlogOf(b *adminpb.Backlog) *adminpb.Backlog {
	if b == nil {
		return &adminpb.Backlog{}
	}
	return b
}

// servedWhere says at which ends a bucket is served.
func servedWhere(b *adminpb.BucketStatus) string {
	i := slices.Index([]bool{b.GetServedHere() && b.GetServedThere(), b.GetServedHere(), b.GetServedThere(), true}, true)
	return [...]string{"both", "here", "there", "nowhere"}[i]
}

// copied is how far an initial copy is, of those that run.
func copied(b *adminpb.BucketStatus) string {
	if b.GetState() != "copying" {
		return unknown
	}
	return fmt.Sprintf("%d/%d", b.GetCopiedKeys(), b.GetTotalKeys())
}
