package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fixed is a schedule with one rate.
func fixed(rate uint64) Schedule {
	return func(time.Time) (uint64, time.Time) { return rate, time.Time{} }
}

// TestRates measures what a saturated limiter admits at rates of five orders of
// magnitude, in simulated time, with chunks of all sizes from several connections.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		rate uint64
		over time.Duration
	}{
		{16 << 10, 10 * time.Minute}, {100 << 10, time.Minute}, {1 << 20, time.Minute}, {12_500_000, 10 * time.Second},
		{100 << 20, 5 * time.Second}, {1 << 30, 5 * time.Second},
	} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(nil)
				l.Set(fixed(c.rate))
				ctx, cancel := context.WithTimeout(t.Context(), c.over)
				defer cancel()
				var mu sync.Mutex
				var sent uint64
				var connections sync.WaitGroup
				for i := range 8 {
					sizes := rand.New(rand.NewPCG(uint64(i), c.rate))
					connections.Go(func() {
						for {
							n := 1 + sizes.IntN(256<<10)
							if l.Wait(ctx, n) != nil {
								return
							}
							mu.Lock()
							sent += uint64(n)
							mu.Unlock()
						}
					})
				}
				connections.Wait()
				if got := float64(sent) / c.over.Seconds(); math.Abs(got/float64(c.rate)-1) > 0.05 {
					t.Errorf("%.0f bytes a second were admitted, which is %+.2f %% of %d", got, (got/float64(c.rate)-1)*100, c.rate)
				}
			})
		})
	}
}

// TestLateTimers plays a machine whose timers are late by up to 20 ms: what the
// limiter admits stays the rate.
func TestLateTimers(t *testing.T) {
	for _, rate := range []uint64{1 << 20, 100 << 20, 1 << 30} {
		b := bucket{rate: rate, paid: time.Unix(0, 0)}
		late := rand.New(rand.NewPCG(1, rate))
		now, sent := time.Unix(0, 0), 0.0
		end := now.Add(10 * time.Second)
		for now.Before(end) {
			b.pay(now)
			if owed := b.owed(); owed > 0 {
				now = now.Add(owed + time.Duration(late.Int64N(int64(20*time.Millisecond))))
				continue
			}
			b.charge(64 << 10)
			sent += 64 << 10
		}
		if got := sent / 10; math.Abs(got/float64(rate)-1) > 0.05 {
			t.Errorf("at %d bytes a second %.0f were admitted", rate, got)
		}
	}
}

// TestSchedule crosses the borders of a daily window, and a day without traffic.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := New(nil)
		// 1 MiB/s in the first minute of each hour, 4 MiB/s otherwise.
		l.Set(func(now time.Time) (uint64, time.Time) {
			hour := now.Truncate(time.Hour)
			if now.Before(hour.Add(time.Minute)) {
				return 1 << 20, hour.Add(time.Minute)
			}
			return 4 << 20, hour.Add(time.Hour)
		})
		send := func(d time.Duration) float64 {
			began, sent := time.Now(), 0
			for time.Since(began) < d {
				if err := l.Wait(t.Context(), 64<<10); err != nil {
					t.Fatal(err)
				}
				sent += 64 << 10
			}
			return float64(sent) / time.Since(began).Seconds()
		}
		near := func(got, want float64) {
			t.Helper()
			if math.Abs(got/want-1) > 0.05 {
				t.Errorf("%.0f bytes a second at %v, want %.0f", got, time.Since(start), want)
			}
		}
		hour := time.Now().Truncate(time.Hour).Add(time.Hour)
		time.Sleep(time.Until(hour)) // simulated
		near(send(59*time.Second), 1<<20)
		send(2 * time.Second)
		near(send(30*time.Second), 4<<20)
		time.Sleep(time.Until(hour.Add(time.Hour)))
		near(send(30*time.Second), 1<<20)
		if l.Own() != 1<<20 || l.Rate() != 1<<20 {
			t.Errorf("the rates are %d and %d", l.Own(), l.Rate())
		}
	})
}

// TestClockSet moves the clock that the schedule goes by, while somebody waits.
func TestClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var moved time.Duration
		var mu sync.Mutex
		l := New(func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(moved) })
		border := time.Now().Add(24 * time.Hour)
		l.Set(func(now time.Time) (uint64, time.Time) {
			if now.Before(border) {
				return 1, border // a chunk would take a day
			}
			return 0, time.Time{}
		})
		l.Charge(64 << 10)
		began := time.Now()
		done := make(chan error)
		go func() { done <- l.Wait(t.Context(), 1) }()
		synctest.Wait()
		mu.Lock()
		moved = 48 * time.Hour
		mu.Unlock()
		if err := <-done; err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("a wait ended after %v with %v", time.Since(began), err)
		}
		mu.Lock()
		moved = -time.Hour
		mu.Unlock()
		if l.Rate() != 1 {
			t.Errorf("after the clock was set back the rate is %d", l.Rate())
		}
	})
}

// TestChange changes the limit and what the other site asks for under somebody
// who waits, and asks for what holds.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(nil)
		if err := l.Wait(t.Context(), 1<<30); err != nil || l.Owed() != 0 || l.Rate() != 0 {
			t.Fatalf("without a limit: %v, owed %v at %d", err, l.Owed(), l.Rate())
		}
		l.Set(fixed(16 << 10))
		l.Charge(160 << 10)
		if owed := l.Owed(); owed < 9*time.Second || owed > 10*time.Second {
			t.Errorf("160 KiB at 16 KiB/s are owed for %v", owed)
		}
		began := time.Now()
		done := make(chan time.Duration)
		go func() {
			if err := l.Wait(t.Context(), 1); err != nil {
				t.Error(err)
			}
			done <- time.Since(began)
		}()
		synctest.Wait()
		l.SetPeer(1 << 20) // higher: nothing changes
		time.Sleep(5 * time.Second)
		if l.Rate() != 16<<10 {
			t.Errorf("the rate is %d", l.Rate())
		}
		l.Set(fixed(1 << 30)) // the other site's holds now
		if took := <-done; took < 5*time.Second || took > 5100*time.Millisecond || l.Rate() != 1<<20 || l.Own() != 1<<30 {
			t.Errorf("it was admitted after %v, the rate is %d, the own %d", took, l.Rate(), l.Own())
		}
		l.Set(nil)
		if l.Rate() != 1<<20 {
			t.Errorf("with the other site's limit alone the rate is %d", l.Rate())
		}
		l.SetPeer(0)
		if l.Rate() != 0 {
			t.Errorf("without limits the rate is %d", l.Rate())
		}
	})
}

// TestWaitEnds ends waits, of the one whose turn it is and of one behind it.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(nil)
		l.Set(fixed(1))
		l.Charge(1000)
		ctx, cancel := context.WithCancel(t.Context())
		var waits sync.WaitGroup
		for range 3 {
			waits.Go(func() {
				if err := l.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
					t.Errorf("a wait ended with %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		waits.Wait()
		if owed := l.Owed(); owed > 1000*time.Second {
			t.Errorf("what did not go is owed: %v", owed)
		}
	})
}

// TestOrder admits those who wait in the order in which they came.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(nil)
		l.Set(fixed(1000))
		var mu sync.Mutex
		var order []int
		var waits sync.WaitGroup
		for i := range 20 {
			waits.Go(func() {
				if err := l.Wait(t.Context(), 1000); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait()
		}
		waits.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("the order was %v", order)
			}
		}
	})
}

// TestHeld plays traffic of a share of several rates, in pieces as links have them,
// for longer than the mean lasts: a limit holds what comes up to it and nothing else.
func TestHeld(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  uint64
		piece int
		share float64
		want  bool
	}{
		{"slow and full", 16 << 10, 256 << 10, 0.97, true},
		{"slow, in small pieces", 16 << 10, 4 << 10, 0.97, true},
		{"one piece a second", 256 << 10, 256 << 10, 0.97, true},
		{"fast and full", 100 << 20, 256 << 10, 0.97, true},
		{"a receiver whose sender keeps to it", 1 << 20, 64 << 10, 0.95, true},
		{"half", 1 << 20, 64 << 10, 0.5, false},
		{"fast and half", 1 << 30, 256 << 10, 0.5, false},
		{"idle", 1 << 20, 100, 0.01, false},
		{"no limit", 0, 256 << 10, 1, false},
	} {
		b := bucket{rate: c.rate, paid: time.Unix(0, 0)}
		now := time.Unix(0, 0)
		gap := time.Duration(float64(c.piece) / (c.share * float64(cmp.Or(c.rate, 1<<20))) * float64(time.Second))
		settled := now.Add(3 * heldOver)
		asked := 0
		for end := settled.Add(10*gap + time.Second); now.Before(end); now = now.Add(gap) {
			b.pay(now)
			b.charge(c.piece)
			// Also in the middle of two pieces, and right before the next one.
			for _, at := range []time.Duration{0, gap / 2, gap - 1} {
				if b.pay(now.Add(at)); now.After(settled) {
					if asked++; b.held() != c.want {
						t.Fatalf("%s: held %v, %v after a piece, with %v owed and %.0f bytes of the last seconds", c.name, b.held(), at, b.owed(), b.recent)
					}
				}
			}
		}
		if asked == 0 {
			t.Errorf("%s: it was never asked", c.name)
		}
	}
}

// TestHeldEnds lets a limit go: with the traffic, and at once with the limit.
func TestHeldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(nil)
		l.Set(fixed(64 << 10))
		if l.Held() {
			t.Error("held before anything was admitted")
		}
		if err := l.Wait(t.Context(), 256<<10); err != nil {
			t.Fatal(err)
		}
		if !l.Held() {
			t.Error("not held with four seconds owed")
		}
		time.Sleep(time.Minute) // simulated
		if l.Held() {
			t.Error("held a minute after the traffic ended")
		}
		l.Charge(1 << 20)
		l.Set(nil)
		if l.Held() {
			t.Error("held by no limit")
		}
		l.SetPeer(16 << 10)
		l.Charge(64 << 10)
		if !l.Held() {
			t.Error("not held by what the other site asks for")
		}
	})
}
