package objsync

import (
	"fmt"
	"time"

	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// dotKey is a dot that can be compared and used as a map key.
type dotKey struct {
	origin state.SiteID
	epoch  uint32
	seq    uint64
}

// keyOf converts a dot whose origin has the right length.
func keyOf(d *catalogpb.Dot) dotKey {
	k := dotKey{epoch: d.GetEpoch(), seq: d.GetSeq()}
	copy(k.origin[:], d.GetOrigin())
	return k
}

func (k dotKey) String() string { return fmt.Sprintf("%s.%d.%d", k.origin, k.epoch, k.seq) }

// versionKey names a version among those of all buckets: each bucket counts its own.
type versionKey struct {
	bucket string // path
	dot    dotKey
}

func (v *version) key() versionKey { return versionKey{bucket: v.bucket.path, dot: v.dot} }

// phase is how far a version is on its way in.
type phase uint8

const (
	phaseWaiting phase = iota // not asked for yet
	phaseActive               // its tree is being walked, its chunks fetched
	phaseReady                // all its chunks are durable: it can be committed
	phaseGone                 // the sender keeps it no longer: there is nothing to commit
	phaseFailed               // cause says why; it rests until it is tried again
	phaseDone                 // committed, or passed over
	phaseDropped              // nobody wants it any more
)

// version is a record on its way in, together with the walk of its tree. It
// belongs to the goroutine of its session.
type version struct {
	bucket    *bucket
	rec       *catalogpb.Record
	dot       dotKey
	root      manifest.Ref
	seq       uint64 // in the sender's log
	committed int64  // there, by the sender's clock; 0 when not known
	size      int    // encoded size of rec
	restore   bool   // it is taken although it was seen before

	phase   phase
	run     int       // counts the attempts, so that wants of a former one read as dead
	cause   string    // of phaseFailed
	kind    failure   // of phaseFailed
	queued  time.Time // when it was handed to the transfers
	started time.Time // when its first chunk was asked for; zero before
	// restUntil is when a version that failed once is tried again.
	restUntil time.Time

	taken bool // by the transfers: it waits for a place there, or is being walked

	// The walk: frames are the nodes whose children are not all asked for,
	// the deepest last. outstanding counts the wants that are not resolved,
	// outNodes those of them that are nodes.
	frames      []frame
	outstanding int
	outNodes    int
	// needs of a large version that are to be fetched; small versions share
	// one queue.
	nodeq, leafq []*need

	// hold is the entry of the pending table, nil while there is none.
	hold *catalogpb.Pending
	// resolving is set while that entry waits to be changed or removed.
	resolving bool
	// amending is set while an operator's amendment of that entry is being committed:
	// a retry that is due waits for what becomes of it.
	amending bool
}

// largeSize parts versions into small ones, which go first, and large ones.
const largeSize = 1 << 20

func (v *version) large() bool { return v.root.Size > largeSize }

// live reports whether chunks are still wanted for v.
func (v *version) live() bool { return v.phase == phaseActive }

// rewind makes v ready to be added to the transfers again.
func (v *version) rewind() {
	v.run++
	v.phase, v.cause = phaseWaiting, ""
	v.started = time.Time{}
	v.frames, v.nodeq, v.leafq = nil, nil, nil
	v.outstanding, v.outNodes = 0, 0
}

// blockedSince is the time from which on v counts as holding others back: from
// its first fetch for a small version, which otherwise just waits its turn, and
// from the beginning for a large one.
func (v *version) blockedSince(now time.Time) time.Time {
	if v.large() {
		return v.queued
	}
	if v.started.IsZero() {
		return now
	}
	return v.started
}

// nodePath is the way from the root of a tree to one node. Nodes of one tree
// share their beginnings.
type nodePath struct {
	parent *nodePath
	id     []byte
}

// ids lists the IDs from the root down to p, as a Want has them.
func (p *nodePath) ids() [][]byte {
	var n int
	for q := p; q != nil; q = q.parent {
		n++
	}
	out := make([][]byte, n)
	for q := p; q != nil; q = q.parent {
		n--
		out[n] = q.id
	}
	return out
}

// frame is a node whose children are being asked for.
type frame struct {
	node  *manifest.Node
	place manifest.Place
	path  *nodePath // down to node
	next  int
}

// want is one child that a version needs; parent is nil for the root itself.
type want struct {
	v        *version
	run      int // v's at the time
	parent   *nodePath
	child    uint32
	ref      manifest.Ref
	place    manifest.Place
	expanded bool // a node whose children are in a frame already
}

func (w *want) node() bool { return w.ref.IsNode() }

// live reports whether the attempt that w belongs to still goes on.
func (w *want) live() bool { return w.v.live() && w.run == w.v.run }

// quarantined reports whether a version rests in the pending table until it is tried
// again.
func (v *version) quarantined() bool {
	return v.phase == phaseFailed && v.hold.GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED &&
		v.kind != failRecord && !v.resolving && !v.amending
}
