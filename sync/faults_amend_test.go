package objsync

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestSkipWhileARetryIsDue skips a version whose next retry comes while that is being
// committed: it is skipped.
func TestSkipWhileARetryIsDue(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		slow := make(chan struct{})
		var gate atomic.Bool
		propose := y.opts.Propose
		y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
			if gate.Load() && len(cmd.GetIngest().GetHold()) > 0 {
				gate.Store(false)
				<-slow
			}
			return propose(ctx, cmd)
		}
		putBad(t, x, y)
		p := reasonOf(y, "bad")
		pause(time.Until(time.Unix(0, p.GetNextRetry())) - 500*time.Millisecond)
		gate.Store(true)
		go func() { pause(1800 * time.Millisecond); close(slow) }()
		if did := amend(t, y, RemedySkip, "bad"); did.Versions != 1 {
			t.Errorf("the skip did %+v", did)
		}
		pause(time.Minute)
		if p := reasonOf(y, "bad"); p.GetReason() != skipped {
			t.Errorf("a minute after it was skipped: %v", p)
		}
	})
}

// TestAmendmentEndsWithTheEngine stops an engine while an amendment waits for a log that
// does not commit, with the bucket open and without a session.
func TestAmendmentEndsWithTheEngine(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("open ", live), func(t *testing.T) {
			pair(t, nil, func(t *testing.T, x, y *half) {
				x.site.makeBucket(bk1, 1)
				var gate atomic.Bool
				propose := y.opts.Propose
				y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
					if gate.Load() && len(cmd.GetIngest().GetHold()) > 0 {
						<-ctx.Done() // no quorum
						return nil, ctx.Err()
					}
					return propose(ctx, cmd)
				}
				putBad(t, x, y)
				if !live {
					y.wire.cut()
					until(t, 30*time.Second, "cut off", func() bool { return !y.engine.Status().Connected })
				}
				gate.Store(true)
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				go func() {
					defer close(done)
					if _, err := y.engine.Amend(ctx, Amendment{Bucket: bk1, Remedy: RemedySkip, Keys: []string{"bad"}}); !errors.Is(err, ErrStopped) {
						t.Errorf("the amendment ended with %v", err)
					}
				}()
				pause(time.Second)
				y.stop()
				select {
				case <-y.stopped:
				case <-time.After(time.Minute):
					t.Errorf("the engine does not end while an amendment hangs")
				}
				cancel()
				<-done
			})
		})
	}
}

// TestAmendmentOfAnotherBucketHangs skips a version of a bucket that is not served any
// more while the log does not commit that: the session goes on, and the bucket is opened
// when it is served again and the skip has ended.
func TestAmendmentOfAnotherBucketHangs(t *testing.T) {
	const other = "Hawaii/Pepsi/bk1"
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.serve(bk1, other)
		y.serve(bk1, other)
		x.site.makeBucket(bk1, 1)
		x.site.makeBucket(other, 1)
		x.site.put(other, "first", []byte("v"))
		var gate atomic.Bool
		open := make(chan struct{})
		propose := y.opts.Propose
		y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
			if gate.Load() && len(cmd.GetIngest().GetHold()) > 0 {
				select {
				case <-open:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return propose(ctx, cmd)
		}
		putBad(t, x, y)
		y.serve(other)
		until(t, 30*time.Second, "closed", func() bool { return len(y.engine.Status().Buckets) == 1 })
		gate.Store(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if did := amend(t, y, RemedySkip, "bad"); did.Versions != 1 {
				t.Errorf("the skip did %+v", did)
			}
		}()
		pause(time.Second)
		x.site.put(other, "k", []byte("v"))
		until(t, 10*time.Second, "the other bucket goes on", func() bool { _, ok := y.site.read(other, "k"); return ok })
		y.serve(bk1, other)
		pause(45 * time.Second)
		for _, b := range y.engine.Status().Buckets {
			if b.Path == bk1 && b.State != StateConnecting {
				t.Errorf("the bucket is %s while its pending table is changed", b.State)
			}
		}
		close(open)
		<-done
		until(t, 30*time.Second, "open again", func() bool { return y.engine.Status().State == StateInSync })
		if p := reasonOf(y, "bad"); p.GetReason() != skipped {
			t.Errorf("after it was skipped: %v", p)
		}
		if n := y.engine.Status().Counters.Sessions; n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// TestRetryWhileTheSessionEnds has a retry committed when its session has ended and waits
// for what it began: nothing more is begun then, for which nobody would wait, and the
// next session carries it out.
func TestRetryWhileTheSessionEnds(t *testing.T) {
	for range 20 {
		pair(t, func(o *EngineOptions) { o.RetryMin = time.Hour }, func(t *testing.T, x, y *half) {
			x.site.makeBucket(bk1, 1)
			var gated atomic.Bool
			open := make(chan struct{})
			propose := y.opts.Propose
			y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
				if gated.Load() && len(cmd.GetIngest().GetHold()) > 0 {
					<-open
				}
				return propose(ctx, cmd)
			}
			putBad(t, x, y)
			gated.Store(true)
			done := make(chan struct{})
			go func() {
				defer close(done)
				amend(t, y, RemedyRetry, "bad")
			}()
			pause(time.Second)
			y.wire.cut()
			pause(time.Second)
			close(open)
			<-done
			y.wire.mend()
			synced(t, time.Minute, x, y)
			sameHeads(t, bk1, x.site, y.site)
		})
	}
}

// TestAmendmentDuringACopy skips a version while its bucket commits one thing after the
// other: it need not wait until there is nothing more.
func TestAmendmentDuringACopy(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		x.site.makeBucket(bk1, 1)
		var slow atomic.Bool
		propose := y.opts.Propose
		y.opts.Propose = func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error) {
			if slow.Load() {
				pause(500 * time.Millisecond)
			}
			return propose(ctx, cmd)
		}
		putBad(t, x, y)
		slow.Store(true)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					x.site.put(bk1, fmt.Sprint("k", i), []byte("v"))
				}
			}
		}()
		pause(2 * time.Second)
		at := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		did, err := y.engine.Amend(ctx, Amendment{Bucket: bk1, Remedy: RemedySkip, Keys: []string{"bad"}})
		if err != nil || did.Versions != 1 {
			t.Errorf("the skip did %+v, %v", did, err)
		}
		if took := time.Since(at); took > 3*time.Second {
			t.Errorf("the skip took %s", took)
		}
		close(stop)
		<-done
		synced(t, time.Minute, x, y)
	})
}
