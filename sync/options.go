package objsync

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/limit"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Proposer commits one command to the site's raft log; raftfsm's
// Replica.Propose is one. A result code is not an error; an error means that
// the command may or may not have been committed.
type Proposer func(ctx context.Context, cmd *raftfsmpb.Command) (*raftfsmpb.Result, error)

// Site is this end of a link: who it is and where its state lies. The Local
// and the Engine of a link share it.
type Site struct {
	// ID and Name are this site's.
	ID   state.SiteID
	Name string
	// Epoch returns the site's present epoch.
	Epoch func() uint32
	// Catalog is the site's index of records.
	Catalog *catalog.Catalog
	// Chunks is the site's chunk store.
	Chunks chunks.Store
	// Propose commits commands.
	Propose Proposer
	// Clock is the site's time; time.Now by default.
	Clock func() time.Time
	// Logger takes the link's log, and names the link and the peer in each
	// record; nothing is logged when it is nil.
	Logger *slog.Logger
}

// check reports what is missing, and fills in the defaults.
func (s *Site) check() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not set", what))
		}
	}
	need(s.ID != state.SiteID{}, "site id")
	need(s.Epoch != nil, "epoch")
	need(s.Catalog != nil, "catalog")
	need(s.Chunks != nil, "chunk store")
	need(s.Propose != nil, "proposer")
	if s.Clock == nil {
		s.Clock = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// LocalOptions say what a Local offers, and to whom.
type LocalOptions struct {
	Site
	// Service is the link's name.
	Service string
	// Peer is the paired site that the Local is for.
	Peer     state.SiteID
	PeerName string
	// Settings returns this side's settings of the link as they are now; they are
	// told to the peer. It is called often and must be cheap. When it is nil nothing
	// is limited. After a change both Kick methods of the link are to be called.
	Settings func() Settings
	// Served returns the paths of the buckets that are let out over the link
	// now, whether or not they exist: a tenant that is served is expanded to
	// its buckets. It is called often and must be cheap. A list that was returned
	// is not changed any more.
	Served func() []string
	// Terms returns what is let out of a served bucket now; nil: everything. It is
	// called often and must be cheap, and changes as Settings does.
	Terms func(path string) Terms

	// Limit paces what is let out; nothing is limited by default. It is the Local's
	// own: what the peer asks for is set in it.
	Limit *limit.Limiter
	// Holding says in words by what the direction is held to a rate, while Limit is
	// what holds it back. It is called with each Status and must be cheap; by default
	// only the rate is said.
	Holding func(rate uint64) Hold

	// Intact is called when the peer says that it has heard of nothing that this site
	// wrote in the buckets let out, beyond what their logs have: by all that it knows
	// this site was not put back from a backup. It may be called often, and returns at
	// once. Nil: nothing is done.
	Intact func()

	// Mend is called with keys of a bucket that the peer found to differ and mends at
	// its side, so that this side does too; it returns at once. Nil: nothing is done.
	Mend func(path string, keys [][]byte)

	// Heartbeat is the time between two heartbeats of a change stream; 1 s.
	Heartbeat time.Duration
	// ProgressEvery is the least time between two commits of what the peer
	// told of its progress in one bucket; 10 s.
	ProgressEvery time.Duration
	// NodeCache is the number of decoded manifest nodes that are kept to
	// check entitlement; 256, about 10 MiB at most. See Bounds.
	NodeCache int
	// LongKey bounds the records of one key that a page gives, in bytes; 32 MiB. See
	// Bounds.
	LongKey int64

	message int // bytes of records that fit into a message; link.MaxMessage
}

// peerName is how words call the peer.
func (o *LocalOptions) peerName() string { return cmp.Or(o.PeerName, "the other site") }

func (o *LocalOptions) validate() error {
	errs := []error{o.Site.check()}
	if o.Service == "" {
		errs = append(errs, errors.New("service is not set"))
	}
	if o.Peer == (state.SiteID{}) {
		errs = append(errs, errors.New("peer is not set"))
	}
	if o.Served == nil {
		errs = append(errs, errors.New("served list is not set"))
	}
	if o.Settings == nil {
		o.Settings = func() Settings { return Settings{} }
	}
	if o.Limit == nil {
		o.Limit = limit.New(o.Clock)
	}
	if o.Holding == nil {
		o.Holding = plainHold
	}
	if o.Terms == nil {
		o.Terms = func(string) Terms { return Terms{} }
	}
	setDefault(&o.Heartbeat, time.Second)
	setDefault(&o.ProgressEvery, 10*time.Second)
	setDefault(&o.NodeCache, 256)
	setDefault(&o.LongKey, mostKey)
	setDefault(&o.message, link.MaxMessage)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check options of local source: %w", err)
	}
	return nil
}

// EngineOptions say what an Engine receives, from whom, and within which bounds.
type EngineOptions struct {
	Site
	// Service is the link's name, equal at both ends.
	Service string
	// Peer is the paired site; another one that answers is refused.
	Peer     state.SiteID
	PeerName string
	// Settings is as in LocalOptions.
	Settings func() Settings
	// Source is the far end.
	Source link.Source
	// Codec verifies chunks that arrive.
	Codec *chunks.Codec
	// Accepts reports whether this site lets the bucket at path in over the
	// link: whether its own serve list has the bucket or its tenant.
	Accepts func(path string) bool
	// Terms returns what this site lets in of a bucket that it accepts; as in
	// LocalOptions.
	Terms func(path string) Terms
	// EnsureBucket makes the bucket, its tenant and its namespace here, with
	// this site's own settings, if they do not exist. It is called before the
	// first record of a bucket is taken, and returns when the catalog has it.
	EnsureBucket func(ctx context.Context, b *linkpb.ServedBucket) error
	// Limit paces what is received; nothing is limited by default. It is the
	// Engine's own: what the sender tells of its limit is set in it.
	Limit *limit.Limiter
	// Holding is that of LocalOptions, for what is received.
	Holding func(rate uint64) Hold
	// WantReverse is the number of connections that the far end is asked to
	// dial, for a side that cannot dial itself.
	WantReverse uint32
	// Rand is the source of randomness; crypto/rand by default.
	Rand io.Reader

	// Workers is the number of fetches under way at once; 16, two for each of
	// the connections of a link.
	Workers int
	// Window bounds the bytes that are asked for, or received and not yet
	// durable; 15 MiB. It is what a crash can cost in repeated bytes. What is
	// on its way on a long line comes on top, as many bytes as Line at most; 48 MiB.
	Window, Line int64
	// Queue bounds the encoded records of all buckets that wait for their content;
	// 16 MiB.
	Queue int64
	// PendingLimit bounds a bucket's pending table; 10,000.
	PendingLimit int
	// HoldAfter and HoldBehind say when a version that is still being
	// fetched goes to the pending table so that the cursor can pass it: after
	// that time, or when that many records wait behind it; 5 s and 1,000.
	HoldAfter  time.Duration
	HoldBehind int
	// BackoffMin and BackoffMax bound the pause before a connection is tried
	// again; 200 ms and 15 s.
	BackoffMin, BackoffMax time.Duration
	// RetryMin and RetryMax bound the pause before a quarantined version is
	// tried again; 30 s and 1 h.
	RetryMin, RetryMax time.Duration
	// ProgressEvery is the time between two reports of progress while records
	// move, and IdleEvery while none do; 1 s and 3 s.
	ProgressEvery, IdleEvery time.Duration
	// StallAfter is how long a link may have work and make no progress before
	// it is called stalled; 50 s, so that it is told within a minute.
	StallAfter time.Duration
	// SilentAfter is how long the far end may send nothing at all, not even a
	// heartbeat, before the session is dropped; 20 s.
	SilentAfter time.Duration
	// LagTarget returns the lag above which the link is called lagging, as it is now;
	// 30 s. It is called often and must be cheap.
	LagTarget func() time.Duration

	lane int // records of one bucket's log that are queued; laneRecords
	page int // records asked for in one page of a scan; scanPage
}

// Use sets the options that bounds are about.
func (o *EngineOptions) Use(b Bounds) {
	o.Workers, o.Window, o.Line, o.Queue = b.Workers, b.Window, max(1, b.Line), b.Queue
}

func (o *EngineOptions) validate() error {
	errs := []error{o.Site.check()}
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is not set", what))
		}
	}
	need(o.Service != "", "service")
	need(o.Peer != state.SiteID{}, "peer")
	need(o.Source != nil, "source")
	need(o.Codec != nil, "codec")
	need(o.Accepts != nil, "accept list")
	need(o.EnsureBucket != nil, "way to make a bucket")
	if o.Peer == o.ID {
		errs = append(errs, errors.New("the peer is this site itself"))
	}
	if o.Settings == nil {
		o.Settings = func() Settings { return Settings{} }
	}
	if o.Terms == nil {
		o.Terms = func(string) Terms { return Terms{} }
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Limit == nil {
		o.Limit = limit.New(o.Clock)
	}
	if o.Holding == nil {
		o.Holding = plainHold
	}
	setDefault(&o.Workers, 16)
	setDefault(&o.Window, mostWindow)
	setDefault(&o.Line, lineMost)
	setDefault(&o.Queue, mostQueue)
	setDefault(&o.PendingLimit, 10_000)
	setDefault(&o.HoldAfter, 5*time.Second)
	setDefault(&o.HoldBehind, 1000)
	setDefault(&o.BackoffMin, 200*time.Millisecond)
	setDefault(&o.BackoffMax, 15*time.Second)
	setDefault(&o.RetryMin, 30*time.Second)
	setDefault(&o.RetryMax, time.Hour)
	setDefault(&o.ProgressEvery, time.Second)
	setDefault(&o.IdleEvery, 3*time.Second)
	setDefault(&o.StallAfter, 50*time.Second)
	setDefault(&o.SilentAfter, 20*time.Second)
	if o.LagTarget == nil {
		o.LagTarget = func() time.Duration { return 30 * time.Second }
	}
	setDefault(&o.lane, laneRecords)
	setDefault(&o.page, scanPage)
	if o.Window < 1<<20 {
		errs = append(errs, fmt.Errorf("window of %d bytes is less than 1 MiB", o.Window))
	}
	if o.Workers < 2 {
		errs = append(errs, fmt.Errorf("%d workers are less than 2", o.Workers))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check options of engine: %w", err)
	}
	return nil
}

// setDefault gives v its default when it was not set.
func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
