package objsync

import (
	"sync"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// lane is the order in which a bucket's cursor may move: the records of the
// sender's log, or of a scan, with marks between them. Versions finish in any
// order; the cursor passes an item when it and all before it are settled.
type lane struct {
	items []item
	bytes int // encoded size of the records queued
	// all counts the bytes of this and other lanes together; nil: nobody does.
	all *int64
	// planned is the number of items, from the first, that a commit under way
	// passes: they are not changed any more.
	planned int
}

// item is a version, a mark, or both: a version whose passing moves the cursor.
type item struct {
	v *version // nil: only a mark

	to   uint64            // log: the sequence that is reached
	seen *catalogpb.Vector // log: the sender's vector there; nil unless the log ended there

	page *pageMark // scan: the page that ends here

	then func() // called when the item leaves the lane, however
}

// pageMark is the end of a page of a scan.
type pageMark struct {
	next []byte // where the next page begins
	keys uint64 // keys of the page
	done bool   // it was the last
}

// mark appends an item without a version. Marks in a row become one.
func (l *lane) mark(to uint64, seen *catalogpb.Vector) {
	if n := len(l.items); n > l.planned && l.items[n-1].v == nil && l.items[n-1].page == nil {
		l.items[n-1].to = to
		if seen != nil {
			l.items[n-1].seen = seen
		}
		return
	}
	l.items = append(l.items, item{to: to, seen: seen})
}

func (l *lane) version(v *version, to uint64) {
	l.items = append(l.items, item{v: v, to: to})
	l.add(v.size)
}

func (l *lane) add(n int) {
	l.bytes += n
	if l.all != nil {
		*l.all += int64(n)
	}
}

// drop forgets what is queued.
func (l *lane) drop() {
	for _, it := range l.items {
		if it.then != nil {
			it.then()
		}
	}
	l.add(-l.bytes)
	l.all = nil
}

// then appends an item that is nothing but what is called when it leaves the lane.
func (l *lane) then(f func()) { l.items = append(l.items, item{then: sync.OnceFunc(f)}) }

func (l *lane) pageEnd(p *pageMark) { l.items = append(l.items, item{page: p}) }

// pop removes the first n items.
func (l *lane) pop(n int) {
	for _, it := range l.items[:n] {
		if it.v != nil {
			l.add(-it.v.size)
		}
		if it.then != nil {
			it.then()
		}
	}
	l.items = l.items[n:]
	l.planned = 0
	if len(l.items) == 0 {
		l.items = nil
	}
}

// oldest returns the first version that is not settled, or nil.
func (l *lane) oldest() *version {
	for _, it := range l.items {
		if it.v != nil && !it.v.settled() {
			return it.v
		}
	}
	return nil
}

// settled reports whether a cursor may pass v.
func (v *version) settled() bool {
	return v.phase == phaseDone || v.phase == phaseGone || v.hold != nil
}

// Bounds of one Ingest command.
const (
	commitBytes   = 192 << 10
	commitRecords = 1000
	// planDepth bounds how far behind a blocked item ready ones are looked for.
	planDepth = 8192
)

// plan is one Ingest to be: what is applied, what is put into the pending table
// and taken out of it, and where the cursor goes.
type plan struct {
	apply  []*version
	hold   []*version // entries to be written: new ones and changed ones
	settle []*version // entries to be removed
	bytes  int
	single bool // one record only
	// leaving are the names of resolved versions: none that came again under one of
	// them goes to the table before.
	leaving map[dotKey]bool

	popLog, popScan int
	to              uint64 // the log lane's sequence that is reached; 0: it stays
	seen            *catalogpb.Vector
	pages           []*pageMark
}

// idle reports whether the plan changes nothing but the cursor's sequence.
func (p *plan) idle() bool {
	return len(p.apply) == 0 && len(p.hold) == 0 && len(p.settle) == 0 && len(p.pages) == 0
}

func (p *plan) nothing() bool { return p.idle() && p.popLog == 0 && p.popScan == 0 }

// room reports whether a record of a size still fits.
func (p *plan) room(size int) bool {
	n := len(p.apply) + len(p.hold)
	return n == 0 || !p.single && n < commitRecords && p.bytes+size <= commitBytes
}

// rules are what planning needs to know besides the lanes.
type rules struct {
	now     time.Time
	after   time.Duration // HoldAfter
	behind  int           // HoldBehind
	room    int           // entries that the pending table still takes
	noSpace bool
	single  bool // one record only: some record of a former plan was refused
}

// makePlan decides what the next Ingest of a bucket has. resolved are versions of
// the pending table that became ready, gone, or failed again. It changes
// nothing; the same version is never in two commands at once, because the
// caller makes no plan while a command is under way.
func makePlan(log, scan *lane, resolved []*version, r rules) *plan {
	p := &plan{single: r.single}
	taken := make(map[*version]bool)
	if len(resolved) > 0 {
		p.leaving = make(map[dotKey]bool, len(resolved))
	}
	for _, v := range resolved {
		p.leaving[v.dot] = true
	}
	for _, v := range resolved {
		if len(p.settle) >= commitRecords {
			break
		}
		if v.phase == phaseGone {
			p.settle = append(p.settle, v)
			taken[v] = true
			continue
		}
		if !p.room(v.size) {
			break
		}
		p.bytes += v.size
		taken[v] = true
		switch v.phase {
		case phaseReady:
			p.apply = append(p.apply, v)
			p.settle = append(p.settle, v)
		case phaseFailed:
			p.hold = append(p.hold, v)
		}
	}
	// Each lane may hold versions back by itself; the scan comes second, so
	// that a large copy does not delay what is being written now.
	p.popLog = p.walk(log, taken, &r)
	p.popScan = p.walk(scan, taken, &r)
	for _, it := range log.items[:p.popLog] {
		p.to = it.to
		if it.seen != nil {
			p.seen = it.seen
		}
	}
	for _, it := range scan.items[:p.popScan] {
		if it.page != nil {
			p.pages = append(p.pages, it.page)
		}
	}
	return p
}

// walk goes through a lane, adds what is ready to the plan, and returns how many
// items from its beginning the cursor passes.
func (p *plan) walk(l *lane, taken map[*version]bool, r *rules) (passed int) {
	passing, full := true, false
	for i := range min(len(l.items), planDepth) {
		v := l.items[i].v
		switch {
		case v == nil || v.settled() || taken[v]:
		case v.phase == phaseReady && !full && p.room(v.size):
			p.apply = append(p.apply, v)
			p.bytes += v.size
			taken[v] = true
		case v.phase == phaseReady:
			// It does not fit: neither it nor what is behind it goes along, so
			// that small records do not overtake for ever.
			full, passing = true, false
		case passing && !full && p.room(v.size) && !p.leaving[v.dot] && p.mayHold(v, len(l.items)-i-1, r):
			p.hold = append(p.hold, v)
			p.bytes += v.size
			taken[v] = true
			r.room--
		default:
			passing = false
		}
		if full {
			break
		}
		if passing {
			passed = i + 1
		}
	}
	return passed
}

// mayHold decides whether the version at the front goes to the pending table.
func (p *plan) mayHold(v *version, behind int, r *rules) bool {
	if v.phase == phaseFailed {
		return r.room > 0
	}
	return holdNow(r.now.Sub(v.blockedSince(r.now)), r.after, behind, r.behind, r.room, r.noSpace)
}
