package cluster

import (
	"math"
	"slices"
	"sync"
	"time"
)

// What is remembered of a link, in the order of a point.
const (
	measureOut      = iota // wire bytes per second
	measureIn              // wire bytes per second
	measureLag             // seconds
	measureBacklog         // versions
	measureInFlight        // bytes
	measureErrors          // per second
	measures
)

// measureNames and measureUnits are those of the admin API; measurePeaks says
// of which measures the greatest value stands for several, not the mean.
var (
	measureNames = [measures]string{"out", "in", "lag", "backlog", "inflight", "errors"}
	measureUnits = [measures]string{"B/s", "B/s", "s", "versions", "B", "errors/s"}
	measurePeaks = [measures]bool{measureLag: true, measureBacklog: true, measureInFlight: true}
)

// point is one moment of a link. What is not known is NaN: a gap, never zero.
type point [measures]float32

var gap = point{nan32, nan32, nan32, nan32, nan32, nan32}

var nan32 = float32(math.NaN())

func known(v float32) bool { return v == v }

// ring keeps the last points of a fixed step. Its memory is taken a page at a
// time, so that a young link costs little.
type ring struct {
	step  int64 // seconds
	slots int64
	pages [][]point
	last  int64 // newest slot, counted from the Unix epoch; 0: none
	count [measures]float32
}

const ringPage = 90

func newRing(step, slots int64) *ring {
	return &ring{step: step, slots: slots, pages: make([][]point, (slots+ringPage-1)/ringPage)}
}

// add puts a point into the slot of its second, with the points that are there
// already. Time that goes back is taken for the newest slot.
func (r *ring) add(unix int64, p point) {
	slot := max(unix/r.step, r.last)
	if slot > r.last {
		for s := max(r.last+1, slot-r.slots+1); s <= slot && r.last > 0; s++ {
			if page := r.pages[r.page(s)]; page != nil {
				page[s%r.slots%ringPage] = gap
			}
		}
		r.last, r.count = slot, [measures]float32{}
	}
	i := r.page(slot)
	if r.pages[i] == nil {
		r.pages[i] = make([]point, ringPage)
		for j := range r.pages[i] {
			r.pages[i][j] = gap
		}
	}
	at := &r.pages[i][slot%r.slots%ringPage]
	for m, v := range p {
		if known(v) {
			at[m] = combine(m, at[m], r.count[m], v)
			r.count[m]++
		}
	}
}

func (r *ring) page(slot int64) int { return int(slot % r.slots / ringPage) }

// at is the point of a slot; a gap where there is none.
func (r *ring) at(slot int64) point {
	if slot > r.last || slot <= r.last-r.slots || slot < 0 {
		return gap
	}
	page := r.pages[r.page(slot)]
	if page == nil {
		return gap
	}
	return page[slot%r.slots%ringPage]
}

// combine is the value of n points with one more.
func combine(measure int, have, n, v float32) float32 {
	switch {
	case n == 0 || !known(have):
		return v
	case measurePeaks[measure]:
		return max(have, v)
	}
	return have + (v-have)/(n+1)
}

// merged returns n points of the given number of slots each, up to and without
// slot end.
func (r *ring) merged(end int64, n int, each int64) []point {
	out := make([]point, n)
	for i := range out {
		out[i] = gap
		var count [measures]float32
		first := end - int64(n-i)*each
		for s := first; s < first+each; s++ {
			for m, v := range r.at(s) {
				if known(v) {
					out[i][m] = combine(m, out[i][m], count[m], v)
					count[m]++
				}
			}
		}
	}
	return out
}

// linkHistory is what is remembered of one link: each second of a quarter of an
// hour, each ten seconds of six hours, each minute of a day.
type linkHistory struct {
	rings [3]*ring
	drawn *sparkSet // the small charts of the last half minute that was asked for
	notes []note    // of its states, the oldest first
}

func newLinkHistory() *linkHistory {
	return &linkHistory{rings: [3]*ring{newRing(1, 900), newRing(10, 2160), newRing(60, 1440)}}
}

func (h *linkHistory) add(unix int64, p point) {
	for _, r := range h.rings {
		r.add(unix, p)
	}
}

// query returns what is known of the time from now back, as at most so many
// points, with the Unix second of the first and the seconds between two. The
// slot under way is in it.
func (h *linkHistory) query(now int64, seconds int64, points int) (out []point, start, step int64) {
	r := h.rings[len(h.rings)-1]
	for _, finer := range h.rings {
		if finer.step*finer.slots >= seconds {
			r = finer
			break
		}
	}
	slots := max(min(seconds/r.step, r.slots), 1)
	each := (slots + int64(points) - 1) / int64(points)
	n := (slots + each - 1) / each
	end := (now/r.step/each + 1) * each // aligned, so that points do not change while time goes on
	return r.merged(end, int(n), each), (end - n*each) * r.step, each * r.step
}

// maxHistories bounds the links that are remembered: about 110 KB each when
// their rings are full.
const maxHistories = 512

// history remembers the links of a site. It is safe for concurrent use.
type history struct {
	mu    sync.Mutex
	links map[string]*linkHistory
	all   *linkHistory
}

func newHistory() *history {
	return &history{links: map[string]*linkHistory{}, all: newLinkHistory()}
}

// record takes a point of every link that there is; the others are forgotten.
func (h *history) record(now time.Time, points map[string]point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.links {
		if _, ok := points[name]; !ok {
			delete(h.links, name)
		}
	}
	total := gap
	for name, p := range points {
		total = together(total, p)
		if h.links[name] == nil {
			if len(h.links) >= maxHistories {
				continue
			}
			h.links[name] = newLinkHistory()
		}
		h.links[name].add(now.Unix(), p)
	}
	h.all.add(now.Unix(), total)
}

// together is what two links are as one: the greater lag, the sum of the rest.
func together(a, b point) point {
	for m, v := range b {
		switch {
		case !known(v):
		case !known(a[m]):
			a[m] = v
		case m == measureLag:
			a[m] = max(a[m], v)
		default:
			a[m] += v
		}
	}
	return a
}

// query is that of a link's history, or of all links when the name is empty.
func (h *history) query(name string, now time.Time, seconds int64, points int) ([]point, int64, int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.all
	if name != "" {
		if of = h.links[name]; of == nil {
			of = newLinkHistory()
		}
	}
	return of.query(now.Unix(), seconds, points)
}

const (
	sparkPoints = 30
	sparkStep   = 30 // seconds
)

// noSparks are the small charts of a link of which nothing is remembered.
var noSparks = drawSparks(0, slices.Repeat([]point{gap}, sparkPoints))

// sparks returns the complete half minutes of the last quarter of an hour. They
// are worked out once in each.
func (h *history) sparks(name string, now time.Time) *sparkSet {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.links[name]
	if of == nil {
		return noSparks
	}
	if slot := now.Unix() / sparkStep; of.drawn == nil || of.drawn.slot != slot {
		of.drawn = drawSparks(slot, of.rings[0].merged(slot*sparkStep, sparkPoints, sparkStep))
	}
	return of.drawn
}

// recent returns the backlog of the last seconds, the oldest first.
func (h *history) recent(name string, now time.Time, seconds int) []float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.links[name]
	if of == nil {
		return nil
	}
	out := make([]float64, seconds)
	for i := range out {
		out[i] = float64(of.rings[0].at(now.Unix() - int64(seconds-1-i))[measureBacklog])
	}
	return out
}

// slopeSeconds is the time over which a backlog's slope is taken.
const slopeSeconds = 30

// trend is by how many versions a second a backlog grows, by its values of the last
// seconds, one a second, and in how many seconds it is gone at that pace; nil is not
// known, or for the second never. Values from before the backlog began say nothing of
// how it does: with them one that came all at once would seem to grow for as long as
// they are looked at.
func trend(recent []float64, backlog *uint64) (grows, drains *float64) {
	if backlog == nil {
		return nil, nil
	}
	if *backlog > 0 {
		for i := len(recent) - 1; i >= 0; i-- {
			if recent[i] == 0 {
				recent = recent[i+1:]
				break
			}
		}
	}
	perSecond, ok := slope(recent)
	if !ok {
		return nil, nil
	}
	if seconds, ok := drainTime(*backlog, perSecond); ok {
		drains = &seconds
	}
	return &perSecond, drains
}

// leastPoints is how many points a slope needs.
const leastPoints = 5

// slope is by how much values, one a second, grow in a second: the line of
// least squares through those that are known. It is not known from fewer than
// five.
func slope(values []float64) (perSecond float64, ok bool) {
	var n, sx, sy, sxx, sxy float64
	for i, y := range values {
		if math.IsNaN(y) {
			continue
		}
		x := float64(i)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	spread := n*sxx - sx*sx
	if n < leastPoints || spread == 0 {
		return 0, false
	}
	return (n*sxy - sx*sy) / spread, true
}

// drainTime is in how many seconds a backlog is gone at a slope. One that does
// not shrink never is.
func drainTime(backlog uint64, perSecond float64) (seconds float64, ok bool) {
	const longest = 365 * 24 * 3600
	if backlog == 0 {
		return 0, true
	}
	seconds = float64(backlog) / -perSecond
	if !(perSecond < 0) || seconds > longest {
		return 0, false
	}
	return seconds, true
}
