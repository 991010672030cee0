package testenv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/cluster"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestNodesConverge lets users of three whole sites in a ring write and delete the
// same keys over S3 while links break, one site is killed and started again, and the
// clocks are hours apart. The check at the end of the test finds the sites equal and
// every chunk of theirs intact; in sync is what they say of themselves. The engine
// alone is put through hundreds of such runs, and worse, in TestConverge of package
// objsync.
func TestNodesConverge(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			e := New(t)
			wrong := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
			sites := []*Site{
				e.Start("alpha", SiteOptions{Process: true}),
				e.Start("beta", SiteOptions{Clock: wrong(3 * time.Hour)}),
				e.Start("gamma", SiteOptions{Clock: wrong(-5 * time.Hour)}),
			}
			sites[0].Create("Hawaii", "Hawaii/Cola", bucketPath)
			sites[1].Create("Hawaii", "Hawaii/Cola")
			sites[2].Create("Hawaii", "Hawaii/Cola")
			var links []*Link
			for i, s := range sites {
				next := sites[(i+1)%3]
				links = append(links, e.Link(fmt.Sprintf("link%d", i+1), s, next, bucketPath))
			}
			for _, l := range links {
				l.WaitSynced()
			}
			for range 120 {
				s, l := sites[rng.IntN(3)], links[rng.IntN(3)]
				key := fmt.Sprint("k", rng.IntN(12))
				switch p := rng.IntN(100); {
				case p < 60 && s.Running():
					e.mustPut(s, key, content(rng.Uint64N(50), rng.IntN(200_000)))
				case p < 78 && s.Running():
					if err := s.S3("Hawaii/Cola").RemoveObject(e.Context(), "bk1", key, minio.RemoveObjectOptions{}); err != nil {
						t.Fatalf("delete %s at %s: %v", key, s.Name, err)
					}
				case p < 84:
					l.Cut()
				case p < 92:
					l.Restore()
				case p < 95 && sites[0].Running():
					sites[0].Kill()
				case p < 99 && !sites[0].Running():
					sites[0].Resume()
				default:
					pause(time.Duration(rng.IntN(200)) * time.Millisecond)
				}
			}
		})
	}
}

// content is what a seed makes.
func content(seed uint64, n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{0: byte(seed), 1: 7}).Read(out)
	return out
}

// TestConflictsAreSettled writes an object at two sites that cannot talk. Both keep
// the same winner and list the loser; promoting it at one of them makes it the newest
// at both, and the conflict ends.
func TestConflictsAreSettled(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "plan", []byte("common"))
	l.WaitSynced()
	l.Cut()
	e.mustPut(a, "plan", []byte("of alpha"))
	pause(2 * time.Millisecond) // clocks decide: beta's is later
	e.mustPut(b, "plan", []byte("of beta"))
	l.Restore()
	l.WaitSynced()
	ctx := e.Context()
	var lost string
	for _, s := range []*Site{a, b} {
		e.Eventually("a conflict at "+s.Name, func() bool {
			page, err := s.Admin.Versions.Conflicts(ctx, &adminpb.ListConflictsRequest{Bucket: bucketPath})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.GetConflicts()) != 1 {
				return false
			}
			lost = page.GetConflicts()[0].GetLoser().GetVersionId()
			return page.GetConflicts()[0].GetWinner().GetOrigin() != page.GetConflicts()[0].GetLoser().GetOrigin()
		})
		e.mustHave(s, "plan", []byte("of beta"))
	}
	list, err := b.Admin.Versions.List(ctx, &adminpb.ListVersionsRequest{Bucket: bucketPath, Key: "plan"})
	if err != nil || len(list.GetVersions()) != 2 || !list.GetVersions()[0].GetLatest() || !list.GetVersions()[1].GetLost() || list.GetVersions()[1].GetObject().GetVersionId() != lost {
		t.Fatalf("versions at %s: %v %v", b.Name, list, err)
	}
	if _, err := b.Admin.Versions.Promote(ctx, &adminpb.PromoteVersionRequest{Bucket: bucketPath, Key: "plan", Version: "nonsense"}); err == nil {
		t.Error("nonsense was promoted")
	}
	if _, err := b.Admin.Versions.Promote(ctx, &adminpb.PromoteVersionRequest{Bucket: bucketPath, Key: "plan", Version: lost}); err != nil {
		t.Fatal(err)
	}
	l.WaitSynced()
	for _, s := range []*Site{a, b} {
		e.mustHave(s, "plan", []byte("of alpha"))
		page, err := s.Admin.Versions.Conflicts(ctx, &adminpb.ListConflictsRequest{Bucket: bucketPath})
		if err != nil || len(page.GetConflicts()) != 0 {
			t.Errorf("conflicts at %s: %v %v", s.Name, page, err)
		}
	}
}

// TestRestoredSite puts a site back to a copy of its data directory. What was deleted
// since, at either site, stays deleted; what was written since comes back. Until the site
// is told that it was put back, both sites know, and what it writes meanwhile is kept,
// even if it writes before it can reach the other.
func TestRestoredSite(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	for _, key := range []string{"stays", "deleted here", "deleted there"} {
		e.mustPut(a, key, []byte("first "+key))
	}
	l.WaitSynced()
	a.Stop()
	backup := filepath.Join(e.Dir("backup"))
	if err := os.CopyFS(backup, os.DirFS(a.DataDir())); err != nil {
		t.Fatal(err)
	}
	a.Resume()
	l.WaitSynced()
	remove := func(s *Site, key string) {
		if err := s.S3("Hawaii/Cola").RemoveObject(e.Context(), "bk1", key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove(a, "deleted here")
	remove(b, "deleted there")
	e.mustPut(a, "stays", []byte("second"))
	e.mustPut(a, "new", []byte("written after the backup"))
	e.mustPut(b, "new there", []byte("written there after the backup"))
	l.WaitSynced()
	a.Stop()
	if err := os.RemoveAll(a.DataDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(a.DataDir(), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}

	// Until it is told, nothing is taken from it, and both sites say so.
	l.Cut()
	a.Resume()
	const meanwhile = 20 // more than was lost
	for i := range meanwhile {
		e.mustPut(a, fmt.Sprint("meanwhile ", i), []byte("written before it was told"))
	}
	l.Restore()
	for s, because := range map[*Site]string{b: "alpha was put back from a backup", a: "that were written here and are lost here"} {
		e.Eventually("the cause at "+s.Name, func() bool {
			st := s.Status(l.Name).GetStatus()
			return st.GetState() == adminpb.ServiceState_SERVICE_STATE_STALLED && strings.Contains(st.GetCause(), because)
		})
	}
	e.mustHave(b, "new", []byte("written after the backup"))
	a.Stop()

	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	was, is, err := cluster.Restored(ctx, cluster.Options{Dir: a.DataDir(), Site: a.Name})
	if err != nil || is <= was {
		t.Fatalf("epochs %d and %d: %v", was, is, err)
	}
	a.Resume()
	e.mustPut(a, "newer", []byte("written after the restoration"))
	l.WaitSynced()
	for _, s := range []*Site{a, b} {
		e.mustHave(s, "stays", []byte("second"))
		e.mustHave(s, "new", []byte("written after the backup"))
		e.mustHave(s, "new there", []byte("written there after the backup"))
		e.mustHave(s, "newer", []byte("written after the restoration"))
		for i := range meanwhile {
			e.mustHave(s, fmt.Sprint("meanwhile ", i), []byte("written before it was told"))
		}
		for _, key := range []string{"deleted here", "deleted there"} {
			if _, err := s.Get("Hawaii/Cola", "bk1", key); err == nil {
				t.Errorf("%s is back at %s", key, s.Name)
			}
		}
	}
}
