package cluster

import (
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestWants: which peer a link runs with, as far as the config tells.
func TestWants(t *testing.T) {
	first, second := state.SiteID{1}, state.SiteID{2}
	pairing := func(id state.SiteID, address string) *statepb.Pairing {
		return &statepb.Pairing{Site: id.Bytes(), SiteName: id.String()[:4], IdentityPublic: make([]byte, 32), RosterNumber: 1, Address: address}
	}
	link := func(remote string, peer []byte, disabled bool) *statepb.Service {
		return &statepb.Service{Name: "l", Type: state.TypeLink, Remote: remote, Peer: peer, Disabled: disabled}
	}
	for _, c := range []struct {
		name     string
		service  *statepb.Service
		pairings []*statepb.Pairing
		want     state.SiteID // zero: it does not run
	}{
		{"not paired", link("ccow://h:1", nil, false), nil, state.SiteID{}},
		{"the only paired site", link("ccow://h:1", nil, false), []*statepb.Pairing{pairing(first, "")}, first},
		{"the one that told the address", link("ccow://h:2", nil, false), []*statepb.Pairing{pairing(first, "h:1"), pairing(second, "h:2")}, second},
		{"several could be meant", link("ccow://h:3", nil, false), []*statepb.Pairing{pairing(first, "h:1"), pairing(second, "h:2")}, state.SiteID{}},
		{"remembered", link("ccow://h:3", second.Bytes(), false), []*statepb.Pairing{pairing(first, "h:3"), pairing(second, "h:2")}, second},
		{"remembered, no remote", link("", second.Bytes(), false), []*statepb.Pairing{pairing(second, "")}, second},
		{"no remote, nobody came", link("", nil, false), []*statepb.Pairing{pairing(first, "")}, state.SiteID{}},
		{"remembered, no longer paired", link("ccow://h:1", second.Bytes(), false), []*statepb.Pairing{pairing(first, "")}, state.SiteID{}},
		{"disabled", link("ccow://h:1", first.Bytes(), true), []*statepb.Pairing{pairing(first, "")}, state.SiteID{}},
	} {
		cfg := state.New()
		txn := &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Site{
			Id: state.SiteID{9}.Bytes(), Name: "here", Epoch: 1, IdentityPublic: make([]byte, 32), IdentitySealed: []byte{1}, RosterNumber: 1,
		})}}
		for _, p := range c.pairings {
			txn.Puts = append(txn.Puts, state.Wrap(p))
		}
		if _, err := cfg.Apply(txn, 1); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		w, ok := wants(cfg, c.service)
		if w.peer != c.want || ok != (c.want != state.SiteID{}) {
			t.Errorf("%s: %v, %v; want %v", c.name, w.peer, ok, c.want)
		}
	}
}
