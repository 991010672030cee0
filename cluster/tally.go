package cluster

import (
	"slices"

	"edgefog.dev/isgw/raftfsm/state"
	objsync "edgefog.dev/isgw/sync"
)

// tally is what a link has counted, in one run or in several together.
type tally struct {
	received, sent         crossed
	network, local, remote uint64 // errors
}

// crossed is what a tally has of one direction.
type crossed struct{ requests, versions, manifests, chunks, skipped, logical uint64 }

// tallyOf is what one run has counted: its two ends, and the requests that each side
// has made.
func tallyOf(r objsync.Counters, s objsync.SendCounters, asked, answered uint64) tally {
	return tally{
		received: crossed{requests: asked, versions: r.Versions, manifests: r.Manifests, chunks: r.Chunks, skipped: r.ChunksHere, logical: r.VersionBytes},
		sent:     crossed{requests: answered, versions: s.Offered + s.Scanned, manifests: s.Manifests, chunks: s.Chunks, logical: s.Logical},
		network:  r.NetworkErrors, local: r.LocalErrors + s.ReadError, remote: r.RemoteErrors + r.IntegrityErrors,
	}
}

func (t tally) plus(o tally) tally {
	return tally{
		received: t.received.plus(o.received), sent: t.sent.plus(o.sent),
		network: t.network + o.network, local: t.local + o.local, remote: t.remote + o.remote,
	}
}

func (c crossed) plus(o crossed) crossed {
	return crossed{
		requests: c.requests + o.requests, versions: c.versions + o.versions, manifests: c.manifests + o.manifests,
		chunks: c.chunks + o.chunks, skipped: c.skipped + o.skipped, logical: c.logical + o.logical,
	}
}

// ledger carries what a link counts from one run to the next, so that a change of its
// settings lets no number go back. It is of a service with one peer; links.mu guards it.
type ledger struct {
	peer   state.SiteID
	ended  tally     // of the runs that are over
	ending []*runner // those that are being stopped, and still count
}

// before is what the runs have counted that are over, or about to be.
func (l *ledger) before() tally {
	sum := l.ended
	for _, r := range l.ending {
		sum = sum.plus(r.tally())
	}
	return sum
}

// close takes over what a run has counted that is over now.
func (l *ledger) close(r *runner) {
	l.ending = slices.DeleteFunc(l.ending, func(o *runner) bool { return o == r })
	l.ended = l.ended.plus(r.tally())
}

// tally is what this run has counted so far.
func (r *runner) tally() tally {
	return tallyOf(r.engine.Status().Counters, r.local.Status().Counters, r.asked.Requests(), r.offers.Requests())
}

// openLedger returns the ledger of a service with a peer, and begins it anew when the
// service was with another site; links.mu is held.
func (l *links) openLedger(service string, peer state.SiteID) *ledger {
	book := l.ledgers[service]
	if book == nil || book.peer != peer {
		l.dropLedger(service)
		book = &ledger{peer: peer}
		l.ledgers[service] = book
	}
	return book
}

// dropLedger forgets what a service has counted, also of its bytes; links.mu is held.
func (l *links) dropLedger(service string) {
	if book := l.ledgers[service]; book != nil {
		l.meters.Forget(book.peer, service)
		delete(l.ledgers, service)
	}
}
