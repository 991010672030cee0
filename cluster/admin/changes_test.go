package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// anySnapshot draws a snapshot of a few links. A link's content names what it
// shows, as the node promises.
func anySnapshot(t *rapid.T, label string) *adminpb.ConsoleSnapshot {
	n := rapid.IntRange(0, 1000).Draw(t, label)
	s := &adminpb.ConsoleSnapshot{
		Time: timestamppb.Now(), Revision: uint64(n + 1), NodeName: "alpha-1", Quorum: n%2 == 0,
		Verdict: &adminpb.Verdict{Healthy: n%3 == 0, Sentence: fmt.Sprint("sentence ", n%4)},
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 5, rapid.ID[string]).Draw(t, label+" links") {
		shown, chart := rapid.Uint64Range(0, 2).Draw(t, "shown"), rapid.Uint64Range(0, 2).Draw(t, "chart")
		l := &adminpb.ConsoleLink{Name: name, Cause: fmt.Sprint("cause ", shown), Errors: shown, Content: 1 + shown*10 + chart}
		for i := range 3 {
			p := &adminpb.SparkPoint{}
			if chart > 0 {
				p.Value = new(float64(chart) + float64(i))
			}
			l.SparkOut, l.SparkLag = append(l.SparkOut, p), append(l.SparkLag, p)
		}
		s.Links = append(s.Links, l)
	}
	slices.SortFunc(s.Links, func(a, b *adminpb.ConsoleLink) int { return strings.Compare(a.GetName(), b.GetName()) })
	for i := range n % 3 {
		s.Alerts = append(s.Alerts, &adminpb.Alert{Key: fmt.Sprint(i)})
		s.LastChanges = append(s.LastChanges, &adminpb.Change{Text: fmt.Sprint(i)})
	}
	for i := range n % 2 {
		s.Sites = append(s.Sites, &adminpb.ConsoleSite{Name: fmt.Sprint(i)})
		s.Endpoints = append(s.Endpoints, &adminpb.Endpoint{Name: fmt.Sprint(i)})
	}
	return s
}

// TestChangesMakeTheSnapshot: what changed, put onto the snapshot before, is the
// snapshot, whatever two follow each other, and neither is changed by it.
func TestChangesMakeTheSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, now := anySnapshot(t, "before"), anySnapshot(t, "now")
		keptBefore, keptNow := proto.CloneOf(before), proto.CloneOf(now)
		told := proto.CloneOf(changesOf(before, now)) // as it comes over the wire
		got, err := merged(proto.CloneOf(before), told)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, now) {
			t.Fatalf("before %v\ntold %v\ngot %v\nwant %v", before, told, got, now)
		}
		if !proto.Equal(before, keptBefore) || !proto.Equal(now, keptNow) {
			t.Fatal("telling what changed changed a snapshot")
		}
	})
}

// TestChangesAreSmall: a tick in which one link of many changed carries that
// link, and its charts only when they changed.
func TestChangesAreSmall(t *testing.T) {
	snapshot := func(cause string, chart float64) *adminpb.ConsoleSnapshot {
		s := &adminpb.ConsoleSnapshot{Revision: 1, Alerts: []*adminpb.Alert{{Key: "a"}}}
		for i := range 500 {
			l := &adminpb.ConsoleLink{Name: fmt.Sprintf("link-%03d", i), Cause: "refused", Content: 1}
			if i == 250 {
				l.Cause, l.Content = cause, uint64(len(cause))+uint64(chart)*1000
			}
			for range 30 {
				l.SparkOut = append(l.SparkOut, &adminpb.SparkPoint{Value: &chart})
			}
			s.Links = append(s.Links, l)
		}
		return s
	}
	whole := proto.Size(snapshot("x", 1))
	for _, c := range []struct {
		name        string
		before, now *adminpb.ConsoleSnapshot
		most        int
	}{
		{"nothing", snapshot("x", 1), snapshot("x", 1), 30},
		{"a cause", snapshot("x", 1), snapshot("yy", 1), 70},
		{"a chart", snapshot("x", 1), snapshot("x", 2), 500},
	} {
		if n := proto.Size(changesOf(c.before, c.now)); n > c.most || n*100 > whole {
			t.Errorf("%s changed, and %d bytes are told of %d; want at most %d", c.name, n, whole, c.most)
		}
	}
}

// TestChangesOfNothing: a client does not guess what it was not told.
func TestChangesOfNothing(t *testing.T) {
	if s, err := merged(nil, &adminpb.ConsoleSnapshot{Partial: true}); err == nil {
		t.Errorf("what changed of nothing is %v", s)
	}
	whole := &adminpb.ConsoleSnapshot{Revision: 3}
	if s, err := merged(nil, whole); err != nil || s != whole {
		t.Errorf("a whole snapshot is %v, %v", s, err)
	}
	if s, err := merged(whole, &adminpb.ConsoleSnapshot{Partial: true, Kept: []string{"links", "nonsense"}}); err != nil || len(s.GetLinks()) != 0 {
		t.Errorf("a node that kept what cannot be: %v, %v", s, err)
	}
}
