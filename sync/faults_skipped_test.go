package objsync

import (
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
)

// putBad starts a link and writes a version at x that x cannot read, so that it is in
// quarantine at y.
func putBad(t *testing.T, x, y *half) {
	t.Helper()
	bad := random(7, 3000)
	x.site.chunks.Plan(chunkstest.Fault{Op: chunkstest.OpGet, ID: chunks.Sum(bad), Times: 2, Err: chunks.ErrCorrupt})
	x.start()
	y.start()
	synced(t, 30*time.Second, x, y)
	x.site.put(bk1, "bad", bad)
	until(t, 30*time.Second, "it is in quarantine", func() bool { return reasonOf(y, "bad").GetReason() == quarantined })
}

// TestQuarantineEndsWithWhatReplacesIt replaces a version that cannot be read at the
// sender, over the same link, an hour before its next retry: what replaced it is
// there, so both ends are in sync at once, and none says that it is behind.
func TestQuarantineEndsWithWhatReplacesIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace func(s *testSite)
	}{
		{"replaced", func(s *testSite) { s.put(bk1, "bad", random(9, 2000)) }},
		{"replaced with the same content, whole again", func(s *testSite) { s.put(bk1, "bad", random(7, 3000)) }},
		{"deleted", func(s *testSite) { s.del(bk1, "bad") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, func(o *EngineOptions) { o.RetryMin, o.RetryMax = time.Hour, time.Hour }, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				putBad(t, x, y)
				pause(reviewEvery + 2*time.Second)
				if p := reasonOf(y, "bad"); p.GetReason() != quarantined || p.GetAttempts() != 1 {
					t.Fatalf("looking at it again made %v of it", p)
				}
				c.replace(x.site)
				synced(t, reviewEvery+5*time.Second, x, y)
				sameHeads(t, bk1, x.site, y.site)
				st, sent := y.engine.Status(), x.local.Status()
				if st.Pending != 0 || !st.Lag.Known || st.Lag.Age != 0 || sent.Lag.Age != 0 || sent.BacklogVersions != 0 {
					t.Errorf("the receiver says %+v, the sender %+v", st, sent)
				}
			})
		})
	}
}

// TestRetryOfASkippedVersionThatWasReplaced has an operator skip a version that cannot be
// read at the sender, which is replaced there, or deleted, before the operator takes
// the skip back. Nothing is left to be fetched: the version settles as superseded or
// gone, and is not listed as failed any more. The sender replaces it while the two
// talk, and while they do not.
func TestRetryOfASkippedVersionThatWasReplaced(t *testing.T) {
	for _, c := range []struct {
		name    string
		away    bool // the line is cut while the version is replaced
		before  bool // the operator retries before the line is back
		replace func(s *testSite)
	}{
		{"replaced", false, false, func(s *testSite) { s.put(bk1, "bad", random(9, 2000)) }},
		{"deleted", false, false, func(s *testSite) { s.del(bk1, "bad") }},
		{"replaced while away", true, false, func(s *testSite) { s.put(bk1, "bad", random(9, 2000)) }},
		{"replaced while away, retried first", true, true, func(s *testSite) { s.put(bk1, "bad", random(9, 2000)) }},
		{"deleted while away, retried first", true, true, func(s *testSite) { s.del(bk1, "bad") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				putBad(t, x, y)
				if did := amend(t, y, RemedySkip, "bad"); did.Versions != 1 {
					t.Fatalf("the skip did %+v", did)
				}
				synced(t, 30*time.Second, x, y)

				if c.away {
					y.wire.cut()
					until(t, 30*time.Second, "cut off", func() bool { return !y.engine.Status().Connected })
				}
				c.replace(x.site)
				if !c.away {
					synced(t, 30*time.Second, x, y)
				}
				if c.away && !c.before {
					y.wire.mend()
					y.engine.Kick()
					synced(t, time.Minute, x, y)
				}
				// It may have settled with what came in its place, and then there is
				// nothing to be retried.
				if reasonOf(y, "bad") != nil {
					if did := amend(t, y, RemedyRetry, "bad"); did.Versions != 1 {
						t.Errorf("the retry did %+v", did)
					}
				} else if c.before {
					t.Error("the skipped version settled without a word of the sender")
				}
				if c.before {
					y.wire.mend()
					y.engine.Kick()
				}
				until(t, time.Minute, "nothing is failed any more", func() bool { return len(y.pendingOf(bk1)) == 0 })
				synced(t, time.Minute, x, y)
				sameHeads(t, bk1, x.site, y.site)
				if st := y.engine.Status(); st.Quarantined != 0 || st.Pending != 0 {
					t.Errorf("the status says %+v", st)
				}
			})
		})
	}
}

// TestQuarantineEndsWithADeletion deletes at the receiver a key of which a version waits
// in quarantine, where a longer history is kept than at the sender: the history alone
// would have a place for it, and the sender does not give it.
func TestQuarantineEndsWithADeletion(t *testing.T) {
	pair(t, func(o *EngineOptions) { o.RetryMin, o.RetryMax = time.Hour, time.Hour }, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		y.site.makeBucket(bk1, 5)
		putBad(t, x, y)
		y.site.put(bk1, "bad", []byte("another"))
		y.site.del(bk1, "bad")
		synced(t, reviewEvery+5*time.Second, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if n := y.engine.Status().Pending; n != 0 {
			t.Errorf("%d versions are pending", n)
		}
	})
}
