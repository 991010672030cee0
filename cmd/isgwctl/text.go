package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// plain makes text from outside safe to print: what is not printable (control
// characters, among them those that command terminals, and characters that
// change the direction of writing) is written as \xNN or \uNNNN.
func plain(s string) string {
	if !strings.ContainsFunc(s, unprintable) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, unprintable(r) && r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unprintable(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case unprintable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// plainLines is plain for a text of several lines.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// unprintable says whether a character could do more than show itself.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// byteCount is an exact number of bytes, with its round form where it is long.
func byteCount(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	return fmt.Sprintf("%d (%s)", n, roundBytes(float64(n)))
}

// roundBytes is a number of bytes in the unit that suits it.
func roundBytes(n float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		if n < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f PiB", n)
}

// unknown stands for a number that is not known.
const unknown = "-"

// optionalCount is a number, or a dash when it is not known.
func optionalCount(n *uint64, estimated bool) string {
	if n == nil {
		return unknown
	}
	if estimated {
		return ">" + strconv.FormatUint(*n, 10)
	}
	return strconv.FormatUint(*n, 10)
}

func optionalBytes(n *uint64, estimated bool) string {
	if n == nil {
		return unknown
	}
	if estimated {
		return ">" + byteCount(*n)
	}
	return byteCount(*n)
}

// seconds is a duration with as many digits as help, or a dash when it is not
// known.
func seconds(s *float64) string {
	switch {
	case s == nil:
		return unknown
	case *s == 0:
		return "0s"
	case *s < 1:
		return fmt.Sprintf("%.0fms", *s*1000)
	case *s < 60:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", *s), ".0") + "s"
	}
	return (time.Duration(*s) * time.Second).String()
}

// instant is a time of day in UTC, or a dash.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return unknown
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

func orDash(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
