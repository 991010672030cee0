package cluster

import (
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
)

// resolve gives the endpoint what a peer may pull under a link's name.
func (l *links) resolve(peer state.SiteID, name string) (link.Source, error) {
	here := l.site.node.opts.Site
	first, err := mayAsk(l.site.replica.Config(), here, peer, name)
	if first {
		select {
		case l.met <- meeting{service: name, peer: peer}:
		default: // the peer comes again
		}
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[name]; r != nil && r.peer == peer {
		return r.offers, nil
	}
	return nil, link.Refuse(link.CodeStarting, "service %s of site %s is being started", name, here)
}

// mayAsk says whether a site may ask for anything under a link's name at the site
// called here; the error is a *link.Refused. A link is with one site. One that has not
// met its peer yet is with the site that its remote leads to, whoever else names it;
// without a remote it is with the first paired site that does, which first says, also
// when that site is refused because another link with it serves the same.
func mayAsk(cfg *state.Config, here string, peer state.SiteID, name string) (first bool, err error) {
	if _, _, paired := cfg.Pairing(peer); !paired {
		return false, link.Refuse(link.CodeUnpaired, "site %s is not paired with yours any more", here)
	}
	service, _, ok := cfg.Service(name)
	if !ok || service.GetType() != state.TypeLink {
		return false, link.Refuse(link.CodeNoService, "site %s has no service %s", here, name)
	}
	// Of a link with another site no more is told than that it is one.
	another := link.Refuse(link.CodeNoService, "service %s of site %s is a link with another site", name, here)
	bound, err := state.SiteIDFromBytes(service.GetPeer())
	met := err == nil
	if met && bound != peer {
		return false, another
	}
	if !met && service.GetRemote() != "" {
		address, err := state.ParseRemote(service.GetRemote())
		if err != nil {
			return false, another
		}
		switch meant := peerOf(cfg, service, address); {
		case meant == nil:
			// Its remote is being asked who it is.
			return false, link.Refuse(link.CodeStarting, "service %s of site %s has not reached its remote yet, so it is not known which site it is with", name, here)
		case string(meant.GetSite()) != string(peer[:]):
			return false, another
		}
	}
	if service.GetDisabled() {
		return false, link.Refuse(link.CodeDisabled, "service %s is disabled at site %s", name, here)
	}
	if !met {
		if err := plan.CheckPeer(cfg, service, peer); err != nil {
			return true, link.Refuse(link.CodeNoService, "link %s does not run at site %s: %v", name, here, err)
		}
	}
	return !met, nil
}
