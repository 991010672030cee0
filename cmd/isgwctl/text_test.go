package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"Hawaii/Cola/bk1":        "Hawaii/Cola/bk1",
		"with space":             "with space",
		"naïve 日本 🙂":             "naïve 日本 🙂",
		`back\slash`:             `back\slash`,
		"\x1b[2Jcleared":         `\x1b[2Jcleared`,
		"bell\a tab\t nl\n cr\r": `bell\x07 tab\x09 nl\x0a cr\x0d`,
		"\u009b31m":              `\u009b31m`, // the one-character form of ESC [
		"txt\u202egpj":           `txt\u202egpj`,
		"zero\u200bwidth\ufeff":  `zero\u200bwidth\ufeff`,
		"no\u00a0break":          `no\u00a0break`,
		"tag\U000e0041":          `tag\U000e0041`,
		"bad\xff\xc3":            `bad\xff\xc3`,
		"del\x7f":                `del\x7f`,
		"line\u2028separator":    `line\u2028separator`,
	} {
		if got := plain(in); got != want {
			t.Errorf("%q is printed as %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[31m", "\xff", "\u202e", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := plain(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unprintable) {
			t.Errorf("%q is printed as %q", s, got)
		}
		if plain(got) != got {
			t.Errorf("%q changes again to %q", got, plain(got))
		}
	})
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 1023: "1023", 1024: "1024 (1.0 KiB)", 3 << 20: "3145728 (3.0 MiB)", 1 << 60: "1152921504606846976 (1024.0 PiB)",
	} {
		if got := byteCount(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0s", 0.0004: "0ms", 0.171: "171ms", 1: "1s", 41.23: "41.2s", 59.99: "60s", 842: "14m2s", 90061: "25h1m1s"} {
		if got := seconds(&s); got != want {
			t.Errorf("%v seconds: %q, want %q", s, got, want)
		}
	}
	if got := seconds(nil); got != "-" {
		t.Errorf("an unknown lag is %q", got)
	}
	if got := optionalCount(nil, true); got != "-" {
		t.Errorf("an unknown count is %q", got)
	}
	if got := optionalBytes(new(uint64(2048)), true); got != ">2048 (2.0 KiB)" {
		t.Errorf("a bound is %q", got)
	}
}
