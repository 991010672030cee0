package cluster

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

// consoleAdmin is admin.Console over a node.
type consoleAdmin struct{ *Node }

// snapshotAge is how old a snapshot may be that another watcher gets too.
const snapshotAge = 200 * time.Millisecond

// lastChanges is how many changes a snapshot tells.
const lastChanges = 20

// snapshots keeps the last snapshot of the console.
type snapshots struct {
	mu      sync.Mutex
	last    *adminpb.ConsoleSnapshot
	viewers *adminpb.ConsoleSnapshot // last as viewers are told it; nil until one asks
	at      time.Time
}

// Snapshot implements admin.Console.
func (a consoleAdmin) Snapshot(ctx context.Context) (*adminpb.ConsoleSnapshot, error) {
	a.snapshots.mu.Lock()
	defer a.snapshots.mu.Unlock()
	snapshot, err := a.snapshot()
	if err != nil || !views(ctx) {
		return snapshot, err
	}
	if a.snapshots.viewers == nil {
		own := withoutKeys(snapshot)
		own.LastChanges = a.lastChanges(ctx)
		a.snapshots.viewers = own
	}
	return a.snapshots.viewers, nil
}

// lastChanges are the newest changes as a caller may see them.
func (a consoleAdmin) lastChanges(ctx context.Context) (changes []*adminpb.Change) {
	for _, e := range changesFor(ctx, a.audit.last(lastChanges)) {
		changes = append(changes, &adminpb.Change{
			Time: e.GetTime(), Principal: e.GetPrincipal(), Text: changeWords(e), RequestId: e.GetRequestId(), Failed: e.GetResult() != "ok",
		})
	}
	return changes
}

// snapshot is the site as it is now, or was a moment ago; snapshots.mu is held.
func (a consoleAdmin) snapshot() (*adminpb.ConsoleSnapshot, error) {
	now := a.opts.Clock()
	if age := now.Sub(a.snapshots.at); age >= 0 && age < snapshotAge && a.shows(a.snapshots.last) {
		return a.snapshots.last, nil
	}
	status, s := a.describe() // links are looked at below, once
	snapshot := &adminpb.ConsoleSnapshot{
		Time: timestamppb.New(now), NodeName: status.GetNodeName(), NodeId: status.GetNodeId(),
		SiteName: status.GetSiteName(), SiteId: status.GetSiteId(), Initialised: status.GetInitialised(),
		Endpoints: status.GetEndpoints(), Storage: status.GetStorage(),
	}
	snapshot.LastChanges = a.lastChanges(context.Background())
	var problems []*adminpb.Problem
	if s != nil {
		raft := status.GetRaft()
		snapshot.Leader = raft.GetLeader() != "" && raft.GetLeader() == status.GetNodeId()
		snapshot.Quorum = raft.GetLeader() != ""
		snapshot.Term = raft.GetTerm()
		if node, _, ok := s.replica.Config().Node(raft.GetLeader()); ok {
			snapshot.LeaderName = node.GetName()
		}
		snapshot.ConfigRevision = s.replica.Config().Revision()
		var err error
		if snapshot.Links, err = s.consoleLinks(now); err != nil {
			return nil, err
		}
		snapshot.Sites = s.consoleSites(status, snapshot.Links)
		problems = s.nodeProblems(status.GetStorage())
	}
	snapshot.Alerts = alertsOf(snapshot.Initialised, snapshot.Quorum, problems, snapshot.Links)
	snapshot.Verdict = verdictOf(snapshot.Initialised, snapshot.Quorum, snapshot.Alerts, snapshot.Links)
	var err error
	if snapshot.Revision, err = contentRevision(snapshot); err != nil {
		return nil, err
	}
	a.snapshots.last, a.snapshots.viewers, a.snapshots.at = snapshot, nil, now
	return snapshot, nil
}

// shows says whether a snapshot is of the config as it is: whoever changed
// something sees it at once.
func (a consoleAdmin) shows(snapshot *adminpb.ConsoleSnapshot) bool {
	s := a.current()
	if s == nil || snapshot == nil {
		return false
	}
	return snapshot.GetInitialised() && snapshot.GetConfigRevision() == s.replica.Config().Revision()
}

// consoleLinks describes every link as it is now.
func (s *site) consoleLinks(now time.Time) ([]*adminpb.ConsoleLink, error) {
	services := plan.AllServices(s.replica.Config())
	out := make([]*adminpb.ConsoleLink, len(services))
	for i, service := range services {
		var buckets int
		service.Status, buckets = s.linkSummary(service)
		l := consoleLink(service, s.node.opts.Site)
		l.Buckets = uint32(buckets)
		if err := nameContent(l, s.history.sparks(service.GetName(), now)); err != nil {
			return nil, err
		}
		out[i] = l
	}
	return out, nil
}

// consoleLink is a link as a screen shows it, by its status, without its small
// charts.
func consoleLink(service *adminpb.Service, here string) *adminpb.ConsoleLink {
	st := service.GetStatus()
	there := service.GetPeerName()
	if there == "" {
		there = "?"
	}
	l := &adminpb.ConsoleLink{
		Name: service.GetName(), PeerName: service.GetPeerName(), PeerId: service.GetPeerId(), Route: here + " <-> " + there,
		Remote: service.GetRemote(), Enabled: service.GetEnabled(), Paused: service.GetPaused(), State: st.GetState(), Cause: st.GetCause(), NextStep: st.GetNextStep(),
		LagSeconds: lagOf(st), LagTargetSeconds: st.GetLagTargetSeconds(), InFlightBytes: st.GetInFlightBytes(), Errors: errorsOf(st),
		Connected: st.GetConnected(), Serves: service.GetServes(), LatencySeconds: st.GetReceive().LatencySeconds,
		Revision: service.GetRevision(), BacklogVersions: backlogVersions(st), Slope: st.Slope, DrainSeconds: st.DrainSeconds, Held: heldOf(st),
	}
	if running(st) {
		l.OutRate, l.InRate = new(st.GetSend().GetThroughput()), new(st.GetReceive().GetThroughput())
	}
	for _, d := range []*adminpb.DirectionStats{st.GetSend(), st.GetReceive()} {
		b := d.GetBacklog()
		l.Pending += b.GetPending()
		l.Quarantined += b.GetQuarantined()
		if b.GetOldestKey() != "" && l.OldestKey == "" {
			l.OldestBucket, l.OldestKey = b.GetOldestBucket(), b.GetOldestKey()
		}
		if b != nil && b.Bytes != nil {
			l.BacklogBytes = new(l.GetBacklogBytes() + b.GetBytes())
		}
	}
	l.Severity, l.StateWord = standing(st.GetState(), l.LagSeconds, l.LagTargetSeconds, l.Quarantined)
	l.Glyph = glyphOf(l.Severity)
	return l
}

// running says whether a status has numbers of an engine.
func running(st *adminpb.ServiceStatus) bool {
	switch st.GetState() {
	case adminpb.ServiceState_SERVICE_STATE_DISABLED, adminpb.ServiceState_SERVICE_STATE_UNSPECIFIED:
		return false
	case adminpb.ServiceState_SERVICE_STATE_UNPAIRED, adminpb.ServiceState_SERVICE_STATE_NO_REMOTE:
		return st.GetConnected()
	}
	return true
}

// lagOf is the greater lag of both directions, as far as they are known.
func lagOf(st *adminpb.ServiceStatus) *float64 {
	var lag *float64
	for _, d := range []*adminpb.DirectionStats{st.GetSend(), st.GetReceive()} {
		if b := d.GetBacklog(); b != nil && b.LagSeconds != nil && (lag == nil || b.GetLagSeconds() > *lag) {
			lag = new(b.GetLagSeconds())
		}
	}
	return lag
}

// heldOf is how a limit holds a link back, in words: in the direction that is later,
// if in both.
func heldOf(st *adminpb.ServiceStatus) string {
	send, receive := st.GetSend(), st.GetReceive()
	if send.GetHeld() == "" || receive.GetHeld() != "" && receive.GetBacklog().GetLagSeconds() > send.GetBacklog().GetLagSeconds() {
		return receive.GetHeld()
	}
	return send.GetHeld()
}

func errorsOf(st *adminpb.ServiceStatus) uint64 {
	return st.GetLocalIoErrors() + st.GetRemoteIoErrors() + st.GetNetworkErrors()
}

// pointOf is a link's moment for its history. errors are those since the point
// before, seconds ago.
func pointOf(st *adminpb.ServiceStatus, errors uint64, seconds float64) point {
	if !running(st) {
		return gap
	}
	p := gap
	p[measureOut], p[measureIn] = float32(st.GetSend().GetThroughput()), float32(st.GetReceive().GetThroughput())
	p[measureInFlight] = float32(st.GetInFlightBytes())
	if seconds > 0 {
		p[measureErrors] = float32(float64(errors) / seconds)
	}
	if lag := lagOf(st); lag != nil {
		p[measureLag] = float32(*lag)
	}
	if versions := backlogVersions(st); versions != nil {
		p[measureBacklog] = float32(*versions)
	}
	return p
}

// series takes one measure out of points.
func series(points []point, measure int) []*adminpb.SparkPoint {
	out := make([]*adminpb.SparkPoint, len(points))
	for i, p := range points {
		out[i] = &adminpb.SparkPoint{}
		if known(p[measure]) {
			out[i].Value = new(float64(p[measure]))
		}
	}
	return out
}

// consoleSites describes this site and the paired ones.
func (s *site) consoleSites(status *adminpb.StatusResponse, links []*adminpb.ConsoleLink) []*adminpb.ConsoleSite {
	raft := status.GetRaft()
	here := &adminpb.ConsoleSite{
		Name: status.GetSiteName(), SiteId: status.GetSiteId(), Here: true, Nodes: uint32(len(raft.GetVoters())),
		Leader: raft.GetLeader(), Term: raft.GetTerm(), Address: s.linkAddress, Connected: true,
	}
	if raft.GetLeader() != "" {
		here.NodesUp = here.Nodes // one node: who answers is up
	}
	if node, _, ok := s.replica.Config().Node(raft.GetLeader()); ok {
		here.Leader = node.GetName()
	}
	if capacity := status.GetStorage().GetDiskCapacity(); capacity > 0 {
		here.FreeFraction = new(float64(status.GetStorage().GetDiskFree()) / float64(capacity))
	}
	sites := []*adminpb.ConsoleSite{here}
	for _, p := range plan.ListPairings(s.replica.Config()) {
		sites = append(sites, &adminpb.ConsoleSite{Name: p.GetSiteName(), SiteId: p.GetSiteId(), Address: p.GetAddress()})
	}
	for _, l := range links {
		addLink(here, l)
		if i := slices.IndexFunc(sites, func(x *adminpb.ConsoleSite) bool { return !x.GetHere() && x.GetSiteId() == l.GetPeerId() }); i > 0 {
			addLink(sites[i], l)
			sites[i].Connected = sites[i].Connected || l.GetConnected()
		}
	}
	return sites
}

func addLink(site *adminpb.ConsoleSite, l *adminpb.ConsoleLink) {
	site.Links++
	switch l.GetSeverity() {
	case adminpb.Severity_SEVERITY_FAILED:
		site.LinksFailed++
	case adminpb.Severity_SEVERITY_WARNING:
		site.LinksWarning++
	}
	if l.OutRate != nil {
		site.OutRate = new(site.GetOutRate() + l.GetOutRate())
	}
	if l.InRate != nil {
		site.InRate = new(site.GetInRate() + l.GetInRate())
	}
}

// Bounds of a question about the past.
const (
	defaultHistory       = 900
	maxHistory           = 86400
	defaultHistoryPoints = 300
	maxHistoryPoints     = 2000
)

// History implements admin.Console.
func (a consoleAdmin) History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	seconds, points := req.GetRangeSeconds(), req.GetPoints()
	if seconds == 0 {
		seconds = defaultHistory
	}
	if points == 0 {
		points = defaultHistoryPoints
	}
	if seconds > maxHistory || points > maxHistoryPoints {
		return nil, admin.Errorf(admin.CodeInvalid, "the history goes back %d seconds, in at most %d points", maxHistory, maxHistoryPoints)
	}
	target := math.Inf(1)
	cfg := s.replica.Config()
	if name := req.GetService(); name != "" {
		if _, err := plan.GetService(cfg, name); err != nil {
			return nil, err
		}
	}
	for _, service := range cfg.Services() {
		if req.GetService() == "" || service.GetName() == req.GetService() {
			target = min(target, s.lagTarget(service).Seconds())
		}
	}
	if math.IsInf(target, 1) {
		target = s.node.opts.LagTarget.Seconds()
	}
	at, start, step := s.history.query(req.GetService(), a.opts.Clock(), int64(seconds), int(points))
	res := &adminpb.HistoryResponse{Start: timestamppb.New(time.Unix(start, 0)), StepSeconds: float64(step), LagTargetSeconds: target}
	if req.GetService() != "" {
		res.Events = linkEvents(req.GetService(), s.history.notes(req.GetService()), changesFor(ctx, a.audit.last(auditMost)))
	}
	for m := range measures {
		res.Series = append(res.Series, &adminpb.Series{Name: measureNames[m], Unit: measureUnits[m], Points: series(at, m)})
	}
	return res, nil
}
