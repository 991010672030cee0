package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "edgefog.dev/isgw/raftfsm/state/statepb"
)

// service is a link with settings.
func service(change func(*pb.Service)) *pb.Txn {
	s := &pb.Service{Name: "x", Type: TypeLink}
	change(s)
	return put(Wrap(s))
}

// served is a link that serves a bucket with options.
func served(change func(*pb.Served)) *pb.Txn {
	return service(func(s *pb.Service) {
		v := &pb.Served{Path: "Hawaii/Cola/bk9"}
		change(v)
		s.Serves = []*pb.Served{v}
	})
}

func TestSettings(t *testing.T) {
	long := strings.Repeat("x", maxPrefix+1)
	many := make([]string, MaxPrefixes+1)
	for i := range many {
		many[i] = fmt.Sprintf("%03d/", i)
	}
	note := func(names ...string) func(*pb.Service) {
		return func(s *pb.Service) {
			for _, n := range names {
				s.Annotations = append(s.Annotations, &pb.Annotation{Name: n, Value: "v"})
			}
		}
	}
	for _, c := range []struct {
		name string
		txn  *pb.Txn
		want string // part of the refusal; empty: it is taken
	}{
		{"everything", service(func(s *pb.Service) {
			s.Tunnel, s.Local, s.ChunkCache, s.Profile, s.Server = true, "0.0.0.0:14000", 1<<30, ProfileEmbedded, "hawaii"
			s.SendLimit = &pb.Limit{Rate: 1 << 20, Windows: []*pb.LimitWindow{{From: 480, To: 1080}}}
			s.Annotations = []*pb.Annotation{{Name: "a"}, {Name: "example.com/b", Value: "ü"}}
			s.Resources = &pb.Resources{LimitCpu: 2000, LimitMemory: 4 << 30}
			s.Placement = []byte(`{"tolerations":[{"operator":"Exists"}]}`)
			s.Serves = []*pb.Served{{Path: "Hawaii/Cola", Include: []string{"a/", "b/"}, Exclude: []string{"a/tmp/"}, Direction: DirectionSend, Deletes: DeletesKeep}}
		}), ""},
		{"local", service(func(s *pb.Service) { s.Local = "14000" }), "is not HOST:PORT"},
		{"chunk cache", service(func(s *pb.Service) { s.ChunkCache = 1 << 20 }), "a chunk cache of 1048576 bytes is not from"},
		{"profile", service(func(s *pb.Service) { s.Profile = "fast" }), `unknown resource profile "fast"`},
		{"windows", service(func(s *pb.Service) { s.ReceiveLimit = &pb.Limit{Windows: make([]*pb.LimitWindow, 17)} }), "17 times of day"},
		{"window", service(func(s *pb.Service) { s.SendLimit = &pb.Limit{Windows: []*pb.LimitWindow{{To: 1440}}} }), "not within a day"},
		{"server name", service(func(s *pb.Service) { s.Server = "a b" }), "service name"},
		{"annotation order", service(note("b", "a")), "not in order"},
		{"annotation twice", service(note("a", "a")), "not in order"},
		{"annotation name", service(note("a b")), `annotation name "a b"`},
		{"annotation domain", service(note("/a")), "no domain"},
		{"annotation value", service(func(s *pb.Service) { s.Annotations = []*pb.Annotation{{Name: "a", Value: "\xff"}} }), "not UTF-8"},
		{"annotations", service(func(s *pb.Service) { s.Annotations = make([]*pb.Annotation, MaxAnnotations+1) }), "more than 64"},
		{"resources", service(func(s *pb.Service) { s.Resources = &pb.Resources{LimitMemory: 1 << 61} }), "resource of"},
		{"placement", service(func(s *pb.Service) { s.Placement = []byte("{") }), "no JSON"},
		{"long placement", service(func(s *pb.Service) { s.Placement = make([]byte, MaxPlacement+1) }), "placement has"},
		{"site profile", put(Wrap(func() *pb.Site { s := site(); s.Profile = "fast"; return s }())), "unknown resource profile"},
		{"node label", put(Wrap(&pb.Node{Id: "n1", PublicKey: public, Labels: []*pb.Annotation{{Name: "a b"}}})), "label name"},
		{"served direction", served(func(s *pb.Served) { s.Direction = DirectionBoth }), "unknown direction"},
		{"served deletes", served(func(s *pb.Served) { s.Deletes = "never" }), "unknown way"},
		{"prefixes out of order", served(func(s *pb.Served) { s.Include = []string{"b", "a"} }), "included prefixes of Hawaii/Cola/bk9 are not in order"},
		{"empty prefix", served(func(s *pb.Served) { s.Exclude = []string{""} }), "excluded prefix"},
		{"long prefix", served(func(s *pb.Served) { s.Include = []string{long} }), "included prefix"},
		{"many prefixes", served(func(s *pb.Served) { s.Exclude = many }), "65 excluded prefixes"},
	} {
		err := populated(t).Check(c.txn)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestServers: groups of services are one level deep, and a server stays while
// services make use of it.
func TestServers(t *testing.T) {
	of := func(name, server string) *pb.Object {
		return Wrap(&pb.Service{Name: name, Type: TypeLink, Server: server})
	}
	s3 := Wrap(&pb.Service{Name: "front", Type: TypeS3})
	for _, c := range []struct {
		name string
		txn  *pb.Txn
		kind error
		want string
	}{
		{"a client", put(of("x", "hawaii")), nil, ""},
		{"all at once", put(of("x", "y"), of("y", "")), nil, ""},
		{"a server and its clients go", join(del(pb.Kind_KIND_SERVICE, "hawaii"), del(pb.Kind_KIND_SERVICE, "c")), nil, ""},
		{"a client gets another server", put(of("s", ""), of("c", "s")), nil, ""},
		{"none", put(of("x", "maui")), ErrNotFound, "service maui does not exist"},
		{"itself", put(of("x", "x")), ErrInvalid, "its own server"},
		{"no link", put(s3, of("x", "front")), ErrConflict, "is of type s3"},
		{"a client as server", put(of("x", "c")), ErrConflict, "makes use of server hawaii itself"},
		{"a server as client", put(of("s", ""), of("hawaii", "s")), ErrConflict, "service hawaii is the server of service c"},
		{"a server goes", del(pb.Kind_KIND_SERVICE, "hawaii"), ErrNotEmpty, "still the server of service c"},
	} {
		cfg := populated(t)
		if _, err := cfg.Apply(put(of("c", "hawaii")), 2); err != nil {
			t.Fatal(err)
		}
		err := cfg.Check(c.txn)
		if !errors.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.kind, c.want)
		}
	}
}

func TestServedFor(t *testing.T) {
	s := &pb.Service{Serves: []*pb.Served{{Path: "H/Cola"}, {Path: "H/Cola/bk1", Deletes: DeletesKeep}, {Path: "H/Pepsi/bk1"}}}
	for path, want := range map[string]string{
		"H/Cola/bk1": "H/Cola/bk1", "H/Cola/bk2": "H/Cola", "H/Pepsi/bk1": "H/Pepsi/bk1", "H/Pepsi/bk2": "", "H/Colas/bk1": "", "H": "",
	} {
		if got := ServedFor(s, path).GetPath(); got != want {
			t.Errorf("%s is served as %q, want %q", path, got, want)
		}
		if Serves(s, path) != (want != "") {
			t.Errorf("whether %s is served is not told the same twice", path)
		}
	}
}

func TestServesKey(t *testing.T) {
	for _, c := range []struct {
		include, exclude []string
		key              string
		want             bool
	}{
		{nil, nil, "a", true},
		{[]string{"a/", "b/"}, nil, "b/1", true},
		{[]string{"a/", "b/"}, nil, "c/1", false},
		{nil, []string{"tmp/"}, "tmp/1", false},
		{nil, []string{"tmp/"}, "tmp", true},
		{[]string{"a/"}, []string{"a/tmp/"}, "a/tmp/1", false},
		{[]string{"a/tmp/"}, []string{"a/"}, "a/tmp/1", false},
	} {
		if got := ServesKey(&pb.Served{Include: c.include, Exclude: c.exclude}, c.key); got != c.want {
			t.Errorf("include %q, exclude %q lets %q through: %v", c.include, c.exclude, c.key, got)
		}
	}
}

// TestDirections: a path's own direction only narrows its link's.
func TestDirections(t *testing.T) {
	for _, c := range []struct {
		link, path      string
		sends, receives bool
	}{
		{"", "", true, true},
		{DirectionBoth, DirectionSend, true, false},
		{DirectionBoth, DirectionReceive, false, true},
		{DirectionSend, "", true, false},
		{DirectionSend, DirectionReceive, false, false},
		{DirectionReceive, DirectionSend, false, false},
		{DirectionReceive, DirectionReceive, false, true},
	} {
		s, served := &pb.Service{Direction: c.link}, &pb.Served{Direction: c.path}
		if ServedSends(s, served) != c.sends || ServedReceives(s, served) != c.receives {
			t.Errorf("link %q, path %q: sends %v, receives %v", c.link, c.path, ServedSends(s, served), ServedReceives(s, served))
		}
	}
}

func TestEffectiveProfile(t *testing.T) {
	for _, c := range []struct{ own, site, want string }{
		{"", "", ProfilePerformance}, {"", ProfileEmbedded, ProfileEmbedded}, {ProfilePerformance, ProfileEmbedded, ProfilePerformance},
	} {
		if got := EffectiveProfile(&pb.Service{Profile: c.own}, &pb.Site{Profile: c.site}); got != c.want {
			t.Errorf("%q at a site of %q is %q", c.own, c.site, got)
		}
	}
	if EffectiveProfile(nil, nil) != ProfilePerformance {
		t.Error("nothing has no profile")
	}
}
