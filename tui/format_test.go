package tui

import (
	"math"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func TestDrain(t *testing.T) {
	for _, c := range []struct {
		what           string
		backlog        *uint64
		slope, lag     *float64
		target, drains float64 // drains 0: not known
		want           string
	}{
		{"nothing is known", nil, nil, nil, 30, 0, "-"},
		{"nothing is behind", some(uint64(0)), some(0.0), some(0.0), 30, 0, "-"},
		{"it drains", some(uint64(3200)), some(-71.0), some(41.0), 30, 58, "~58s"},
		{"it keeps up", some(uint64(3)), some(2.0), some(0.2), 30, 0, "-"},
		{"it keeps up and drains just now", some(uint64(3)), some(-0.1), some(0.2), 30, 28, "-"},
		{"it grows within the target", some(uint64(3000)), some(20.0), some(20.0), 30, 0, "growing"},
		{"it grows beyond the target", some(uint64(3000)), some(20.0), some(31.0), 30, 0, "never"},
		{"it stands still", some(uint64(3000)), some(0.0), some(31.0), 30, 0, "never"},
		{"the lag is not known", some(uint64(3000)), some(20.0), nil, 30, 0, "growing"},
	} {
		l := &adminpb.ConsoleLink{BacklogVersions: c.backlog, Slope: c.slope, LagSeconds: c.lag, LagTargetSeconds: c.target}
		if c.drains > 0 {
			l.DrainSeconds = &c.drains
		}
		if got := drain(l); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestNumbersFitTheirColumns(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 999.4: "999", 999.5: "1k", 88_100: "88.1k", 1.2e9: "1.2G", 99_960: "100k", -71: "-71", math.NaN(): "-", math.Inf(1): "-", 0.25: "0.2"} {
		if got := scaled(v); got != want || len(got) > 5 {
			t.Errorf("scaled(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0s", 0.04: "0.1s", 0.4: "0.4s", 2.5: "2.5s", 9.96: "10s", 41: "41s", 842: "14m02s", 7860: "2h11m", 86400*3 + 4*3600: "3d04h", 1e12: "years", -1: "-", math.NaN(): "-"} {
		if got := span(v); got != want || len(got) > 6 {
			t.Errorf("span(%v) = %q, want %q", v, got, want)
		}
	}
}
