package cluster

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
)

// TestTallyIsWhole: what is counted is taken over into a tally, and every number of it
// into a sum.
func TestTallyIsWhole(t *testing.T) {
	ones := func(v reflect.Value) {
		for i := range v.NumField() {
			v.Field(i).SetUint(1)
		}
	}
	var r objsync.Counters
	var s objsync.SendCounters
	ones(reflect.ValueOf(&r).Elem())
	ones(reflect.ValueOf(&s).Elem())
	one := tallyOf(r, s, 1, 1)
	sum := one.plus(one)
	var compare func(path string, one, sum reflect.Value)
	compare = func(path string, one, sum reflect.Value) {
		for i := range one.NumField() {
			name := path + one.Type().Field(i).Name
			switch {
			case one.Field(i).Kind() == reflect.Struct:
				compare(name+".", one.Field(i), sum.Field(i))
			case one.Field(i).Uint() == 0 && name != "sent.skipped": // the receiver alone counts them
				t.Errorf("%s is not counted", name)
			case sum.Field(i).Uint() != 2*one.Field(i).Uint():
				t.Errorf("%s is %d, and twice that is %d", name, one.Field(i).Uint(), sum.Field(i).Uint())
			}
		}
	}
	compare("", reflect.ValueOf(one), reflect.ValueOf(sum))
}

// TestCountsGoOn: what a link has counted goes on over a change of settings that begins
// its connections anew, over a time in which it is disabled, and ends with the link. A
// lag target begins nothing anew.
func TestCountsGoOn(t *testing.T) {
	l := linkNodes(t)
	last := l.await(t, 0, "requests in both directions", func(st *adminpb.ServiceStatus) bool {
		return st.GetConnected() && st.GetReceive().GetRequests() >= 3 && st.GetSend().GetRequests() >= 3
	})
	numbers := func(st *adminpb.ServiceStatus) map[string]uint64 {
		return map[string]uint64{
			"requests": st.GetReceive().GetRequests(), "requests of the other site": st.GetSend().GetRequests(),
			"bytes in": st.GetReceive().GetWireBytes(), "bytes out": st.GetSend().GetWireBytes(),
			"network errors": st.GetNetworkErrors(), "local errors": st.GetLocalIoErrors(), "remote errors": st.GetRemoteIoErrors(),
		}
	}
	// until polls as await does, and no number may go back in between.
	until := func(what string, ok func(*adminpb.ServiceStatus) bool) *adminpb.ServiceStatus {
		t.Helper()
		return l.await(t, 0, what, func(st *adminpb.ServiceStatus) bool {
			before := numbers(last)
			for name, n := range numbers(st) {
				if n < before[name] {
					t.Fatalf("until %s: %s went back from %d to %d", what, name, before[name], n)
				}
			}
			last = st
			return ok(st)
		})
	}
	since := last.GetConnectedSince().AsTime()
	l.set(t, 0, func(s *statepb.Service) { s.LagTarget = int64(7 * time.Second) })
	l.set(t, 0, func(s *statepb.Service) { s.Paused = true }) // which is seen when both were taken over
	until("the pause", func(st *adminpb.ServiceStatus) bool {
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_PAUSED
	})
	if !last.GetConnectedSince().AsTime().Equal(since) || last.GetLagTargetSeconds() != 7 {
		t.Errorf("with another lag target the link is connected since %v, before since %v; the target is %v s", last.GetConnectedSince().AsTime(), since, last.GetLagTargetSeconds())
	}
	links := l.nodes[0].current().links
	run := func() (target time.Duration, booked bool, ending int) {
		links.mu.Lock()
		defer links.mu.Unlock()
		if r := links.runners["hawaii"]; r != nil {
			target = time.Duration(r.lagTarget.Load())
		}
		book := links.ledgers["hawaii"]
		if book != nil {
			ending = len(book.ending)
		}
		return target, book != nil, ending
	}
	if target, _, _ := run(); target != 7*time.Second {
		t.Errorf("the link goes by the lag target %v", target)
	}
	l.set(t, 0, func(s *statepb.Service) { s.Paused = false })

	for i := range 2 {
		l.set(t, 0, func(s *statepb.Service) { s.Connections = uint32(3 + i) })
		until(fmt.Sprintf("a new session, %d", i), func(st *adminpb.ServiceStatus) bool {
			return st.GetConnected() && st.GetConnectedSince().AsTime().After(since)
		})
		since = last.GetConnectedSince().AsTime()
	}
	l.set(t, 0, func(s *statepb.Service) { s.Disabled = true })
	until("the end of the session", func(st *adminpb.ServiceStatus) bool {
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_DISABLED
	})
	until("the end of the run", func(*adminpb.ServiceStatus) bool { _, booked, ending := run(); return booked && ending == 0 })
	l.set(t, 0, func(s *statepb.Service) { s.Disabled = false })
	until("a session again", connected)

	if err := l.clients[0].Services.Delete(t.Context(), "hawaii"); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; {
		if _, booked, _ := run(); !booked {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("what a link has counted stays after it was deleted")
		}
		<-time.After(10 * time.Millisecond)
	}
	for key := range links.meters.Snapshot() {
		if key.Service == "hawaii" && key.Peer != (state.SiteID{}) {
			t.Errorf("the bytes of a link that was deleted are kept: %+v", key)
		}
	}
}
