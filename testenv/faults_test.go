package testenv

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// noise is content that does not compress.
func noise(seed byte, n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed, 7}).Read(out)
	return out
}

// flip turns one bit of stored content round, wherever its chunk lies.
func (s *Site) flip(content []byte) {
	s.env.t.Helper()
	flipped := 0
	err := filepath.WalkDir(filepath.Join(s.DataDir(), "chunks"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// The beginning is the same before and after.
		i := bytes.Index(raw, content[:100])
		if i < 0 {
			return nil
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		at := i + len(content)/2
		_, err = file.WriteAt([]byte{raw[at] ^ 1}, int64(at))
		flipped++
		return err
	})
	if err != nil || flipped != 1 {
		s.env.t.Fatalf("content was changed in %d files: %v", flipped, err)
	}
}

// change plans a change at a site and makes it.
func (s *Site) change(req *adminpb.PlanRequest) *adminpb.ApplyResponse {
	t := s.env.t
	t.Helper()
	plan, err := s.Admin.Plans.Plan(s.env.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Admin.Plans.Apply(s.env.Context(), &adminpb.ApplyRequest{Plan: plan})
	if err != nil || res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED {
		t.Fatalf("%v %v", res, err)
	}
	return res
}

// TestDamagedVersionIsQuarantined damages one version of many at the sending site:
// the others arrive, it is listed with its cause, skipped, and retried when it is
// whole again.
func TestDamagedVersionIsQuarantined(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced()
	l.Cut()
	bad := noise(1, 3000)
	e.mustPut(a, "bad", bad)
	for i := range 200 {
		e.mustPut(a, fmt.Sprintf("good-%d", i), noise(byte(i), 200))
	}
	a.flip(bad)
	l.Restore()
	faults := func() *adminpb.ListFaultsResponse {
		list, err := b.Admin.Faults.List(e.Context(), &adminpb.ListFaultsRequest{Name: "hawaii"})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	e.Eventually("the damaged version is in quarantine", func() bool { return faults().GetQuarantined() == 1 })
	f := faults().GetFaults()[0]
	if f.GetBucket() != bucketPath || f.GetKey() != "bad" || f.GetReason() != "quarantined" || !strings.Contains(f.GetCause(), "cannot be read at alpha") ||
		f.GetAttempts() == 0 || f.GetNextRetry() == nil || f.GetSince() == nil || f.GetBytes() != 3000 || f.GetKind() != "version" {
		t.Errorf("it is listed as %v", f)
	}
	e.Eventually("all others are there", func() bool {
		_, err := b.Get("Hawaii/Cola", "bk1", "good-199")
		return err == nil
	})
	for i := range 200 {
		e.mustHave(b, fmt.Sprintf("good-%d", i), noise(byte(i), 200))
	}
	skip := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{
		SkipFaults: &adminpb.SkipFaultsRequest{Name: "hawaii", Bucket: bucketPath, Keys: []string{"bad", "none"}},
	}}
	if changed := b.change(skip).GetFaults(); changed.GetVersions() != 1 || len(changed.GetAbsent()) != 1 {
		t.Fatalf("skipped: %v", changed)
	}
	l.WaitSynced()
	if list := faults(); list.GetSkipped() != 1 || list.GetQuarantined() != 0 || list.GetFaults()[0].GetReason() != "skipped" {
		t.Errorf("after the skip: %v", list)
	}
	if changed := b.change(skip).GetFaults(); changed != nil {
		t.Errorf("skipped again: %v", changed)
	}
	a.flip(bad) // whole again
	if changed, err := b.Admin.Faults.Retry(e.Context(), &adminpb.RetryFaultsRequest{Name: "hawaii", Bucket: bucketPath, Keys: []string{"bad"}}); err != nil || changed.GetVersions() != 1 {
		t.Fatalf("retried: %v, %v", changed, err)
	}
	e.Eventually("it is there", func() bool { return len(faults().GetFaults()) == 0 })
	e.mustHave(b, "bad", bad)
	l.WaitSynced()
}

// TestLimitAndPauseOfARunningLink limits a link while it runs, pauses it, and lifts
// both.
func TestLimitAndPauseOfARunningLink(t *testing.T) {
	const rate, size = 1 << 20, 3 << 20
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced()
	a.change(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{
		Name: "hawaii", Settings: &adminpb.LinkSettings{SendLimit: new("1MiB/s")},
	}}})
	before := b.Status("hawaii").GetStatus().GetReceive().GetWireBytes()
	content := noise(9, size)
	began := time.Now()
	e.mustPut(a, "limited", content)
	e.Eventually("it is there", func() bool {
		_, err := b.Get("Hawaii/Cola", "bk1", "limited")
		return err == nil
	})
	took := time.Since(began)
	st := b.Status("hawaii").GetStatus().GetReceive()
	got := float64(st.GetWireBytes()-before) / took.Seconds()
	t.Logf("%d bytes in %v: %.0f a second", st.GetWireBytes()-before, took, got)
	// A credit of 50 ms and one chunk go at once; a busy machine may be slower.
	if got > 1.05*(rate+256<<10/took.Seconds()) || took > 4*size/rate*time.Second {
		t.Errorf("at a limit of %d it was %.0f bytes a second", rate, got)
	}
	if words := a.Status("hawaii").GetStatus().GetSend(); words.GetLimit() != "1MiB/s" || words.GetLimitRate() != rate {
		t.Errorf("the sender says its limit is %q", words.GetLimit())
	}
	e.Eventually("the receiver knows whose limit holds", func() bool {
		return b.Status("hawaii").GetStatus().GetReceive().GetLimit() == "1MiB/s, as the other site asks"
	})

	b.change(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: "hawaii"}}})
	for _, s := range l.Sites {
		e.Eventually(s.Name+" shows the pause", func() bool {
			return s.Status("hawaii").GetStatus().GetState() == adminpb.ServiceState_SERVICE_STATE_PAUSED
		})
	}
	e.mustPut(a, "meanwhile", []byte("m"))
	e.Eventually("the backlog is known at both", func() bool {
		return b.Status("hawaii").GetStatus().GetReceive().GetBacklog().GetVersions() > 0 && a.Status("hawaii").GetStatus().GetSend().GetBacklog().GetVersions() > 0
	})
	e.mustLack(b, "meanwhile")
	if !b.Status("hawaii").GetPaused() || a.Status("hawaii").GetPaused() {
		t.Error("who has paused the link is not told")
	}
	b.change(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: "hawaii"}}})
	a.change(&adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{
		Name: "hawaii", Settings: &adminpb.LinkSettings{SendLimit: new("none")},
	}}})
	l.WaitSynced()
	e.mustHave(b, "meanwhile", []byte("m"))
}
