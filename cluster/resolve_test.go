package cluster

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	"edgefog.dev/isgw/sync/link"
)

// TestMayAsk: who may ask for anything under the name of a link.
func TestMayAsk(t *testing.T) {
	first, second, stranger := state.SiteID{1}, state.SiteID{2}, state.SiteID{3}
	pairing := func(id state.SiteID, address string) *statepb.Pairing {
		return &statepb.Pairing{Site: id.Bytes(), SiteName: "site" + string('0'+rune(id[0])), IdentityPublic: make([]byte, 32), RosterNumber: 1, Address: address}
	}
	service := func(remote string, peer []byte, disabled bool) *statepb.Service {
		return &statepb.Service{Name: "l", Type: state.TypeLink, Remote: remote, Peer: peer, Disabled: disabled}
	}
	both := []*statepb.Pairing{pairing(first, "h:1"), pairing(second, "h:2")}
	for _, c := range []struct {
		name     string
		service  *statepb.Service // nil: there is none
		pairings []*statepb.Pairing
		peer     state.SiteID
		refused  link.Code // empty: it may
		says     string
		first    bool
	}{
		{"the peer", service("ccow://h:1", first.Bytes(), false), both, first, "", "", false},
		{"the peer, no remote", service("", first.Bytes(), false), both, first, "", "", false},
		{"the peer of a disabled link", service("", first.Bytes(), true), both, first, link.CodeDisabled, "disabled", false},
		{"not paired", service("", nil, false), both, stranger, link.CodeUnpaired, "not paired", false},
		{"no longer paired", service("", stranger.Bytes(), false), both, stranger, link.CodeUnpaired, "not paired", false},
		{"no link", nil, both, first, link.CodeNoService, "no service l", false},
		{"another service of the name", &statepb.Service{Name: "l", Type: state.TypeS3}, both, first, link.CodeNoService, "no service l", false},
		{"another site's link", service("", first.Bytes(), false), both, second, link.CodeNoService, "with another site", false},
		{"another site's link that is disabled", service("", first.Bytes(), true), both, second, link.CodeNoService, "with another site", false},
		{"the first to come", service("", nil, false), both, second, "", "", true},
		{"the first to come, disabled", service("", nil, true), both, second, link.CodeDisabled, "disabled", false},
		{"whom the remote means", service("ccow://h:2", nil, false), both, second, "", "", true},
		{"another one than the remote means", service("ccow://h:2", nil, false), both, first, link.CodeNoService, "with another site", false},
		{"another one than the remote means, disabled", service("ccow://h:2", nil, true), both, first, link.CodeNoService, "with another site", false},
		{"the only paired site", service("ccow://h:9", nil, false), both[:1], first, "", "", true},
		{"nobody knows whom the remote means", service("ccow://h:9", nil, false), both, first, link.CodeStarting, "not reached its remote", false},
	} {
		cfg := state.New()
		txn := &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Site{
			Id: state.SiteID{9}.Bytes(), Name: "here", Epoch: 1, IdentityPublic: make([]byte, 32), IdentitySealed: []byte{1}, RosterNumber: 1,
		})}}
		for _, p := range c.pairings {
			txn.Puts = append(txn.Puts, state.Wrap(p))
		}
		if c.service != nil {
			txn.Puts = append(txn.Puts, state.Wrap(c.service))
		}
		if _, err := cfg.Apply(txn, 1); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		came, err := mayAsk(cfg, "here", c.peer, "l")
		refused, _ := errors.AsType[*link.Refused](err)
		switch {
		case c.refused == "" && err != nil, c.refused != "" && (refused == nil || refused.Code != c.refused || !strings.Contains(refused.Message, c.says)):
			t.Errorf("%s: %v, want %q %q", c.name, err, c.refused, c.says)
		case came != c.first:
			t.Errorf("%s: the first to come: %v", c.name, came)
		}
	}
}
