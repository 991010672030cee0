package objsync

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// set changes the settings of one end of a link while it runs.
func (h *half) set(s Settings) {
	h.settings.Store(&s)
	h.local.Kick()
	if h.engine != nil {
		h.engine.Kick()
	}
}

// settingsFrom is LocalOptions.Settings and EngineOptions.Settings.
func settingsFrom(at *atomic.Pointer[Settings]) func() Settings {
	return func() Settings {
		if s := at.Load(); s != nil {
			return *s
		}
		return Settings{}
	}
}

func TestWhatFlowsIsWhatBothSidesAllow(t *testing.T) {
	for _, c := range []struct {
		here, there string
		in, out     string // words of the cause; empty: it flows
	}{
		{"", "", "", ""},
		{"send+receive", "send+receive", "", ""},
		{"send", "receive", "direction here is send", ""},
		{"receive", "send", "", "direction here is receive"},
		{"send", "send+receive", "direction here is send", ""},
		{"send+receive", "send", "", "direction at maui is send"},
		{"send+receive", "receive", "direction at maui is receive", ""},
		{"send", "send", "direction here is send", "direction at maui is send"},
		{"receive", "receive", "direction at maui is receive", "direction here is receive"},
		{"", "sideways", "", ""}, // a word of a later version limits nothing here
	} {
		here, there := Settings{Direction: c.here}, Settings{Direction: c.there}
		for _, d := range []struct {
			receiving bool
			want      string
		}{{true, c.in}, {false, c.out}} {
			got := flowOf(here, there, d.receiving, "maui").off
			if (got == "") != (d.want == "") || !strings.Contains(got, d.want) {
				t.Errorf("here %q, there %q, receiving %v: %q, want %q", c.here, c.there, d.receiving, got, d.want)
			}
		}
	}
}

// states waits for the states of both receiving directions.
func states(t *testing.T, x, y *half, wantX, wantY State) {
	t.Helper()
	until(t, 30*time.Second, "states "+string(wantX)+" and "+string(wantY), func() bool {
		return x.engine.Status().State == wantX && y.engine.Status().State == wantY
	})
}

func TestOneDirection(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		y.site.makeBucket(bk1, 1)
		x.site.put(bk1, "x1", []byte("of x"))
		y.site.put(bk1, "y1", []byte("of y"))
		x.set(Settings{Direction: state.DirectionSend})
		x.start()
		y.start()
		states(t, x, y, StateOff, StateInSync)
		until(t, 10*time.Second, "y told x", func() bool { return x.local.Status().InSync && y.local.Status().Off != "" })
		if st := x.engine.Status(); !st.Connected || !strings.Contains(st.Cause, "direction here is send") {
			t.Errorf("x: %+v", st)
		}
		if st := y.local.Status(); !st.InSync || !strings.Contains(st.Off, "direction at site1 is send") || st.BacklogVersions != 0 {
			t.Errorf("what y sends: %+v", st)
		}
		if _, ok := x.site.read(bk1, "y1"); ok {
			t.Error("a link that only sends received")
		}
		if _, ok := y.site.read(bk1, "x1"); !ok {
			t.Error("the other way does not flow")
		}

		// The other side may say it as well: nothing flows from x, whatever x lets out.
		x.set(Settings{})
		y.set(Settings{Direction: state.DirectionSend})
		states(t, x, y, StateInSync, StateOff)
		if _, ok := x.site.read(bk1, "y1"); !ok {
			t.Error("what had waited does not come once the direction allows it")
		}
		x.site.put(bk1, "x2", []byte("while y only sends"))
		until(t, 10*time.Second, "x knows that y only sends", func() bool { return x.local.Status().Off != "" && x.local.Status().InSync })
		pause(5 * time.Second)
		if _, ok := y.site.read(bk1, "x2"); ok {
			t.Error("a side that only sends received")
		}

		// Both only send, or only receive: the sessions stay, and say why.
		x.set(Settings{Direction: state.DirectionSend})
		states(t, x, y, StateOff, StateOff)
		x.set(Settings{Direction: state.DirectionReceive})
		y.set(Settings{Direction: state.DirectionReceive})
		until(t, 10*time.Second, "each names the other's direction", func() bool {
			return strings.Contains(x.engine.Status().Cause, "direction at site2 is receive") && strings.Contains(y.engine.Status().Cause, "direction at site1 is receive")
		})

		// And nothing was lost by all of that.
		x.set(Settings{})
		y.set(Settings{})
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if n := x.engine.Status().Counters.Sessions + y.engine.Status().Counters.Sessions; n != 2 {
			t.Errorf("%d sessions were opened, want one at each side", n)
		}
	})
}

// A side that does not send gives nothing away, whatever is asked of it.
func TestASideThatOnlyReceivesLetsNothingOut(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		rec := x.site.put(bk1, "k", []byte("secret"))
		x.set(Settings{Direction: state.DirectionReceive})
		refusesAll(t, x.local, rec)
	})
}

func TestDirectionChangesUnderTraffic(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		y.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		for i := range 60 {
			x.site.put(bk1, "x"+string(rune('a'+i%26)), random(uint64(i), 20_000))
			y.site.put(bk1, "y"+string(rune('a'+i%26)), random(uint64(i)+500, 20_000))
			turn := []string{state.DirectionBoth, state.DirectionSend, state.DirectionReceive, state.DirectionBoth}
			if i%5 == 0 {
				x.set(Settings{Direction: turn[i/5%4]})
			}
			if i%7 == 0 {
				y.set(Settings{Direction: turn[i/7%4]})
			}
			pause(30 * time.Millisecond)
		}
		x.set(Settings{})
		y.set(Settings{})
		synced(t, time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if n := len(x.site.listing(bk1)); n != 52 {
			t.Errorf("%d keys, want 52", n)
		}
	})
}

// A bucket that one side serves and the other does not take is no backlog of it.
func TestABucketThatIsNotTakenIsNotBehind(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		const other = "Hawaii/Cola/bk2"
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(other, 1)
		x.site.put(other, "k", []byte("v"))
		x.serve(bk1, other)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		st := x.local.Status()
		if len(st.Buckets) != 2 || st.Buckets[1].Declined != "it is not served at site2, or only sent from there" || st.BacklogVersions != 0 {
			t.Errorf("what x sends: %+v", st)
		}
		y.serve(bk1, other)
		until(t, 10*time.Second, "the bucket is taken", func() bool { return len(y.site.listingOf(other)) == 1 })
		synced(t, 30*time.Second, x, y)
		if st := x.local.Status(); st.Buckets[1].Declined != "" {
			t.Errorf("what x sends: %+v", st)
		}
	})
}

// refusesAll checks that a source gives nothing of the test bucket to its peer.
func refusesAll(t *testing.T, l *Local, rec *catalogpb.Record) {
	t.Helper()
	ctx := context.Background()
	served, err := l.Served(ctx)
	if err != nil || len(served.GetBuckets()) != 0 {
		t.Errorf("served: %v, %v", served, err)
	}
	if _, err := l.Scan(ctx, &linkpb.ScanRequest{Path: bk1}); link.Cause(err) != string(link.CodeNotServed) {
		t.Errorf("scan: %v", err)
	}
	for _, r := range fetchAll(t, l, &linkpb.Want{Path: bk1, Dot: rec.GetDot()}) {
		if r.h.GetRefused() == "" || len(r.body) > 0 {
			t.Errorf("fetch: %v", r.h)
		}
	}
	few, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	_ = l.Changes(few, &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: bk1, Cursor: &catalogpb.Cursor{
		Epoch: 1, Incarnation: append(bytes.Repeat([]byte{1}, 15), 1), InitialDone: true}}}}, func(b *linkpb.ChangeBatch) error {
		if len(b.GetChanges()) > 0 || len(b.GetHeads()) > 0 {
			t.Errorf("changes: %v", b)
		}
		return nil
	})
}
