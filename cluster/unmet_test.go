package cluster

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	"edgefog.dev/isgw/sync/link"
)

// TestUnmet: a link that has not met its peer says why, and neither runs nor lets
// itself be asked while another link to that site serves the same.
func TestUnmet(t *testing.T) {
	const (
		refused  = adminpb.ServiceState_SERVICE_STATE_REFUSED
		down     = adminpb.ServiceState_SERVICE_STATE_DOWN
		unpaired = adminpb.ServiceState_SERVICE_STATE_UNPAIRED
	)
	first, second := state.SiteID{1}, state.SiteID{2}
	pairing := func(id state.SiteID, name string) *statepb.Pairing {
		return &statepb.Pairing{Site: id.Bytes(), SiteName: name, IdentityPublic: make([]byte, 32), RosterNumber: 1}
	}
	hawaii := &statepb.Service{Name: "hawaii", Type: state.TypeLink, Remote: "ccow://h:1", Peer: first.Bytes(), Serves: []*statepb.Served{{Path: "N/T"}}}
	link2 := func(remote, path string, peer []byte) *statepb.Service {
		return &statepb.Service{Name: "second", Type: state.TypeLink, Remote: remote, Peer: peer, Serves: []*statepb.Served{{Path: path}}}
	}
	config := func(service *statepb.Service, pairings ...*statepb.Pairing) *state.Config {
		cfg := state.New()
		txn := &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Site{
			Id: state.SiteID{9}.Bytes(), Name: "here", Epoch: 1, IdentityPublic: make([]byte, 32), IdentitySealed: []byte{1}, RosterNumber: 1,
		}), state.Wrap(hawaii), state.Wrap(service)}}
		for _, p := range pairings {
			txn.Puts = append(txn.Puts, state.Wrap(p))
		}
		if _, err := cfg.Apply(txn, 1); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	one, both := []*statepb.Pairing{pairing(first, "oahu")}, []*statepb.Pairing{pairing(first, "oahu"), pairing(second, "maui")}
	overlaps := "service second cannot serve N/T/bk1: service hawaii serves N/T to the same site, oahu"
	conflict := notBound("ccow://other:1", first, &plan.Error{Kind: state.ErrConflict, Message: overlaps, Next: "unserve it"})
	silent := notReached("ccow://other:1", &link.Fault{Kind: link.FaultTimeout, Message: "other:1 did not answer in time"})
	strange := notReached("ccow://other:1", &link.Fault{Kind: link.FaultNotPaired, Message: "other:1 was not believed: site lanai is not paired"})
	for _, c := range []struct {
		name     string
		service  *statepb.Service
		pairings []*statepb.Pairing
		last     unmet
		state    adminpb.ServiceState // unspecified: there is nothing to say
		cause    string
		runs     bool
	}{
		{"the site that is guessed has it on another link", link2("ccow://other:1", "N/T/bk1", nil), one, unmet{}, refused, overlaps, false},
		{"the site that is guessed has other paths", link2("ccow://other:1", "N/U", nil), one, unmet{}, 0, "", true},
		{"nothing was tried", link2("ccow://other:1", "N/T/bk1", nil), both, unmet{}, 0, "", false},
		{"who answers has it on another link", link2("ccow://other:1", "N/T/bk1", nil), both, conflict, refused, overlaps, false},
		{"it had, and has not any more", link2("ccow://other:1", "N/U", nil), both, conflict, 0, "", false},
		{"nobody answers", link2("ccow://other:1", "N/U", nil), both, silent, down, "did not answer in time", false},
		{"somebody who is not paired answers", link2("ccow://other:1", "N/U", nil), both, strange, unpaired, "lanai is not paired", false},
		{"that was another remote", link2("ccow://other:2", "N/U", nil), both, silent, 0, "", false},
		{"it has met its peer since", link2("ccow://other:1", "N/U", second.Bytes()), both, silent, 0, "", true},
		{"who dialled has it on another link", link2("", "N/T/bk1", nil), one, notBound("", first, &plan.Error{Kind: state.ErrConflict, Message: overlaps}), refused, overlaps, false},
	} {
		cfg := config(c.service, c.pairings...)
		u, ok := unmetNow(cfg, c.service, c.last)
		if u.state != c.state || !strings.Contains(u.cause, c.cause) || ok != (c.state != 0) {
			t.Errorf("%s: %v, %v %q, want %v %q", c.name, ok, u.state, u.cause, c.state, c.cause)
		}
		if ok && u.next == "" && c.last.next != "" {
			t.Errorf("%s: it does not say what is next", c.name)
		}
		if _, runs := wants(cfg, c.service); runs != c.runs {
			t.Errorf("%s: it runs: %v", c.name, runs)
		}
	}

	cfg := config(link2("", "N/T/bk1", nil), both...)
	came, err := mayAsk(cfg, "here", first, "second")
	if r, ok := errors.AsType[*link.Refused](err); !came || !ok || r.Code != link.CodeNoService || !strings.Contains(r.Message, overlaps) {
		t.Errorf("who would be the peer of an overlapping link: %v, %v", came, err)
	}
	if came, err := mayAsk(cfg, "here", second, "second"); !came || err != nil {
		t.Errorf("another site that it may be with: %v, %v", came, err)
	}
	l := &links{unmet: map[string]unmet{"second": silent, "deleted": silent}}
	if l.forgetUnmet(cfg); len(l.unmet) != 1 || l.unmet["second"] != silent {
		t.Errorf("after one of two services was deleted: %v", l.unmet)
	}
	if u := notBound("", first, errors.New("no leader")); u.state != down || u.next == "" {
		t.Errorf("a config that cannot be changed: %+v", u)
	}
}
