package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// hiddenBucket is a bucket of the same site that the link does not serve.
const hiddenBucket = "Hawaii/Pepsi/secrets"

// prober is a paired site that asks a link for what the link does not give. It
// knows all there is to know: paths, dots, incarnations and chunk IDs. The site that
// it asks either has the secrets or has never had them, and the prober must not be
// able to tell which.
type prober struct {
	t     *testing.T
	l     *Local
	names probeNames
}

// probeNames is what the prober knows; it is the same in both worlds.
type probeNames struct {
	site        []byte
	open        []byte // incarnation of the bucket that is served
	hidden      []byte // of the other one
	large       *catalogpb.Dot
	secret      *catalogpb.Dot
	root, first []byte // of the large version, and the first node below it
	leaf        []byte // a chunk of content of the large version
	secretRoot  []byte // a manifest node of the secret version
	secretLeaf  []byte // a chunk of content of the secret version
}

// probe is one question: what it asks, and what the answer has to be.
type probe struct {
	method string // of link.Source
	name   string
	ask    func(p *prober) told
	// refused says that the answer must be a refusal, or nothing at all.
	refused bool
}

// told is all that the prober sees of one question.
type told struct {
	messages []proto.Message
	bodies   [][]byte
	err      error
}

// String is the answer without the sender's clock, which tells nothing.
func (a told) String() string {
	var b strings.Builder
	for i, m := range a.messages {
		m = proto.Clone(m)
		switch m := m.(type) {
		case *linkpb.Hello:
			m.Clock = 0
		case *linkpb.ChangeBatch:
			m.Clock = 0
		case *linkpb.ProgressReply:
			m.Clock = 0
		}
		fmt.Fprintf(&b, "%v", m)
		if i < len(a.bodies) {
			fmt.Fprintf(&b, " and %d bytes", len(a.bodies[i]))
		}
		b.WriteByte('\n')
	}
	if a.err != nil {
		fmt.Fprintf(&b, "error %v", a.err)
	}
	return b.String()
}

// gives reports whether an answer holds anything of a bucket: a refusal, a heartbeat
// and an empty list do not.
func (a told) gives() bool {
	for i, m := range a.messages {
		switch m := m.(type) {
		case *linkpb.ChunkHeader:
			if m.GetRefused() == "" || i < len(a.bodies) && len(a.bodies[i]) > 0 {
				return true
			}
		case *linkpb.ChangeBatch:
			if m.GetPath() != "" || len(m.GetHeads()) > 0 || len(m.GetChanges()) > 0 || m.GetReset_() != "" || m.GetSeen() != nil {
				return true
			}
		case *linkpb.Served:
			if len(m.GetBuckets()) > 0 {
				return true
			}
		case *linkpb.ProgressReply: // a clock
		default:
			return true
		}
	}
	return false
}

func (p *prober) fetch(wants ...*linkpb.Want) told {
	var a told
	a.err = p.l.Fetch(context.Background(), &linkpb.FetchRequest{Wants: wants}, func(h *linkpb.ChunkHeader, body []byte) error {
		a.messages, a.bodies = append(a.messages, proto.CloneOf(h)), append(a.bodies, bytes.Clone(body))
		return nil
	})
	return a
}

// changes listens for four heartbeats.
func (p *prober) changes(path string, c *catalogpb.Cursor) told {
	ctx, cancel := context.WithTimeout(context.Background(), 3500*time.Millisecond)
	defer cancel()
	var a told
	err := p.l.Changes(ctx, &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: path, Cursor: c}}}, func(b *linkpb.ChangeBatch) error {
		a.messages = append(a.messages, proto.CloneOf(b))
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		a.err = err
	}
	return a
}

func (p *prober) scan(path, from string) told {
	page, err := p.l.Scan(context.Background(), &linkpb.ScanRequest{Path: path, FromKey: []byte(from)})
	if err != nil {
		return told{err: err}
	}
	return told{messages: []proto.Message{page}}
}

func (p *prober) progress(path string, c *catalogpb.Cursor) told {
	reply, err := p.l.Progress(context.Background(), &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{
		Path: path, Cursor: c, Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{p.names.secret}}, Holds: []*catalogpb.Dot{p.names.secret}, Pending: 1,
	}}})
	if err != nil {
		return told{err: err}
	}
	return told{messages: []proto.Message{reply}}
}

func (p *prober) digest(req *linkpb.DigestRequest) told {
	reply, err := p.l.Digest(context.Background(), req)
	if err != nil {
		return told{err: err}
	}
	return told{messages: []proto.Message{reply}}
}

func (p *prober) cursor(incarnation []byte, seq uint64) *catalogpb.Cursor {
	return &catalogpb.Cursor{Site: p.names.site, Epoch: 1, Incarnation: incarnation, Seq: seq, InitialDone: true}
}

// probesOf asks about one bucket, by every kind of request.
func probesOf(path string, incarnation func(probeNames) []byte, dot func(probeNames) *catalogpb.Dot) []probe {
	var out []probe
	add := func(method, name string, ask func(p *prober) told) {
		out = append(out, probe{method: method, name: name + " of " + path, ask: ask, refused: true})
	}
	for _, seq := range []uint64{0, 1, 5000} {
		add("Changes", fmt.Sprint("the log after ", seq), func(p *prober) told { return p.changes(path, p.cursor(incarnation(p.names), seq)) })
		add("Progress", fmt.Sprint("progress to ", seq), func(p *prober) told { return p.progress(path, p.cursor(incarnation(p.names), seq)) })
	}
	add("Changes", "the log of another life", func(p *prober) told { return p.changes(path, p.cursor([]byte("x"), 0)) })
	add("Changes", "the log of another epoch", func(p *prober) told {
		c := p.cursor(incarnation(p.names), 0)
		c.Epoch = 9
		return p.changes(path, c)
	})
	for _, list := range []bool{false, true} {
		add("Digest", fmt.Sprintf("the sums, listed %v,", list), func(p *prober) told {
			return p.digest(&linkpb.DigestRequest{Path: path, List: list, Ranges: []*linkpb.KeyRange{{}}})
		})
	}
	add("Digest", "no sums", func(p *prober) told { return p.digest(&linkpb.DigestRequest{Path: path}) })
	add("Digest", "the sum of one key", func(p *prober) told {
		return p.digest(&linkpb.DigestRequest{Path: path, Ranges: []*linkpb.KeyRange{{From: []byte("secret"), To: []byte("secret\x00")}}})
	})
	for name, keys := range map[string][][]byte{"no keys": nil, "one key": {[]byte("secret")}, "the settings and a key": {nil, []byte("large")}} {
		add("Records", "the records of "+name, func(p *prober) told {
			page, err := p.l.Records(context.Background(), &linkpb.RecordsRequest{Path: path, Keys: keys, Mend: true})
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{page}}
		})
	}
	add("Scan", "the keys", func(p *prober) told { return p.scan(path, "") })
	add("Scan", "the keys from one on", func(p *prober) told { return p.scan(path, "secret") })
	for name, nodes := range map[string]func(probeNames) [][]byte{
		"the root":             func(probeNames) [][]byte { return nil },
		"the nodes below":      func(n probeNames) [][]byte { return [][]byte{n.secretRoot} },
		"a chunk below a node": func(n probeNames) [][]byte { return [][]byte{n.root, n.first} },
		"a bare ID":            func(n probeNames) [][]byte { return [][]byte{n.secretLeaf} },
	} {
		for about, d := range map[string]func(probeNames) *catalogpb.Dot{"a version": dot, "another bucket's version": func(n probeNames) *catalogpb.Dot { return n.large }} {
			add("Fetch", name+" of "+about, func(p *prober) told {
				w := &linkpb.Want{Path: path, Dot: d(p.names), Nodes: nodes(p.names)}
				if len(w.Nodes) > 0 {
					w.Children = []uint32{0, 1}
				}
				return p.fetch(w)
			})
		}
	}
	return out
}

// foreignProbes name a version of the bucket that is served, and ask for what is not
// its own by the way to it.
func foreignProbes() []probe {
	var out []probe
	for name, c := range map[string]struct {
		nodes    func(probeNames) [][]byte
		children []uint32
	}{
		"a foreign chunk below an entitled node":       {func(n probeNames) [][]byte { return [][]byte{n.root, n.first, n.secretLeaf} }, []uint32{0}},
		"a foreign chunk in place of a node":           {func(n probeNames) [][]byte { return [][]byte{n.root, n.secretLeaf} }, []uint32{0}},
		"a foreign node below an entitled one":         {func(n probeNames) [][]byte { return [][]byte{n.root, n.secretRoot} }, []uint32{0, 1}},
		"a foreign node as the root":                   {func(n probeNames) [][]byte { return [][]byte{n.secretRoot} }, []uint32{0}},
		"a foreign chunk as the root":                  {func(n probeNames) [][]byte { return [][]byte{n.secretLeaf} }, nil},
		"a bare ID of its own":                         {func(n probeNames) [][]byte { return [][]byte{n.leaf} }, []uint32{0}},
		"a path that leaves out a node":                {func(n probeNames) [][]byte { return [][]byte{n.first} }, []uint32{0}},
		"a path that goes on below a chunk":            {func(n probeNames) [][]byte { return [][]byte{n.root, n.first, n.leaf} }, []uint32{0}},
		"children beyond the last":                     {func(n probeNames) [][]byte { return [][]byte{n.root} }, []uint32{1 << 20, 1 << 30}},
		"an ID that is too short":                      {func(n probeNames) [][]byte { return [][]byte{n.root[:31]} }, []uint32{0}},
		"an ID that nobody has":                        {func(n probeNames) [][]byte { return [][]byte{n.root, bytes.Repeat([]byte{7}, 32)} }, []uint32{0}},
		"children of the root without a way to it":     {func(probeNames) [][]byte { return nil }, []uint32{0}},
		"children of another root without a way to it": {func(n probeNames) [][]byte { return [][]byte{n.secretRoot, n.root} }, []uint32{0}},
	} {
		out = append(out, probe{method: "Fetch", name: name, refused: true, ask: func(p *prober) told {
			return p.fetch(&linkpb.Want{Path: bk1, Dot: p.names.large, Nodes: c.nodes(p.names), Children: c.children})
		}})
	}
	for name, dot := range map[string]func(probeNames) *catalogpb.Dot{
		"a version of another bucket": func(n probeNames) *catalogpb.Dot { return n.secret },
		"a version that never was":    func(n probeNames) *catalogpb.Dot { return &catalogpb.Dot{Origin: n.site, Epoch: 1, Seq: 1 << 40} },
		"a version of an unknown site": func(probeNames) *catalogpb.Dot {
			return &catalogpb.Dot{Origin: state.SiteID{1: 77}.Bytes(), Epoch: 1, Seq: 1}
		},
		"no version": func(probeNames) *catalogpb.Dot { return nil },
	} {
		out = append(out, probe{method: "Fetch", name: name, refused: true, ask: func(p *prober) told {
			return p.fetch(&linkpb.Want{Path: bk1, Dot: dot(p.names)}, &linkpb.Want{Path: bk1, Dot: dot(p.names), Nodes: [][]byte{p.names.secretRoot}, Children: []uint32{0}})
		}})
	}
	return out
}

// generalProbes are answered whatever is served: they name no bucket.
func generalProbes() []probe {
	return []probe{
		{method: "Hello", name: "a greeting", ask: func(p *prober) told {
			h, err := p.l.Hello(context.Background(), &linkpb.Hello{Version: link.Version, MinVersion: link.MinVersion, Service: "hawaii", Site: peerID.Bytes()})
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{h}}
		}},
		{method: "Hello", name: "a greeting in the name of another site", refused: true, ask: func(p *prober) told {
			h, err := p.l.Hello(context.Background(), &linkpb.Hello{Version: link.Version, MinVersion: link.MinVersion, Service: "hawaii", Site: state.SiteID{1: 1}.Bytes()})
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{h}}
		}},
		{method: "Served", name: "the list", ask: func(p *prober) told {
			list, err := p.l.Served(context.Background())
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{list}}
		}},
	}
}

// probed asks all probes of a site that has the secrets or, without them, has not.
// It returns the answers by the probes' names.
func probed(t *testing.T, c entitlement, secrets bool) map[string]string {
	t.Helper()
	answers := make(map[string]string)
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, 1)
		defer s.close()
		settings := c.settings
		l, err := NewLocal(LocalOptions{
			Site: s.site(), Service: "hawaii", Peer: peerID, PeerName: "maui",
			Settings: func() Settings { return settings }, Served: func() []string { return c.served },
			Mend: func(path string, _ [][]byte) { t.Errorf("the site is made to ask for keys of %s", path) },
		})
		if err != nil {
			t.Fatal(err)
		}
		p := &prober{t: t, l: l, names: fillProbed(t, s, c, secrets)}
		applied := s.applies
		for _, q := range c.probes {
			a := q.ask(p)
			if q.refused && a.gives() {
				t.Errorf("%s: %v", q.name, a)
			}
			if _, twice := answers[q.name]; twice {
				t.Fatalf("two probes are called %q", q.name)
			}
			answers[q.name] = a.String()
		}
		if s.applies != applied {
			t.Errorf("the questions made the site commit %d times", s.applies-applied)
		}
		for _, path := range []string{bk1, hiddenBucket} {
			if pr, err := s.cat.Progress(path, peerID); err == nil {
				t.Errorf("the log of %s is pinned by what was told of it: %v", path, pr)
			}
		}
	})
	return answers
}

// fillProbed gives a site its content. What the prober may read is the same with and
// without the secrets.
func fillProbed(t *testing.T, s *testSite, c entitlement, secrets bool) probeNames {
	t.Helper()
	n := probeNames{site: s.id.Bytes()}
	hiddenContent := random(2, 2<<20)
	n.hidden = append(bytes.Repeat([]byte{s.id[15]}, 15), 2)
	n.open = append(bytes.Repeat([]byte{s.id[15]}, 15), 1)
	n.secret = &catalogpb.Dot{Origin: s.id.Bytes(), Epoch: 1, Seq: 40}
	// What the prober knows of the secrets it has from a site of its own.
	elsewhere := newTestSite(t, 1)
	defer elsewhere.close()
	elsewhere.splitter = s.splitter
	nodeOf := func(at *testSite, root *catalogpb.Root) (*manifest.Node, []byte) {
		ref, err := rootOf(&catalogpb.Record{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		var buf chunks.Buffer
		if err := at.chunks.Get(context.Background(), ref.ID, &buf); err != nil {
			t.Fatal(err)
		}
		node := new(manifest.Node)
		if err := node.Decode(ref, manifest.Root, buf.Raw); err != nil {
			t.Fatal(err)
		}
		return node, ref.ID[:]
	}
	_, n.secretRoot = nodeOf(elsewhere, elsewhere.store(hiddenContent))
	first := testCut(t, hiddenContent)
	n.secretLeaf = first[:]

	if !c.withoutOpen || secrets {
		s.makeBucket(bk1, 1)
		largeContent := random(1, 40<<20)
		large := s.put(bk1, "large", largeContent)
		s.put(bk1, "small", []byte("small"))
		n.large = large.GetDot()
		top, root := nodeOf(s, large.GetRoot())
		n.root = bytes.Clone(root)
		n.first = bytes.Clone(top.Entries[0].ID[:])
		leaf := testCut(t, largeContent)
		n.leaf = leaf[:]
	} else {
		n.large = &catalogpb.Dot{Origin: s.id.Bytes(), Epoch: 1, Seq: 1}
		n.root, n.first, n.leaf = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	}
	if secrets {
		s.makeBucket(hiddenBucket, 1)
		for range 39 { // so that the dot of what follows does not occur in the other bucket
			s.put(hiddenBucket, "secret", []byte("x"))
		}
		rec := s.put(hiddenBucket, "secret", hiddenContent)
		if catalog.CompareDots(rec.GetDot(), n.secret) != 0 {
			t.Fatalf("the secret is %v", rec.GetDot())
		}
		if st, _ := s.cat.BucketAny(hiddenBucket); !bytes.Equal(st.GetIncarnation(), n.hidden) {
			t.Fatalf("the bucket's incarnation is %x", st.GetIncarnation())
		}
		for _, id := range [][]byte{n.secretRoot, n.secretLeaf} {
			var buf chunks.Buffer
			if err := s.chunks.Get(context.Background(), chunks.ID(id), &buf); err != nil {
				t.Fatalf("the secret is not there: %v", err)
			}
		}
	}
	return n
}

// testCut is the ID of the first chunk of content.
func testCut(t *testing.T, content []byte) chunks.ID {
	t.Helper()
	s := newTestSite(t, 8)
	defer s.close()
	s.splitter.Reset(bytes.NewReader(content))
	raw, err := s.splitter.Next()
	if err != nil {
		t.Fatal(err)
	}
	return chunks.Sum(raw)
}

// entitlement is a link as its sender has it, and what is asked of it.
type entitlement struct {
	name     string
	settings Settings
	served   []string
	probes   []probe
	// withoutOpen says that in the world without secrets the bucket bk1 is one of them.
	withoutOpen bool
}

// TestNothingIsGivenOrTold asks a link, by every kind of request, for what it does not
// serve: buckets that are not on it, versions and chunks of those, chunks that the way
// named does not lead to, and everything when nothing is sent. Nothing is given, and
// the answer is the same, to the byte, where the thing exists and where it does not.
func TestNothingIsGivenOrTold(t *testing.T) {
	open := func(n probeNames) []byte { return n.open }
	hidden := func(n probeNames) []byte { return n.hidden }
	large := func(n probeNames) *catalogpb.Dot { return n.large }
	secret := func(n probeNames) *catalogpb.Dot { return n.secret }
	var other []probe
	other = append(other, generalProbes()...)
	other = append(other, probesOf(hiddenBucket, hidden, secret)...)
	other = append(other, foreignProbes()...)
	for _, path := range []string{"Hawaii/Pepsi", "Hawaii/Cola", "Hawaii/Cola/bk", "Hawaii/Cola/bk1/", "hawaii/cola/bk1", "Hawaii/Cola/bk1/../../Pepsi/secrets", ""} {
		other = append(other, probesOf(path, hidden, secret)...)
	}
	all := slices.Concat(generalProbes(), probesOf(bk1, open, large), probesOf(hiddenBucket, hidden, secret))
	for _, c := range []entitlement{
		{name: "a bucket that is not served", served: []string{bk1}, probes: other},
		{name: "nothing is served", probes: all, withoutOpen: true},
		{name: "nothing is sent", settings: Settings{Direction: state.DirectionReceive}, served: []string{bk1, hiddenBucket}, probes: all, withoutOpen: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			with, without := probed(t, c, true), probed(t, c, false)
			if len(with) != len(c.probes) {
				t.Fatalf("%d answers to %d questions", len(with), len(c.probes))
			}
			for name, a := range with {
				// What the prober chose to ask is in the answer; it asks for names of its own.
				if b := without[name]; a != b {
					t.Errorf("%s: where it exists the answer is\n%s\nand where it does not\n%s", name, a, b)
				}
			}
			asked := make(map[string]bool)
			for _, q := range c.probes {
				asked[q.method] = true
			}
			for m := range reflect.TypeFor[link.Source]().Methods() {
				if !asked[m.Name] {
					t.Errorf("nothing is asked by %s", m.Name)
				}
			}
			if list := with["the list"]; strings.Contains(list, "secrets") || c.withoutOpen && strings.Contains(list, "bk1") {
				t.Errorf("the list is %s", list)
			}
		})
	}
}

// TestWhatIsLeftOutIsNotTold asks a link that serves a part of a bucket for the rest of
// it, by every request and by names that can be guessed: no key of it is told, and what
// is there is answered as what never was.
func TestWhatIsLeftOutIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, 1)
		defer s.close()
		s.makeBucket(bk1, 1)
		s.put(bk1, "open/1", []byte("1"))
		hidden := s.put(bk1, "secret/1", random(1, 3000))
		s.put(bk1, "secret/2", nil)
		l, err := NewLocal(LocalOptions{
			Site: s.site(), Service: "hawaii", Peer: peerID, Served: func() []string { return []string{bk1} },
			Terms: func(string) Terms { return Terms{Filter: Filter{Exclude: []string{"secret/"}}} },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		list, err := l.Served(ctx)
		if err != nil {
			t.Fatal(err)
		}
		scope := list.GetBuckets()[0].GetScope()
		p := &prober{t: t, l: l, names: probeNames{site: s.id.Bytes(), open: list.GetBuckets()[0].GetIncarnation()}}
		records := func(keys ...string) told {
			req := &linkpb.RecordsRequest{Path: bk1}
			for _, k := range keys {
				req.Keys = append(req.Keys, []byte(k))
			}
			page, err := l.Records(ctx, req)
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{page}}
		}
		scan := func(scope, from string) told {
			page, err := l.Scan(ctx, &linkpb.ScanRequest{Path: bk1, Scope: scope, FromKey: []byte(from)})
			if err != nil {
				return told{err: err}
			}
			return told{messages: []proto.Message{page}}
		}
		follow := func(scope string) told {
			ctx, cancel := context.WithTimeout(ctx, 3500*time.Millisecond)
			defer cancel()
			var a told
			_ = l.Changes(ctx, &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: bk1, Scope: scope, Cursor: p.cursor(p.names.open, 0)}}}, func(b *linkpb.ChangeBatch) error {
				a.messages = append(a.messages, proto.CloneOf(b))
				return nil
			}) // which ends with the context
			return a
		}
		fetch := func(seq uint64) told {
			return p.fetch(&linkpb.Want{Path: bk1, Dot: &catalogpb.Dot{Origin: s.id.Bytes(), Epoch: 1, Seq: seq}})
		}
		narrow := &linkpb.KeyRange{From: []byte("secret/1"), To: []byte("secret/2")}
		opened := 0
		for name, a := range map[string]told{
			"the log": follow(scope), "the log, as if nothing were left out": follow(""),
			"the keys": scan(scope, ""), "the keys, as if nothing were left out": scan("", ""), "the keys from there on": scan(scope, "secret/"),
			"some records": records("open/1", "secret/1", "secret/2"), "the records": records("secret/1"),
			"the list":  p.digest(&linkpb.DigestRequest{Path: bk1, List: true, Ranges: []*linkpb.KeyRange{{}}}),
			"the sums":  p.digest(&linkpb.DigestRequest{Path: bk1, Ranges: []*linkpb.KeyRange{narrow}}),
			"a version": fetch(hidden.GetDot().GetSeq()), "another version": fetch(hidden.GetDot().GetSeq() + 1),
		} {
			if strings.Contains(a.String(), "secret") {
				t.Errorf("%s: %v", name, a)
			}
			if strings.Contains(a.String(), "open/1") {
				opened++
			}
		}
		if opened < 4 {
			t.Errorf("only %d answers tell of the key that is served: the test shows nothing", opened)
		}
		for name, c := range map[string][2]told{
			"records":        {records("secret/1"), records("secret/nothing")},
			"versions":       {fetch(hidden.GetDot().GetSeq()), fetch(1 << 40)},
			"empty versions": {fetch(hidden.GetDot().GetSeq() + 1), fetch(1 << 40)},
			"keys in a range": {
				p.digest(&linkpb.DigestRequest{Path: bk1, List: true, Ranges: []*linkpb.KeyRange{narrow}}),
				p.digest(&linkpb.DigestRequest{Path: bk1, List: true, Ranges: []*linkpb.KeyRange{{From: []byte("x")}}}),
			},
		} {
			if c[0].String() != c[1].String() {
				t.Errorf("%s: what is there is answered with\n%v\nand what is not with\n%v", name, c[0], c[1])
			}
		}
	})
}
