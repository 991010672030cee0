package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// linkIn is a link in a state, with a lag of -1 for an unknown one.
func linkIn(name string, state adminpb.ServiceState, lag float64, quarantined uint64) *adminpb.ConsoleLink {
	service := &adminpb.Service{Name: name, Enabled: true, Status: &adminpb.ServiceStatus{
		State: state, Cause: "cause of " + name, NextStep: "help " + name, LagTargetSeconds: 30,
		Send:    &adminpb.DirectionStats{Throughput: 5, Backlog: &adminpb.Backlog{Versions: new(uint64(3)), Bytes: new(uint64(30))}},
		Receive: &adminpb.DirectionStats{Throughput: 7, Backlog: &adminpb.Backlog{Versions: new(uint64(4)), Bytes: new(uint64(40)), Quarantined: quarantined}},
	}}
	if lag >= 0 {
		service.Status.Send.Backlog.LagSeconds = &lag
		service.Status.Receive.Backlog.LagSeconds = new(lag / 2)
	}
	return consoleLink(service, "alpha")
}

func TestVerdict(t *testing.T) {
	const (
		synced   = adminpb.ServiceState_SERVICE_STATE_SYNCED
		behind   = adminpb.ServiceState_SERVICE_STATE_BEHIND
		down     = adminpb.ServiceState_SERVICE_STATE_DOWN
		stalled  = adminpb.ServiceState_SERVICE_STATE_STALLED
		copying  = adminpb.ServiceState_SERVICE_STATE_COPYING
		disabled = adminpb.ServiceState_SERVICE_STATE_DISABLED
		unpaired = adminpb.ServiceState_SERVICE_STATE_UNPAIRED
		noRemote = adminpb.ServiceState_SERVICE_STATE_NO_REMOTE
		waiting  = adminpb.ServiceState_SERVICE_STATE_WAITING
	)
	type l = *adminpb.ConsoleLink
	disk := []*adminpb.Problem{{What: "the disk is full", NextStep: "free space"}}
	for _, c := range []struct {
		name     string
		fresh    bool
		noQuorum bool
		problems []*adminpb.Problem
		links    []l
		healthy  bool
		sentence string
		next     string
		alerts   string // glyph, word and service of each
	}{
		{name: "fresh", fresh: true, sentence: "NOT HEALTHY: this node is not initialised", next: "run `isgwctl system init`", alerts: "X not initialised "},
		{name: "no leader", noQuorum: true, links: []l{linkIn("a", synced, 0, 0)}, sentence: "NOT HEALTHY: the site has no leader", next: "see the node's log", alerts: "X no quorum "},
		{name: "no links", healthy: true, sentence: "HEALTHY: this site has no links yet", next: "make one with `isgwctl service create`"},
		{name: "one in sync", links: []l{linkIn("a", synced, 0, 0)}, healthy: true, sentence: "HEALTHY: the link is in sync"},
		{name: "all in sync", links: []l{linkIn("a", synced, 0, 0), linkIn("b", synced, 0, 0)}, healthy: true, sentence: "HEALTHY: all 2 links are in sync"},
		{
			name: "on its way", links: []l{linkIn("a", behind, 29, 0), linkIn("b", copying, 900, 0), linkIn("c", disabled, -1, 0), linkIn("d", waiting, -1, 0)}, healthy: true,
			sentence: "HEALTHY: 0 of 4 links in sync, 1 copying, 1 catching up, 1 waiting, 1 disabled",
		},
		{
			name: "late", links: []l{linkIn("a", behind, 842, 0), linkIn("b", behind, 31, 0), linkIn("c", synced, 0, 0)},
			sentence: "NOT HEALTHY: 2 links outside their lag targets (worst 14m02s)", next: "help a", alerts: "! lagging a,! lagging b",
		},
		{
			name: "the worst first", links: []l{linkIn("a", behind, 41, 0), linkIn("b", synced, 0, 2), linkIn("c", down, -1, 0), linkIn("d", stalled, 5, 0), linkIn("e", unpaired, -1, 0), linkIn("f", noRemote, -1, 0)},
			problems: disk,
			sentence: "NOT HEALTHY: 1 link is down, 1 link makes no progress, 1 link outside its lag target (worst 41s), 1 link has versions in quarantine, " +
				"1 link with a site that is not paired, 1 link without remote, 1 problem of the node",
			next: "help c", alerts: "X down c,X stalled d,! node ,! lagging a,! quarantine b,! unpaired e,! no remote f",
		},
	} {
		alerts := alertsOf(!c.fresh, !c.noQuorum, c.problems, c.links)
		v := verdictOf(!c.fresh, !c.noQuorum, alerts, c.links)
		if v.GetHealthy() != c.healthy || v.GetSentence() != c.sentence || v.GetNextStep() != c.next {
			t.Errorf("%s: %v %q, next %q\nwant %v %q, next %q", c.name, v.GetHealthy(), v.GetSentence(), v.GetNextStep(), c.healthy, c.sentence, c.next)
		}
		var words []string
		seen := map[string]bool{}
		for _, a := range alerts {
			words = append(words, a.GetGlyph()+" "+a.GetWord()+" "+a.GetService())
			if a.GetCause() == "" || seen[a.GetKey()] {
				t.Errorf("%s: alert %v has no cause or no key of its own", c.name, a)
			}
			seen[a.GetKey()] = true
		}
		if got := strings.Join(words, ","); got != c.alerts {
			t.Errorf("%s: alerts %q, want %q", c.name, got, c.alerts)
		}
		if v.GetHealthy() != (len(alerts) == 0) {
			t.Errorf("%s: healthy %v with %d alerts", c.name, v.GetHealthy(), len(alerts))
		}
	}
}

// TestStandings wants a word and a glyph of every state there is.
func TestStandings(t *testing.T) {
	for n, name := range adminpb.ServiceState_name {
		severity, word := standing(adminpb.ServiceState(n), nil, 30, 0)
		if unspecified := n == 0; (word == "unknown") != unspecified || (glyphOf(severity) == "?") != unspecified {
			t.Errorf("%s is %q %q", name, glyphOf(severity), word)
		}
	}
}

func TestConsoleLink(t *testing.T) {
	l := linkIn("a", adminpb.ServiceState_SERVICE_STATE_BEHIND, 12, 0)
	if l.GetLagSeconds() != 12 || l.GetBacklogVersions() != 7 || l.GetBacklogBytes() != 70 || l.GetOutRate() != 5 || l.GetInRate() != 7 || l.Slope != nil {
		t.Errorf("a link with numbers: %v", l)
	}
	service := &adminpb.Service{Name: "a", Status: &adminpb.ServiceStatus{State: adminpb.ServiceState_SERVICE_STATE_DISABLED, Send: &adminpb.DirectionStats{}, Receive: &adminpb.DirectionStats{}}}
	if l := consoleLink(service, "alpha"); l.LagSeconds != nil || l.OutRate != nil || l.BacklogVersions != nil || l.GetRoute() != "alpha <-> ?" {
		t.Errorf("a link without numbers: %v", l)
	}
	service.Status.State = adminpb.ServiceState_SERVICE_STATE_BEHIND
	service.Status.Send.Backlog = &adminpb.Backlog{Versions: new(uint64(50))}
	service.Status.Slope, service.Status.DrainSeconds = trend([]float64{100, 90, 80, 70, 60, 50}, backlogVersions(service.Status))
	l = consoleLink(service, "alpha")
	if err := nameContent(l, drawSparks(1, []point{gap, only(measureOut, 3)})); err != nil {
		t.Fatal(err)
	}
	if l.GetSlope() != -10 || l.GetDrainSeconds() != 5 || l.SparkOut[0].Value != nil || l.SparkOut[1].GetValue() != 3 {
		t.Errorf("a link that drains: %v", l)
	}
	if p := pointOf(service.Status, 6, 2); p[measureErrors] != 3 || p[measureBacklog] != 50 || known(p[measureLag]) {
		t.Errorf("its point: %v", p)
	}
}

// TestContentRevision: what means nothing does not make a new snapshot.
func TestContentRevision(t *testing.T) {
	base := &adminpb.ConsoleSnapshot{
		Time: timestamppb.Now(), Storage: &adminpb.StorageStatus{DiskCapacity: 1000, DiskFree: 500},
		Links: []*adminpb.ConsoleLink{{Name: "a", OutRate: new(300.0), InRate: new(5_000_000.0), LagSeconds: new(0.0), LatencySeconds: new(0.0312)}},
	}
	of := func(change func(*adminpb.ConsoleSnapshot)) uint64 {
		c := proto.CloneOf(base)
		change(c)
		for _, l := range c.GetLinks() {
			if err := nameContent(l, noSparks); err != nil {
				t.Fatal(err)
			}
		}
		rev, err := contentRevision(c)
		if err != nil || rev == 0 {
			t.Fatal(rev, err)
		}
		return rev
	}
	same := of(func(*adminpb.ConsoleSnapshot) {})
	for name, change := range map[string]func(*adminpb.ConsoleSnapshot){
		"time":        func(s *adminpb.ConsoleSnapshot) { s.Time = timestamppb.New(time.Unix(1, 0)) },
		"a few bytes": func(s *adminpb.ConsoleSnapshot) { s.Links[0].OutRate = new(420.0) },
		"a digit":     func(s *adminpb.ConsoleSnapshot) { s.Links[0].InRate = new(5_000_001.0) },
		"a block":     func(s *adminpb.ConsoleSnapshot) { s.Storage.DiskFree = 501 },
	} {
		if of(change) != same {
			t.Errorf("%s makes a new snapshot", name)
		}
	}
	for name, change := range map[string]func(*adminpb.ConsoleSnapshot){
		"lag":       func(s *adminpb.ConsoleSnapshot) { s.Links[0].LagSeconds = new(1.0) },
		"rate":      func(s *adminpb.ConsoleSnapshot) { s.Links[0].InRate = new(6_000_000.0) },
		"no number": func(s *adminpb.ConsoleSnapshot) { s.Links[0].OutRate = nil },
		"cause":     func(s *adminpb.ConsoleSnapshot) { s.Links[0].Cause = "x" },
	} {
		if of(change) == same {
			t.Errorf("%s does not make a new snapshot", name)
		}
	}
}

// TestConsole watches a real node.
func TestConsole(t *testing.T) {
	n, c := startNode(t, nil)
	ctx := t.Context()
	enough := errors.New("enough")
	watch := func(known uint64, until func(*adminpb.ConsoleSnapshot) bool) *adminpb.ConsoleSnapshot {
		t.Helper()
		var got *adminpb.ConsoleSnapshot
		err := c.Console.Watch(ctx, 100*time.Millisecond, known, func(s *adminpb.ConsoleSnapshot) error {
			if got = s; until(s) {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		return got
	}
	first := watch(0, func(*adminpb.ConsoleSnapshot) bool { return true })
	if !first.GetInitialised() || !first.GetQuorum() || !first.GetLeader() || first.GetLeaderName() != "alpha-1" || !first.GetVerdict().GetHealthy() ||
		first.GetSites()[0].GetName() != "alpha" || first.GetRevision() == 0 || first.GetConfigRevision() == 0 {
		t.Errorf("the first snapshot: %v", first)
	}
	// Who has it hears a heartbeat first.
	if beat := watch(first.GetRevision(), func(*adminpb.ConsoleSnapshot) bool { return true }); !beat.GetHeartbeat() && beat.GetRevision() == first.GetRevision() {
		t.Errorf("nothing changed, and came %v", beat)
	}
	if _, err := c.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	after := watch(first.GetRevision(), func(s *adminpb.ConsoleSnapshot) bool { return len(s.GetLinks()) == 1 })
	if after.GetVerdict().GetHealthy() || after.GetLinks()[0].GetStateWord() != "unpaired" || after.GetVerdict().GetNextStep() == "" {
		t.Errorf("with an unpaired link: %v", after)
	}

	// What the node remembers is there for every range, with its gaps.
	s := n.current()
	s.history.record(time.Now(), map[string]point{"hawaii": only(measureLag, 3)})
	for _, service := range []string{"", "hawaii"} {
		h, err := c.Console.History(ctx, &adminpb.HistoryRequest{Service: service, RangeSeconds: 60, Points: 60})
		if err != nil || len(h.GetSeries()) != measures || len(h.GetSeries()[0].GetPoints()) != 60 || h.GetStepSeconds() != 1 || h.GetLagTargetSeconds() != 30 {
			t.Fatalf("history of %q: %v, %v", service, h, err)
		}
		values := 0
		for _, p := range h.GetSeries()[measureLag].GetPoints() {
			if p.Value != nil {
				values++
			}
		}
		if values != 1 || h.GetSeries()[measureLag].GetName() != "lag" {
			t.Errorf("history of %q has %d values of %s", service, values, h.GetSeries()[measureLag].GetName())
		}
	}
	var refused *admin.Error
	if _, err := c.Console.History(ctx, &adminpb.HistoryRequest{Service: "none"}); !errors.As(err, &refused) || refused.Code != admin.CodeNotFound {
		t.Errorf("history of a link that is not there: %v", err)
	}
	if _, err := c.Console.History(ctx, &adminpb.HistoryRequest{RangeSeconds: 1e6}); !errors.As(err, &refused) || refused.Code != admin.CodeInvalid {
		t.Errorf("history of too long: %v", err)
	}
}
