package main

import "time"

// passed says how many bytes had crossed at a moment.
type passed struct {
	at    time.Duration // since the section began
	bytes int64
}

// trace is how the bytes between two sites grew while something was copied, by
// samples that are some milliseconds apart.
type trace []passed

// reached is when n bytes had crossed, between two samples in proportion; 0 when so
// many never did.
func (t trace) reached(n int64) time.Duration {
	for i, p := range t {
		switch {
		case p.bytes < n:
		case i == 0:
			return p.at
		default:
			before := t[i-1]
			return before.at + time.Duration(float64(p.at-before.at)*float64(n-before.bytes)/float64(p.bytes-before.bytes))
		}
	}
	return 0
}

// steady is the rate at which content crossed in the middle half of the copy of size
// bytes, in bytes per second, with its headers left out in proportion; 0 when there
// are no samples of that. Neither the beginning of the copy nor its end is in it.
func (t trace) steady(size int64) float64 {
	if len(t) == 0 {
		return 0
	}
	all := t[len(t)-1].bytes
	from, to := t.reached(all/4), t.reached(all*3/4)
	if to <= from {
		return 0
	}
	return float64(size) / 2 / (to - from).Seconds()
}
