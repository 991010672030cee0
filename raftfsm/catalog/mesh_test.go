package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// mesh is several sites that pull from each other as an engine would, with
// clocks that disagree. Content is not part of it: a record that is held
// stands for one whose chunks are still under way.
type mesh struct {
	*rapid.T
	sites []*site
	skew  []int64
	links [][2]int // receiver, sender
	tick  int64
	inc   byte
	trace []string
	cross map[string]int // receiver sender sequence -> times a record crossed
	wrote []*pb.Record   // by users
	weak  []*pb.Record   // deletions that a site inferred

	versioned bool                 // the bucket gets versioning, purges and attributes
	locks     bool                 // and object lock
	bounds    []uint32             // by site: versions kept, 0 for the default
	purged    map[dotID]*pb.Record // versions with an id that a user purged
}

func (m *mesh) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%4d ", m.tick)+fmt.Sprintf(format, args...))
}

func (m *mesh) now(i int) int64 {
	m.tick++
	return 1_000_000 + m.tick*10 + m.skew[i]
}

func newMesh(t *rapid.T, maxVersions int) *mesh {
	m := &mesh{T: t, cross: make(map[string]int), purged: make(map[dotID]*pb.Record)}
	n := rapid.IntRange(2, 4).Draw(t, "sites")
	for i := range n {
		s := newSite(t, byte(i+1))
		m.sites = append(m.sites, s)
		m.skew = append(m.skew, rapid.Int64Range(-200, 200).Draw(t, "skew"))
		m.inc++
		m.bounds = append(m.bounds, uint32(rapid.IntRange(min(maxVersions, 1), maxVersions).Draw(t, "versions")))
		s.must(1, bucketObj(testPath, m.bounds[i], m.inc))
	}
	// A line keeps the mesh connected; more links make rings.
	for i := range n {
		for j := range i {
			if j == i-1 || rapid.Bool().Draw(t, "linked") {
				m.links = append(m.links, [2]int{i, j}, [2]int{j, i})
			}
		}
	}
	return m
}

func (m *mesh) close() {
	for _, s := range m.sites {
		s.close()
	}
}

func describe(r *pb.Record) string {
	if r == nil {
		return "nothing"
	}
	kind := map[pb.RecordKind]string{pb.RecordKind_RECORD_TOMBSTONE: " deleted", pb.RecordKind_RECORD_PURGE: " purge",
		pb.RecordKind_RECORD_ATTRIBUTE: " attribute", pb.RecordKind_RECORD_BUCKET: " setting"}[r.GetKind()] + r.GetField()
	if HasID(r) {
		kind += " id"
	}
	if r.GetRevoked() {
		kind += " revoked"
	}
	if d := r.GetTarget(); d != nil {
		kind += fmt.Sprintf(" of %d/%d/%d", d.GetOrigin()[15], d.GetEpoch(), d.GetSeq())
	}
	return fmt.Sprintf("%s%s g%d %d/%d/%d", r.GetKey(), kind, r.GetGeneration(), r.GetDot().GetOrigin()[15], r.GetDot().GetEpoch(), r.GetDot().GetSeq())
}

// pull takes one page of the sender's log or of a scan of it. It reports whether
// anything moved.
func (m *mesh) pull(ri, si int, limit int, hold func() bool) bool {
	r, s := m.sites[ri], m.sites[si]
	before := r.cat.Digest()
	cur, err := r.cat.Cursor(testPath, s.id)
	if errors.Is(err, ErrNoBucket) {
		return false
	}
	if err != nil {
		cur = nil
	}
	ss, err := s.cat.Bucket(testPath)
	if err != nil {
		return false
	}
	in := &pb.Ingest{Bucket: testPath, Peer: s.id.Bytes(), Expect: cur, MergedIncarnation: ss.GetIncarnation()}
	fits := cur != nil && cur.GetEpoch() == s.epoch && bytes.Equal(cur.GetIncarnation(), ss.GetIncarnation())
	var page *LogPage
	if fits && cur.GetScan() == nil && cur.GetInitialDone() {
		page, err = s.cat.Log(testPath, cur.GetSeq(), limit)
		if err != nil && !errors.Is(err, ErrTrimmed) && !errors.Is(err, ErrAhead) {
			m.Fatalf("log: %v", err)
		}
	}
	switch {
	case page != nil:
		in.Cursor = proto.CloneOf(cur)
		in.Cursor.Seq = page.To
		in.Seen = page.Seen
		told, err := r.cat.Seen(testPath)
		if err != nil {
			m.Fatalf("seen: %v", err)
		}
		var offered []*pb.Record
		for _, item := range page.Entries {
			if item.Record != nil && Offer(item.Entry, r.id, told) {
				offered = append(offered, item.Record)
				m.cross[fmt.Sprintf("%d<-%d e%d #%d", ri, si, s.epoch, item.Seq)]++
			}
		}
		m.take(in, offered, hold)
	case !fits || cur.GetScan() == nil:
		sp, err := s.cat.ScanKeys(testPath, nil, 1)
		if err != nil {
			m.Fatalf("scan: %v", err)
		}
		in.Cursor = &pb.Cursor{Epoch: sp.Epoch, Incarnation: sp.Incarnation, Seq: sp.Seq,
			Scan: &pb.Scan{FirstSeq: sp.Seq, Seen: sp.Seen}}
		m.note("%d starts a scan of %d at %d", ri, si, sp.Seq)
	default:
		sp, err := s.cat.ScanKeys(testPath, cur.GetScan().GetNextKey(), limit)
		if err != nil {
			m.Fatalf("scan: %v", err)
		}
		m.deleteDropped(ri, cur.GetScan().GetNextKey(), sp)
		in.Cursor = proto.CloneOf(cur)
		m.take(in, sp.Records, hold)
		if sp.Done {
			in.Seen = in.Cursor.Scan.Seen
			in.Cursor.Scan, in.Cursor.InitialDone = nil, true
		} else {
			in.Cursor.Scan.NextKey = sp.NextKey
		}
	}
	res := r.must(m.now(ri), in)
	if res.GetApplied() > 0 || len(in.GetHold()) > 0 {
		var names []string
		for _, rec := range in.GetRecords() {
			names = append(names, describe(rec))
		}
		for _, p := range in.GetHold() {
			names = append(names, "held "+describe(p.GetRecord()))
		}
		m.note("%d takes from %d up to %d: %s (%d applied)", ri, si, in.GetCursor().GetSeq(), strings.Join(names, ", "), res.GetApplied())
	}
	// Taken again, as after an answer that was lost, it must change nothing.
	if again := proto.CloneOf(in); !samePosition(in.GetCursor(), orEmpty(in.GetExpect())) {
		r.refused(raftfsmpb.Code_CONFLICT, m.now(ri), again)
	}
	return !bytes.Equal(before, r.cat.Digest())
}

func orEmpty(c *pb.Cursor) *pb.Cursor {
	if c == nil {
		return &pb.Cursor{}
	}
	return c
}

func (m *mesh) take(in *pb.Ingest, offered []*pb.Record, hold func() bool) {
	for _, rec := range offered {
		// Only content takes time to come.
		if Live(rec) && hold() {
			in.Hold = append(in.Hold, &pb.Pending{Record: rec, Reason: pb.PendingReason_PENDING_TRANSFERRING})
		} else {
			in.Records = append(in.Records, rec)
		}
	}
}

// deleteDropped deletes at the receiver what a page shows to be dropped at the
// sender on purpose.
func (m *mesh) deleteDropped(ri int, from []byte, sp *ScanPage) {
	r := m.sites[ri]
	for more := true; more; {
		dropped, resume, err := r.cat.DroppedThere(testPath, from, sp.NextKey, sp.Records, sp.Seen)
		if err != nil {
			m.Fatalf("dropped there: %v", err)
		}
		for _, rec := range dropped {
			if did := r.must(m.now(ri), Follow(testPath, rec).GetPurge()).GetRecord(); did != nil {
				m.weak = append(m.weak, did)
			}
			m.note("%d deletes %s, which was dropped there", ri, describe(rec))
		}
		from, more = resume, resume != nil
	}
}

// settle applies one pending record, or all of them.
func (m *mesh) settle(ri, si int, all bool) bool {
	r, s := m.sites[ri], m.sites[si]
	pending, err := r.cat.Pending(testPath, s.id, nil, 0)
	if err != nil || len(pending) == 0 {
		return false
	}
	if _, err := s.cat.Bucket(testPath); err != nil && !all {
		return false
	}
	if !all {
		pending = pending[:1]
	}
	start := r.cat.Digest()
	for _, p := range pending {
		in := &pb.Ingest{Bucket: testPath, Peer: s.id.Bytes()}
		if rec, err := s.cat.ByDot(testPath, p.GetRecord().GetDot()); err == nil {
			in.Records = []*pb.Record{rec}
			m.note("%d applies pending %s", ri, describe(rec))
		} else if told, err := s.cat.Seen(testPath); err != nil || !Covers(told, p.GetRecord().GetDot()) {
			continue // the sender has lost it; it stays, and another site may give it
		} else {
			in.Settle = []*pb.Dot{p.GetRecord().GetDot()}
			m.note("%d settles pending %s as gone at %d", ri, describe(p.GetRecord()), si)
		}
		r.must(m.now(ri), in)
		before, end := r.cat.Digest(), r.state().GetSeq()
		r.must(m.now(ri), in) // again: nothing is done twice
		log, err := r.cat.Log(testPath, end, 0)
		if err != nil || log.To == end && !bytes.Equal(before, r.cat.Digest()) {
			m.Fatalf("applying a pending record twice changed the state: %v", err)
		}
		for _, e := range log.Entries { // but a deletion may be announced again
			if !e.Entry.GetAgain() {
				m.Fatalf("applying a pending record twice wrote %v", e.Entry)
			}
		}
	}
	return !bytes.Equal(start, r.cat.Digest())
}

func (m *mesh) progress(ri, si int) {
	r, s := m.sites[ri], m.sites[si]
	cur, err := r.cat.Cursor(testPath, s.id)
	if err != nil {
		return
	}
	if _, err := s.cat.Bucket(testPath); err != nil {
		return
	}
	told, err := r.cat.Seen(testPath)
	if err != nil {
		m.Fatalf("seen: %v", err)
	}
	p := &pb.PeerProgress{Bucket: testPath, Peer: r.id.Bytes(), Cursor: cur, Seen: told}
	pending, err := r.cat.Pending(testPath, s.id, nil, 0)
	if err != nil {
		m.Fatalf("pending: %v", err)
	}
	for _, h := range pending {
		p.Holds = append(p.Holds, h.GetRecord().GetDot())
	}
	s.must(m.now(si), p)
}

func never() bool { return false }

// drain lets the sites exchange everything, and fails if that has no end.
func (m *mesh) drain() {
	for round := 0; ; round++ {
		moved := false
		for _, l := range m.links {
			moved = m.settle(l[0], l[1], true) || moved
			moved = m.pull(l[0], l[1], 1000, never) || moved
			m.progress(l[0], l[1])
		}
		if !moved {
			return
		}
		if round > 60 {
			m.fail("the sites do not come to rest")
		}
	}
}

func (m *mesh) fail(format string, args ...any) {
	m.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

// live returns the live heads of a site: key to dot.
func (m *mesh) live(s *site) map[string]dotID {
	out := make(map[string]dotID)
	page, err := s.cat.List(testPath, ListOptions{})
	if err != nil {
		m.Fatalf("list: %v", err)
	}
	for _, item := range page.Items {
		out[string(item.Record.GetKey())] = idOf(item.Record.GetDot())
	}
	return out
}

// equal fails unless all sites have the same live heads, versions, delete markers,
// attributes and settings.
func (m *mesh) equal() {
	for i, s := range m.sites {
		s.check()
		m.sameVersions(i)
		if m.versioned && slices.Max(m.bounds) > 0 {
			continue // a site that keeps fewer versions has less to fall back on
		}
		m.sameSums(i)
		got, want := m.live(s), m.live(m.sites[0])
		for key := range meshKeys {
			if got[key] != want[key] && !m.unsettled(key) {
				m.fail("sites 0 and %d differ in %s: %s, %s", i, key, describe(m.sites[0].head(key)), describe(s.head(key)))
			}
		}
	}
}

// unsettled reports whether some site has a pending record of a key: one that
// nobody can give it any more, because the site that wrote it was restored to a
// time before.
func (m *mesh) unsettled(key string) bool {
	for _, s := range m.sites {
		for peer := range s.cat.buckets[testPath].pending {
			pending, err := s.cat.Pending(testPath, peer, nil, 0)
			if err != nil {
				m.Fatalf("pending: %v", err)
			}
			for _, p := range pending {
				if string(p.GetRecord().GetKey()) == key {
					return true
				}
			}
		}
	}
	return false
}

var meshKeys = map[string]bool{"a": true, "b": true, "c": true}

// play does random things at random sites.
func (m *mesh) play(steps int, trims, lives, restores bool) {
	keys := []string{"a", "b", "c"}
	if m.versioned {
		keys = keys[:2] // so that more happens to one version
	}
	for range steps {
		i := rapid.IntRange(0, len(m.sites)-1).Draw(m.T, "site")
		s := m.sites[i]
		l := rapid.SampledFrom(m.links).Draw(m.T, "link")
		_, err := s.cat.Bucket(testPath)
		exists := err == nil
		most := 19
		if m.versioned {
			most = 27
		}
		switch what := rapid.IntRange(0, most).Draw(m.T, "what"); {
		case what > 19 && exists:
			m.playVersions(i, what, rapid.SampledFrom(keys).Draw(m.T, "key"))
		case what < 4 && exists:
			key := rapid.SampledFrom(keys).Draw(m.T, "key")
			rec := s.put(m.now(i), key, fmt.Sprint(m.tick))
			m.wrote = append(m.wrote, rec)
			m.note("%d puts %s", i, describe(rec))
		case what < 6 && exists:
			key := rapid.SampledFrom(keys).Draw(m.T, "key")
			if rec := s.del(m.now(i), key); rec != nil {
				m.wrote = append(m.wrote, rec)
				m.note("%d deletes: %s", i, describe(rec))
			}
		case what < 12:
			if _, err := m.sites[l[0]].cat.Bucket(testPath); err == nil {
				limit := rapid.IntRange(1, 4).Draw(m.T, "limit")
				m.pull(l[0], l[1], limit, func() bool { return rapid.IntRange(0, 5).Draw(m.T, "hold") == 0 })
			}
		case what < 14:
			m.settle(l[0], l[1], false)
		case what < 16:
			if _, err := m.sites[l[0]].cat.Bucket(testPath); err == nil {
				m.progress(l[0], l[1])
			}
		case what < 18 && exists && trims:
			now := m.now(i)
			trim := &pb.Trim{Bucket: testPath, Before: now, Horizon: now - rapid.Int64Range(0, 600).Draw(m.T, "horizon")}
			res := s.must(now, trim)
			m.note("%d trims %d entries, up to %d", i, res.GetApplied(), s.state().GetTrimmed())
		case what == 18 && lives:
			m.inc++
			if !exists {
				s.must(m.now(i), bucketObj(testPath, m.bound(i), m.inc))
				m.note("%d makes the bucket again", i)
			} else if s.state().GetObjects()+s.state().GetVersioned() == 0 {
				res := s.run(step{now: m.now(i), cmd: &statepb.Bucket{Path: testPath}, remove: true})
				m.note("%d deletes the bucket: %v", i, res[0].GetCode())
			}
		case what == 19 && restores:
			m.restore(i)
		}
	}
	for i, s := range m.sites {
		if _, err := s.cat.Bucket(testPath); err != nil {
			m.inc++
			s.must(m.now(i), bucketObj(testPath, m.bound(i), m.inc))
			m.note("%d makes the bucket again", i)
		}
	}
}

// bound is what a bucket that is made again keeps.
func (m *mesh) bound(i int) uint32 { return min(1, m.bounds[i]) }

// restore puts a site back to an earlier state of its own and raises its epoch.
func (m *mesh) restore(i int) {
	s := m.sites[i]
	keep := rapid.IntRange(1, len(s.steps)).Draw(m.T, "keep")
	old := &site{t: m.T, id: s.id, steps: slices.Clone(s.steps[:keep])}
	r := old.replay(1000)
	r.epoch = s.epoch + 1
	r.cat.SetSelf(r.id, r.epoch, r.epoch)
	m.note("%d is restored to step %d of %d", i, keep, len(s.steps))
	s.close()
	m.sites[i] = r
}

// right fails unless the outcome is what the users' writes say: the greatest record
// of each key's null version, if it is content, and never one that the writer of
// another had seen; every version with an id that nobody purged, and none that
// somebody did.
func (m *mesh) right() {
	for key := range meshKeys {
		var last *pb.Record
		null := m.null(m.sites[0], key)
		for _, rec := range append(slices.Clone(m.wrote), m.weak...) {
			if string(rec.GetKey()) != key || !nullLane(rec) {
				continue
			}
			if Live(null) && inContext(rec.GetContext(), null.GetDot()) {
				m.fail("%s is back, although the writer of %s had seen it", describe(null), describe(rec))
			}
		}
		for _, rec := range m.wrote {
			if string(rec.GetKey()) == key && nullLane(rec) && (last == nil || Compare(rec, last) > 0) {
				last = rec
			}
		}
		if Live(last) && (!Live(null) || !sameDot(null, last.GetDot())) {
			m.fail("the last null version is %s, but it is %s", describe(last), describe(null))
		}
	}
	if slices.Max(m.bounds) == 0 {
		m.nothingLost()
	}
}

// TestMesh: whatever happens at several sites, they agree once they have
// exchanged everything.
func TestMesh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trims := rapid.Bool().Draw(t, "trims")
		bucketsGo := trims && rapid.Bool().Draw(t, "buckets go")
		restores := trims && !bucketsGo && rapid.Bool().Draw(t, "restores")
		m := newMesh(t, rapid.IntRange(1, 3).Draw(t, "versions at most"))
		defer m.close()
		m.run(t, trims, bucketsGo, restores)
	})
}

// run plays, lets the sites exchange everything, and looks at the outcome.
func (m *mesh) run(t *rapid.T, trims, bucketsGo, restores bool) {
	m.play(rapid.IntRange(5, 80).Draw(t, "steps"), trims, bucketsGo, restores)
	m.drain()
	m.equal()
	if restores {
		return // what was lost with a site is lost, and crosses again
	}
	m.right()
	for at, n := range m.cross {
		if n > 1 {
			m.fail("a record crossed %s %d times", at, n)
		}
	}
}
