package cluster

import (
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// inSync is a link on which nothing is under way.
func inSync() linkView {
	known := objsync.Lag{Known: true}
	return linkView{
		now: now, running: true,
		receive: objsync.Status{State: objsync.StateInSync, Connected: true, Lag: known, Buckets: []objsync.BucketStatus{
			{Path: "N/T/b", State: objsync.StateInSync, Lag: known},
		}},
		send: objsync.SendStatus{InSync: true, LastHeard: now, Lag: known, Buckets: []objsync.SendBucketStatus{
			{Path: "N/T/b", Exists: true, Started: true, Lag: known},
		}},
	}
}

func TestLinkState(t *testing.T) {
	held := objsync.Hold{Words: "held to 1MiB/s by this site's send limit from 08:00 to 18:00", Next: "wait"}
	for _, c := range []struct {
		name  string
		set   func(*linkView)
		want  adminpb.ServiceState
		cause string
	}{
		{"both directions have everything", func(*linkView) {}, adminpb.ServiceState_SERVICE_STATE_SYNCED, ""},
		{"receiving fails", func(v *linkView) {
			v.receive.State, v.receive.Cause = objsync.StateConnecting, "connection refused"
		}, adminpb.ServiceState_SERVICE_STATE_DOWN, "connection refused"},
		{"connected just now", func(v *linkView) {
			v.receive.State, v.receive.Cause, v.receive.ConnectedSince = objsync.StateConnecting, "asking beta for its buckets", now.Add(-time.Second)
		}, adminpb.ServiceState_SERVICE_STATE_CONNECTING, "asking beta for its buckets"},
		{"connected and not answered", func(v *linkView) {
			v.receive.State, v.receive.Cause, v.receive.ConnectedSince = objsync.StateConnecting, "asking beta for its buckets", now.Add(-slowAnswer)
		}, adminpb.ServiceState_SERVICE_STATE_DOWN, "asking beta for its buckets"},
		{"never connected", func(v *linkView) { v.receive = objsync.Status{State: objsync.StateConnecting} },
			adminpb.ServiceState_SERVICE_STATE_CONNECTING, "first connection"},
		{"connecting for a moment", func(v *linkView) {
			v.remote, v.receive = "h:1", objsync.Status{State: objsync.StateConnecting, Since: now.Add(-slowAnswer + time.Second)}
		}, adminpb.ServiceState_SERVICE_STATE_CONNECTING, "first connection"},
		{"never answered", func(v *linkView) {
			v.remote, v.receive = "h:1", objsync.Status{State: objsync.StateConnecting, Since: now.Add(-6500 * time.Millisecond)}
		}, adminpb.ServiceState_SERVICE_STATE_DOWN, "h:1 has not answered for 6s"},
		{"never came", func(v *linkView) {
			v.receive = objsync.Status{State: objsync.StateConnecting, Since: now.Add(-6500 * time.Millisecond)}
		}, adminpb.ServiceState_SERVICE_STATE_DOWN, "the other site has not connected for 6s"},
		{"refused", func(v *linkView) { v.receive.State, v.receive.Cause = objsync.StateRefused, "disabled there" },
			adminpb.ServiceState_SERVICE_STATE_REFUSED, "disabled there"},
		{"paused", func(v *linkView) { v.receive.State, v.receive.Cause = objsync.StatePaused, "it was paused at maui" },
			adminpb.ServiceState_SERVICE_STATE_PAUSED, "it was paused at maui"},
		{"copied once", func(v *linkView) { v.receive.State = objsync.StateCopied },
			adminpb.ServiceState_SERVICE_STATE_COPIED, "not followed"},
		{"copied once, and the other site has not", func(v *linkView) { v.receive.State, v.send.InSync = objsync.StateCopied, false },
			adminpb.ServiceState_SERVICE_STATE_BEHIND, "the other site has not taken everything"},
		{"sent once", func(v *linkView) {
			v.receive.State, v.receive.Buckets = objsync.StateOff, nil
			v.send.Buckets[0].Copied = true
		}, adminpb.ServiceState_SERVICE_STATE_COPIED, "not followed"},
		{"only sending", func(v *linkView) { v.receive.State, v.receive.Buckets = objsync.StateOff, nil },
			adminpb.ServiceState_SERVICE_STATE_SYNCED, ""},
		{"only receiving", func(v *linkView) { v.send.Off, v.send.Buckets = "the direction here is receive", nil },
			adminpb.ServiceState_SERVICE_STATE_SYNCED, ""},
		{"only sending, and behind", func(v *linkView) { v.receive.State, v.send.InSync = objsync.StateOff, false },
			adminpb.ServiceState_SERVICE_STATE_BEHIND, "the other site has not taken everything"},
		{"nothing flows", func(v *linkView) {
			v.receive.State, v.receive.Cause, v.send.Off = objsync.StateOff, "the direction there is receive", "the direction here is receive"
		}, adminpb.ServiceState_SERVICE_STATE_WAITING, "there is receive"},
		{"stalled", func(v *linkView) { v.receive.State, v.receive.Cause = objsync.StateStalled, "no progress" },
			adminpb.ServiceState_SERVICE_STATE_STALLED, "no progress"},
		{"copying", func(v *linkView) { v.receive.State = objsync.StateScanning }, adminpb.ServiceState_SERVICE_STATE_COPYING, ""},
		{"lagging", func(v *linkView) { v.receive.State = objsync.StateLagging }, adminpb.ServiceState_SERVICE_STATE_BEHIND, ""},
		{"no common bucket", func(v *linkView) { v.receive.State = objsync.StateWaiting }, adminpb.ServiceState_SERVICE_STATE_WAITING, ""},
		{"the other site is behind", func(v *linkView) { v.send.InSync = false },
			adminpb.ServiceState_SERVICE_STATE_BEHIND, "the other site has not taken everything"},
		{"the other site is behind and silent", func(v *linkView) { v.send.InSync, v.send.LastHeard = false, now.Add(-9*time.Second) },
			adminpb.ServiceState_SERVICE_STATE_STALLED, "has asked for nothing for 9s"},
		{"the other site is silent, and not behind", func(v *linkView) { v.send.LastHeard = now.Add(-9 * time.Second) },
			adminpb.ServiceState_SERVICE_STATE_SYNCED, ""},
		{"the other site has not come", func(v *linkView) { v.send = objsync.SendStatus{} },
			adminpb.ServiceState_SERVICE_STATE_CONNECTING, "not asked for anything"},
		{"the other site has not come for long", func(v *linkView) {
			v.send, v.receive.ConnectedSince = objsync.SendStatus{}, now.Add(-2*time.Minute)
		}, adminpb.ServiceState_SERVICE_STATE_STALLED, "asked for nothing since this one connected 2m0s ago"},
		{"the other site may still come", func(v *linkView) {
			v.send, v.receive.ConnectedSince = objsync.SendStatus{}, now.Add(-10*time.Second)
		}, adminpb.ServiceState_SERVICE_STATE_CONNECTING, "not asked for anything"},
		{"the other site comes without a tunnel", func(v *linkView) { v.barred, v.receive.PeerName = true, "maui" },
			adminpb.ServiceState_SERVICE_STATE_REFUSED, "site maui connects without an SSH tunnel"},
		{"the other site says why", func(v *linkView) { v.send.InSync = false; v.send.Buckets[0].Cause = "no space left" },
			adminpb.ServiceState_SERVICE_STATE_BEHIND, "no space left"},
		{"a limit holds what is sent", func(v *linkView) { v.send.InSync, v.send.Held = false, held }, adminpb.ServiceState_SERVICE_STATE_BEHIND,
			"the other site has not taken everything yet: held to 1MiB/s by this site's send limit from 08:00 to 18:00"},
		{"a limit holds the other site's copy", func(v *linkView) { v.send.InSync, v.send.Buckets[0].Scanning, v.send.Held = false, true, held },
			adminpb.ServiceState_SERVICE_STATE_COPYING, "copying N/T/b, held to 1MiB/s"},
		{"what is sent is late, and something is received", func(v *linkView) {
			v.receive.State, v.receive.Cause, v.send.InSync, v.send.Held, v.send.Lag.Age = objsync.StateSyncing, "fetching key", false, held, time.Minute
		}, adminpb.ServiceState_SERVICE_STATE_LAGGING, "held to 1MiB/s"},
		{"behind for longer than the target", func(v *linkView) {
			v.receive.State, v.receive.Cause, v.receive.Lag.Age = objsync.StateLagging, "the oldest version not here is 1m0s old", time.Minute
		}, adminpb.ServiceState_SERVICE_STATE_LAGGING, "is 1m0s old"},
		{"what is sent is late", func(v *linkView) { v.send.InSync, v.send.Lag.Age = false, time.Minute },
			adminpb.ServiceState_SERVICE_STATE_LAGGING, "the other site has not taken everything"},
		{"a copy is never late", func(v *linkView) { v.receive.State, v.receive.Lag.Age = objsync.StateScanning, time.Hour },
			adminpb.ServiceState_SERVICE_STATE_COPYING, ""},
		{"one in quarantine", func(v *linkView) {
			v.receive.State, v.receive.Quarantined, v.receive.Pending = objsync.StateSyncing, 1, 1
		}, adminpb.ServiceState_SERVICE_STATE_BEHIND, "1 version is in quarantine"},
		{"two in quarantine, and late", func(v *linkView) {
			v.receive.State, v.receive.Quarantined, v.receive.Lag.Age = objsync.StateLagging, 2, time.Minute
			v.receive.Cause = "2 versions are in quarantine"
		}, adminpb.ServiceState_SERVICE_STATE_LAGGING, "2 versions are in quarantine"},
		{"one in quarantine, and more to do", func(v *linkView) {
			v.receive.State, v.receive.Quarantined, v.receive.Cause = objsync.StateSyncing, 1, "fetching key"
		}, adminpb.ServiceState_SERVICE_STATE_BEHIND, "1 version is in quarantine; fetching key"},
		{"one in quarantine at the other site", func(v *linkView) { v.send.InSync, v.send.Buckets[0].Pending = false, 1 },
			adminpb.ServiceState_SERVICE_STATE_BEHIND, "1 version is long on the way or in quarantine there"},
		{"put back from a backup", func(v *linkView) { v.send.InSync, v.send.Forgot = false, "N/T/b" },
			adminpb.ServiceState_SERVICE_STATE_STALLED, "versions of N/T/b that were written here and are lost here"},
		{"the other site copies", func(v *linkView) { v.send.InSync = false; v.send.Buckets[0].Scanning = true },
			adminpb.ServiceState_SERVICE_STATE_COPYING, "copying N/T/b"},
	} {
		v := inSync()
		v.lagTarget = 30 * time.Second
		c.set(&v)
		st := judge(&adminpb.Service{Name: "hawaii"}, v)
		if st.GetState() == adminpb.ServiceState_SERVICE_STATE_DOWN && st.GetNextStep() == "" {
			t.Errorf("%s: nobody is told what to do", c.name)
		}
		if strings.Contains(st.GetCause(), "quarantine") != strings.Contains(st.GetNextStep(), "isgwctl link failed hawaii") {
			t.Errorf("%s: the next step is %q", c.name, st.GetNextStep())
		}
		if st.GetState() != c.want || !strings.Contains(st.GetCause(), c.cause) {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, st.GetState(), st.GetCause(), c.want, c.cause)
		}
		if st.GetSynced() != (c.want == adminpb.ServiceState_SERVICE_STATE_SYNCED) {
			t.Errorf("%s: synced %v", c.name, st.GetSynced())
		}
	}
}

// TestNextStepNamesTheLink: what is next is a command that can be typed, of a link that
// runs and of one that does not.
func TestNextStepNamesTheLink(t *testing.T) {
	for _, running := range []bool{true, false} {
		v := inSync()
		v.running, v.door = running, &doorError{"cannot listen on h:1: another program does", "give it another port (isgwctl service edit NAME --local)"}
		st := judge(&adminpb.Service{Name: "hawaii"}, v)
		if st.GetNextStep() != "give it another port (isgwctl service edit hawaii --local)" {
			t.Errorf("running %v: the next step is %q", running, st.GetNextStep())
		}
	}
}

// TestHeldIsTold: what holds a direction is told of that direction, of the link on a
// screen, and in the alert of one that is late, whether it drains or not.
func TestHeldIsTold(t *testing.T) {
	v := inSync()
	v.lagTarget = 30 * time.Second
	v.send.InSync, v.send.Lag.Age = false, time.Minute
	v.send.Held = objsync.Hold{Words: "held to 1MiB/s by this site's send limit", Next: "raise it (isgwctl service edit NAME --send-limit)"}
	v.out = holding{1 << 20, "1MiB/s"}
	service := &adminpb.Service{Name: "hawaii"}
	service.Status = judge(service, v)
	st := service.GetStatus()
	if st.GetSend().GetHeld() != v.send.Held.Words || st.GetSend().GetCause() != v.send.Held.Words || st.GetReceive().GetHeld() != "" || st.GetSend().GetLimitRate() != 1<<20 {
		t.Errorf("the directions: %v, %v", st.GetSend(), st.GetReceive())
	}
	if st.GetNextStep() != "raise it (isgwctl service edit hawaii --send-limit)" {
		t.Errorf("the next step is %q", st.GetNextStep())
	}
	for _, drains := range []*float64{nil, new(120.0)} {
		st.DrainSeconds = drains
		l := consoleLink(service, "alpha")
		alerts := alertsOf(true, true, nil, []*adminpb.ConsoleLink{l})
		if l.GetHeld() != v.send.Held.Words || len(alerts) != 1 || !strings.Contains(alerts[0].GetCause(), v.send.Held.Words) {
			t.Errorf("on a screen %q, in alerts %v", l.GetHeld(), alerts)
		}
	}
	v.receive.Held, v.receive.Lag.Age = objsync.Hold{Words: "held to 2MiB/s by this site's receive limit"}, time.Hour
	if got := heldOf(judge(service, v)); got != v.receive.Held.Words {
		t.Errorf("of both directions %q is told", got)
	}
}

// TestUnknownIsNotZero: what is not known is absent, never zero.
func TestUnknownIsNotZero(t *testing.T) {
	v := inSync()
	v.receive.Lag = objsync.Lag{Since: now}
	b := judge(&adminpb.Service{}, v).GetReceive().GetBacklog()
	if b.LagSeconds != nil || b.Versions != nil || b.Bytes != nil {
		t.Errorf("backlog of a direction whose lag is unknown: %v", b)
	}
	v.receive.LastHeard = now.Add(-time.Minute) // the lag is known by it, and nothing else
	if b := judge(&adminpb.Service{}, v).GetReceive().GetBacklog(); b.GetLagSeconds() != 60 || b.Versions != nil || b.Bytes != nil {
		t.Errorf("backlog of a direction that was cut off: %v", b)
	}
	v = inSync()
	if b := judge(&adminpb.Service{}, v).GetReceive().GetBacklog(); b.LagSeconds == nil || b.GetLagSeconds() != 0 {
		t.Errorf("backlog of a direction in sync: %v", b)
	}
}

// TestSilenceIsLag: a site that is not heard of is further behind each second.
func TestSilenceIsLag(t *testing.T) {
	for name, c := range map[string]struct {
		silent, age      time.Duration
		never, cut, wait bool
		want             time.Duration // -1: unknown
	}{
		"between two heartbeats":   {silent: 2 * time.Second, want: 0},
		"behind, and heard":        {silent: time.Second, age: time.Minute, want: time.Minute},
		"paused":                   {silent: 9 * time.Second, want: 9 * time.Second},
		"paused while behind":      {silent: 9 * time.Second, age: time.Minute, want: time.Minute},
		"cut off":                  {silent: time.Second, cut: true, want: time.Second},
		"cut off for long":         {silent: time.Hour, cut: true, want: time.Hour},
		"never heard of":           {never: true, cut: true, want: -1},
		"connected, nothing asked": {silent: time.Second, wait: true, want: -1},
	} {
		r := objsync.Status{Connected: !c.cut, LastHeard: now.Add(-c.silent), Lag: objsync.Lag{Known: true, Age: c.age}}
		if c.cut || c.wait {
			r.Lag = objsync.Lag{Since: now}
		}
		if c.never {
			r.LastHeard = time.Time{}
		}
		lag := lagOfReceiving(r, now)
		if lag.Known != (c.want >= 0) || lag.Known && lag.Age != c.want {
			t.Errorf("%s: %+v, want %s", name, lag, c.want)
		}
	}
}

func TestBucketRows(t *testing.T) {
	v := inSync()
	v.receive.Buckets = append(v.receive.Buckets, objsync.BucketStatus{Path: "N/T/a", State: objsync.StateScanning, KeysDone: 3, KeysTotal: 9})
	v.caughtUp = map[string]time.Time{"N/T/b": now}
	rows := bucketRows(v)
	if len(rows) != 2 || rows[0].GetPath() != "N/T/a" || rows[1].GetPath() != "N/T/b" {
		t.Fatalf("rows are not ordered by path: %v", rows)
	}
	if a := rows[0]; a.GetState() != "copying" || a.GetServedHere() || !a.GetServedThere() || a.GetCopiedKeys() != 3 || a.GetTotalKeys() != 9 {
		t.Errorf("row of a copy: %v", a)
	}
	if b := rows[1]; b.GetState() != "synced" || !b.GetServedHere() || !b.GetServedThere() || !b.GetCaughtUp().AsTime().Equal(now) {
		t.Errorf("row in sync: %v", b)
	}
	v = inSync()
	v.receive.Buckets = nil
	if rows := bucketRows(v); rows[0].GetState() != "one-way" {
		t.Errorf("a bucket that only this site serves: %v", rows[0])
	}
	v = inSync()
	v.send.Buckets[0].Declined = "it is not served at maui"
	if rows := bucketRows(v); rows[0].GetState() != "one-way" || rows[0].GetCause() != "it is not served at maui" {
		t.Errorf("a bucket that the other site does not take: %v", rows[0])
	}
}

// TestEachDirectionStands: a direction says how it stands by itself.
func TestEachDirectionStands(t *testing.T) {
	for _, c := range []struct {
		name          string
		set           func(*linkView)
		receive, send string
	}{
		{"in sync", func(*linkView) {}, "synced", "synced"},
		{"only sending", func(v *linkView) { v.receive.State, v.receive.Cause = objsync.StateOff, "direction" }, "off", "synced"},
		{"only receiving", func(v *linkView) { v.send.Off = "direction" }, "synced", "off"},
		{"lagging", func(v *linkView) { v.receive.State = objsync.StateLagging }, "lagging", "synced"},
		{"paused", func(v *linkView) { v.receive.State = objsync.StatePaused }, "paused", "synced"},
		{"copied once", func(v *linkView) { v.receive.State, v.send.Buckets[0].Copied = objsync.StateCopied, true }, "copied", "copied"},
		{"refused", func(v *linkView) { v.receive.State = objsync.StateRefused }, "refused", "synced"},
		{"not asked yet", func(v *linkView) { v.send = objsync.SendStatus{} }, "synced", "waiting"},
		{"the other site copies", func(v *linkView) { v.send.InSync, v.send.Buckets[0].Scanning = false, true }, "synced", "copying"},
		{"the other site is behind", func(v *linkView) { v.send.InSync = false }, "synced", "behind"},
	} {
		v := inSync()
		c.set(&v)
		st := judge(&adminpb.Service{}, v)
		if st.GetReceive().GetState() != c.receive || st.GetSend().GetState() != c.send {
			t.Errorf("%s: receives %q and sends %q, want %q and %q", c.name, st.GetReceive().GetState(), st.GetSend().GetState(), c.receive, c.send)
		}
		if c.send == "off" && st.GetSend().GetCause() == "" {
			t.Errorf("%s: a direction that is off has no cause", c.name)
		}
	}
}

func TestIdleReason(t *testing.T) {
	peer := state.SiteID{1}
	for _, c := range []struct {
		name     string
		enabled  bool
		peer     state.SiteID
		paired   bool
		remote   string
		pairings int
		want     adminpb.ServiceState
	}{
		{"disabled", false, peer, true, "ccow://h:1", 1, adminpb.ServiceState_SERVICE_STATE_DISABLED},
		{"never paired", true, state.SiteID{}, false, "ccow://h:1", 0, adminpb.ServiceState_SERVICE_STATE_UNPAIRED},
		{"pairing removed", true, peer, false, "ccow://h:1", 1, adminpb.ServiceState_SERVICE_STATE_UNPAIRED},
		{"nobody knows an address", true, state.SiteID{}, false, "", 1, adminpb.ServiceState_SERVICE_STATE_NO_REMOTE},
		{"about to start", true, peer, true, "ccow://h:1", 1, adminpb.ServiceState_SERVICE_STATE_CONNECTING},
	} {
		got, cause, next := idleReason(c.enabled, c.peer, c.paired, c.remote, c.pairings)
		if got != c.want || cause == "" || next == "" && got != adminpb.ServiceState_SERVICE_STATE_CONNECTING {
			t.Errorf("%s: %v, %q, %q; want %v with cause and next step", c.name, got, cause, next, c.want)
		}
	}
}

func TestWireRates(t *testing.T) {
	var w wireRates
	at := now
	w.update(at, link.Traffic{})
	for i := range 20 {
		at = at.Add(time.Second)
		w.update(at, link.Traffic{Read: uint64(i+1) * 1000, Written: uint64(i+1) * 10})
	}
	if w.read < 990 || w.read > 1000 || w.written < 9.9 || w.written > 10 {
		t.Errorf("after 20 s of 1000 and 10 bytes a second: %v and %v", w.read, w.written)
	}
	for range 20 {
		at = at.Add(time.Second)
		w.update(at, w.last)
	}
	if w.read > 1 {
		t.Errorf("after 20 idle seconds: %v bytes a second", w.read)
	}
}
