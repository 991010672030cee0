package ccow

import (
	"sync"

	"edgefog.dev/isgw/raftfsm/state"
)

// Bounds of connections that have not said who they are.
const (
	maxHandshakes     = 64
	maxHostHandshakes = 32 // from one address
	// maxDials is how many handshakes with one address this side has under way: a link
	// may open more connections at once than the other side takes at once.
	maxDials = 24
)

// admission bounds the connections that were accepted. A connection goes
// through enter, shook when its handshake is over either way, claim when it is
// known whose it is, and left. It is also counted for its link, when it is known
// which that is.
type admission struct {
	max, maxPeer, maxLink int

	mu         sync.Mutex
	open       int
	handshakes map[string]int // by remote host
	shaking    int
	peers      map[state.SiteID]int
	links      map[poolKey]int
}

func newAdmission(max, maxPeer, maxLink int) *admission {
	return &admission{max: max, maxPeer: maxPeer, maxLink: maxLink,
		handshakes: make(map[string]int), peers: make(map[state.SiteID]int), links: make(map[poolKey]int)}
}

// enter takes a place for a connection; otherwise it says why not.
func (a *admission) enter(host string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.open >= a.max:
		return "too many link connections are open"
	case a.shaking >= maxHandshakes:
		return "too many handshakes are under way"
	case a.handshakes[host] >= maxHostHandshakes:
		return "too many handshakes with this address are under way"
	}
	a.open++
	a.shaking++
	a.handshakes[host]++
	return ""
}

// shook says that a handshake is over.
func (a *admission) shook(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shaking--
	take(a.handshakes, host)
}

// left gives up the place of a connection that nobody claimed.
func (a *admission) left() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
}

// place is a connection that was claimed. Its fields are guarded by the mutex of its
// admission.
type place struct {
	a    *admission
	peer state.SiteID
	link poolKey // zero until it is counted for one
	over bool
}

// claim counts a connection for its peer; otherwise it says why not.
func (a *admission) claim(peer state.SiteID) (*place, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.peers[peer] >= a.maxPeer {
		return nil, "the site has too many connections open"
	}
	a.peers[peer]++
	return &place{a: a, peer: peer}, ""
}

// of counts the connection for its link; otherwise it says why not.
func (p *place) of(service string) string {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	key := poolKey{p.peer, service}
	switch {
	case p.over: // it was closed meanwhile
		return ""
	case p.a.links[key] >= p.a.maxLink:
		return "the link has too many connections open"
	}
	p.link = key
	p.a.links[key]++
	return ""
}

// left gives up the place.
func (p *place) left() {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	p.over = true
	p.a.open--
	take(p.a.peers, p.peer)
	if p.link != (poolKey{}) {
		take(p.a.links, p.link)
	}
}

// take counts one down.
func take[K comparable](m map[K]int, key K) {
	if m[key]--; m[key] == 0 {
		delete(m, key)
	}
}
