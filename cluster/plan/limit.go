package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// The rates that a limit may have, in bytes per second. Below the least a link
// would be busy with its own upkeep, and the greatest is above any line.
const (
	MinRate = 16 << 10
	MaxRate = 1 << 40
)

// MaxLimitWindows is the most windows that one limit may have.
const MaxLimitWindows = 16

const minutesPerDay = 24 * 60

// rateUnit is a unit of rates: its name, and how many bytes it is.
type rateUnit struct {
	name  string
	bytes float64
}

// rateUnits are the units that rates are written in. Those that stand first are
// what FormatLimit uses; the names are compared without regard to case.
var rateUnits = []rateUnit{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
	{"Gbit", 1e9 / 8}, {"Mbit", 1e6 / 8}, {"kbit", 1e3 / 8},
	{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1},
}

// rateSyntax is what a refusal tells about the form of a limit.
const rateSyntax = "write it as 10MiB/s, or 10MiB/s,1MiB/s@08:00-18:00 with another rate at a time of day, or none"

// ParseLimit reads the text form of a bandwidth limit: rates separated by
// commas, of which those with @HH:MM-HH:MM hold at that time of each day, the
// first of them that is in force winning, and the one without holds otherwise.
// A rate is a number of bytes per second with or without "/s" and a unit (KiB,
// MiB, GiB, kB, MB, GB, kbit, Mbit, Gbit; K, M and G are KiB, MiB and GiB), or
// "none". A window whose end is not after its start ends on the next day.
//
// A text that limits nothing, such as "" and "none", gives nil. Errors are
// *Error of kind state.ErrInvalid.
func ParseLimit(text string) (*statepb.Limit, error) {
	limit := &statepb.Limit{}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	always := false
	for part := range strings.SplitSeq(text, ",") {
		if len(limit.Windows) > MaxLimitWindows {
			break // CheckLimit says how many there may be
		}
		rateText, window, daily := strings.Cut(strings.TrimSpace(part), "@")
		rate, err := parseRate(strings.TrimSpace(rateText))
		if err != nil {
			return nil, err
		}
		if !daily {
			if always {
				return nil, invalid("limit %q has two rates that hold all day", text).next(rateSyntax)
			}
			always, limit.Rate = true, rate
			continue
		}
		from, to, ok := parseWindow(strings.TrimSpace(window))
		if !ok {
			return nil, invalid("%q is not a time of day from HH:MM to HH:MM", window).next(rateSyntax)
		}
		limit.Windows = append(limit.Windows, &statepb.LimitWindow{From: from, To: to, Rate: rate})
	}
	if limitsNothing(limit) {
		return nil, nil
	}
	if err := CheckLimit(limit); err != nil {
		return nil, err
	}
	return limit, nil
}

// CheckLimit refuses a limit that ParseLimit would not give; nil is no limit
// and legal. Errors are *Error of kind state.ErrInvalid.
func CheckLimit(l *statepb.Limit) error {
	if err := checkRate(l.GetRate()); err != nil {
		return err
	}
	if len(l.GetWindows()) > MaxLimitWindows {
		return invalid("a limit has at most %d times of day", MaxLimitWindows)
	}
	for _, w := range l.GetWindows() {
		if w.GetFrom() >= minutesPerDay || w.GetTo() >= minutesPerDay {
			return invalid("a limit's time of day is from 00:00 to 23:59")
		}
		if err := checkRate(w.GetRate()); err != nil {
			return err
		}
	}
	return nil
}

// FormatLimit writes a limit in the form that ParseLimit reads, so that reading
// it gives the same limit; nil is "none".
func FormatLimit(l *statepb.Limit) string {
	if limitsNothing(l) {
		return formatRate(0)
	}
	var parts []string
	if l.GetRate() != 0 {
		parts = append(parts, formatRate(l.GetRate()))
	}
	for _, w := range l.GetWindows() {
		parts = append(parts, fmt.Sprintf("%s@%s-%s", formatRate(w.GetRate()), clockTime(w.GetFrom()), clockTime(w.GetTo())))
	}
	return strings.Join(parts, ",")
}

// RateAt is the rate in bytes per second that a limit allows at a time, by the
// zone that now carries, and when another rate begins to hold. The rate is 0
// when nothing is limited, and until is the zero time when the rate never
// changes. Days that are longer or shorter by a change of the zone's offset are
// as the clock on the wall shows them.
func RateAt(l *statepb.Limit, now time.Time) (rate uint64, until time.Time) {
	rate = rateOnTheWall(l, now)
	if len(l.GetWindows()) == 0 {
		return rate, time.Time{}
	}
	for _, t := range changes(l, now) {
		if rateOnTheWall(l, t) != rate {
			return rate, t
		}
	}
	return rate, time.Time{}
}

// LimitNow says in words what a limit allows at a time and until when, such as
// "1MiB/s until 18:00, then 10MiB/s".
func LimitNow(l *statepb.Limit, now time.Time) string {
	rate, until := RateAt(l, now)
	if until.IsZero() {
		return formatRate(rate)
	}
	return fmt.Sprintf("%s until %s, then %s", formatRate(rate), until.Format("15:04"), formatRate(rateOnTheWall(l, until)))
}

// LimitTime says in words at which time of day the rate holds that a limit has now:
// "from 08:00 to 18:00" in one of its windows, "until 18:00" outside of them, and ""
// when it never changes.
func LimitTime(l *statepb.Limit, now time.Time) string {
	if w := windowOnTheWall(l, now); w != nil {
		return fmt.Sprintf("from %s to %s", clockTime(w.GetFrom()), clockTime(w.GetTo()))
	}
	if _, until := RateAt(l, now); !until.IsZero() {
		return "until " + until.Format("15:04")
	}
	return ""
}

// FormatRate writes a rate in bytes per second as limits have it: 1MiB/s; none for 0.
func FormatRate(rate uint64) string { return formatRate(rate) }

// rateOnTheWall is the rate that holds at a time.
func rateOnTheWall(l *statepb.Limit, now time.Time) uint64 {
	if w := windowOnTheWall(l, now); w != nil {
		return w.GetRate()
	}
	return l.GetRate()
}

// windowOnTheWall is the window that is in force at a time; nil when none is.
func windowOnTheWall(l *statepb.Limit, now time.Time) *statepb.LimitWindow {
	minute := uint32(now.Hour()*60 + now.Minute())
	for _, w := range l.GetWindows() {
		from, to := w.GetFrom(), w.GetTo()
		if from < to && minute >= from && minute < to || from >= to && (minute >= from || minute < to) {
			return w
		}
	}
	return nil
}

// changes are the times after now, in order, at which a window of a limit may
// begin or end within two days: whatever happens daily happens in these. The
// clock on the wall leaps where the zone's offset changes, and the times of the
// day after the leap follow the new offset.
func changes(l *statepb.Limit, now time.Time) []time.Time {
	_, offset := now.Zone()
	offsets := []int{offset}
	var times []time.Time
	if _, leap := now.ZoneBounds(); !leap.IsZero() && leap.Sub(now) < 72*time.Hour {
		times = append(times, leap)
		_, after := leap.Zone()
		offsets = append(offsets, after)
	}
	year, month, day := now.Date()
	for _, w := range l.GetWindows() {
		for _, minute := range []uint32{w.GetFrom(), w.GetTo()} {
			for later := range 3 {
				wall := time.Date(year, month, day+later, 0, int(minute), 0, 0, time.UTC)
				for _, offset := range offsets {
					t := wall.Add(-time.Duration(offset) * time.Second).In(now.Location())
					if t.After(now) {
						times = append(times, t)
					}
				}
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// limitsNothing says whether a limit is none at any time of the day.
func limitsNothing(l *statepb.Limit) bool {
	return l.GetRate() == 0 && !slices.ContainsFunc(l.GetWindows(), func(w *statepb.LimitWindow) bool { return w.GetRate() != 0 })
}

// parseRate reads a rate: "10MiB/s", "100Mbit", "none".
func parseRate(text string) (uint64, error) {
	if strings.EqualFold(text, "none") || strings.EqualFold(text, "unlimited") {
		return 0, nil
	}
	bare := strings.TrimSuffix(strings.TrimSuffix(text, "/s"), "/S")
	end := strings.IndexFunc(bare, func(r rune) bool { return !(r >= '0' && r <= '9' || r == '.') })
	if end < 0 {
		end = len(bare)
	}
	number, unit := bare[:end], strings.TrimSpace(bare[end:])
	value, err := strconv.ParseFloat(number, 64)
	i := slices.IndexFunc(rateUnits, func(u rateUnit) bool { return strings.EqualFold(u.name, unit) })
	if err != nil || i < 0 {
		return 0, invalid("%q is not a rate in bytes per second", text).next(rateSyntax)
	}
	rate := math.Round(value * rateUnits[i].bytes)
	if rate > MaxRate || rate < MinRate && value != 0 {
		return 0, rateOutOfBounds(text)
	}
	return uint64(rate), nil
}

func checkRate(rate uint64) error {
	if rate > MaxRate || rate < MinRate && rate != 0 {
		return rateOutOfBounds(formatRate(rate))
	}
	return nil
}

func rateOutOfBounds(rate string) error {
	return invalid("a limit is from %s to %s, not %s", formatRate(MinRate), formatRate(MaxRate), rate).
		next("to let nothing through, pause the link; to limit nothing, give none")
}

// formatRate writes a rate in the greatest unit in which it is a whole number.
func formatRate(rate uint64) string {
	if rate == 0 {
		return "none"
	}
	i := 0 // ends at the byte at the latest, of which every rate is a whole number
	for rate%uint64(rateUnits[i].bytes) != 0 {
		i++
	}
	return strconv.FormatUint(rate/uint64(rateUnits[i].bytes), 10) + rateUnits[i].name + "/s"
}

// parseWindow reads "HH:MM-HH:MM" as minutes of the day; 24:00 is midnight.
func parseWindow(text string) (from, to uint32, ok bool) {
	fromText, toText, _ := strings.Cut(text, "-")
	from, fromOK := parseClock(strings.TrimSpace(fromText))
	to, toOK := parseClock(strings.TrimSpace(toText))
	return from % minutesPerDay, to % minutesPerDay, fromOK && toOK && from < minutesPerDay
}

// parseClock reads "HH:MM", up to 24:00.
func parseClock(text string) (uint32, bool) {
	hourText, minuteText, ok := strings.Cut(text, ":")
	if !ok || len(hourText) > 2 || len(minuteText) != 2 {
		return 0, false
	}
	hour, err := strconv.ParseUint(hourText, 10, 8)
	if err != nil {
		return 0, false
	}
	minute, err := strconv.ParseUint(minuteText, 10, 8)
	if err != nil || minute > 59 || hour*60+minute > minutesPerDay {
		return 0, false
	}
	return uint32(hour*60 + minute), true
}

func clockTime(minute uint32) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }
