package objsync

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// rate is a schedule without times of day.
func rate(r uint64) limit.Schedule {
	return func(time.Time) (uint64, time.Time) { return r, time.Time{} }
}

// limited is a limiter that begins with a rate.
func limited(r uint64) *limit.Limiter {
	l := limit.New(nil)
	l.Set(rate(r))
	return l
}

// TestLimitOverLine copies over a real endpoint and a line of 100 ms with limits at
// either side: what crosses, encryption and all, keeps to the limit, no deadline for
// progress ends a session, and the status stays true.
func TestLimitOverLine(t *testing.T) {
	for _, c := range []struct {
		name          string
		send, receive uint64
		size, objects int
		compresses    bool
	}{
		{name: "16 KiB per second, at the sender", send: 16 << 10, size: 1 << 20, objects: 2},
		{name: "16 KiB per second, at the receiver", receive: 16 << 10, size: 1 << 20, objects: 2},
		{name: "16 KiB per second of small objects", send: 16 << 10, size: 3000, objects: 700},
		{name: "1 MiB per second, the lower of both", send: 4 << 20, receive: 1 << 20, size: 8 << 20, objects: 4},
		{name: "1 MiB per second of what compresses", send: 1 << 20, size: 48 << 20, objects: 1, compresses: true},
		{name: "10 MB per second", receive: 10_000_000, size: 16 << 20, objects: 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.size*c.objects > 32<<20 {
				t.Skip("large")
			}
			synctest.Test(t, func(t *testing.T) {
				want := float64(max(c.send, c.receive))
				if c.send > 0 && c.receive > 0 {
					want = float64(min(c.send, c.receive))
				}
				var from, to time.Duration
				var first, last uint64
				o := lineOptions{rate: lineRate, within: 10 * time.Minute, send: limited(c.send), receive: limited(c.receive)}
				o.fill = func(s *testSite) {
					for i := range c.objects {
						content := random(uint64(i+1), c.size)
						if c.compresses {
							for i := range content {
								content[i] = content[i-i%8]
							}
						}
						s.put(bk1, fmt.Sprintf("k%05d", i), content)
					}
				}
				o.look = func(now time.Duration, line *linktest.Line, e *Engine) bool {
					_, n := line.Passed()
					st := e.Status()
					if st.State == StateStalled || st.Counters.Sessions > 1 || st.Counters.NetworkErrors > 0 {
						t.Fatalf("after %v: %+v", now, st)
					}
					if now >= 3*time.Second && from == 0 {
						from, first = now, n
					}
					if st.State == StateInSync {
						return true
					}
					if now >= from+time.Second && from > 0 {
						to, last = now, n
						if st.BacklogVersions == 0 && st.Lag.Known && st.Lag.Age == 0 {
							t.Errorf("after %v nothing is said to be behind: %+v", now, st)
						}
					}
					return false
				}
				overLineWith(t, o)
				if to == 0 {
					t.Fatal("it was over before anything could be measured")
				}
				got := float64(last-first) / (to - from).Seconds()
				t.Logf("%.0f bytes a second over %v, %+.1f %% of the limit", got, to-from, 100*(got/want-1))
				if math.Abs(got/want-1) > 0.05 {
					t.Errorf("%.0f bytes a second crossed the line, %+.1f %% of the limit", got, 100*(got/want-1))
				}
			})
		})
	}
}

// TestHeldByALimit copies with a limit at either side: both sides say all the time that
// it is what holds the link, neither does when it is lifted, and neither does of a
// limit that is far above the line.
func TestHeldByALimit(t *testing.T) {
	for _, c := range []struct {
		name          string
		send, receive uint64
		line          float64
		size          int    // enough for a minute
		want          string // words of the hold; empty: there is none
	}{
		{"slow, at the sender", 16 << 10, 0, 4 << 20, 48 << 20, "held to 16384 bytes a second"},
		{"slow, at the receiver", 0, 16 << 10, 4 << 20, 48 << 20, "held to 16384 bytes a second"},
		{"fast, the lower of both", 8 << 20, 1 << 20, 4 << 20, 96 << 20, "held to 1048576 bytes a second"},
		{"a slow line", 4 << 20, 4 << 20, 1 << 20, 96 << 20, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.size > 48<<20 {
				t.Skip("large")
			}
			synctest.Test(t, func(t *testing.T) {
				var sender *Local
				send, receive := limited(c.send), limited(c.receive)
				// In the first seconds there is a hello, and little that is owed.
				const settled, lifted = 15 * time.Second, 45 * time.Second
				asked, after := 0, 0
				overLineWith(t, lineOptions{rate: c.line, within: 5 * time.Minute, send: send, receive: receive, sender: &sender,
					fill: func(s *testSite) { s.put(bk1, "large", random(1, c.size)) },
					look: func(now time.Duration, _ *linktest.Line, e *Engine) bool {
						st, out := e.Status(), sender.Status()
						switch {
						case st.State == StateInSync:
							return true
						case now < settled:
						case now < lifted:
							asked++
							if !strings.HasPrefix(st.Held.Words, c.want) || !strings.HasPrefix(out.Held.Words, c.want) || c.want == "" && st.Held.Words+out.Held.Words != "" {
								t.Errorf("after %v the receiver says %q and the sender %q", now, st.Held.Words, out.Held.Words)
								return true
							}
							if !strings.Contains(st.Cause, c.want) {
								t.Errorf("after %v the link is %s, because %q", now, st.State, st.Cause)
								return true
							}
						case c.send != 0 && send.Own() != 0 || c.receive != 0 && receive.Own() != 0:
							send.Set(nil)
							receive.Set(nil)
						case now > lifted+5*time.Second: // the other side has been told
							if after++; st.Held.Words+out.Held.Words != "" {
								t.Errorf("%v after the limit was lifted the receiver says %q and the sender %q", now-lifted, st.Held.Words, out.Held.Words)
								return true
							}
						}
						return false
					},
				})
				if asked == 0 || after == 0 {
					t.Fatal("it was over before all could be asked")
				}
				t.Logf("asked %d times with the limit, %d times without", asked, after)
			})
		})
	}
}

// TestSmallOvertakesLargeAtALimit writes small objects while a large one crosses a
// link that is limited: they do not wait for it.
func TestSmallOvertakesLargeAtALimit(t *testing.T) {
	for _, c := range []struct {
		limit, other uint64
		size         int
		within       time.Duration
	}{
		// What is on its way already is a chunk or two, of 256 KiB at most.
		{limit: 64 << 10, size: 8 << 20, within: 6 * time.Second},
		{limit: 1 << 20, size: 100 << 20, within: 2 * time.Second},
	} {
		t.Run(fmt.Sprint(c.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var site *testSite
				var put time.Duration
				overLineWith(t, lineOptions{rate: lineRate, within: 5 * time.Minute, send: limited(c.limit),
					fill: func(s *testSite) {
						site = s
						s.put(bk1, "large", random(1, c.size))
					},
					look: func(now time.Duration, _ *linktest.Line, e *Engine) bool {
						n := e.Status().Counters.Versions
						switch {
						case now > 20*time.Second && put == 0:
							put = now
							for i := range 5 {
								site.put(bk1, fmt.Sprint("small", i), random(uint64(i+10), 2000))
							}
						case put > 0 && n >= 6:
							t.Fatal("the large object is there already: the test shows nothing")
						case put > 0 && n == 5:
							t.Logf("5 small objects took %v", now-put)
							return true
						case put > 0 && now-put > c.within:
							t.Fatalf("%v after small objects were written %d of 5 are there", now-put, n)
						}
						return false
					},
				})
			})
		})
	}
}

// TestLimitChanges changes the limits of a running link, and looks at what the
// other side learns of it.
func TestLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send, receive := limited(16<<10), limited(0)
		var raised, cut, lifted time.Duration
		var before uint64
		overLineWith(t, lineOptions{rate: lineRate, within: 3 * time.Minute, send: send, receive: receive,
			fill: func(s *testSite) { s.put(bk1, "large", random(1, 100<<20)) },
			look: func(now time.Duration, line *linktest.Line, e *Engine) bool {
				_, n := line.Passed()
				switch {
				case raised == 0 && now > 10*time.Second:
					if n > 300<<10 {
						t.Errorf("%d bytes crossed in %v at 16 KiB/s", n, now)
					}
					raised, before = now, n
					send.Set(rate(1 << 20))
				case raised > 0 && cut == 0 && now > raised+20*time.Second:
					if got := float64(n-before) / (now - raised).Seconds(); got < 0.9*(1<<20) || got > 1.05*(1<<20) {
						t.Errorf("%.0f bytes a second after the limit was raised to 1 MiB/s", got)
					}
					cut, before = now, n
					receive.Set(rate(100 << 10)) // now the other side's
				case cut > 0 && lifted == 0 && now > cut+20*time.Second:
					// It is told within some seconds.
					if got := float64(n-before) / (now - cut).Seconds(); got > 250<<10 {
						t.Errorf("%.0f bytes a second after the receiver's limit was set to 100 KiB/s", got)
					}
					if r := send.Rate(); r != 100<<10 {
						t.Errorf("the sender keeps to %d", r)
					}
					if r := receive.Rate(); r != 100<<10 || send.Own() != 1<<20 {
						t.Errorf("the receiver keeps to %d, the sender's own limit is %d", r, send.Own())
					}
					lifted = now
					send.Set(nil)
					receive.Set(nil)
				}
				return e.Status().State == StateInSync
			},
		})
		if lifted == 0 {
			t.Error("it was over before all limits were tried")
		}
	})
}

// unaware is a sender of which nothing is known of limits.
type unaware struct{ link.Source }

func (u unaware) Hello(ctx context.Context, h *linkpb.Hello) (*linkpb.Hello, error) {
	h = proto.CloneOf(h)
	h.Rate = 0
	return u.Source.Hello(ctx, h)
}

func (u unaware) Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
	p = proto.CloneOf(p)
	p.Rate = 0
	return u.Source.Progress(ctx, p)
}

// TestReceiverKeepsItsOwnLimit receives from a sender that takes no notice of it.
func TestReceiverKeepsItsOwnLimit(t *testing.T) {
	const most = 256 << 10
	pair(t, nil, func(t *testing.T, x, y *half) {
		y.opts.Limit = limited(most)
		y.opts.Source = unaware{y.wire}
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		synced(t, 30*time.Second, x, y)
		began := time.Now()
		for i := range 20 {
			x.site.put(bk1, fmt.Sprint("k", i), random(uint64(i), 1<<20))
		}
		synced(t, 10*time.Minute, x, y)
		got := float64(20<<20) / time.Since(began).Seconds()
		t.Logf("%.0f bytes a second, %+.1f %% of the limit", got, 100*(got/most-1))
		if math.Abs(got/most-1) > 0.05 {
			t.Errorf("%.0f bytes a second came at a limit of %d", got, most)
		}
	})
}

// TestWithinAnyRate has a peer tell a rate that no line has.
func TestWithinAnyRate(t *testing.T) {
	b := budget{total: 15 << 20, large: 8 << 20, fetch: 2 << 20}
	got := b.within(1<<64-1, 100*time.Millisecond, 10)
	if got.total != b.total || got.large != b.large {
		t.Errorf("a limit that limits nothing makes %+v of %+v", got, b)
	}
}

// TestRecordsFollowTheRate changes a limit while a batch is not paid off.
func TestRecordsFollowTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limited(1)
		p := newRecordPace(l)
		defer p.timer.Stop()
		p.sent(4096)
		if p.may() {
			t.Fatal("at once")
		}
		l.Set(nil)
		if !p.may() {
			t.Error("the limit is gone, and nothing may be sent")
		}
		l.Set(rate(1))
		p.sent(4096)
		l.Set(rate(4096))
		pause(2 * time.Second)
		if !p.may() {
			t.Error("the limit is higher, and nothing may be sent after 2 s")
		}
	})
}
