package tui

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
)

// unknown stands for a number that the node does not know.
const unknown = "-"

// scaled writes a number in at most five cells: 0, 312, 88.1k, 1.2G.
func scaled(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return unknown
	}
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	units := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	switch {
	case i == 0 && (v == math.Trunc(v) || v >= 99.5):
		return sign + strconv.FormatFloat(v, 'f', 0, 64)
	case v < 99.95:
		s := strconv.FormatFloat(v, 'f', 1, 64)
		if len(s) > 2 && s[len(s)-2:] == ".0" {
			s = s[:len(s)-2]
		}
		return sign + s + units[i]
	}
	return sign + strconv.FormatFloat(v, 'f', 0, 64) + units[i]
}

// size writes bytes; rates are sizes per second.
func size(v float64) string {
	s := scaled(v)
	if s == unknown {
		return s
	}
	if c := s[len(s)-1]; c >= '0' && c <= '9' {
		return scaled(math.Round(v)) + "B"
	}
	return s
}

func optionalSize[N float64 | uint64](v *N) string {
	if v == nil {
		return unknown
	}
	return size(float64(*v))
}

func optionalCount(v *uint64) string {
	if v == nil {
		return unknown
	}
	return scaled(float64(*v))
}

// span writes seconds in at most six cells: 0s, 0.4s, 41s, 14m02s, 2h11m, 3d04h.
func span(seconds float64) string {
	switch {
	case math.IsNaN(seconds) || seconds < 0:
		return unknown
	case seconds == 0:
		return "0s"
	case seconds < 0.95:
		return fmt.Sprintf("%.1fs", math.Max(seconds, 0.1))
	case seconds < 9.95 && seconds != math.Trunc(seconds):
		return fmt.Sprintf("%.1fs", seconds)
	case seconds > 99*365*86400:
		return "years"
	}
	s := int64(seconds + 0.5)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

func optionalSpan(v *float64) string {
	if v == nil {
		return unknown
	}
	return span(*v)
}

// age writes how long ago something was, for people.
func age(d time.Duration) string { return span(math.Max(math.Floor(d.Seconds()), 0)) }

// instant writes a moment, and nothing where there is none.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

// drain writes how long a link needs until nothing is behind.
func drain(l *adminpb.ConsoleLink) string {
	switch {
	case l.BacklogVersions != nil && l.GetBacklogVersions() == 0:
		return unknown
	case l.LagSeconds != nil && l.GetLagSeconds() < l.GetLagTargetSeconds()/4:
		return unknown // it keeps up: what is on its way comes and goes
	case l.DrainSeconds != nil:
		return "~" + span(l.GetDrainSeconds())
	case l.BacklogVersions == nil || l.Slope == nil:
		return unknown
	case l.GetSlope() > 0 && !overTarget(l):
		return "growing"
	}
	return "never"
}

// points turns a small chart into numbers, gaps into NaN.
func points(ps []*adminpb.SparkPoint) []float64 {
	out := make([]float64, len(ps))
	for i, p := range ps {
		out[i] = math.NaN()
		if p != nil && p.Value != nil {
			out[i] = p.GetValue()
		}
	}
	return out
}

// status is a glyph and its role. The glyph is told by the node; a node that
// tells none is not understood, which is said as such.
func status(s adminpb.Severity, glyph string) (string, screen.Role) {
	known := map[adminpb.Severity]struct {
		glyph string
		role  screen.Role
	}{
		adminpb.Severity_SEVERITY_OK:      {"ok", screen.Good},
		adminpb.Severity_SEVERITY_WARNING: {"!", screen.Warn},
		adminpb.Severity_SEVERITY_FAILED:  {"X", screen.Bad},
		adminpb.Severity_SEVERITY_PAUSED:  {"||", screen.Dim},
		adminpb.Severity_SEVERITY_BUSY:    {"..", screen.First},
		adminpb.Severity_SEVERITY_UNKNOWN: {"?", screen.Dim},
	}
	k, ok := known[s]
	if !ok {
		k.glyph, k.role = "?", screen.Dim
	}
	if glyph != "" && len(glyph) <= 2 {
		k.glyph = glyph
	}
	return k.glyph, k.role
}

// overTarget says whether a link is further behind than it should be.
func overTarget(l *adminpb.ConsoleLink) bool {
	return l.LagSeconds != nil && l.GetLagTargetSeconds() > 0 && l.GetLagSeconds() > l.GetLagTargetSeconds()
}
