package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// From Home to what failed, one version retried, and what that did.
func TestFlowRetryOfAFailedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode(unhealthy())
		node.did = &adminpb.FaultsChanged{Versions: 1}
		f := startFlow(t, Options{Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true, Dial: nodes(map[string]*fakeNode{"a": node})})
		f.wait(3*time.Second, "NOT HEALTHY")
		f.keys("j", "enter")
		f.wait(3*time.Second, "throughput")
		f.keys("f")
		f.wait(3*time.Second, "from-the-beach.jpg")
		f.keys("j", "R")
		f.wait(3*time.Second, "WHAT WILL HAPPEN")
		f.keys("a")
		f.wait(3*time.Second, "1 version is fetched again")
		node.mu.Lock()
		defer node.mu.Unlock()
		want := &adminpb.RetryFaultsRequest{Name: "maui", Bucket: "Hawaii/Cola/photos", Keys: []string{"2026/11/aloha-from-the-beach.jpg"}}
		if len(node.applied) != 1 || !proto.Equal(node.applied[0].GetPlan().GetChange().GetRetryFaults(), want) {
			t.Errorf("applied %v, want %v", node.applied, want)
		}
	})
}

// What R, S and T ask a node to plan.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		keys string
		want *adminpb.PlanRequest
	}{
		{"2 j j enter R", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "maui"}}}},
		{"2 j j enter f R", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "maui", Bucket: "Hawaii/Cola/photos", Keys: []string{"2026/11/a.jpg"}}}}},
		{"2 j j enter f j j R", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "maui", Bucket: "Hawaii/Cola/write-ups", Keys: []string{"old"}}}}},
		{"2 j j enter f S", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{SkipFaults: &adminpb.SkipFaultsRequest{Name: "maui", Bucket: "Hawaii/Cola/photos", Keys: []string{"2026/11/a.jpg"}}}}},
		{"2 j j enter T", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resync{Resync: &adminpb.StartResyncRequest{Name: "maui"}}}},
		{"2 j j f T", &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resync{Resync: &adminpb.StartResyncRequest{Name: "maui"}}}},
	} {
		s := newStill(t, unhealthy(), Options{}).press(strings.Fields(c.keys)...)
		if len(s.node.asked) != 1 || !proto.Equal(s.node.asked[0], c.want) {
			t.Errorf("%q asked for %v, want %v", c.keys, s.node.asked, c.want)
		}
	}
}

func TestResyncWantsTheNameTyped(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "enter", "T", "enter", "ctrl+s")
	s.want("type maui to confirm", "type the name first: maui")
	s.typing("maui").press("enter")
	if len(s.node.applied) != 0 {
		t.Fatal("it was compared without the name, or by enter")
	}
	s.press("ctrl+s")
	if len(s.node.applied) != 1 || s.node.applied[0].GetTypedName() != "maui" {
		t.Fatalf("applied: %v", s.node.applied)
	}
	s.want("ok: re-sync maui")
}

func TestWhatARetryDid(t *testing.T) {
	of := func(keys ...string) *adminpb.PlanRequest {
		bucket := ""
		if len(keys) > 0 {
			bucket = "Hawaii/Cola/bk1"
		}
		return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "maui", Bucket: bucket, Keys: keys}}}
	}
	skip := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{SkipFaults: &adminpb.SkipFaultsRequest{Name: "maui", Bucket: "Hawaii/Cola/bk1", Keys: []string{"a"}}}}
	bad := []*adminpb.UnsoundFault{{Key: "Hawaii/Cola/bk1/a", Cause: "its key is too long"}, {Key: "Hawaii/Cola/bk1/b", Cause: "it has no dot"}}
	for _, c := range []struct {
		change *adminpb.PlanRequest
		did    *adminpb.FaultsChanged
		want   string
		short  bool
	}{
		{of("a"), &adminpb.FaultsChanged{Versions: 1}, "1 version is fetched again", false},
		{of(), &adminpb.FaultsChanged{Versions: 7}, "7 versions are fetched again", false},
		{of(), &adminpb.FaultsChanged{}, "nothing is in quarantine any more", false},
		{of("a"), &adminpb.FaultsChanged{Absent: []string{"a"}}, "nothing of Hawaii/Cola/bk1/a waits any more", true},
		{of(""), &adminpb.FaultsChanged{Absent: []string{""}}, "nothing of Hawaii/Cola/bk1 (a setting) waits any more", true},
		{of("a", "b"), &adminpb.FaultsChanged{Versions: 1, Absent: []string{"a", "b"}}, "1 version is fetched again; nothing of Hawaii/Cola/bk1/a and 1 more waits any more", true},
		{of("a"), &adminpb.FaultsChanged{Unsound: bad[:1]}, "no retry can help Hawaii/Cola/bk1/a: its key is too long", true},
		{of(), &adminpb.FaultsChanged{Versions: 2, Unsound: bad}, "2 versions are fetched again; no retry can help 2 keys, such as Hawaii/Cola/bk1/a: its key is too long", true},
		{skip, &adminpb.FaultsChanged{Versions: 1}, "1 version is skipped", false},
		{skip, &adminpb.FaultsChanged{Versions: 2}, "2 versions are skipped", false},
		{skip, &adminpb.FaultsChanged{}, "it was skipped already", false},
	} {
		if got, short := faultsDone(c.change, c.did); got != c.want || short != c.short {
			t.Errorf("%v did %v: %q, %v; want %q, %v", c.change, c.did, got, short, c.want, c.short)
		}
	}

	s := newStill(t, unhealthy(), Options{})
	s.node.did = &adminpb.FaultsChanged{Absent: []string{"2026/11/a.jpg"}}
	s.press("2", "j", "j", "f", "R", "a")
	s.want("nothing of Hawaii/Cola/photos/2026/11/a.jpg waits any more")
	s.wantNot("ok: retry", "WHAT WILL HAPPEN")
	if !s.bad {
		t.Error("what was not done is said as if it were")
	}
}

func TestUntilRetry(t *testing.T) {
	for after, want := range map[time.Duration]string{
		-time.Hour: "now", 0: "now", time.Millisecond: "in 1s", 12 * time.Second: "in 12s", 59*time.Second + time.Millisecond: "in 1m",
		14*time.Minute + 59*time.Second: "in 14m", time.Hour: "in 1h00m", 49 * time.Hour: "in 2d01h",
	} {
		if got := untilRetry(timestamppb.New(noon.Add(after)), noon); got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	if got := untilRetry(nil, noon); got != "-" {
		t.Errorf("what is not tried again is %q", got)
	}
}

// What failed is asked for while it is seen, anew whenever the page is.
func TestFaultsAreAskedForWhileSeen(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "enter", "tab", "r")
	if s.node.listed != 0 {
		t.Fatalf("they were asked for %d times, and are not seen", s.node.listed)
	}
	s.press("f")
	if s.node.listed != 1 {
		t.Fatalf("the section asked for them %d times", s.node.listed)
	}
	s.press("r")
	if s.node.listed != 2 {
		t.Errorf("a refresh asked for them %d times", s.node.listed-1)
	}
	s.press("tab", "r", "tab", "r", "esc", "r")
	if s.node.listed != 2 {
		t.Errorf("other sections and pages asked for them %d times", s.node.listed-2)
	}
}

func TestStatesOfTheFailedSection(t *testing.T) {
	s := newStill(t, unhealthy(), Options{})
	denied := admin.Errorf(admin.CodeDenied, "the role viewer may not list faults: it needs operator").WithHint("ask a site-admin for a token of that role")
	s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) { return nil, denied }
	s.press("2", "j", "j", "f")
	s.want("it needs operator; ask a site-admin")
	s.wantNot("No version is in quarantine", "loading")

	p := s.above[0].(*linkPage)
	p.faults.failed = nil
	s.want(".. loading what failed")
	s.wantNot("No version is in quarantine")

	s.node.faults = func(req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
		out := faultsOf("maui")
		out.Next, out.Quarantined = "more", 2345
		return out, nil
	}
	s.press("r")
	s.want("2.3k in quarantine", "The first 4 are listed; isgwctl link failed maui lists all.", "a.jpg")

	// A request that fails leaves what was seen, and says that it is not of now.
	s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) { return nil, errDown }
	s.press("r")
	s.want("! this is as it was before: connection refused", "a.jpg")
	s.node.faults = nil
	s.press("r")
	s.wantNot("as it was before", "The first 4")
}

// The bound of the list is asked of the node, and 1000 rows are drawn and filtered.
func TestManyFaults(t *testing.T) {
	s := newStill(t, unhealthy(), Options{})
	s.node.faults = func(req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
		if req.GetName() != "maui" || req.GetReason() != "" {
			return nil, errors.New("asked for " + req.String())
		}
		out := &adminpb.ListFaultsResponse{Quarantined: 5000, Next: "more"}
		for i := range req.GetLimit() {
			out.Faults = append(out.Faults, &adminpb.Fault{Bucket: "Hawaii/Cola/bk1", Key: fmt.Sprintf("key-%04d", i), Reason: "quarantined", Attempts: i})
		}
		return out, nil
	}
	s.press("2", "j", "j", "f", "G")
	s.want("The first 1000 are listed", "▸ …i/Cola/bk1/key-0999")
	s.press("/").typing("key-05").press("enter")
	s.want("100 of 1000")
	s.press("o", "o", "o", "O", "g")
	s.want("TRIES▼", "▸ …i/Cola/bk1/key-0599")
}

// A key tried again stays selected, wherever it is in the list now.
func TestTheSelectedFaultStays(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "f", "j")
	s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
		out := faultsOf("maui")
		out.Faults = out.Faults[1:]
		out.Faults[0].Attempts++
		return out, nil
	}
	s.press("r")
	if a, _ := s.above[0].(*linkPage).faults.table.Selected(); a.GetKey() != "2026/11/aloha-from-the-beach.jpg" {
		t.Errorf("%q is selected", a.GetKey())
	}
}

// A viewer sees why nothing can be retried, skipped or compared.
func TestViewersRetryNothing(t *testing.T) {
	for _, key := range []string{"R", "S", "T"} {
		snapshot := unhealthy()
		snapshot.Caller.Role = "viewer"
		s := newStill(t, snapshot, Options{}).press("2", "j", "j", "f", key)
		s.want("your role is viewer")
		s.wantNot("WHAT WILL HAPPEN")
		if len(s.node.asked) != 0 {
			t.Errorf("%s asked for %v", key, s.node.asked)
		}
	}
}

func TestExportOfWhatFailed(t *testing.T) {
	saved, copied := map[string]string{}, ""
	s := newStill(t, unhealthy(), Options{
		Save:      func(name string, data []byte) (string, error) { saved[name] = string(data); return "/tmp/" + name, nil },
		Clipboard: func(text string) error { copied = text; return nil },
	}).press("2", "j", "j", "f", "y", "/")
	s.typing("old").press("enter", "x")
	want := "bucket,key,version,kind,reason,attempts,since,next_retry,bytes,cause\n" +
		"Hawaii/Cola/write-ups,old,01,deletion,skipped,3,2026-11-19T08:04:31Z,,0,generation 4611686018427387905 exceeds 4611686018427387904\n"
	if saved["failed-maui.csv"] != want {
		t.Errorf("saved %q, want %q", saved["failed-maui.csv"], want)
	}
	if copied != "isgwctl link failed maui" {
		t.Errorf("copied %q", copied)
	}
}

// The foot has the whole cause, and no row of the list moves for it.
func TestTheFootOfWhatFailed(t *testing.T) {
	for _, size := range [][2]int{{60, 16}, {80, 24}, {140, 40}} {
		s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "f").size(size[0], size[1])
		rows := map[int]bool{}
		for range 4 {
			rows[s.rowOf("(a setting)")] = true
			s.press("j")
		}
		if len(rows) != 1 || rows[-1] {
			t.Errorf("at %v the last row is in rows %v", size, rows)
		}
		s.press("g")
		if text := strings.Join(strings.Fields(s.screenOf()), " "); size[0] > 60 && !strings.Contains(text, "or write the object anew") {
			t.Errorf("at %v the cause is cut off:\n%s", size, s.screenOf())
		}
	}
}

// However long a cause is and however low the screen, enter shows all of it.
func TestTheWholeOfAFailedVersion(t *testing.T) {
	var cause []string
	for i := range 150 {
		cause = append(cause, fmt.Sprintf("w%03d", i))
	}
	long := faultsOf("maui")
	long.Faults[0].Cause = strings.Join(cause, " ")
	long.Faults[0].Key = strings.Repeat("k", 300) + "\nreason: forged"
	for _, size := range [][2]int{{60, 16}, {80, 24}, {140, 40}} {
		s := newStill(t, unhealthy(), Options{}).size(size[0], size[1])
		s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) { return long, nil }
		s.press("2", "j", "j", "f", "enter")
		s.want("esc back")
		var seen strings.Builder
		for range 40 {
			seen.WriteString(s.screenOf())
			s.press("j")
		}
		for _, word := range append(cause, "forged", "quarantined", "version null", "3.4M", "2026-11-22 09:53:31Z", "tries: 7") {
			if !strings.Contains(seen.String(), word) {
				t.Fatalf("at %v %q is not shown:\n%s", size, word, seen.String())
			}
		}
		if strings.Contains(seen.String(), " reason: forged") {
			t.Errorf("at %v a name is shown as a fact:\n%s", size, seen.String())
		}
		s.press("esc")
		s.want("[Failed(2)]")
	}
}

// A node whose clock is hours from this machine's tells since when and until when by its
// own, and the clock of the screen is that of the times on it.
func TestTheClockOfTheNodeCounts(t *testing.T) {
	for _, skew := range []time.Duration{-12 * time.Hour, 12 * time.Hour, time.Second} {
		snapshot := unhealthy()
		snapshot.Time = timestamppb.New(noon.Add(skew))
		s := newStill(t, snapshot, Options{})
		s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
			out := faultsOf("maui")
			for _, a := range out.Faults {
				a.Since = timestamppb.New(a.Since.AsTime().Add(skew))
				if a.NextRetry != nil {
					a.NextRetry = timestamppb.New(a.NextRetry.AsTime().Add(skew))
				}
			}
			return out, nil
		}
		s.press("2", "j", "j", "f")
		if skew == time.Second { // which is the way from there to here, and moves nothing
			s.want("12:04:31Z", "2h10m", "in 13s")
			continue
		}
		s.want(noon.Add(skew).Format("15:04:05Z"), "2h11m", "in 12s", "in 14m")
		s.now, s.shown = noon.Add(2*time.Second), noon.Add(2*time.Second)
		s.want("in 10s")
		// Another site has another clock.
		_ = s.useProfile(1)
		s.want(noon.Add(2 * time.Second).Format("15:04:05Z"))
	}
}
