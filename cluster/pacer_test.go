package cluster

import (
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/sync/link/limit"
)

func TestHolding(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, own string
		rate      uint64
		want      holding
	}{
		{"no limit", "none", 0, holding{}},
		{"this site's", "1MiB/s", 1 << 20, holding{1 << 20, "1MiB/s"}},
		{"this site's, for now", "10MiB/s,1MiB/s@08:00-18:00", 1 << 20, holding{1 << 20, "1MiB/s until 18:00, then 10MiB/s"}},
		{"later", "1MiB/s@18:00-20:00", 0, holding{0, "none until 18:00, then 1MiB/s"}},
		{"the other site's", "none", 64 << 10, holding{64 << 10, "64KiB/s, as the other site asks"}},
		{"the lower one", "1MiB/s", 64 << 10, holding{64 << 10, "64KiB/s, as the other site asks"}},
	} {
		own, err := plan.ParseLimit(c.own)
		if err != nil {
			t.Fatal(err)
		}
		if got := holdingOf(own, c.rate, noon); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestHeldTo(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		own, here, there string
		rate             uint64
		words, next      string
	}{
		{"1MiB/s", "send", "receive", 1 << 20, "held to 1MiB/s by this site's send limit", "edit NAME --send-limit"},
		{"10MiB/s,1MiB/s@08:00-18:00", "receive", "send", 1 << 20, "held to 1MiB/s by this site's receive limit from 08:00 to 18:00", "edit NAME --receive-limit"},
		{"1MiB/s,10MiB/s@18:00-08:00", "send", "receive", 1 << 20, "held to 1MiB/s by this site's send limit until 18:00", "edit NAME --send-limit"},
		{"none", "send", "receive", 64 << 10, "held to 64KiB/s by the other site's receive limit", "at the other site"},
		{"1MiB/s", "receive", "send", 64 << 10, "held to 64KiB/s by the other site's send limit", "at the other site"},
	} {
		own, err := plan.ParseLimit(c.own)
		if err != nil {
			t.Fatal(err)
		}
		if got := heldTo(own, c.here, c.there, c.rate, noon); got.Words != c.words || !strings.Contains(got.Next, c.next) {
			t.Errorf("%s, %s: %+v, want %q and %q", c.own, c.here, got, c.words, c.next)
		}
	}
}

func TestPacerFollows(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)
	p := pacer{Limiter: limit.New(func() time.Time { return now })}
	if p.Rate() != 0 {
		t.Errorf("the rate is %d before a limit is set", p.Rate())
	}
	own, err := plan.ParseLimit("10MiB/s,1MiB/s@08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	p.follow(own)
	if p.Rate() != 1<<20 {
		t.Errorf("at noon the rate is %d", p.Rate())
	}
	now = now.Add(8 * time.Hour)
	p.follow(own)
	if p.Rate() != 10<<20 {
		t.Errorf("in the evening the rate is %d", p.Rate())
	}
	p.follow(nil)
	if p.Rate() != 0 {
		t.Errorf("the rate is %d after the limit was lifted", p.Rate())
	}
}
