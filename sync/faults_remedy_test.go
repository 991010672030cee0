package objsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

const (
	transferring = catalogpb.PendingReason_PENDING_TRANSFERRING
	quarantined  = catalogpb.PendingReason_PENDING_QUARANTINED
	skipped      = catalogpb.PendingReason_PENDING_SKIPPED
)

// TestRemedy lists what amendments make of a table.
func TestRemedy(t *testing.T) {
	now := time.Unix(5000, 0)
	entry := func(seq uint64, key string, reason catalogpb.PendingReason) *catalogpb.Pending {
		dot := &catalogpb.Dot{Origin: make([]byte, 16), Epoch: 1, Seq: seq}
		dot.Origin[0] = 1
		return &catalogpb.Pending{
			Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE, Dot: dot, Generation: 1, Time: 1},
			Reason: reason, Cause: "why", Attempts: 3, NextRetry: now.Add(time.Hour).UnixNano(),
		}
	}
	unsound := entry(5, "bad", quarantined)
	unsound.Record.Generation = 1<<62 + 1
	table := []*catalogpb.Pending{
		entry(1, "a", quarantined), entry(2, "a", skipped), entry(3, "b", transferring), entry(4, "c", quarantined), unsound,
	}
	for _, c := range []struct {
		name    string
		what    Amendment
		changed string
		absent  string
		unsound string
	}{
		{"retry all", Amendment{Remedy: RemedyRetry}, "a1 quarantined, c4 quarantined", "", "bad"},
		{"retry a key, the skipped version too", Amendment{Remedy: RemedyRetry, Keys: []string{"a"}}, "a1 quarantined, a2 quarantined", "", ""},
		{"retry what is not there, twice", Amendment{Remedy: RemedyRetry, Keys: []string{"x", "a", "x", "b"}}, "a1 quarantined, a2 quarantined", "x b", ""},
		{"retry what can never be", Amendment{Remedy: RemedyRetry, Keys: []string{"bad"}}, "", "", "bad"},
		{"skip", Amendment{Remedy: RemedySkip, Keys: []string{"a", "b"}}, "a1 skipped, b3 skipped", "", ""},
		{"skip what can never be", Amendment{Remedy: RemedySkip, Keys: []string{"bad", "x"}}, "bad5 skipped", "x", ""},
		{"skip nothing", Amendment{Remedy: RemedySkip}, "", "", ""},
	} {
		amended, did := remedy(table, c.what, now)
		var changed []string
		for _, p := range amended {
			word := "skipped"
			if p.GetReason() == quarantined {
				word = "quarantined"
				if p.GetNextRetry() != now.UnixNano() {
					t.Errorf("%s: the next retry is at %d", c.name, p.GetNextRetry())
				}
			}
			if p.GetCause() != "why" || p.GetAttempts() != 3 {
				t.Errorf("%s: the cause and the attempts are lost: %v", c.name, p)
			}
			changed = append(changed, fmt.Sprintf("%s%d %s", p.GetRecord().GetKey(), p.GetRecord().GetDot().GetSeq(), word))
		}
		if got := strings.Join(changed, ", "); got != c.changed || did.Versions != len(amended) {
			t.Errorf("%s: changed %q (%d), want %q", c.name, got, did.Versions, c.changed)
		}
		if got := strings.Join(did.Absent, " "); got != c.absent {
			t.Errorf("%s: absent are %q, want %q", c.name, got, c.absent)
		}
		if got := strings.Join(slices.Collect(maps.Keys(did.Unsound)), " "); got != c.unsound {
			t.Errorf("%s: unsound are %q, want %q", c.name, got, c.unsound)
		}
	}
}

// amend calls Amend and fails the test when that does.
func amend(t *testing.T, h *half, r Remedy, keys ...string) Amended {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	did, err := h.engine.Amend(ctx, Amendment{Bucket: bk1, Remedy: r, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return did
}

// reasonOf is why the one version of a key is pending; 0 when it is not.
func reasonOf(h *half, key string) (p *catalogpb.Pending) {
	for _, entry := range h.pendingOf(bk1) {
		if string(entry.GetRecord().GetKey()) == key {
			return entry
		}
	}
	return nil
}

// TestOneBadAmongThousands has one version that cannot be read at the sender: nothing
// else waits for it, the cursor passes it because it is in the table by name, and
// operators retry it, skip it, and take that back.
func TestOneBadAmongThousands(t *testing.T) {
	const objects = 3000
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		bad := random(7, 3000)
		// Two attempts in the beginning, and two after a retry by hand.
		x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(bad), Times: 4, Err: chunks.ErrCorrupt})
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		for i := range objects {
			if i == objects/3 {
				x.site.put(bk1, "bad", bad)
			}
			x.site.put(bk1, fmt.Sprintf("good/%05d", i), random(uint64(i), 50))
		}
		until(t, 20*time.Second, "all others are there", func() bool { return len(y.site.listing(bk1)) == objects })
		until(t, 20*time.Second, "the cursor has passed the bad one", func() bool {
			cursor, err := y.site.cat.Cursor(bk1, x.site.id)
			return err == nil && cursor.GetSeq() == x.site.seq(bk1)
		})
		until(t, 20*time.Second, "it is in quarantine", func() bool { return reasonOf(y, "bad").GetReason() == quarantined })
		first := reasonOf(y, "bad")
		if first.GetReason() != quarantined || !strings.Contains(first.GetCause(), "cannot be read") || first.GetAttempts() != 1 ||
			first.GetNextRetry() <= time.Now().UnixNano() || len(y.pendingOf(bk1)) != 1 {
			t.Fatalf("the table has %v", y.pendingOf(bk1))
		}
		if st := y.engine.Status(); st.Quarantined != 1 || st.Counters.Sessions != 1 {
			t.Errorf("the status says %+v", st)
		}

		at := time.Now()
		if did := amend(t, y, RemedyRetry, "bad", "nothing"); did.Versions != 1 || !slices.Equal(did.Absent, []string{"nothing"}) {
			t.Errorf("the retry did %+v", did)
		}
		until(t, 20*time.Second, "it failed again", func() bool { return reasonOf(y, "bad").GetAttempts() == 2 })
		if took := time.Since(at); took > 5*time.Second {
			t.Errorf("a retry by hand began %v after it was asked for", took)
		}

		if did := amend(t, y, RemedySkip, "bad"); did.Versions != 1 {
			t.Errorf("the skip did %+v", did)
		}
		if p := reasonOf(y, "bad"); p.GetReason() != skipped || !strings.Contains(p.GetCause(), "cannot be read") {
			t.Errorf("after the skip the table has %v", p)
		}
		synced(t, 30*time.Second, x, y) // both ends have given it up
		pause(2 * time.Hour)
		if p := reasonOf(y, "bad"); p.GetReason() != skipped || p.GetAttempts() != 2 {
			t.Errorf("two hours after the skip the table has %v", p)
		}

		// A new session keeps to it.
		x.halt()
		y.halt()
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		if p := reasonOf(y, "bad"); p.GetReason() != skipped {
			t.Errorf("after a restart the table has %v", p)
		}
		if did := amend(t, y, RemedyRetry, "bad"); did.Versions != 1 {
			t.Errorf("the retry of what was skipped did %+v", did)
		}
		until(t, 10*time.Second, "it is there", func() bool { return reasonOf(y, "bad") == nil })
		synced(t, 30*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
	})
}

// TestAmendWithoutASession amends while the peer is away, and after the engine has
// ended.
func TestAmendWithoutASession(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		for _, key := range []string{"one", "two"} {
			bad := random(uint64(len(key)+int(key[0])), 3000)
			x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(bad), Times: 2, Err: chunks.ErrCorrupt})
			x.site.put(bk1, key, bad)
		}
		until(t, 30*time.Second, "in quarantine", func() bool {
			return reasonOf(y, "one").GetReason() == quarantined && reasonOf(y, "two").GetReason() == quarantined
		})
		y.wire.cut()
		until(t, 30*time.Second, "cut off", func() bool { return !y.engine.Status().Connected })
		if did := amend(t, y, RemedySkip, "one"); did.Versions != 1 || reasonOf(y, "one").GetReason() != skipped {
			t.Errorf("the skip did %+v: %v", did, reasonOf(y, "one"))
		}
		if did := amend(t, y, RemedyRetry); did.Versions != 1 || reasonOf(y, "two").GetNextRetry() > time.Now().UnixNano() {
			t.Errorf("the retry did %+v: %v", did, reasonOf(y, "two"))
		}
		y.wire.mend()
		y.engine.Kick()
		until(t, 10*time.Second, "what was retried is there", func() bool { return reasonOf(y, "two") == nil })
		synced(t, 30*time.Second, x, y)
		if p := reasonOf(y, "one"); p.GetReason() != skipped {
			t.Errorf("what was skipped is %v", p)
		}
		y.halt()
		if _, err := y.engine.Amend(context.Background(), Amendment{Bucket: bk1}); !errors.Is(err, ErrStopped) {
			t.Errorf("after the end an amendment gives %v", err)
		}
		did, err := AmendStored(context.Background(), y.site.site(), x.site.id, Amendment{Bucket: bk1, Keys: []string{"one"}})
		if err != nil || did.Versions != 1 || reasonOf(y, "one").GetReason() != quarantined {
			t.Errorf("on the stored table: %+v, %v, %v", did, err, reasonOf(y, "one"))
		}
	})
}
