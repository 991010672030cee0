package link

import (
	"sync"
	"sync/atomic"

	"edgefog.dev/isgw/raftfsm/state"
)

// Role says on which side of a pull a connection stands.
type Role uint8

const (
	// Pulling connections carry requests of this site: what they read is what
	// the link received.
	Pulling Role = iota
	// Serving connections carry requests of the peer: what they write is what
	// the link sent.
	Serving
)

// String gives the role in one word, as metrics label it.
func (r Role) String() string {
	if r == Serving {
		return "serving"
	}
	return "pulling"
}

// Traffic is a snapshot of a Meter.
type Traffic struct {
	Read    uint64 // bytes read from sockets
	Written uint64 // bytes written to sockets
}

// Add returns the sum of both.
func (t Traffic) Add(o Traffic) Traffic {
	return Traffic{Read: t.Read + o.Read, Written: t.Written + o.Written}
}

// Meter counts the bytes that really crossed sockets: beneath encryption,
// handshakes and headers included. The zero Meter is ready; any number of
// goroutines may use it at once. It only ever rises.
type Meter struct {
	read, written atomic.Uint64
}

// AddRead counts n bytes read.
func (m *Meter) AddRead(n int) { m.read.Add(uint64(n)) }

// AddWritten counts n bytes written.
func (m *Meter) AddWritten(n int) { m.written.Add(uint64(n)) }

// Traffic returns the counts so far.
func (m *Meter) Traffic() Traffic {
	return Traffic{Read: m.read.Load(), Written: m.written.Load()}
}

// MeterKey names a Meter. Peer is zero, and Service empty, for bytes of
// connections that ended before it was known whose they were.
type MeterKey struct {
	Peer    state.SiteID
	Service string
	Role    Role
}

// Meters keeps one Meter for each key for as long as it lives, so that the
// counts of a link survive its connections and clients. The zero Meters is
// ready; any number of goroutines may use it at once.
type Meters struct {
	mu sync.Mutex
	m  map[MeterKey]*Meter
}

// Get returns the meter of a key, making it when there is none.
func (ms *Meters) Get(key MeterKey) *Meter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m := ms.m[key]
	if m == nil {
		if ms.m == nil {
			ms.m = make(map[MeterKey]*Meter)
		}
		m = new(Meter)
		ms.m[key] = m
	}
	return m
}

// Snapshot returns the counts of every key.
func (ms *Meters) Snapshot() map[MeterKey]Traffic {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	out := make(map[MeterKey]Traffic, len(ms.m))
	for k, m := range ms.m {
		out[k] = m.Traffic()
	}
	return out
}

// Forget drops the meters of a peer, or of one of its services when service is
// not empty. Connections that still count into them are no longer seen.
func (ms *Meters) Forget(peer state.SiteID, service string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for k := range ms.m {
		if k.Peer == peer && (service == "" || k.Service == service) {
			delete(ms.m, k)
		}
	}
}
