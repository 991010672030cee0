package raftfsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

func TestEncodeEntry(t *testing.T) {
	t.Parallel()
	var calls []*call
	want := &raftfsmpb.Entry{Session: 7, Number: 300, Time: 1 << 60}
	for i := range 5 {
		cmd := write(bk1, strings.Repeat("k", i*100+1), nil)
		raw, err := proto.Marshal(cmd)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, &call{raw: raw})
		want.Commands = append(want.Commands, cmd)
	}
	data := encodeEntry(7, 300, 1<<60, calls)
	got := &raftfsmpb.Entry{}
	if err := proto.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
		t.Fatalf("%v, decoded %v", err, got)
	}
	size := 0
	for _, c := range calls {
		size += entrySize(c)
	}
	if len(data) > size+64 {
		t.Fatalf("an entry of %d bytes has %d bytes of frame", len(data), len(data)-size)
	}
}

// TestGrouping proposes much at once: every command gets its own result,
// entries hold many commands and none is too large.
func TestGrouping(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	before := r.Status()
	const n = 400
	pad := strings.Repeat("x", 8000) // 400 of them are 3 MB
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			cmd := write(bk1, fmt.Sprintf("key-%d", i), nil)
			cmd.GetWrite().GetRecord().Metadata = map[string]string{"pad": pad}
			res, err := r.Propose(context.Background(), cmd)
			if err != nil || string(res.GetRecord().GetKey()) != fmt.Sprintf("key-%d", i) {
				t.Errorf("command %d got %v, %v", i, res, err)
			}
		})
	}
	wg.Wait()
	after := r.Status()
	if entries := after.Entries - before.Entries; after.Commands-before.Commands != n || entries > n/10 {
		t.Errorf("%d commands went into %d entries", after.Commands-before.Commands, entries)
	}
	for i := uint64(1); i <= after.LastIndex; i++ {
		var log raft.Log
		if err := r.log.GetLog(i, &log); err != nil {
			t.Fatal(err)
		}
		if len(log.Data) > MaxEntry {
			t.Errorf("entry %d has %d bytes", i, len(log.Data))
		}
	}
}

func TestTimeNeverFalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := &proposer{clock: func() time.Time { return now }}
	first := p.now()
	now = now.Add(-time.Hour)
	if p.now() != first {
		t.Error("the time of entries fell with the clock")
	}
	now = now.Add(2 * time.Hour)
	if p.now() != now.UnixNano() {
		t.Error("the time of entries does not follow the clock")
	}
}

func TestSessionRenewed(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	old := r.proposer.session
	open, err := proto.Marshal(&raftfsmpb.Entry{OpenSession: true})
	if err != nil {
		t.Fatal(err)
	}
	for range maxSessions {
		if err := r.raft.Apply(open, 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	res := mustPropose(t, r, write(bk1, "a", nil))
	if r.proposer.session == old || res.GetRecord().GetGeneration() != 1 {
		t.Fatalf("session %d, before %d; result %v", r.proposer.session, old, res)
	}
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	p := r.proposer
	if err := p.room.Acquire(testContext(t), queueBytes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := r.Propose(ctx, write(bk1, "never", nil))
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatalf("a full queue did not block: %v", err)
	default:
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("error %v", err)
	}
	go func() {
		_, err := r.Propose(context.Background(), write(bk1, "a", nil))
		result <- err
	}()
	p.room.Release(queueBytes)
	if err := <-result; err != nil || hasKey(r, bk1, "never") {
		t.Fatalf("error %v", err)
	}
}

func TestCallerGone(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	p := r.proposer
	p.submit <- struct{}{} // no entry is handed over
	result := make(chan error, 2)
	go func() {
		_, err := r.Propose(context.Background(), write(bk1, "first", nil))
		result <- err
	}()
	eventually(t, "the first to be taken", func() bool { return len(p.gather) == 1 && len(p.queue) == 0 && p.roomTaken() })
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() {
		_, err := r.Propose(ctx, write(bk1, "never", nil))
		gone <- err
	}()
	eventually(t, "queueing", func() bool { return len(p.queue) == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("error %v", err)
	}
	<-p.submit
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	mustPropose(t, r, write(bk1, "a", nil))
	if hasKey(r, bk1, "never") {
		t.Fatal("a command whose caller was told that nothing changed was applied")
	}
	if p.roomTaken() {
		t.Fatal("the queue's room leaks")
	}
}

// roomTaken says whether any call has room in the queue.
func (p *proposer) roomTaken() bool {
	if !p.room.TryAcquire(queueBytes) {
		return true
	}
	p.room.Release(queueBytes)
	return false
}

func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateOutcomeUnknown)
}

// A leader without a majority cannot tell what becomes of its entry.
func simulateOutcomeUnknown(t *testing.T) {
	c := newCluster(t, func(*Options) {})
	lead := c.leader()
	id := lead.Status().NodeID
	fill(t, lead, "a", 1)
	c.cut(id)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := lead.Propose(ctx, write(bk1, "maybe", nil)); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("caller who left: %v", err)
	}
	if _, err := lead.Propose(testContext(t), write(bk1, "maybe-not", nil)); !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("caller who stayed: %v", err)
	}
	c.heal(id)
	c.same()
}

func TestBarriersShared(t *testing.T) {
	t.Parallel()
	r := newSite(t, Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			key := fmt.Sprintf("k%d", i)
			if _, err := r.Propose(context.Background(), write(bk1, key, nil)); err != nil {
				t.Error(err)
			}
			if err := r.Barrier(context.Background()); err != nil {
				t.Error(err)
			}
			if !hasKey(r, bk1, key) {
				t.Errorf("%s is not visible after a barrier", key)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Barrier(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHaltSeen gives the log an entry of a newer program: the node says why it
// stopped, answers nobody, takes no snapshot, and does the same when it starts
// again, because the entry is in the log.
func TestHaltSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newSite(t, Options{Dir: dir})
	mustPropose(t, r, write(bk1, "a", nil))
	p := r.proposer
	p.submit <- struct{}{} // a command waits behind the bad entry
	behind := make(chan error, 1)
	go func() {
		_, err := r.Propose(context.Background(), write(bk1, "behind", nil))
		behind <- err
	}()
	eventually(t, "a command on its way", p.roomTaken)
	if err := r.raft.Apply([]byte{0xff}, 0).Error(); err != nil {
		t.Fatal(err)
	}
	<-p.submit
	if err := <-behind; !errors.Is(err, ErrHalted) || !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("propose behind it: %v", err)
	}
	<-r.Done()
	if r.Err() == nil {
		t.Fatal("halted without a cause")
	}
	if _, err := r.Propose(testContext(t), write(bk1, "b", nil)); !errors.Is(err, ErrHalted) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("propose: %v", err)
	}
	if err := r.Barrier(testContext(t)); !errors.Is(err, ErrHalted) {
		t.Errorf("barrier: %v", err)
	}
	if err := r.Snapshot(testContext(t)); err == nil {
		t.Error("a halted node took a snapshot")
	}
	if hasKey(r, bk1, "b") || !hasKey(r, bk1, "a") {
		t.Error("the state is not that of the entry before")
	}
	closeNow(t, r)
	r = openAt(t, Options{Dir: dir})
	<-r.Done()
	if err := r.Ready(testContext(t)); !errors.Is(err, ErrHalted) {
		t.Errorf("ready: %v", err)
	}
}

func TestTrailing(t *testing.T) {
	t.Parallel()
	size := func(index uint64) int { return int(index) } // of entry 10: 10 bytes
	for _, c := range []struct {
		last, from, logs uint64
		bytes            int64
		want             uint64
	}{
		{10, 1, 100, 1000, 10},
		{10, 1, 4, 1000, 4},
		{10, 1, 100, 27, 3},
		{10, 1, 100, 26, 2},
		{10, 9, 100, 1000, 2},
		{10, 1, 0, 1000, 0},
		{0, 0, 10, 1000, 0},
	} {
		if got := trailing(c.last, c.from, c.logs, c.bytes, size); got != c.want {
			t.Errorf("trailing(%d, %d, %d, %d) = %d, want %d", c.last, c.from, c.logs, c.bytes, got, c.want)
		}
	}
}

// TestSnapshotOnBytes writes few large entries: the log must not grow far
// beyond its threshold although the number of entries is small.
func TestSnapshotOnBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := Options{Dir: dir, SnapshotBytes: 256 << 10, TrailingBytes: 100 << 10}
	r := newSite(t, o)
	pad := strings.Repeat("x", 30<<10)
	last := uint64(0)
	for i := range 40 {
		cmd := write(bk1, fmt.Sprintf("k%d", i), nil)
		cmd.GetWrite().GetRecord().Metadata = map[string]string{"pad": pad}
		last = mustPropose(t, r, cmd).GetIndex()
	}
	eventually(t, "a snapshot", func() bool { s := r.Status(); return s.LastSnapshot > 0 && s.SnapshotBytes < o.SnapshotBytes })
	eventually(t, "a short log", func() bool {
		first, err := r.log.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		return first > last-15
	})
	want := fingerprint(t, r)
	closeNow(t, r)
	r = openAt(t, o)
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := fingerprint(t, r); got != want {
		t.Fatalf("state is %s, not %s", got, want)
	}
}

func TestSnapshotFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, simulateSnapshotFailing)
}

// Where no snapshot can be taken, as on a full disk, the next is tried after a pause and
// not with each entry, which would flush the state for each.
func simulateSnapshotFailing(t *testing.T) {
	var failing atomic.Bool
	var attempts atomic.Int64
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpMkdirAll && strings.Contains(op.Path, "checkpoint-") && failing.Load() {
			attempts.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	failing.Store(true)
	r := newSite(t, Options{Dir: t.TempDir(), SnapshotEntries: 8, fs: errorfs.Wrap(vfs.Default, full)})
	began := time.Now()
	fill(t, r, "k", 8)
	eventually(t, "an attempt", func() bool { return attempts.Load() > 0 })
	fill(t, r, "l", 200)
	if n, most := attempts.Load(), 1+int64(time.Since(began)/retryPause); n > most {
		t.Errorf("%d snapshots were tried in %v, more than %d", n, time.Since(began), most)
	}
	failing.Store(false)
	eventually(t, "a snapshot", func() bool { return r.Status().LastSnapshot > 0 })
}

func TestDigestKnowsContent(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, Options{Dir: t.TempDir()}), newSite(t, Options{Dir: t.TempDir()})
	if bytes.Equal(a.Catalog().Digest(), make([]byte, 32)) {
		t.Fatal("the digest of a site with a bucket is zero")
	}
	before := slices.Clone(a.Catalog().Digest())
	mustPropose(t, a, write(bk1, "a", nil))
	if bytes.Equal(before, a.Catalog().Digest()) {
		t.Fatal("a write did not change the digest")
	}
	_ = b
}
