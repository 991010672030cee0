package objsync

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Local is what this site offers to one peer over one link. It implements
// link.Source; the peer's requests reach it through the link's endpoint, which
// has authenticated the peer. Its methods may be called at once from any
// number of goroutines.
type Local struct {
	o     LocalOptions
	nodes nodeCache
	count sendCounts
	let   atomic.Pointer[servedSet]

	mu       sync.Mutex
	kick     chan struct{} // closed and replaced by Kick
	told     []servedLine  // what the last Served answered, never changed in place; nil before
	toldSet  Settings      // with told
	peerSet  Settings      // the peer's, as it told them last
	peers    map[string]*peerBucket
	streams  int
	heard    time.Time
	forgot   string // a bucket of which the peer has more of this site than this site
	forgotIn uint32 // the epoch since which this site was not restored when that was told
	rates    rateMeter
}

var _ link.Source = (*Local)(nil)

// sendCounts are SendCounters as they are counted.
type sendCounts struct {
	offered, skipped, scanned, logical, manifests, chunks, bytes, gone, refused, readError atomic.Uint64
}

// peerBucket is what the peer told of one bucket.
type peerBucket struct {
	progress  *catalogpb.PeerProgress // its last word
	committed *catalogpb.PeerProgress // what was proposed last
	when      time.Time               // of that
	pending   uint64
	cause     string
	copied    bool   // the peer copied it and does not follow it
	declined  string // why the peer does not take the bucket; empty when it does
}

// NewLocal returns the source for one peer. It starts nothing.
func NewLocal(o LocalOptions) (*Local, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Local{
		o:     o,
		nodes: nodeCache{most: o.NodeCache},
		kick:  make(chan struct{}),
		peers: make(map[string]*peerBucket),
	}, nil
}

// Kick makes open change streams look at the served list at once. It is to be
// called when the config changed.
func (l *Local) Kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.kick)
	l.kick = make(chan struct{})
}

func (l *Local) kicked() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kick
}

// touch notes that the peer is there.
func (l *Local) touch() {
	now := l.o.Clock()
	l.mu.Lock()
	l.heard = now
	l.mu.Unlock()
}

// Hello implements link.Source.
func (l *Local) Hello(_ context.Context, hello *linkpb.Hello) (*linkpb.Hello, error) {
	l.touch()
	if !bytes.Equal(hello.GetSite(), l.o.Peer[:]) {
		return nil, link.Refuse(link.CodeUnpaired, "link %s at %s is with another site than the one that says hello", l.o.Service, l.o.Name)
	}
	if hello.GetService() != l.o.Service {
		return nil, link.Refuse(link.CodeNoService, "this is link %s of %s, not %q", l.o.Service, l.o.Name, hello.GetService())
	}
	mine := &linkpb.Hello{
		Version:    link.Version,
		MinVersion: link.MinVersion,
		Features:   link.Features(),
		Service:    l.o.Service,
		Site:       l.o.ID.Bytes(),
		SiteName:   l.o.Name,
		Epoch:      l.o.Epoch(),
		Clock:      l.o.Clock().UnixNano(),
		Direction:  l.o.Settings().Direction,
		Session:    hello.GetSession(),
		Rate:       l.o.Limit.Own(),
	}
	if _, err := link.Negotiate(mine, hello); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.peerSet.Direction = hello.GetDirection() // until it tells all of its settings
	l.mu.Unlock()
	l.o.Limit.SetPeer(hello.GetRate())
	l.o.Logger.Debug("link: the peer opened a session", "name", hello.GetSiteName(), "session", sessionName(hello.GetSession()))
	return mine, nil
}

// servedLine is what makes an entry of the served list another one.
type servedLine struct {
	path        string
	incarnation string
	scope       string
	resync      int64
	learned     uint64
}

// servedSet is a served list that can be asked.
type servedSet struct {
	from  []string // as LocalOptions.Served gave it
	sends bool     // the direction lets something out
	paths []string // in order, each once
	has   map[string]struct{}
}

// servedNow returns the buckets let out now.
func (l *Local) servedNow() *servedSet {
	from, sends := l.o.Served(), l.o.Settings().Sends()
	if set := l.let.Load(); set != nil && set.sends == sends && sameList(set.from, from) {
		return set
	}
	set := &servedSet{from: from, sends: sends, has: make(map[string]struct{}, len(from))}
	if sends {
		set.paths = slices.Clone(from)
	}
	slices.Sort(set.paths)
	set.paths = slices.Compact(set.paths)
	for _, p := range set.paths {
		set.has[p] = struct{}{}
	}
	l.let.Store(set)
	return set
}

// sameList reports whether two lists are one and the same. Lists that are only
// equal are not worth the comparison.
func sameList(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// served lists the buckets let out now, each once, in order of their paths.
func (l *Local) served() []string { return l.servedNow().paths }

// lets reports whether a bucket is let out now.
func (l *Local) lets(path string) bool {
	_, ok := l.servedNow().has[path]
	return ok
}

// Served implements link.Source. A bucket that does not exist yet is listed
// without an incarnation.
func (l *Local) Served(context.Context) (*linkpb.Served, error) {
	l.touch()
	settings := l.o.Settings()
	out := &linkpb.Served{Settings: settings.message()}
	told := []servedLine{}
	served := l.servedNow()
	for _, p := range served.paths {
		terms := l.o.Terms(p)
		b := &linkpb.ServedBucket{Path: p, Epoch: l.o.Epoch(), Scope: terms.Filter.scope(), Resync: terms.Resync}
		if st, err := l.o.Catalog.Bucket(p); err == nil {
			b.Incarnation = st.GetIncarnation()
			b.Seq = st.GetSeq()
			b.Trimmed = st.GetTrimmed()
			b.Objects = st.GetObjects()
			b.Bytes = st.GetBytes()
			b.Merged = st.GetMerged()
			b.Learned = catalog.LearnedElsewhere(st.GetLearned(), l.o.Peer)
			b.Runs = l.o.Catalog.Runs(st)
		}
		told = append(told, servedLine{path: p, incarnation: string(b.GetIncarnation()), scope: b.GetScope(), resync: b.GetResync(), learned: b.GetLearned()})
		out.Buckets = append(out.Buckets, b)
	}
	l.mu.Lock()
	l.told, l.toldSet = told, settings
	l.forgetOthers(served)
	l.mu.Unlock()
	return out, nil
}

// notice is what a change stream announced last of the served list and of this
// side's settings.
type notice struct {
	made  bool
	lines []servedLine
	set   Settings
}

// news reports whether the served list, or this side's settings, are others than
// those that the peer was answered last and those that the stream announced last,
// and takes them down as announced. An announcement counts for its stream only: the
// peer may have left that before it read so far.
func (l *Local) news(n *notice) bool {
	settings, paths := l.o.Settings(), l.served()
	l.mu.Lock()
	told, set := l.told, l.toldSet // which are not changed, only replaced
	l.mu.Unlock()
	same := func(lines []servedLine, set Settings) bool {
		if len(paths) != len(lines) || settings != set {
			return false
		}
		for i, path := range paths {
			if lines[i] != l.line(path) {
				return false
			}
		}
		return true
	}
	if told == nil || same(told, set) || n.made && same(n.lines, n.set) {
		return false
	}
	*n = notice{made: true, set: settings, lines: make([]servedLine, len(paths))}
	for i, path := range paths {
		n.lines[i] = l.line(path)
	}
	return true
}

// line is the entry of the served list for a bucket as it is now.
func (l *Local) line(path string) servedLine {
	at, _ := l.o.Catalog.Position(path)
	terms := l.o.Terms(path)
	return servedLine{
		path: path, incarnation: string(at.Incarnation), scope: terms.Filter.scope(), resync: terms.Resync,
		learned: catalog.LearnedElsewhere(at.Learned, l.o.Peer),
	}
}

// maxScan bounds the records of one page of a scan.
const maxScan = 2000

// Scan implements link.Source.
func (l *Local) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	l.touch()
	path := req.GetPath()
	if !l.lets(path) {
		return nil, l.notServed(path)
	}
	if l.o.Settings().Paused {
		return nil, l.paused()
	}
	limit := int(req.GetLimit())
	if limit <= 0 || limit > maxScan {
		limit = maxScan
	}
	if err := l.o.Limit.Wait(ctx, 0); err != nil {
		return nil, err
	}
	limit = min(limit, piece(l.o.Limit.Rate(), leastRecords*recordSize, maxScan*recordSize)/recordSize)
	filter := l.o.Terms(path).Filter
	if filter.scope() != req.GetScope() {
		return nil, link.Refuse(link.CodeNotServed, "%s", otherTerms)
	}
	from, most := req.GetFromKey(), l.longest(req.GetMost())
	page, err := l.o.Catalog.ScanKeysWithin(path, from, limit, most)
	long, isLong := errors.AsType[*catalog.LongKey](err)
	for isLong && !filter.admitsKey(long.Key) { // it is left out anyway
		page, err = l.o.Catalog.ScanKeysWithin(path, append(long.Key, 0), limit, most)
		long, isLong = errors.AsType[*catalog.LongKey](err)
	}
	if isLong {
		return nil, l.tooLong(path, long, req.GetMost())
	}
	if err != nil {
		return nil, l.readFailed("scan", path, err)
	}
	if !filter.whole() {
		page.Records = slices.DeleteFunc(page.Records, func(r *catalogpb.Record) bool { return !filter.admits(r) })
		if page.NextKey, err = l.nextLetOut(path, filter, page.NextKey); err != nil {
			return nil, l.readFailed("scan", path, err)
		}
		page.Done = page.NextKey == nil
	}
	l.count.scanned.Add(uint64(len(page.Records)))
	l.count.logical.Add(logicalBytes(page.Records))
	out := scanPageOf(page)
	if req.GetMost() == 0 && proto.Size(out) > l.o.message {
		return nil, l.tooLong(path, &catalog.LongKey{Key: out.Records[0].GetKey(), Most: l.o.message}, 0)
	}
	nodes := min(int(req.GetNodes()), piece(l.o.Limit.Rate(), 0, maxPageNodes))
	if proto.Size(out)+2*nodes > l.o.message {
		nodes = 0
	}
	out.Nodes = l.upperNodes(ctx, out.Records, nodes)
	l.o.Limit.Charge(proto.Size(out))
	return out, nil
}

func (l *Local) paused() error {
	return link.Refuse(link.CodePaused, "link %s is paused at %s", l.o.Service, l.o.Name)
}

func (l *Local) notServed(path string) error {
	return link.Refuse(link.CodeNotServed, "bucket %s is not served over link %s at %s", path, l.o.Service, l.o.Name)
}
