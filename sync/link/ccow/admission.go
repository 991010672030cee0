package ccow

import (
	"sync"

	"edgefog.dev/isgw/raftfsm/state"
)

// Bounds of connections that have not said who they are.
const (
	maxHandshakes     = 64
	maxHostHandshakes = 32 // from one address; a link opens up to 17 at once
)

// admission bounds the connections that were accepted. A connection goes
// through enter, shook when its handshake is over either way, claim when it is
// known whose it is, and left.
type admission struct {
	max, maxPeer int

	mu         sync.Mutex
	open       int
	handshakes map[string]int // by remote host
	shaking    int
	peers      map[state.SiteID]int
}

func newAdmission(max, maxPeer int) *admission {
	return &admission{max: max, maxPeer: maxPeer,
		handshakes: make(map[string]int), peers: make(map[state.SiteID]int)}
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
	if a.handshakes[host]--; a.handshakes[host] == 0 {
		delete(a.handshakes, host)
	}
}

// claim counts a connection for its peer; otherwise it says why not.
func (a *admission) claim(peer state.SiteID) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.peers[peer] >= a.maxPeer {
		return "the site has too many connections open"
	}
	a.peers[peer]++
	return ""
}

// left gives up the place of a connection; peer is zero unless it was claimed.
func (a *admission) left(peer state.SiteID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if peer.IsZero() {
		return
	}
	if a.peers[peer]--; a.peers[peer] == 0 {
		delete(a.peers, peer)
	}
}
