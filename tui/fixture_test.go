package tui

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// noon is when every picture is taken.
var noon = time.Date(2026, 11, 22, 12, 4, 31, 0, time.UTC)

func sparks(f func(i int) float64) []*adminpb.SparkPoint {
	var out []*adminpb.SparkPoint
	for i := range 30 {
		p := &adminpb.SparkPoint{}
		if v := f(i); !math.IsNaN(v) {
			p.Value = &v
		}
		out = append(out, p)
	}
	return out
}

func ramp(from, to float64) func(int) float64 {
	return func(i int) float64 { return from + (to-from)*float64(i)/29 }
}

func some[T any](v T) *T { return &v }

func link(name, peer string, severity adminpb.Severity, glyph, word, cause, next string) *adminpb.ConsoleLink {
	return &adminpb.ConsoleLink{
		Name: name, PeerName: peer, Route: "oahu <-> " + peer, Remote: "ccow://" + peer + ".example:14000", Enabled: true,
		Severity: severity, Glyph: glyph, StateWord: word, Cause: cause, NextStep: next, LagTargetSeconds: 30,
		OutRate: some(12e6), InRate: some(4.2e3), LagSeconds: some(0.4), BacklogVersions: some(uint64(0)), BacklogBytes: some(uint64(0)),
		Slope: some(0.0), Connected: true, LatencySeconds: some(0.088), Serves: []string{"Hawaii/Cola/bk1", "Hawaii/Cola/photos"}, Buckets: 3,
		SparkOut: sparks(func(i int) float64 { return 8e6 + 4e6*math.Sin(float64(i)/3) }), SparkLag: sparks(ramp(0.2, 0.4)), SparkBacklog: sparks(ramp(0, 0)),
	}
}

// unhealthy is a site with a stalled link, one that is late, a paused one and
// one that is well.
func unhealthy() *adminpb.ConsoleSnapshot {
	stalled := link("kauai-cold", "kauai", adminpb.Severity_SEVERITY_FAILED, "X", "stalled", "kauai refuses: the disk is full", "free space at kauai, or unserve a bucket")
	stalled.OutRate, stalled.LagSeconds, stalled.BacklogVersions, stalled.BacklogBytes, stalled.Slope = some(0.0), some(842.0), some(uint64(88_100)), some(uint64(41_000_000_000)), some(12.0)
	stalled.OldestBucket, stalled.OldestKey = "Hawaii/Cola/photos", "2026/11/a.jpg"
	stalled.SparkOut, stalled.SparkLag, stalled.SparkBacklog = sparks(func(i int) float64 { return math.Max(9e6-6e5*float64(i), 0) }), sparks(ramp(0, 842)), sparks(ramp(100, 88_100))
	late := link("maui", "maui", adminpb.Severity_SEVERITY_WARNING, "!", "behind", "more is written than the link carries", "raise connections, or wait")
	late.OutRate, late.LagSeconds, late.BacklogVersions, late.BacklogBytes, late.Slope, late.DrainSeconds = some(312e6), some(41.0), some(uint64(3200)), some(uint64(18_400_000_000)), some(-71.0), some(58.0)
	late.Quarantined, late.Pending = 2, 6
	late.OldestBucket, late.OldestKey, late.InFlightBytes = "Hawaii/Cola/photos", "2026/11/aloha-from-the-beach.jpg", 64<<20
	late.SparkOut = sparks(func(i int) float64 {
		if i >= 8 && i < 12 {
			return math.NaN() // the node was restarted
		}
		return 250e6 + 150e6*math.Sin(float64(i)/4)
	})
	late.SparkLag, late.SparkBacklog = sparks(ramp(2, 41)), sparks(ramp(0, 3200))
	paused := link("molokai", "molokai", adminpb.Severity_SEVERITY_PAUSED, "||", "disabled", "an operator disabled it", "enable it with `isgwctl service enable`")
	paused.Enabled, paused.OutRate, paused.InRate, paused.LagSeconds, paused.BacklogVersions, paused.Slope = false, nil, nil, some(7860.0), some(uint64(10_000)), nil
	paused.SparkOut = sparks(func(int) float64 { return math.NaN() })
	well := link("big-island-with-a-long-name", "hilo", adminpb.Severity_SEVERITY_OK, "ok", "synced", "", "")
	return &adminpb.ConsoleSnapshot{
		Time: timestamppb.New(noon), Revision: 7, NodeName: "oahu-2", SiteName: "oahu", SiteId: "0a0a",
		Caller: &adminpb.Caller{Principal: "local:1000", Role: "site-admin"}, Initialised: true, Leader: true, Quorum: true, LeaderName: "oahu-2", Term: 41, ConfigRevision: 91822,
		Verdict: &adminpb.Verdict{Sentence: "NOT HEALTHY: 1 link stalled, 1 link outside its lag target (worst 14m02s)", NextStep: "open kauai-cold"},
		Alerts: []*adminpb.Alert{
			{Severity: adminpb.Severity_SEVERITY_FAILED, Glyph: "X", Word: "stalled", Service: "kauai-cold", Cause: "no progress for 14m: kauai refuses: the disk is full", NextStep: "free space at kauai, or unserve a bucket", Key: "link/kauai-cold"},
			{Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Word: "behind", Service: "maui", Cause: "lag 41s over its target 30s, drains in 58s", NextStep: "raise connections, or wait", Key: "link/maui"},
		},
		Links: []*adminpb.ConsoleLink{well, stalled, late, paused},
		Sites: []*adminpb.ConsoleSite{
			{Name: "oahu", SiteId: "0a", Here: true, Nodes: 3, NodesUp: 3, Leader: "oahu-2", Term: 41, Links: 4, LinksFailed: 1, LinksWarning: 1, OutRate: some(440e6), InRate: some(12e6), FreeFraction: some(0.61)},
			{Name: "hilo", SiteId: "0b", Links: 1, OutRate: some(12e6), InRate: some(4200.0), Connected: true},
			{Name: "kauai", SiteId: "0c", Links: 1, LinksFailed: 1, OutRate: some(0.0), InRate: some(0.0)},
			{Name: "maui", SiteId: "0d", Links: 1, LinksWarning: 1, OutRate: some(312e6), Connected: true},
		},
		LastChanges: []*adminpb.Change{
			{Time: timestamppb.New(noon.Add(-12 * time.Minute)), Principal: "token:ops", Text: "Services.Serve maui Hawaii/Cola/photos"},
			{Time: timestamppb.New(noon.Add(-2 * time.Hour)), Principal: "local:1000", Text: "Services.Disable molokai"},
			{Time: timestamppb.New(noon.Add(-3 * time.Hour)), Principal: "token:eve", Text: "Services.Delete maui", Failed: true},
		},
	}
}

func healthy() *adminpb.ConsoleSnapshot {
	s := unhealthy()
	s.Verdict = &adminpb.Verdict{Healthy: true, Sentence: "HEALTHY: the link is in sync"}
	s.Alerts, s.Links, s.Sites = nil, s.Links[:1], s.Sites[:2]
	s.Sites[0].Links, s.Sites[0].LinksFailed, s.Sites[0].LinksWarning = 1, 0, 0
	return s
}

func noLinks() *adminpb.ConsoleSnapshot {
	s := healthy()
	s.Verdict.Sentence = "HEALTHY: this site has no links yet"
	s.Links, s.Sites, s.LastChanges = nil, s.Sites[:1], nil
	return s
}

func historyOf(points int) *adminpb.HistoryResponse {
	line := func(name, unit string, f func(float64) float64) *adminpb.Series {
		s := &adminpb.Series{Name: name, Unit: unit}
		for i := range points {
			p := &adminpb.SparkPoint{}
			x := float64(i) / float64(points)
			if x < 0.25 || x > 0.32 { // a gap: the node was restarted
				p.Value = some(f(x))
			}
			s.Points = append(s.Points, p)
		}
		return s
	}
	return &adminpb.HistoryResponse{
		Start: timestamppb.New(noon.Add(-15 * time.Minute)), StepSeconds: 900 / float64(points-1), LagTargetSeconds: 30,
		Events: []*adminpb.LinkEvent{
			{Time: timestamppb.New(noon.Add(-3 * time.Minute)), Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Text: "lagging: more is written than the link carries"},
			{Time: timestamppb.New(noon.Add(-12 * time.Minute)), Severity: adminpb.Severity_SEVERITY_OK, Glyph: "ok", Text: "serve maui Hawaii/Cola/photos", Principal: "token:ops"},
			{Time: timestamppb.New(noon.Add(-7 * time.Hour)), Severity: adminpb.Severity_SEVERITY_OK, Glyph: "ok", Text: "synced"},
		},
		Series: []*adminpb.Series{
			line("out", "B/s", func(x float64) float64 { return 250e6 + 140e6*math.Sin(x*8) }),
			line("in", "B/s", func(x float64) float64 { return 60e6 + 20e6*math.Cos(x*11) }),
			line("lag", "s", func(x float64) float64 { return 41 * x }),
			line("backlog", "versions", func(x float64) float64 { return 3200 * x * x }),
		},
	}
}

func serviceOf(name string) *adminpb.Service {
	return &adminpb.Service{
		Name: name, Type: "isgw", Enabled: true, Direction: "send+receive", Replication: "initial+continuous", Connections: 4,
		Status: &adminpb.ServiceStatus{Mode: "complete", Connections: 4, Buckets: []*adminpb.BucketStatus{
			{Path: "Hawaii/Cola/bk1", State: "synced", CaughtUp: timestamppb.New(noon.Add(-2 * time.Second)), Send: &adminpb.Backlog{LagSeconds: some(0.0), Versions: some(uint64(0)), Bytes: some(uint64(0))}},
			{Path: "Hawaii/Cola/photos", State: "behind", Cause: "4 versions in flight", Send: &adminpb.Backlog{LagSeconds: some(41.0), Versions: some(uint64(3200)), Bytes: some(uint64(18_400_000_000)), OldestKey: "2026/11/aloha-from-the-beach.jpg"}},
			{Path: "Hawaii/Cola/write-ups", State: "copying", CopiedKeys: 12_000, TotalKeys: 1_200_000},
		}},
	}
}

// faultsOf is what maui cannot apply; on other links nothing failed.
func faultsOf(name string) *adminpb.ListFaultsResponse {
	if name != "maui" {
		return &adminpb.ListFaultsResponse{}
	}
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(d)) }
	return &adminpb.ListFaultsResponse{
		Faults: []*adminpb.Fault{
			{Bucket: "Hawaii/Cola/photos", Key: "2026/11/a.jpg", Version: "null", Kind: "version", Reason: "quarantined", Attempts: 7, Since: at(-131 * time.Minute), NextRetry: at(12 * time.Second), Bytes: 3_400_000,
				Cause: "chunk 1a2b3c4d of 4 MiB cannot be read at maui: input/output error on /srv/isgw/chunks, which its node has said since 10:12; free the disk there, or write the object anew"},
			{Bucket: "Hawaii/Cola/photos", Key: "2026/11/aloha-from-the-beach.jpg", Version: "7f3a9c", Kind: "version", Reason: "quarantined", Attempts: 1, Since: at(-41 * time.Second), NextRetry: at(14 * time.Minute), Bytes: 12_000_000, Cause: "timed out after 30s"},
			{Bucket: "Hawaii/Cola/write-ups", Key: "old", Version: "01", Kind: "deletion", Reason: "skipped", Attempts: 3, Since: at(-76 * time.Hour), Cause: "generation 4611686018427387905 exceeds 4611686018427387904"},
			{Bucket: "Hawaii/Cola/write-ups", Kind: "setting", Reason: "skipped", Attempts: 1, Since: at(-80 * time.Hour)},
		},
		Quarantined: 2, Skipped: 2, Transferring: 4,
	}
}

// compared is the plan of a re-sync.
func compared(req *adminpb.PlanRequest) *adminpb.Plan {
	name := req.GetResync().GetName()
	return &adminpb.Plan{
		Id: "7f3a9c02", ConfigRevision: 91822, Change: req, NeedsTypedName: name,
		What: []*adminpb.PlanStep{
			{Sign: "~", Kind: "compare", Name: "Hawaii/Cola/bk1", Text: "from the beginning, over link " + name + ", 12k objects, 48G"},
			{Sign: "~", Kind: "compare", Name: "Hawaii/Cola/photos", Text: "from the beginning, over link " + name + ", 1.2M objects, 2.6T"},
		},
		Impact:  "Each side takes what the other has and it lacks. Reads and writes are not blocked.",
		Undo:    "It cannot be called off, and leaves nothing behind: sites that are equal stay as they are.",
		Command: "isgwctl service resync " + name,
		Text:    "WHAT WILL HAPPEN\n~ compare Hawaii/Cola/bk1\n",
	}
}

func planOf(req *adminpb.PlanRequest) *adminpb.Plan {
	if req.GetResync() != nil {
		return compared(req)
	}
	return &adminpb.Plan{
		Id: "7f3a9c01", ConfigRevision: 91822, Change: req,
		What: []*adminpb.PlanStep{
			{Sign: "+", Kind: "pairing", Name: "kauai", Text: "by the token, at kauai.example:14000"},
			{Sign: "+", Kind: "link", Name: "kauai-cold", Text: "oahu <-> kauai, send+receive, initial+continuous, lag target 30s"},
			{Sign: "+", Kind: "serve", Name: "Hawaii/Cola/photos", Text: "1.2M objects, 2.6T"},
		},
		Checks: []*adminpb.PlanCheck{
			{Severity: adminpb.Severity_SEVERITY_OK, Glyph: "ok", Name: "name", Text: "no service is called kauai-cold"},
			{Severity: adminpb.Severity_SEVERITY_OK, Glyph: "ok", Name: "reach", Text: "kauai.example:14000 answers in 88 ms"},
			{Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Name: "space", Text: "how much room kauai has is not known here"},
		},
		Impact:  "A first copy of 1.2M objects, 2.6T. Reads and writes are not held up.",
		Undo:    "isgwctl service delete kauai-cold ends the link; what was copied stays.",
		Command: "isgwctl service create isgw kauai-cold --remote ccow://kauai.example:14000 --lag-target 30s --serve Hawaii/Cola/photos",
		Text:    "WHAT WILL HAPPEN\n+ link kauai-cold\n",
	}
}

// fakeNode is a node that a test plays. It is safe for concurrent use.
type fakeNode struct {
	mu        sync.Mutex
	snapshot  *adminpb.ConsoleSnapshot
	mute      bool // it accepts and never says a word
	down      bool // it refuses
	changed   chan struct{}
	needsName string
	plan      *adminpb.Plan                                                         // nil: planOf
	refuses   error                                                                 // of Plan
	unread    error                                                                 // of what pages and pickers ask
	fails     error                                                                 // of Apply
	conflict  bool                                                                  // the next Apply finds that something moved
	gone      bool                                                                  // and that nothing is left to plan
	buckets   []string                                                              // of the site; nil: a few
	faults    func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) // nil: faultsOf
	service   *adminpb.Service                                                      // nil: serviceOf
	history   *adminpb.HistoryResponse                                              // nil: historyOf
	rows      int                                                                   // states of buckets that were told
	filters   []string                                                              // that buckets were asked for with
	listed    int                                                                   // how often faults were asked for
	did       *adminpb.FaultsChanged                                                // what Apply says of faults
	asked     []*adminpb.PlanRequest
	applied   []*adminpb.ApplyRequest
	closed    int
}

func newFakeNode(s *adminpb.ConsoleSnapshot) *fakeNode {
	return &fakeNode{snapshot: s, changed: make(chan struct{})}
}

var errDown = errors.New("connection refused")

// set changes the node and wakes its watchers.
func (n *fakeNode) set(f func(*fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n)
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *fakeNode) Watch(ctx context.Context, interval time.Duration, fn func(*adminpb.ConsoleSnapshot) error) error {
	beat := time.NewTicker(200 * time.Millisecond)
	defer beat.Stop()
	var sent *adminpb.ConsoleSnapshot
	for {
		n.mu.Lock()
		s, mute, down, changed := n.snapshot, n.mute, n.down, n.changed
		n.mu.Unlock()
		if down {
			return errDown
		}
		if !mute {
			msg := &adminpb.ConsoleSnapshot{Heartbeat: true}
			if s != sent {
				msg, sent = proto.CloneOf(s), s
			}
			if err := fn(msg); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-beat.C:
		}
	}
}

func (n *fakeNode) History(context.Context, *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	if n.history != nil {
		return n.history, nil
	}
	return historyOf(300), nil
}

func (n *fakeNode) Service(_ context.Context, name string, buckets bool) (*adminpb.Service, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unread != nil {
		return nil, n.unread
	}
	s := n.service
	if s == nil {
		s = serviceOf(name)
	}
	if buckets {
		n.rows += len(s.GetStatus().GetBuckets())
		return s, nil
	}
	short := proto.CloneOf(s)
	short.Status.Buckets = nil
	return short, nil
}

func (n *fakeNode) Buckets(_ context.Context, filter string, limit int) (Paths, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filters = append(n.filters, filter)
	all := n.buckets
	if all == nil {
		all = []string{"Hawaii/Cola/bk1", "Hawaii/Cola/photos", "Hawaii/Cola/sound"}
	}
	var paths Paths
	for _, path := range all {
		if containsFold(path, filter) {
			if paths.Matched++; len(paths.First) < limit {
				paths.First = append(paths.First, path)
			}
		}
	}
	return paths, n.unread
}

func (n *fakeNode) Faults(_ context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listed++
	if n.faults != nil {
		return n.faults(req)
	}
	return faultsOf(req.GetName()), nil
}

func (n *fakeNode) Plan(_ context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, req)
	if n.down {
		return nil, errDown
	}
	if n.refuses != nil {
		return nil, n.refuses
	}
	p := planOf(req)
	if n.plan != nil {
		p = n.plan
	}
	if n.needsName != "" {
		p.NeedsTypedName = n.needsName
	}
	return p, nil
}

func (n *fakeNode) Apply(_ context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fails != nil {
		return nil, n.fails
	}
	if n.conflict {
		n.conflict = false
		if n.gone {
			return &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_CONFLICT, Reason: "somebody changed the config meanwhile: there is no service maui"}, nil
		}
		p := planOf(req.GetPlan().GetChange())
		p.Id = "99999999"
		p.What[1].Text = "oahu <-> kauai, send only"
		p.What = p.What[:2]
		p.Impact = "No first copy."
		return &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_CONFLICT, Plan: p, Reason: "service kauai-cold was changed"}, nil
	}
	n.applied = append(n.applied, req)
	return &adminpb.ApplyResponse{Outcome: adminpb.ApplyResponse_OUTCOME_APPLIED, Faults: n.did}, nil
}

func (n *fakeNode) Close() { n.set(func(n *fakeNode) { n.closed++ }) }

// fakeKeeper keeps profiles in memory. It is used by one goroutine.
type fakeKeeper struct {
	profiles []Profile
	drafts   []Draft
	seen     map[string]time.Time
	refuses  error
}

func (k *fakeKeeper) Profiles() ([]Profile, error) { return slices.Clone(k.profiles), nil }

func (k *fakeKeeper) Keep(d Draft) error {
	if k.refuses != nil {
		return k.refuses
	}
	k.drafts = append(k.drafts, d)
	p := Profile{Name: d.Name, Kept: true, Fingerprint: d.Fingerprint, Secret: "token"}
	for _, a := range strings.Split(d.Addresses, ",") {
		p.Endpoints = append(p.Endpoints, Endpoint{Name: a, Target: a})
	}
	for i := range k.profiles {
		if k.profiles[i].Name == d.Was {
			k.profiles[i] = p
			return nil
		}
	}
	k.profiles = append(k.profiles, p)
	return nil
}

func (k *fakeKeeper) Forget(name string) error {
	k.profiles = slices.DeleteFunc(k.profiles, func(p Profile) bool { return p.Name == name })
	return k.refuses
}

func (k *fakeKeeper) Seen(name string, at time.Time) error {
	if k.seen == nil {
		k.seen = map[string]time.Time{}
	}
	k.seen[name] = at
	return nil
}
