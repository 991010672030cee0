package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func window(from, to uint32, rate uint64) *statepb.LimitWindow {
	return &statepb.LimitWindow{From: from, To: to, Rate: rate}
}

func TestParseLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		text  string
		want  *statepb.Limit
		plain string // the text that FormatLimit gives
	}{
		{"", nil, "none"},
		{" none ", nil, "none"},
		{"0", nil, "none"},
		{"none@08:00-18:00", nil, "none"},
		{"10MiB/s", &statepb.Limit{Rate: 10 * mib}, "10MiB/s"},
		{"16K", &statepb.Limit{Rate: 16 << 10}, "16KiB/s"},
		{"1gib/S", &statepb.Limit{Rate: 1 << 30}, "1GiB/s"},
		{"1.5 MiB/s", &statepb.Limit{Rate: 3 * mib / 2}, "1536KiB/s"},
		{"100Mbit/s", &statepb.Limit{Rate: 12_500_000}, "12500000B/s"},
		{"1MB", &statepb.Limit{Rate: 1_000_000}, "1000000B/s"},
		{"65536", &statepb.Limit{Rate: 65536}, "64KiB/s"},
		{"1MiB/s@08:00-18:00", &statepb.Limit{Windows: []*statepb.LimitWindow{window(480, 1080, mib)}}, "1MiB/s@08:00-18:00"},
		{"1MiB/s@8:00 - 18:00, 10MiB/s", &statepb.Limit{Rate: 10 * mib, Windows: []*statepb.LimitWindow{window(480, 1080, mib)}},
			"10MiB/s,1MiB/s@08:00-18:00"},
		{"10MiB/s,none@22:00-06:00,1MiB/s@12:00-24:00",
			&statepb.Limit{Rate: 10 * mib, Windows: []*statepb.LimitWindow{window(1320, 360, 0), window(720, 0, mib)}},
			"10MiB/s,none@22:00-06:00,1MiB/s@12:00-00:00"},
	} {
		got, err := ParseLimit(c.text)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("ParseLimit(%q) is %v, %v, want %v", c.text, got, err, c.want)
			continue
		}
		if text := FormatLimit(got); text != c.plain {
			t.Errorf("FormatLimit of %q is %q, want %q", c.text, text, c.plain)
		}
		if again, err := ParseLimit(c.plain); err != nil || !proto.Equal(again, got) {
			t.Errorf("%q is read as %v, %v, want %v", c.plain, again, err, got)
		}
	}
}

func TestParseLimitRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"fast", `"fast" is not a rate in bytes per second`},
		{"10 parsecs", `is not a rate in bytes per second`},
		{"-1MiB/s", `is not a rate`},
		{"1e9", `is not a rate`},
		{".", `is not a rate`},
		{"0.4", "a limit is from 16KiB/s to 1024GiB/s, not 0.4"},
		{"1KiB/s", "a limit is from 16KiB/s to 1024GiB/s, not 1KiB/s"},
		{"9999999GiB/s", "a limit is from 16KiB/s to 1024GiB/s"},
		{"1MiB/s,2MiB/s", "two rates that hold all day"},
		{"1MiB/s,", `"" is not a rate`},
		{"1MiB/s@", `"" is not a time of day`},
		{"1MiB/s@8-18", `"8-18" is not a time of day from HH:MM to HH:MM`},
		{"1MiB/s@08:00-18:60", "is not a time of day"},
		{"1MiB/s@24:00-18:00", "is not a time of day"},
		{"1MiB/s@08:00-24:01", "is not a time of day"},
		{"1MiB/s@08:00", "is not a time of day"},
		{strings.Repeat("1MiB/s@08:00-18:00,", 17) + "2MiB/s", "at most 16 times of day"},
		{strings.Repeat("1MiB/s@08:00-18:00,", 1<<16) + "2MiB/s", "at most 16 times of day"},
	} {
		got, err := ParseLimit(c.text)
		if !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseLimit(%.40q) is %v, %v, want a refusal with %q", c.text, got, err, c.want)
		}
	}
	for _, l := range []*statepb.Limit{
		{Rate: 1},
		{Rate: 1 << 41},
		{Windows: []*statepb.LimitWindow{window(1440, 0, 1<<20)}},
		{Windows: []*statepb.LimitWindow{window(0, 1440, 1<<20)}},
		{Windows: []*statepb.LimitWindow{window(0, 1, 1)}},
	} {
		if err := CheckLimit(l); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("CheckLimit(%v) is %v, want a refusal", l, err)
		}
	}
}

func TestRateAt(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine knows no time zones: ", err)
	}
	at := func(zone *time.Location, text string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04:05", text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		name, limit string
		now, until  time.Time
		rate        uint64
		words       string
	}{
		{"no limit", "", at(time.UTC, "2026-01-01 12:00:00"), time.Time{}, 0, "none"},
		{"all day", "1MiB/s", at(time.UTC, "2026-01-01 12:00:00"), time.Time{}, 1 << 20, "1MiB/s"},
		{"before the window", "10MiB/s,1MiB/s@08:00-18:00", at(time.UTC, "2026-01-01 07:59:59"),
			at(time.UTC, "2026-01-01 08:00:00"), 10 << 20, "10MiB/s until 08:00, then 1MiB/s"},
		{"at its start", "10MiB/s,1MiB/s@08:00-18:00", at(time.UTC, "2026-01-01 08:00:00"),
			at(time.UTC, "2026-01-01 18:00:00"), 1 << 20, "1MiB/s until 18:00, then 10MiB/s"},
		{"at its end", "10MiB/s,1MiB/s@08:00-18:00", at(time.UTC, "2026-01-01 18:00:00"),
			at(time.UTC, "2026-01-02 08:00:00"), 10 << 20, "10MiB/s until 08:00, then 1MiB/s"},
		{"over midnight, before it", "1MiB/s@22:00-06:00", at(time.UTC, "2026-02-28 23:00:00"),
			at(time.UTC, "2026-03-01 06:00:00"), 1 << 20, "1MiB/s until 06:00, then none"},
		{"over midnight, after it", "1MiB/s@22:00-06:00", at(time.UTC, "2026-03-01 05:59:59"),
			at(time.UTC, "2026-03-01 06:00:00"), 1 << 20, "1MiB/s until 06:00, then none"},
		{"the first in force wins", "9MiB/s,2MiB/s@10:00-12:00,1MiB/s@08:00-18:00", at(time.UTC, "2026-01-01 09:00:00"),
			at(time.UTC, "2026-01-01 10:00:00"), 1 << 20, "1MiB/s until 10:00, then 2MiB/s"},
		{"windows with the same rate are one", "9MiB/s,1MiB/s@08:00-12:00,1MiB/s@12:00-18:00", at(time.UTC, "2026-01-01 09:00:00"),
			at(time.UTC, "2026-01-01 18:00:00"), 1 << 20, "1MiB/s until 18:00, then 9MiB/s"},
		{"a window of a whole day", "9MiB/s,1MiB/s@08:00-08:00", at(time.UTC, "2026-01-01 09:00:00"), time.Time{}, 1 << 20, "1MiB/s"},
		{"by the zone of the clock", "10MiB/s,1MiB/s@08:00-18:00", at(berlin, "2026-01-01 08:30:00"),
			at(berlin, "2026-01-01 18:00:00"), 1 << 20, "1MiB/s until 18:00, then 10MiB/s"},
		// In Berlin 2026-03-29 has no time from 02:00 to 03:00, and 2026-10-25 has it twice.
		{"a day of 23 hours", "10MiB/s,1MiB/s@22:00-06:00", at(berlin, "2026-03-28 22:00:00"),
			at(berlin, "2026-03-29 06:00:00"), 1 << 20, "1MiB/s until 06:00, then 10MiB/s"},
		{"a window that the leap begins", "10MiB/s,1MiB/s@02:30-06:00", at(berlin, "2026-03-29 01:00:00"),
			at(berlin, "2026-03-29 03:00:00"), 10 << 20, "10MiB/s until 03:00, then 1MiB/s"},
		{"a window that the leap swallows", "10MiB/s,1MiB/s@02:15-02:45", at(berlin, "2026-03-29 01:00:00"),
			at(berlin, "2026-03-30 02:15:00"), 10 << 20, "10MiB/s until 02:15, then 1MiB/s"},
		{"an hour that comes twice", "10MiB/s,1MiB/s@02:30-06:00", time.Unix(1792888200, 0).In(berlin), // 02:30, the first time
			time.Unix(1792890000, 0).In(berlin), 1 << 20, "1MiB/s until 02:00, then 10MiB/s"},
		{"the second time of that hour", "10MiB/s,1MiB/s@02:30-06:00", time.Unix(1792890000, 0).In(berlin), // 02:00, the second time
			time.Unix(1792891800, 0).In(berlin), 10 << 20, "10MiB/s until 02:30, then 1MiB/s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit, err := ParseLimit(c.limit)
			if err != nil {
				t.Fatal(err)
			}
			rate, until := RateAt(limit, c.now)
			if rate != c.rate || !until.Equal(c.until) {
				t.Errorf("at %v the rate is %d until %v, want %d until %v", c.now, rate, until, c.rate, c.until)
			}
			if words := LimitNow(limit, c.now); words != c.words {
				t.Errorf("it reads %q, want %q", words, c.words)
			}
		})
	}
}

// FuzzParseLimit looks for texts that are read as something else than what is
// written back for them.
func FuzzParseLimit(f *testing.F) {
	for _, seed := range []string{"", "none", "10MiB/s,1MiB/s@08:00-18:00", "none@22:00-06:00,1.5G", "100Mbit@0:00-24:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		limit, err := ParseLimit(text)
		if err != nil {
			if limit != nil {
				t.Fatalf("%q is refused and gives %v", text, limit)
			}
			return
		}
		if err := CheckLimit(limit); err != nil {
			t.Fatalf("%q gives a limit that is refused: %v", text, err)
		}
		again, err := ParseLimit(FormatLimit(limit))
		if err != nil || !proto.Equal(limit, again) {
			t.Fatalf("%q is %v, and written back %v, %v", text, limit, again, err)
		}
		now := time.Unix(1_700_000_000, 0).UTC()
		if _, until := RateAt(limit, now); !until.IsZero() && (!until.After(now) || until.Sub(now) > 48*time.Hour) {
			t.Fatalf("%q holds until %v", text, until)
		}
	})
}

func TestLimitTime(t *testing.T) {
	for _, c := range []struct{ limit, at, want string }{
		{"1MiB/s", "12:00", ""},
		{"none", "12:00", ""},
		{"10MiB/s,1MiB/s@08:00-18:00", "12:00", "from 08:00 to 18:00"},
		{"10MiB/s,1MiB/s@08:00-18:00", "18:00", "until 08:00"},
		{"1MiB/s@22:00-06:00", "03:00", "from 22:00 to 06:00"},
		{"1MiB/s@22:00-06:00", "12:00", "until 22:00"},
	} {
		l, err := ParseLimit(c.limit)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse("15:04", c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := LimitTime(l, at); got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.limit, c.at, got, c.want)
		}
	}
}
