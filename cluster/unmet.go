package cluster

import (
	"errors"
	"maps"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	"edgefog.dev/isgw/sync/link"
)

// unmet is why a link has not met the site at its other end when that was tried
// last, in the words of a state. The zero value says nothing.
type unmet struct {
	remote string       // that was asked, as the config has it: of another one it says nothing
	peer   state.SiteID // who answered and cannot be the peer; zero when nobody did
	state  adminpb.ServiceState
	cause  string
	next   string
}

// notReached is what asking a remote who it is came to; err is of
// [ccow.Endpoint.Identify].
func notReached(remote string, err error) unmet {
	u := unmet{remote: remote, state: adminpb.ServiceState_SERVICE_STATE_DOWN, cause: err.Error(), next: "check the remote, the network and firewalls"}
	if fault, ok := errors.AsType[*link.Fault](err); ok && fault.Kind == link.FaultNotPaired {
		u.state, u.next = adminpb.ServiceState_SERVICE_STATE_UNPAIRED, pairThem
	}
	return u
}

// notBound is why a link cannot be one with the site that it has met.
func notBound(remote string, peer state.SiteID, err error) unmet {
	u := unmet{remote: remote, peer: peer, state: adminpb.ServiceState_SERVICE_STATE_DOWN, cause: err.Error(), next: "see this node's log; it is tried again"}
	if refused, ok := errors.AsType[*plan.Error](err); ok {
		u.state, u.cause, u.next = adminpb.ServiceState_SERVICE_STATE_REFUSED, refused.Message, refused.Next
	}
	return u
}

// pairThem is the next step of a link whose sites are not paired.
const pairThem = "run `isgwctl site invite` at one site and `isgwctl site pair TOKEN` at the other"

// unmetNow is what holds of the last attempt by the config as it is: what another
// link serves may have changed since, and so may the remote.
func unmetNow(cfg *state.Config, service *statepb.Service, last unmet) (unmet, bool) {
	if guess := guessed(cfg, service); guess != nil {
		if peer, err := state.SiteIDFromBytes(guess.GetSite()); err == nil {
			if err := plan.CheckPeer(cfg, service, peer); err != nil {
				return notBound(service.GetRemote(), peer, err), true
			}
		}
	}
	if last.cause == "" || last.remote != service.GetRemote() || len(service.GetPeer()) > 0 {
		return unmet{}, false
	}
	if last.peer != (state.SiteID{}) && plan.CheckPeer(cfg, service, last.peer) == nil {
		return unmet{}, false
	}
	return last, true
}

// guessed is the paired site that a link runs with before it has met any; nil when
// it has met one, or none is meant.
func guessed(cfg *state.Config, service *statepb.Service) *statepb.Pairing {
	if len(service.GetPeer()) > 0 {
		return nil
	}
	address, err := state.ParseRemote(service.GetRemote())
	if err != nil {
		return nil
	}
	return peerOf(cfg, service, address)
}

// forgetUnmet forgets what was tried for services that were deleted. It is called with mu
// held.
func (l *links) forgetUnmet(cfg *state.Config) {
	maps.DeleteFunc(l.unmet, func(name string, _ unmet) bool {
		_, _, ok := cfg.Service(name)
		return !ok
	})
}

// miss remembers why a link has not met its peer, and reports whether that is news.
func (l *links) miss(name string, now unmet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	news := l.unmet[name] != now
	l.unmet[name] = now
	return news
}
