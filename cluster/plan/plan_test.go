package plan

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

const (
	namespace = adminpb.PathKind_PATH_KIND_NAMESPACE
	tenant    = adminpb.PathKind_PATH_KIND_TENANT
	bucket    = adminpb.PathKind_PATH_KIND_BUCKET
)

var (
	now  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	here = siteID(1)
	peer = siteID(2)
	far  = siteID(3)
)

func siteID(b byte) state.SiteID { return state.SiteID{15: b} }

func key32(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// counter is a source of "randomness" that never repeats.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// site is a config under test: each step is planned and applied.
type site struct {
	*state.Config
	t    *testing.T
	rand io.Reader
}

func newSite(t *testing.T) *site {
	s := &site{state.New(), t, &counter{}}
	s.must(Init(s.Config,
		&statepb.Site{Id: here.Bytes(), Name: "north", Created: now.UnixNano(), IdentityPublic: key32(1)},
		&statepb.Node{Id: "n1", Name: "north-1", PublicKey: key32(9)}))
	return s
}

// must applies what was planned; a plan that Apply refuses is a fault.
func (s *site) must(txn *statepb.Txn, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("plan: %v", err)
	}
	if txn == nil {
		return
	}
	if _, err := s.Apply(txn, s.Revision()+1); err != nil {
		s.t.Fatalf("apply: %v", err)
	}
}

func (s *site) create(kind adminpb.PathKind, path string) (*statepb.Txn, error) {
	return CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: kind, Path: path}, now, s.rand)
}

func (s *site) remove(kind adminpb.PathKind, path string) (*statepb.Txn, error) {
	return DeletePath(s.Config, &adminpb.DeletePathRequest{Kind: kind, Path: path})
}

func (s *site) link(name string) (*statepb.Txn, error) {
	return CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: name}, now)
}

func (s *site) pair(id state.SiteID, name string) (*statepb.Txn, error) {
	return Pair(s.Config, &statepb.Pairing{Site: id.Bytes(), SiteName: name, IdentityPublic: key32(id[15])}, now)
}

// walkThrough makes the example of the documentation.
func (s *site) walkThrough() {
	s.t.Helper()
	s.must(s.create(namespace, "Hawaii"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(bucket, "Hawaii/Cola/bk1"))
	s.must(s.create(tenant, "Hawaii/Pepsi"))
	s.must(s.link("hawaii"))
	s.must(Serve(s.Config, "hawaii", "Hawaii/Cola/bk1"))
	s.must(s.pair(peer, "south"))
}

// refusal is what a plan should say: a kind, and a part of the sentence and of
// the hint.
type refusal struct {
	kind       error
	says, hint string
}

func (want refusal) check(t *testing.T, txn *statepb.Txn, err error) {
	t.Helper()
	if txn != nil {
		t.Errorf("a refusal came with a transaction: %v", txn)
	}
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("error %v (%T) is no *Error", err, err)
	}
	if !errors.Is(err, want.kind) {
		t.Errorf("error %q is %v, want %v", got, got.Kind, want.kind)
	}
	if want.says == "" || !strings.Contains(got.Error(), want.says) {
		t.Errorf("error says %q, want something with %q", got.Error(), want.says)
	}
	if !strings.Contains(got.Hint(), want.hint) {
		t.Errorf("hint is %q, want something with %q", got.Hint(), want.hint)
	}
	if strings.HasSuffix(got.Error(), ".") || strings.ContainsAny(got.Error(), "\n\r") {
		t.Errorf("%q is not one sentence without a full stop", got.Error())
	}
}

func TestRefusals(t *testing.T) {
	served := func(s *site) { s.must(BindPeer(s.Config, "hawaii", peer)) }
	for name, c := range map[string]struct {
		prepare func(*site)
		plan    func(*site) (*statepb.Txn, error)
		want    refusal
	}{
		"second init": {nil, func(s *site) (*statepb.Txn, error) {
			return Init(s.Config, &statepb.Site{Id: far.Bytes(), Name: "x"}, &statepb.Node{})
		}, refusal{state.ErrExists, "initialised already: it belongs to site north", ""}},

		"cluster twice":        {nil, func(s *site) (*statepb.Txn, error) { return s.create(namespace, "Hawaii") }, refusal{state.ErrExists, "cluster Hawaii exists already", ""}},
		"tenant twice":         {nil, func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Hawaii/Cola") }, refusal{state.ErrExists, "tenant Hawaii/Cola exists already", ""}},
		"bucket twice":         {nil, func(s *site) (*statepb.Txn, error) { return s.create(bucket, "Hawaii/Cola/bk1") }, refusal{state.ErrExists, "bucket Hawaii/Cola/bk1 exists already", ""}},
		"tenant of nobody":     {nil, func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Maui/Cola") }, refusal{state.ErrNotFound, "cluster Maui does not exist", "cluster create Maui"}},
		"bucket without ns":    {nil, func(s *site) (*statepb.Txn, error) { return s.create(bucket, "Maui/Cola/bk1") }, refusal{state.ErrNotFound, "cluster Maui does not exist", ""}},
		"bucket of no tenant":  {nil, func(s *site) (*statepb.Txn, error) { return s.create(bucket, "Hawaii/Coke/bk1") }, refusal{state.ErrNotFound, "tenant Hawaii/Coke does not exist", "tenant create"}},
		"cluster with parts":   {nil, func(s *site) (*statepb.Txn, error) { return s.create(namespace, "Hawaii/Cola") }, refusal{state.ErrInvalid, "is not the path of a cluster", "NAMESPACE"}},
		"tenant without parts": {nil, func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Cola") }, refusal{state.ErrInvalid, "is not the path of a tenant", "NAMESPACE/TENANT"}},
		"bucket too deep":      {nil, func(s *site) (*statepb.Txn, error) { return s.create(bucket, "a/b/c/d") }, refusal{state.ErrInvalid, "is not the path of a bucket", ""}},
		"no kind":              {nil, func(s *site) (*statepb.Txn, error) { return s.create(0, "Hawaii") }, refusal{state.ErrInvalid, "does not say whether", ""}},
		"empty path":           {nil, func(s *site) (*statepb.Txn, error) { return s.create(namespace, "") }, refusal{state.ErrInvalid, "is not the path", ""}},
		"empty part":           {nil, func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Hawaii/") }, refusal{state.ErrInvalid, "tenant name is empty", ""}},
		"dots":                 {nil, func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Hawaii/..") }, refusal{state.ErrInvalid, "name \"..\"", ""}},
		"control characters":   {nil, func(s *site) (*statepb.Txn, error) { return s.create(namespace, "a\x1b[2J") }, refusal{state.ErrInvalid, `"a\x1b[2J"`, ""}},
		"bucket in capitals":   {nil, func(s *site) (*statepb.Txn, error) { return s.create(bucket, "Hawaii/Cola/BK1") }, refusal{state.ErrInvalid, "lower-case", ""}},

		"five replicas": {nil, func(s *site) (*statepb.Txn, error) {
			return CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: tenant, Path: "Hawaii/Up", Replicas: 5}, now, s.rand)
		}, refusal{state.ErrInvalid, "replicas are 1 to 4, not 5", ""}},
		"versions": {nil, func(s *site) (*statepb.Txn, error) {
			return CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: bucket, Path: "Hawaii/Cola/up1", Versions: 70000}, now, s.rand)
		}, refusal{state.ErrInvalid, "not 70000", ""}},
		"replicas of a cluster": {nil, func(s *site) (*statepb.Txn, error) {
			return CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: namespace, Path: "Maui", Replicas: 2}, now, s.rand)
		}, refusal{state.ErrInvalid, "a cluster has no replicas", "tenants or buckets"}},

		"full cluster":   {nil, func(s *site) (*statepb.Txn, error) { return s.remove(namespace, "Hawaii") }, refusal{state.ErrNotEmpty, "cluster Hawaii is not empty: it has 2 tenants", "Hawaii/Cola"}},
		"full tenant":    {nil, func(s *site) (*statepb.Txn, error) { return s.remove(tenant, "Hawaii/Cola") }, refusal{state.ErrNotEmpty, "tenant Hawaii/Cola is not empty: it has 1 bucket", "Hawaii/Cola/bk1"}},
		"absent cluster": {nil, func(s *site) (*statepb.Txn, error) { return s.remove(namespace, "Maui") }, refusal{state.ErrNotFound, "cluster Maui does not exist", ""}},
		"absent bucket":  {nil, func(s *site) (*statepb.Txn, error) { return s.remove(bucket, "Hawaii/Cola/bk2") }, refusal{state.ErrNotFound, "bucket Hawaii/Cola/bk2 does not exist", "bucket list"}},

		"key of nobody": {nil, func(s *site) (*statepb.Txn, error) {
			return CreateKey(s.Config, keyFor("Hawaii/Coke"), "AK1", []byte("s"), now)
		}, refusal{state.ErrNotFound, "tenant Hawaii/Coke does not exist", ""}},
		"key of a cluster": {nil, func(s *site) (*statepb.Txn, error) {
			return CreateKey(s.Config, keyFor("Hawaii"), "AK1", []byte("s"), now)
		},
			refusal{state.ErrInvalid, "is not the path of a tenant", ""}},
		"absent key": {nil, func(s *site) (*statepb.Txn, error) {
			return DeleteKey(s.Config, &adminpb.DeleteKeyRequest{AccessKey: "AK1"})
		}, refusal{state.ErrNotFound, `access key "AK1" does not exist`, "key list"}},

		"link twice": {nil, func(s *site) (*statepb.Txn, error) { return s.link("hawaii") }, refusal{state.ErrExists, "service hawaii exists already", ""}},
		"remote file": {nil, func(s *site) (*statepb.Txn, error) {
			return CreateService(s.Config, &adminpb.CreateServiceRequest{Type: "isgw", Name: "x", Remote: "file:///srv"}, now)
		}, refusal{state.ErrInvalid, "a link to file:// is not available yet", "ccow://"}},

		"serve a cluster":      {nil, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii") }, refusal{state.ErrInvalid, "whole cluster", "one by one"}},
		"serve elsewhere":      {nil, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Maui/Cola/bk1") }, refusal{state.ErrNotFound, "cluster Maui does not exist", ""}},
		"serve on nothing":     {nil, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "maui", "Hawaii/Cola/bk1") }, refusal{state.ErrNotFound, `service "maui" does not exist`, "service list"}},
		"serve twice":          {nil, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii/Cola/bk1") }, refusal{state.ErrExists, "serves Hawaii/Cola/bk1 already", ""}},
		"serve nonsense":       {nil, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii/Cola/bk1/key") }, refusal{state.ErrInvalid, "is not NAMESPACE", "NAMESPACE/TENANT"}},
		"serve under tenant":   {func(s *site) { s.must(Serve(s.Config, "hawaii", "Hawaii/Pepsi")) }, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii/Pepsi/bk1") }, refusal{state.ErrExists, "with all of tenant Hawaii/Pepsi", ""}},
		"unserve absent":       {nil, func(s *site) (*statepb.Txn, error) { return Unserve(s.Config, "hawaii", "Hawaii/Pepsi/bk1") }, refusal{state.ErrNotFound, "does not serve Hawaii/Pepsi/bk1", "service show hawaii"}},
		"unserve under tenant": {func(s *site) { s.must(Serve(s.Config, "hawaii", "Hawaii/Pepsi")) }, func(s *site) (*statepb.Txn, error) { return Unserve(s.Config, "hawaii", "Hawaii/Pepsi/bk1") }, refusal{state.ErrNotFound, "does not serve", "all of tenant Hawaii/Pepsi"}},
		"enable nothing":       {nil, func(s *site) (*statepb.Txn, error) { return SetEnabled(s.Config, "maui", true) }, refusal{state.ErrNotFound, "does not exist", ""}},
		"delete no service":    {nil, func(s *site) (*statepb.Txn, error) { return DeleteService(s.Config, "maui") }, refusal{state.ErrNotFound, "does not exist", ""}},
		"bind a stranger":      {nil, func(s *site) (*statepb.Txn, error) { return BindPeer(s.Config, "hawaii", far) }, refusal{state.ErrNotFound, "is not paired", "site invite"}},
		"another site answers": {func(s *site) { served(s); s.must(s.pair(far, "east")) }, func(s *site) (*statepb.Txn, error) { return BindPeer(s.Config, "hawaii", far) }, refusal{state.ErrConflict, "is a link with site south, but site east", "correct the remote"}},
		"bucket on two links":  {func(s *site) { served(s); s.must(s.link("two")); s.must(BindPeer(s.Config, "two", peer)) }, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "two", "Hawaii/Cola/bk1") }, refusal{state.ErrConflict, "service hawaii serves Hawaii/Cola/bk1 to the same site, south", "unserve"}},
		"tenant over a bucket": {func(s *site) { served(s); s.must(s.link("two")); s.must(BindPeer(s.Config, "two", peer)) }, func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "two", "Hawaii/Cola") }, refusal{state.ErrConflict, "to the same site", ""}},
		"bind makes two":       {func(s *site) { served(s); s.must(s.link("two")); s.must(Serve(s.Config, "two", "Hawaii/Cola/bk1")) }, func(s *site) (*statepb.Txn, error) { return BindPeer(s.Config, "two", peer) }, refusal{state.ErrConflict, "to the same site", ""}},
		"pair with oneself":    {nil, func(s *site) (*statepb.Txn, error) { return s.pair(here, "north") }, refusal{state.ErrInvalid, "this very site", "other site"}},
		"pair without id":      {nil, func(s *site) (*statepb.Txn, error) { return Pair(s.Config, &statepb.Pairing{}, now) }, refusal{state.ErrInvalid, "no valid id", ""}},
		"pair another identity": {nil, func(s *site) (*statepb.Txn, error) {
			return Pair(s.Config, &statepb.Pairing{Site: peer.Bytes(), IdentityPublic: key32(7)}, now)
		}, refusal{state.ErrConflict, "paired already, with another identity", ""}},
		"roster of a stranger": {nil, func(s *site) (*statepb.Txn, error) { return SeeRoster(s.Config, shows(far, 3, 2)) }, refusal{state.ErrNotFound, "is not paired", ""}},
		"invite to nowhere":    {nil, func(s *site) (*statepb.Txn, error) { return Invite(s.Config, key32(5), "0.0.0.0:14000", now) }, refusal{state.ErrInvalid, "nobody can dial it", "reach"}},
		"unknown token": {nil, func(s *site) (*statepb.Txn, error) { return AcceptPair(s.Config, key32(5), &statepb.Pairing{}, now) },
			refusal{state.ErrNotFound, "token is not known here", "site invite"}},
		"expired token": {func(s *site) { s.must(Invite(s.Config, key32(5), "", now)) }, func(s *site) (*statepb.Txn, error) {
			return AcceptPair(s.Config, key32(5), &statepb.Pairing{Site: far.Bytes(), IdentityPublic: key32(3)}, now.Add(InvitationLife))
		}, refusal{state.ErrConflict, "the token expired at 2026-11-22T12:15:00Z", "site invite"}},
		"used token": {func(s *site) {
			s.must(Invite(s.Config, key32(5), "", now))
			s.must(AcceptPair(s.Config, key32(5), &statepb.Pairing{Site: far.Bytes(), IdentityPublic: key32(3)}, now))
		}, func(s *site) (*statepb.Txn, error) {
			return AcceptPair(s.Config, key32(5), &statepb.Pairing{Site: far.Bytes(), IdentityPublic: key32(3)}, now)
		}, refusal{state.ErrNotFound, "used already", ""}},
		"too many invitations": {func(s *site) {
			for i := range MaxInvitations {
				s.must(Invite(s.Config, append(key32(5)[:30], byte(i>>8), byte(i)), "", now))
			}
		}, func(s *site) (*statepb.Txn, error) { return Invite(s.Config, key32(6), "", now) }, refusal{state.ErrConflict, "100 invitations are open", "expire"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.walkThrough()
			if c.prepare != nil {
				c.prepare(s)
			}
			txn, err := c.plan(s)
			c.want.check(t, txn, err)
		})
	}
}

// TestNothingToDo finds plans that change nothing.
func TestNothingToDo(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(BindPeer(s.Config, "hawaii", peer))
	for name, plan := range map[string]func() (*statepb.Txn, error){
		"enable an enabled": func() (*statepb.Txn, error) { return SetEnabled(s.Config, "hawaii", true) },
		"bind a bound":      func() (*statepb.Txn, error) { return BindPeer(s.Config, "hawaii", peer) },
		"bucket is there":   func() (*statepb.Txn, error) { return CreateForLink(s.Config, "Hawaii/Cola/bk1", "hawaii", now, s.rand) },
		"an old roster":     func() (*statepb.Txn, error) { return SeeRoster(s.Config, shows(peer, 2, 0)) },
	} {
		if txn, err := plan(); txn != nil || err != nil {
			t.Errorf("%s: %v, %v; want nil, nil", name, txn, err)
		}
	}
}

// TestStale plans twice from one config: the second of two plans about one
// object must not be accepted.
func TestStale(t *testing.T) {
	for name, plan := range map[string]func(*site) (*statepb.Txn, error){
		"create": func(s *site) (*statepb.Txn, error) { return s.create(tenant, "Hawaii/Up") },
		"delete": func(s *site) (*statepb.Txn, error) { return s.remove(tenant, "Hawaii/Pepsi") },
		"serve":  func(s *site) (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii/Pepsi") },
		"stop":   func(s *site) (*statepb.Txn, error) { return SetEnabled(s.Config, "hawaii", false) },
		"bind":   func(s *site) (*statepb.Txn, error) { return BindPeer(s.Config, "hawaii", peer) },
		"invite": func(s *site) (*statepb.Txn, error) { return Invite(s.Config, key32(5), "", now) },
		"key": func(s *site) (*statepb.Txn, error) {
			return CreateKey(s.Config, keyFor("Hawaii/Cola"), "AK1", []byte("s"), now)
		},
		"pair":   func(s *site) (*statepb.Txn, error) { return s.pair(far, "east") },
		"link":   func(s *site) (*statepb.Txn, error) { return s.link("two") },
		"end":    func(s *site) (*statepb.Txn, error) { return DeleteService(s.Config, "hawaii") },
		"roster": func(s *site) (*statepb.Txn, error) { return SeeRoster(s.Config, shows(peer, 2, 4)) },
		"bucket": func(s *site) (*statepb.Txn, error) {
			return CreateForLink(s.Config, "Maui/Sun/sea", "hawaii", now, s.rand)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.walkThrough()
			first, err := plan(s)
			if err != nil {
				t.Fatal(err)
			}
			second, err := plan(s)
			if err != nil {
				t.Fatal(err)
			}
			s.must(first, nil)
			if _, err := s.Apply(second, s.Revision()+1); err == nil {
				t.Error("a plan from before the change was accepted after it")
			}
		})
	}
}

func TestCreateForLink(t *testing.T) {
	s := newSite(t)
	s.must(CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: namespace, Path: "Hawaii"}, now, s.rand))
	s.must(CreatePath(s.Config, &adminpb.CreatePathRequest{Kind: tenant, Path: "Hawaii/Cola", Replicas: 2, Versions: 7}, now, s.rand))
	s.must(CreateForLink(s.Config, "Hawaii/Cola/bk1", "hawaii", now, s.rand))
	s.must(CreateForLink(s.Config, "Maui/Sun/sea", "hawaii", now, s.rand))

	overridden, err := GetPath(s.Config, bucket, "Hawaii/Cola/bk1")
	if err != nil {
		t.Fatal(err)
	}
	if overridden.GetReplicas() != 0 || overridden.GetEffectiveReplicas() != 2 || overridden.GetEffectiveVersions() != 7 {
		t.Errorf("a bucket made by a link does not have its tenant's settings: %v", overridden)
	}
	if overridden.GetCreatedBy() != "link hawaii" {
		t.Errorf("created by %q", overridden.GetCreatedBy())
	}
	if _, _, ok := s.Bucket("Maui/Sun/sea"); !ok {
		t.Error("a bucket in a new namespace was not made")
	}
	a, _, _ := s.Bucket("Hawaii/Cola/bk1")
	b, _, _ := s.Bucket("Maui/Sun/sea")
	if bytes.Equal(a.GetIncarnation(), b.GetIncarnation()) || len(a.GetIncarnation()) != 16 {
		t.Errorf("incarnations %x and %x", a.GetIncarnation(), b.GetIncarnation())
	}
}

func TestDeleteTenantTakesItsKeys(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	s.must(CreateKey(s.Config, keyFor("Hawaii/Pepsi"), "AK1", []byte("s"), now))
	s.must(CreateKey(s.Config, keyFor("Hawaii/Pepsi"), "AK2", []byte("s"), now))
	s.must(CreateKey(s.Config, keyFor("Hawaii/Cola"), "AK3", []byte("s"), now))
	s.must(s.remove(tenant, "Hawaii/Pepsi"))
	keys, err := ListKeys(s.Config, "")
	if err != nil || len(keys) != 1 || keys[0].GetAccessKey() != "AK3" {
		t.Errorf("keys left: %v, %v", keys, err)
	}
}

func TestServeKeepsOrder(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	for _, path := range []string{"Hawaii/Pepsi", "Hawaii/Cola/aaa", "Hawaii/Pepsi-2/bk1", "Hawaii/Cola"} {
		s.must(Serve(s.Config, "hawaii", path))
	}
	s.must(Unserve(s.Config, "hawaii", "Hawaii/Cola/bk1"))
	service, err := GetService(s.Config, "hawaii")
	if err != nil {
		t.Fatal(err)
	}
	want := "[Hawaii/Cola Hawaii/Cola/aaa Hawaii/Pepsi Hawaii/Pepsi-2/bk1]"
	if got := fmt.Sprint(service.GetServes()); got != want {
		t.Errorf("serves %s, want %s", got, want)
	}
}

// TestPlansLeaveTheConfig checks that a plan that is not applied changes nothing.
func TestPlansLeaveTheConfig(t *testing.T) {
	s := newSite(t)
	s.walkThrough()
	for _, plan := range []func() (*statepb.Txn, error){
		func() (*statepb.Txn, error) { return Serve(s.Config, "hawaii", "Hawaii/Pepsi") },
		func() (*statepb.Txn, error) { return Unserve(s.Config, "hawaii", "Hawaii/Cola/bk1") },
		func() (*statepb.Txn, error) { return SetEnabled(s.Config, "hawaii", false) },
		func() (*statepb.Txn, error) { return BindPeer(s.Config, "hawaii", peer) },
		func() (*statepb.Txn, error) { return SeeRoster(s.Config, shows(peer, 2, 9)) },
	} {
		if _, err := plan(); err != nil {
			t.Fatal(err)
		}
	}
	service, _, _ := s.Service("hawaii")
	pairing, _, _ := s.Pairing(peer)
	if len(service.GetServes()) != 1 || service.GetDisabled() || service.GetPeer() != nil || pairing.GetRosterNumber() != 0 {
		t.Errorf("planning changed the config: %v, %v", service, pairing)
	}
}

func TestPairAgain(t *testing.T) {
	s := newSite(t)
	renew := func(roster uint64, address string) {
		t.Helper()
		s.must(Pair(s.Config, &statepb.Pairing{Site: peer.Bytes(), SiteName: "south", IdentityPublic: key32(2), RosterNumber: roster, Address: address}, now.Add(time.Duration(roster))))
	}
	renew(3, "south:14000")
	renew(1, "")
	pairing, _, _ := s.Pairing(peer)
	if pairing.GetRosterNumber() != 3 || pairing.GetAddress() != "south:14000" || pairing.GetCreated() != now.UnixNano()+3 {
		t.Errorf("pairing again lost something: %v", pairing)
	}
}

func TestInviteForgetsTheExpired(t *testing.T) {
	s := newSite(t)
	s.must(Invite(s.Config, key32(5), "", now))
	s.must(Invite(s.Config, key32(6), "", now.Add(InvitationLife+1)))
	if _, _, ok := s.Invitation(hex.EncodeToString(key32(5))); ok {
		t.Error("an expired invitation is still there")
	}
	if _, _, ok := s.Invitation(hex.EncodeToString(key32(6))); !ok {
		t.Error("the new invitation is not there")
	}
}
