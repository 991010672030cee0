package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Verifier compares buckets here with the far end of a link. Its methods may be
// called from any goroutine, at any time.
type Verifier struct {
	e *Engine
	l *Local
}

// NewVerifier returns a verifier of the link whose two halves it is given.
func NewVerifier(e *Engine, l *Local) *Verifier { return &Verifier{e: e, l: l} }

// VerifyOptions say what is compared, and what is done about it.
type VerifyOptions struct {
	Prefix  []byte // only keys that begin so; the bucket's settings only without one
	Content bool   // read and hash all content of these keys here too
	Repair  bool   // merge what differs, and fetch what is corrupt again
	// Settle bounds how long differences are waited for that may be records on their
	// way, each time that such are found; 15 s.
	Settle time.Duration
	// Progress, if set, is called now and then with what was done so far.
	Progress func(Verified)
}

// DifferenceKind is what is wrong with a version.
type DifferenceKind uint8

// The kinds of differences.
const (
	MissingHere  DifferenceKind = iota + 1 // only the far end has it
	MissingThere                           // only this site has it
	Differing                              // both have it, and not the same
	Corrupt                                // this site's content of it is damaged or missing
)

func (k DifferenceKind) String() string {
	switch k {
	case MissingHere:
		return "missing here"
	case MissingThere:
		return "missing there"
	case Differing:
		return "differing"
	case Corrupt:
		return "corrupt"
	}
	return "unknown"
}

// Difference is one thing that is not the same at both ends, or that is corrupt.
type Difference struct {
	Key     []byte // empty: a setting of the bucket
	Version string // the version's id; with a setting its name
	Kind    DifferenceKind
	// Cause says in words what is known of it; it may be empty.
	Cause string
	// Repaired says that a repair has put it right.
	Repaired bool
}

// Verified is what a comparison has found, and what it took.
type Verified struct {
	Keys, Versions uint64 // that this site shows in the range; delete markers are versions
	// Latest says that only the latest version of each key was compared, because a
	// bounded number of versions is kept at one end.
	Latest      bool
	Differences uint64
	Repaired    uint64
	// Read are the objects of chunks that were read and hashed, and their raw bytes.
	Read, ReadBytes uint64
	ComparisonCounts
}

// Equal reports whether nothing is wrong that was not repaired.
func (v *Verified) Equal() bool { return v.Differences == v.Repaired }

// verifyBatch is the number of keys that differ which are looked at together.
const verifyBatch = 256

// verification is one comparison under way.
type verification struct {
	*Verifier
	path   string
	o      VerifyOptions
	cmp    *comparison
	out    Verified
	report func(*Difference) error
}

// Verify compares what a bucket shows at both ends and calls report with each
// difference, in the order of the keys, while writes go on: what only seems to
// differ because it is on its way is looked at again when the cursors of both
// directions have passed it. An error of report ends the comparison and is
// returned. The bucket has to be served to this site by the far end.
func (v *Verifier) Verify(ctx context.Context, path string, o VerifyOptions, report func(*Difference) error) (*Verified, error) {
	setDefault(&o.Settle, 15*time.Second)
	r := catalog.KeyRange{From: o.Prefix, To: prefixEnd(o.Prefix)}
	if !v.l.o.Terms(path).Filter.admitsRange(r) {
		return nil, fmt.Errorf("verify bucket %s: only a part of it is let in here: compare a prefix that is served as a whole", path)
	}
	x := &verification{Verifier: v, path: path, o: o, report: report}
	x.cmp = newComparison(v.e.o.Catalog, v.e.o.Source, path, r)
	for {
		keys, upTo, err := x.cmp.next(ctx, verifyBatch)
		if err == nil {
			err = x.look(ctx, keys)
		}
		x.note()
		if err != nil {
			return &x.out, fmt.Errorf("verify bucket %s: %w", path, err)
		}
		if upTo == nil {
			break
		}
	}
	if o.Content {
		if err := x.readAll(ctx, r); err != nil {
			return &x.out, fmt.Errorf("verify content of bucket %s: %w", path, err)
		}
		x.note()
	}
	return &x.out, nil
}

// prefixEnd is the first key behind all that begin with a prefix; nil if there is
// none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// note tells how far the comparison is.
func (x *verification) note() {
	x.out.Keys, x.out.Versions, x.out.Latest = x.cmp.ours.Keys, x.cmp.ours.Versions, x.cmp.sparse
	x.out.ComparisonCounts = x.cmp.compare
	if x.o.Progress != nil {
		x.o.Progress(x.out)
	}
}

// look tells what differs in some keys, and mends it when that is asked for.
func (x *verification) look(ctx context.Context, keys []differingKey) error {
	names := make([][]byte, len(keys))
	for i := range keys {
		names[i] = keys[i].key
	}
	names, moving, err := x.settle(ctx, names)
	if err != nil {
		return err
	}
	for len(names) > 0 {
		n, found, err := x.describe(ctx, names, moving)
		if err != nil {
			return err
		}
		if x.o.Repair && len(found) > 0 {
			if err := x.mend(ctx, names[:n], found); err != nil {
				return err
			}
		}
		for i := range found {
			if err := x.tell(&found[i]); err != nil {
				return err
			}
		}
		names = names[n:]
	}
	return nil
}

func (x *verification) tell(d *Difference) error {
	x.out.Differences++
	if d.Repaired {
		x.out.Repaired++
	}
	return x.report(d)
}

// shownAt is what keys show at both ends at one moment, and where both logs stood.
type shownAt struct {
	here, there       map[string]keyShown
	hereSeq, thereSeq uint64
	life              []byte
	epoch             uint32
}

// keyShown is what one key shows.
type keyShown struct{ heads, all catalog.Sum }

// shownOf reads what some keys show at both ends.
func (x *verification) shownOf(ctx context.Context, keys [][]byte) (*shownAt, error) {
	out := &shownAt{here: make(map[string]keyShown), there: make(map[string]keyShown)}
	ranges := make([]catalog.KeyRange, len(keys))
	for i, k := range keys {
		ranges[i] = catalog.KeyRange{From: k, To: append(bytes.Clone(k), 0)}
	}
	for rest := ranges; len(rest) > 0; {
		got, err := x.cmp.request(ctx, rest, true)
		if err != nil {
			return nil, err
		}
		if err := checkListed(got, rest); err != nil {
			return nil, violated("keys of bucket %s: %w", x.path, err)
		}
		for _, k := range got.GetKeys() {
			var sum keyShown
			copy(sum.heads[:], k.GetHeads())
			if sum.all = sum.heads; len(k.GetAll()) > 0 {
				copy(sum.all[:], k.GetAll())
			}
			out.there[string(k.GetKey())] = sum
		}
		out.thereSeq, out.life, out.epoch = got.GetSeq(), got.GetIncarnation(), got.GetEpoch()
		n := len(rest)
		if next := got.GetNextKey(); len(next) > 0 {
			for n = 0; n < len(rest) && bytes.Compare(rest[n].From, next) < 0; n++ {
			}
		}
		rest = rest[n:]
	}
	for _, r := range ranges {
		sums, _, err := x.e.o.Catalog.KeySums(x.path, r, 1)
		if err != nil {
			return nil, &localError{err}
		}
		for _, s := range sums {
			out.here[string(s.Key)] = keyShown{heads: s.Heads, all: s.All}
		}
	}
	st, err := x.e.o.Catalog.Bucket(x.path)
	if err != nil {
		return nil, &localError{err}
	}
	out.hereSeq = st.GetSeq()
	return out, nil
}

// differ reports whether a key differs.
func (x *verification) differ(at *shownAt, key []byte) bool {
	a, b := at.here[string(key)], at.there[string(key)]
	return a.heads != b.heads || !x.cmp.sparse && a.all != b.all
}

// settleRounds is how often keys are looked at that change all the time.
const settleRounds = 3

// settle waits until keys that differ do so for another reason than that a record
// is on its way, and leaves out those that are equal then. moving are those that
// still change when the time is over.
func (x *verification) settle(ctx context.Context, keys [][]byte) (differ [][]byte, moving map[string]bool, err error) {
	if len(keys) == 0 {
		return nil, nil, nil
	}
	before, err := x.shownOf(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	deadline := x.e.o.Clock().Add(x.o.Settle)
	for round := 0; ; round++ {
		passed, err := x.awaitCursors(ctx, before, deadline)
		if err != nil {
			return nil, nil, err
		}
		after, err := x.shownOf(ctx, keys)
		if err != nil {
			return nil, nil, err
		}
		moving = make(map[string]bool)
		left := keys[:0:0]
		for _, k := range keys {
			if !x.differ(after, k) {
				continue
			}
			left = append(left, k)
			name := string(k)
			if !passed || before.here[name] != after.here[name] || before.there[name] != after.there[name] {
				moving[name] = true
			}
		}
		keys, before = left, after
		if len(moving) == 0 || !passed || round == settleRounds-1 {
			return keys, moving, nil
		}
	}
}

// awaitCursors waits until what both logs had at one moment was taken at the other
// end; false says that it was not in time. A direction in which nothing flows is
// not waited for.
func (x *verification) awaitCursors(ctx context.Context, at *shownAt, deadline time.Time) (bool, error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		here, err := x.takenHere(at)
		if err != nil {
			return false, err
		}
		if here && x.l.takenThere(x.path, at.hereSeq) {
			return true, nil
		}
		if !x.e.o.Clock().Before(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-poll.C:
		}
	}
}

// takenHere reports whether this site has taken the far end's log up to a moment, or
// takes nothing of it any more.
func (x *verification) takenHere(at *shownAt) (bool, error) {
	flow := x.l.flow(true)
	if flow.off != "" || !x.e.o.Accepts(x.path) {
		return true, nil
	}
	c, err := x.e.o.Catalog.Cursor(x.path, x.e.o.Peer)
	switch {
	case errors.Is(err, catalog.ErrNoCursor):
		return true, nil // nothing is taken here, and nothing will be
	case err != nil:
		return false, &localError{err}
	case !flow.follow && c.GetScan() == nil:
		return true, nil // what there was is here, and what changes is not taken
	}
	return c.GetScan() == nil && c.GetEpoch() == at.epoch && bytes.Equal(c.GetIncarnation(), at.life) &&
		c.GetSeq() >= at.thereSeq, nil
}

// takenThere reports whether the peer has said that it took this site's log of a
// bucket up to a sequence, or takes nothing of it, or nothing any more.
func (l *Local) takenThere(path string, seq uint64) bool {
	if l.flow(false).off != "" {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	pb := l.peers[path]
	if pb == nil || pb.progress == nil || pb.declined != "" || pb.copied {
		return true
	}
	c := pb.progress.GetCursor()
	return c.GetScan() == nil && c.GetSeq() >= seq
}

// describe says what differs in some keys, as many of them as the far end has room
// for in an answer.
func (x *verification) describe(ctx context.Context, keys [][]byte, moving map[string]bool) (n int, found []Difference, err error) {
	x.cmp.compare.Requests++
	eo := &x.e.o
	theirs, done, err := x.e.long.askPage(ctx, longKey(eo.Window, eo.Line, eo.Queue), true, func(most uint32) (*linkpb.ScanPage, error) {
		return eo.Source.Records(ctx, &linkpb.RecordsRequest{Path: x.path, Keys: keys, Most: most})
	})
	if err != nil {
		return 0, nil, err
	}
	if done != nil {
		defer done()
	}
	if n, err = checkRecords(theirs, keys); err != nil {
		return 0, nil, violated("records of bucket %s: %w", x.path, err)
	}
	seenHere, err := x.e.o.Catalog.Seen(x.path)
	if err != nil {
		return 0, nil, &localError{err}
	}
	rest := theirs.GetRecords()
	for _, key := range keys[:n] {
		m := 0
		for m < len(rest) && bytes.Equal(rest[m].GetKey(), key) {
			m++
		}
		mine, err := x.e.o.Catalog.ScanThese(x.path, [][]byte{key})
		if err != nil {
			return 0, nil, &localError{err}
		}
		of := compareKey(key, mine.Records, rest[:m], x.cmp.sparse)
		for i := range of {
			if of[i].Cause, err = x.cause(&of[i], seenHere, theirs.GetSeen(), moving[string(key)]); err != nil {
				return 0, nil, err
			}
			found = append(found, of[i].Difference)
		}
		if !x.o.Content { // else all of it is read later
			broken, err := x.content(ctx, catalog.ShownOf(mine.Records), false)
			if err != nil {
				return 0, nil, err
			}
			found = append(found, broken...)
		}
		rest = rest[m:]
	}
	return n, found, nil
}

// cause adds what is known of why something differs.
func (x *verification) cause(d *keyDifference, seenHere, seenThere *catalogpb.Vector, moving bool) (string, error) {
	peer := x.e.o.PeerName
	if d.Cause != "" {
		return d.Cause, nil
	}
	switch d.Kind {
	case MissingHere:
		p, err := x.pending(d.record.GetDot())
		if err != nil {
			return "", err
		}
		switch p.GetReason() {
		case catalogpb.PendingReason_PENDING_QUARANTINED:
			return "it is in quarantine here: " + p.GetCause(), nil
		case catalogpb.PendingReason_PENDING_SKIPPED:
			return "it was skipped here", nil
		case catalogpb.PendingReason_PENDING_TRANSFERRING:
			return "its content is being fetched", nil
		}
		if !moving && catalog.Covers(seenHere, d.record.GetDot()) {
			return "this site has had it and removed it", nil
		}
	case MissingThere:
		if !moving && catalog.Covers(seenThere, d.record.GetDot()) {
			return peer + " has had it and removed it", nil
		}
	}
	if moving {
		return "it is on its way, or is being changed", nil
	}
	return "", nil
}

// pending finds a record in the pending table; nil if it is not there.
func (x *verification) pending(d *catalogpb.Dot) (*catalogpb.Pending, error) {
	if d.GetSeq() == 0 {
		return nil, nil
	}
	after := &catalogpb.Dot{Origin: d.GetOrigin(), Epoch: d.GetEpoch(), Seq: d.GetSeq() - 1}
	got, err := x.e.o.Catalog.Pending(x.path, x.e.o.Peer, after, 1)
	if err != nil {
		return nil, &localError{err}
	}
	if len(got) == 1 && keyOf(got[0].GetRecord().GetDot()) == keyOf(d) {
		return got[0], nil
	}
	return nil, nil
}

// checkRecords checks that a page has records of keys that were asked for, in
// their order, and says how many of the keys it answers.
func checkRecords(p *linkpb.ScanPage, keys [][]byte) (n int, err error) {
	n = len(keys)
	if !p.GetDone() {
		for n = 0; n < len(keys) && bytes.Compare(keys[n], p.GetNextKey()) < 0; n++ {
		}
		if n == 0 {
			return 0, fmt.Errorf("the page goes on at %q, where it began", p.GetNextKey())
		}
	}
	i := 0
	for _, r := range p.GetRecords() {
		if err := wellFormed(r, sizeOf(r)); err != nil {
			return 0, err
		}
		for i < n && !bytes.Equal(keys[i], r.GetKey()) {
			i++
		}
		if i == n {
			return 0, fmt.Errorf("key %q was not asked for, or is out of order", r.GetKey())
		}
	}
	if err := catalog.CheckVector(p.GetSeen()); err != nil {
		return 0, err
	}
	return n, nil
}
