package state

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/state/statepb"
)

var (
	selfID  = bytes.Repeat([]byte{1}, 16)
	otherID = bytes.Repeat([]byte{2}, 16)
	public  = bytes.Repeat([]byte{3}, 32)
	life    = bytes.Repeat([]byte{4}, 16)
)

func site() *pb.Site {
	return &pb.Site{Id: selfID, Name: "east", Epoch: 1, IdentityPublic: public, RosterNumber: 1}
}

func namespace(name string) *pb.Object { return Wrap(&pb.Namespace{Name: name}) }
func tenant(path string) *pb.Object    { return Wrap(&pb.Tenant{Path: path}) }
func bucket(path string) *pb.Object    { return Wrap(&pb.Bucket{Path: path, Incarnation: life}) }
func key(name, tenant string) *pb.Object {
	return Wrap(&pb.Key{AccessKey: name, SecretSealed: []byte("x"), Tenant: tenant})
}

func link(name string, peer []byte, serves ...string) *pb.Object {
	s := &pb.Service{Name: name, Type: TypeLink, Peer: peer}
	for _, p := range serves {
		s.Serves = append(s.Serves, &pb.Served{Path: p})
	}
	return Wrap(s)
}

func put(objects ...*pb.Object) *pb.Txn { return &pb.Txn{Puts: objects} }

func del(kind pb.Kind, names ...string) *pb.Txn {
	txn := &pb.Txn{}
	for _, name := range names {
		txn.Deletes = append(txn.Deletes, Key{kind, name}.Proto())
	}
	return txn
}

func join(txns ...*pb.Txn) *pb.Txn {
	all := &pb.Txn{}
	for _, txn := range txns {
		proto.Merge(all, txn)
	}
	return all
}

// populated is a config at revision 1 with a little of everything.
func populated(t testing.TB) *Config {
	t.Helper()
	c := New()
	_, err := c.Apply(put(Wrap(site()), namespace("Hawaii"), tenant("Hawaii/Cola"), tenant("Hawaii/Pepsi"),
		bucket("Hawaii/Cola/bk1"), key("AKIA1", "Hawaii/Pepsi"),
		link("hawaii", otherID, "Hawaii/Cola/bk1")), 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRefusals(t *testing.T) {
	set := func(change func(*pb.Site)) *pb.Txn { s := site(); change(s); return put(Wrap(s)) }
	for _, c := range []struct {
		name string
		txn  *pb.Txn
		kind error
		want string
	}{
		{"nothing", &pb.Txn{}, ErrInvalid, "changes nothing"},
		{"no content", put(&pb.Object{}), ErrInvalid, "no content"},
		{"twice", put(namespace("A"), namespace("A")), ErrInvalid, "twice"},
		{"put and deleted", join(put(namespace("Hawaii")), del(pb.Kind_KIND_NAMESPACE, "Hawaii")), ErrInvalid, "twice"},
		{"exists", &pb.Txn{Checks: []*pb.Check{Key{pb.Kind_KIND_NAMESPACE, "Hawaii"}.Check(0)}, Puts: []*pb.Object{namespace("Hawaii")}}, ErrExists, "namespace Hawaii exists already"},
		{"changed", &pb.Txn{Checks: []*pb.Check{Key{pb.Kind_KIND_NAMESPACE, "Hawaii"}.Check(7)}, Puts: []*pb.Object{namespace("Hawaii")}}, ErrConflict, "changed meanwhile"},
		{"gone", &pb.Txn{Checks: []*pb.Check{Key{pb.Kind_KIND_NAMESPACE, "Guam"}.Check(7)}, Puts: []*pb.Object{namespace("Guam")}}, ErrNotFound, "does not exist any more"},
		{"delete of nothing", del(pb.Kind_KIND_NAMESPACE, "Guam"), ErrNotFound, "namespace Guam does not exist"},
		{"delete of the site", del(pb.Kind_KIND_SITE, "site"), ErrInvalid, "cannot be deleted"},
		{"another site", set(func(s *pb.Site) { s.Id = otherID }), ErrExists, "initialised already"},
		{"site id", set(func(s *pb.Site) { s.Id = otherID[:15] }), ErrInvalid, "15 bytes"},
		{"site name", set(func(s *pb.Site) { s.Name = "a/b" }), ErrInvalid, "site name"},
		{"site key", set(func(s *pb.Site) { s.IdentityPublic = nil }), ErrInvalid, "public key"},
		{"epoch falls", set(func(s *pb.Site) { s.Epoch = 0 }), ErrConflict, "epoch cannot fall"},
		{"roster falls", set(func(s *pb.Site) { s.RosterNumber = 0 }), ErrConflict, "roster number cannot fall"},
		{"tenant without namespace", put(tenant("Guam/Cola")), ErrNotFound, "namespace Guam does not exist"},
		{"bucket without tenant", put(bucket("Hawaii/Fanta/bk1")), ErrNotFound, "tenant Hawaii/Fanta does not exist"},
		{"bucket as tenant", put(tenant("Hawaii/Cola/bk1")), ErrInvalid, "not the path of a tenant"},
		{"replicas", put(Wrap(&pb.Tenant{Path: "Hawaii/Cola", Replicas: 5})), ErrInvalid, "5 replicas"},
		{"versions", put(Wrap(&pb.Tenant{Path: "Hawaii/Cola", Versions: 1 << 16})), ErrInvalid, "65536 versions"},
		{"incarnation", put(Wrap(&pb.Bucket{Path: "Hawaii/Cola/bk2"})), ErrInvalid, "incarnation has 0 bytes"},
		{"incarnation changes", put(Wrap(&pb.Bucket{Path: "Hawaii/Cola/bk1", Incarnation: otherID})), ErrConflict, "another incarnation"},
		{"namespace with tenants", del(pb.Kind_KIND_NAMESPACE, "Hawaii"), ErrNotEmpty, "still has tenant Hawaii/Cola"},
		{"namespace loses one tenant", join(del(pb.Kind_KIND_NAMESPACE, "Hawaii"), del(pb.Kind_KIND_TENANT, "Hawaii/Cola"), del(pb.Kind_KIND_BUCKET, "Hawaii/Cola/bk1")), ErrNotEmpty, "Hawaii/Pepsi"},
		{"tenant with bucket", del(pb.Kind_KIND_TENANT, "Hawaii/Cola"), ErrNotEmpty, "still has bucket"},
		{"tenant with a bucket of the same txn", join(del(pb.Kind_KIND_TENANT, "Hawaii/Pepsi"), del(pb.Kind_KIND_KEY, "AKIA1"), put(bucket("Hawaii/Pepsi/bk1"))), ErrNotFound, "tenant Hawaii/Pepsi does not exist"},
		{"tenant with key", del(pb.Kind_KIND_TENANT, "Hawaii/Pepsi"), ErrNotEmpty, "still has access key AKIA1"},
		{"key of nobody", put(key("AKIA2", "Hawaii/Fanta")), ErrNotFound, "tenant Hawaii/Fanta"},
		{"key of another", put(key("AKIA1", "Hawaii/Cola")), ErrExists, "belongs to tenant Hawaii/Pepsi"},
		{"key name", put(key("A/1", "Hawaii/Cola")), ErrInvalid, "access key"},
		{"key without secret", put(Wrap(&pb.Key{AccessKey: "AKIA3", Tenant: "Hawaii/Cola"})), ErrInvalid, "sealed secret has 0 bytes"},
		{"pairing with itself", put(Wrap(&pb.Pairing{Site: selfID, IdentityPublic: public})), ErrInvalid, "itself"},
		{"pairing without key", put(Wrap(&pb.Pairing{Site: otherID})), ErrInvalid, "public key"},
		{"invitation", put(Wrap(&pb.Invitation{TokenHash: public})), ErrInvalid, "expires before"},
		{"invitation hash", put(Wrap(&pb.Invitation{TokenHash: life, Expires: 1})), ErrInvalid, "16 bytes"},
		{"node id", put(Wrap(&pb.Node{Id: "a b", PublicKey: public})), ErrInvalid, "node id"},
		{"service type", put(Wrap(&pb.Service{Name: "x", Type: "nfs"})), ErrInvalid, `type "nfs"`},
		{"direction", put(Wrap(&pb.Service{Name: "x", Type: TypeLink, Direction: "both"})), ErrInvalid, "direction"},
		{"replication", put(Wrap(&pb.Service{Name: "x", Type: TypeLink, Replication: "once"})), ErrInvalid, "replication"},
		{"connections", put(Wrap(&pb.Service{Name: "x", Type: TypeLink, Connections: 65})), ErrInvalid, "65 connections"},
		{"peer", put(link("x", otherID[:3])), ErrInvalid, "3 bytes"},
		{"remote", put(Wrap(&pb.Service{Name: "x", Type: TypeLink, Remote: "http://a:1"})), ErrInvalid, "scheme"},
		{"serves a namespace", put(link("x", nil, "Hawaii")), ErrInvalid, "serve a tenant or a bucket"},
		{"serves out of order", put(link("x", nil, "Hawaii/Cola/bk2", "Hawaii/Cola/bk1")), ErrInvalid, "not in order"},
		{"serves twice", put(link("x", nil, "Hawaii/Cola/bk1", "Hawaii/Cola/bk1")), ErrInvalid, "not in order"},
		{"bucket on two links", put(link("x", otherID, "Hawaii/Cola/bk1")), ErrConflict, "service hawaii serves to the same site"},
		{"bucket under a tenant on two links", put(link("x", otherID, "Hawaii/Cola")), ErrConflict, "would serve Hawaii/Cola/bk1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := populated(t)
			before := dump(t, cfg)
			if err := cfg.Check(c.txn); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check: %v; want %v with %q", err, c.kind, c.want)
			}
			if _, err := cfg.Apply(c.txn, 2); !errors.Is(err, c.kind) {
				t.Errorf("Apply: %v", err)
			}
			if !bytes.Equal(before, dump(t, cfg)) || cfg.Revision() != 1 {
				t.Error("a refused transaction changed the config")
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		name string
		txn  *pb.Txn
	}{
		{"children before parents", put(bucket("Guam/Cola/bk1"), tenant("Guam/Cola"), namespace("Guam"))},
		{"a whole branch goes", join(del(pb.Kind_KIND_NAMESPACE, "Hawaii"), del(pb.Kind_KIND_TENANT, "Hawaii/Cola", "Hawaii/Pepsi"),
			del(pb.Kind_KIND_BUCKET, "Hawaii/Cola/bk1"), del(pb.Kind_KIND_KEY, "AKIA1"))},
		{"a bucket not made yet is served", put(link("x", nil, "Guam/Cola", "Hawaii/Cola/bk1"))},
		{"the same bucket to another site", put(link("x", life, "Hawaii/Cola/bk1"))},
		{"another bucket to the same site", put(link("x", otherID, "Hawaii/Cola/bk2"))},
		{"a link changes what it serves", put(link("hawaii", otherID, "Hawaii/Cola"))},
		{"a link hands a bucket over", put(link("hawaii", otherID), link("x", otherID, "Hawaii/Cola/bk1"))},
		{"check holds", &pb.Txn{Checks: []*pb.Check{SiteKey.Check(1), Key{pb.Kind_KIND_NAMESPACE, "Guam"}.Check(0)}, Puts: []*pb.Object{namespace("Guam")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := populated(t).Check(c.txn); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUninitialised(t *testing.T) {
	c := New()
	if _, err := c.Apply(put(namespace("Hawaii")), 1); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "not initialised") {
		t.Errorf("a namespace without a site: %v", err)
	}
	if !c.SiteID().IsZero() {
		t.Error("an empty config has a site id")
	}
}

func TestGetters(t *testing.T) {
	c := populated(t)
	changed := c.Changed()
	if _, err := c.Apply(put(bucket("Hawaii/Cola/a-bucket"), namespace("Guam"), tenant("Guam/Cola"), bucket("Guam/Cola/bk9")), 5); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("Changed was not closed")
	}
	if got := names(c.Buckets("Hawaii/Cola")); got != "Hawaii/Cola/a-bucket Hawaii/Cola/bk1" {
		t.Errorf("buckets of a tenant: %s", got)
	}
	if got := names(c.Buckets("")); got != "Guam/Cola/bk9 Hawaii/Cola/a-bucket Hawaii/Cola/bk1" {
		t.Errorf("all buckets: %s", got)
	}
	if got := names(c.Tenants("Hawaii")); got != "Hawaii/Cola Hawaii/Pepsi" {
		t.Errorf("tenants of a namespace: %s", got)
	}
	if len(c.Buckets("Hawaii/Col")) != 0 {
		t.Error("a part of a name is taken for a tenant")
	}
	if len(c.Keys("Hawaii/Pepsi")) != 1 || len(c.Keys("Hawaii/Cola")) != 0 || len(c.Keys("")) != 1 {
		t.Error("keys of tenants are wrong")
	}
	if _, rev, ok := c.Bucket("Hawaii/Cola/bk1"); rev != 1 || !ok {
		t.Errorf("an untouched object has revision %d, %v", rev, ok)
	}
	if _, rev, ok := c.Bucket("Guam/Cola/bk9"); rev != 5 || !ok || c.Revision() != 5 {
		t.Errorf("a new object has revision %d, %v", rev, ok)
	}
	if _, _, ok := c.Service("nothing"); ok {
		t.Error("found a service that is not there")
	}
	if _, err := c.Apply(put(namespace("Fiji")), 5); err == nil {
		t.Error("a revision was used twice")
	}
}

func names[M interface{ GetPath() string }](list []M) string {
	var out []string
	for _, m := range list {
		out = append(out, m.GetPath())
	}
	return strings.Join(out, " ")
}

func TestLinkSettings(t *testing.T) {
	for _, c := range []struct {
		direction       string
		sends, receives bool
	}{
		{"", true, true},
		{DirectionBoth, true, true},
		{DirectionSend, true, false},
		{DirectionReceive, false, true},
	} {
		s := &pb.Service{Direction: c.direction}
		if Sends(s) != c.sends || Receives(s) != c.receives {
			t.Errorf("%q: wrong", c.direction)
		}
	}
	s := link("x", nil, "Hawaii/Cola", "Hawaii/Pepsi/bk1").GetService()
	for path, want := range map[string]bool{"Hawaii/Cola/bk9": true, "Hawaii/Pepsi/bk1": true, "Hawaii/Pepsi/bk11": false, "Hawaii/Colada/bk1": false} {
		if Serves(s, path) != want {
			t.Errorf("Serves(%s) is %v", path, !want)
		}
	}
	if EffectiveVersions(nil, nil) != 1 || EffectiveVersions(&pb.Bucket{}, &pb.Tenant{Versions: 3}) != 3 || EffectiveVersions(&pb.Bucket{Versions: 2}, &pb.Tenant{Versions: 3}) != 2 {
		t.Error("EffectiveVersions is wrong")
	}
}

// dump is the canonical form of a whole config: it is also what a node stores.
func dump(t rapid.TB, c *Config) []byte {
	var out []byte
	c.mu.RLock()
	defer c.mu.RUnlock()
	for kind := range pb.Kind(len(pb.Kind_name)) {
		for _, e := range c.kinds[kind] {
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(e.stored)
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(append(out, e.name...), 0), raw...)
		}
	}
	return out
}

// TestReplayEqual applies random transactions and checks that a second config
// decides the same, that what the changes say is what a store would hold, and
// that no refusal changes anything.
func TestReplayEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(), New()
		store := map[Key]*pb.Stored{}
		name := rapid.SampledFrom([]string{"A", "B"})
		object := rapid.Custom(func(t *rapid.T) *pb.Object {
			ns := name.Draw(t, "ns")
			tn := ns + "/" + name.Draw(t, "tenant")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				return namespace(ns)
			case 1:
				return tenant(tn)
			case 2:
				return bucket(tn + "/bk1")
			case 3:
				return key("key"+ns, tn)
			case 4:
				return link("l"+ns, otherID, tn)
			}
			return Wrap(site())
		})
		revision := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "txns") {
			txn := &pb.Txn{Puts: rapid.SliceOfN(object, 0, 3).Draw(t, "puts")}
			if n := rapid.IntRange(0, 3).Draw(t, "plan"); n > 0 {
				txn.Plan = planName(n)
			}
			for _, o := range rapid.SliceOfN(object, 0, 3).Draw(t, "deletes") {
				k, _ := KeyOf(o)
				txn.Deletes = append(txn.Deletes, k.Proto())
			}
			before := dump(t, a)
			changes, err := a.Apply(txn, revision+1)
			_, err2 := b.Apply(proto.Clone(txn).(*pb.Txn), revision+1)
			if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
				t.Fatalf("one decides %v, the other %v", err, err2)
			}
			if err != nil {
				if !bytes.Equal(before, dump(t, a)) {
					t.Fatalf("refused with %v, and changed", err)
				}
				continue
			}
			revision++
			for _, ch := range changes {
				if ch.Stored == nil {
					delete(store, ch.Key)
				} else {
					store[ch.Key] = ch.Stored
				}
			}
		}
		loaded := New()
		var all []*pb.Stored
		for _, s := range store {
			all = append(all, s)
		}
		if err := loaded.Load(revision, all); err != nil {
			t.Fatal(err)
		}
		if want := dump(t, a); !bytes.Equal(want, dump(t, b)) || !bytes.Equal(want, dump(t, loaded)) {
			t.Fatal("configs differ")
		}
		for _, ns := range a.Tenants("") {
			p, _ := ParsePath(ns.GetPath())
			if _, _, ok := a.Namespace(p.Namespace); !ok {
				t.Fatalf("tenant %s has no namespace", p)
			}
		}
		for _, bk := range a.Buckets("") {
			p, _ := ParsePath(bk.GetPath())
			if _, _, ok := a.Tenant(p.Parent().String()); !ok {
				t.Fatalf("bucket %s has no tenant", p)
			}
		}
	})
}

func TestLoadRefusesDuplicates(t *testing.T) {
	c := populated(t)
	before := dump(t, c)
	twice := &pb.Stored{Object: namespace("A"), Revision: 1}
	if err := c.Load(9, []*pb.Stored{twice, twice}); err == nil || !strings.Contains(err.Error(), "stored twice") {
		t.Errorf("duplicates: %v", err)
	}
	if err := c.Load(9, []*pb.Stored{{}}); err == nil {
		t.Error("an empty object was loaded")
	}
	if !bytes.Equal(before, dump(t, c)) || c.Revision() != 1 {
		t.Error("a failed load changed the config")
	}
}

func TestConcurrentReads(t *testing.T) {
	c := populated(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, b := range c.Buckets("Hawaii") {
					if b.GetPath() == "" {
						t.Error("read a half-made bucket")
					}
				}
				c.Services()
			}
		})
	}
	for rev := uint64(2); rev < 200; rev += 2 {
		if _, err := c.Apply(put(bucket("Hawaii/Cola/bk2")), rev); err != nil {
			t.Error(err)
		}
		if _, err := c.Apply(del(pb.Kind_KIND_BUCKET, "Hawaii/Cola/bk2"), rev+1); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}
