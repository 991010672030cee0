package ccow

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// testdata/session-1.txt is what two sites of protocol version 1 say to each other
// inside TLS, recorded: the opening of a connection, and one request of every kind
// with its answer. Every later version must still speak it. What was recorded is never
// changed; -record adds kinds of requests that are new.
var record = flag.Bool("record", false, "add kinds of requests to the recorded session that it lacks")

const goldenFile = "testdata/session-1.txt"

// What the handshakes of version 1 choose from: not the constants of this package,
// so that a change of those is seen.
const (
	goldenLinkALPN    = "isgw/1"
	goldenReverseALPN = "isgw-reverse/1"
	goldenPairALPN    = "isgw-pair/1"
)

// exchange is what one side sent, and what the other answered.
type exchange struct{ asked, answered []byte }

const goldenOpening = "opening"

// readGolden reads a recorded session. Lines that begin with # name an exchange, with
// > and < follow the bytes in the order they were sent, quoted as in Go.
func readGolden(t *testing.T, file string) map[string]exchange {
	t.Helper()
	out := make(map[string]exchange)
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && *record {
		return out
	}
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	for i, line := range strings.Split(string(raw), "\n") {
		var text string
		if len(line) > 2 {
			if text = line[2:]; line[0] != '#' {
				if text, err = strconv.Unquote(text); err != nil {
					t.Fatalf("%s: line %d: %v", file, i+1, err)
				}
			}
		}
		e := out[name]
		switch {
		case line == "":
			continue
		case line[0] == '#':
			name = text
			continue
		case line[0] == '>':
			e.asked = append(e.asked, text...)
		case line[0] == '<':
			e.answered = append(e.answered, text...)
		}
		out[name] = e
	}
	return out
}

func writeGolden(t *testing.T, file string, session map[string]exchange) {
	t.Helper()
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(session)) {
		fmt.Fprintf(&b, "# %s\n", name)
		for _, part := range []struct {
			mark  byte
			bytes []byte
		}{{'>', session[name].asked}, {'<', session[name].answered}} {
			for piece := range slices.Chunk(part.bytes, 64) {
				fmt.Fprintf(&b, "%c %s\n", part.mark, strconv.QuoteToASCII(string(piece)))
			}
		}
		b.WriteByte('\n')
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenSite is a site whose id is always the same.
func goldenSite(t *testing.T, n byte, name string) *site {
	t.Helper()
	s := unstartedSite(t, name)
	var err error
	if s.id, err = identity.NewSiteIdentityFor(state.SiteID{0: 0x51, 15: n}, nil); err != nil {
		t.Fatal(err)
	}
	s.cred = identity.NewCredentials(s.node)
	if err := s.cred.SetRoster(s.roster(t, 1, s.member())); err != nil {
		t.Fatal(err)
	}
	s.start(t, nil)
	return s
}

// said is what both sides say in the recorded session, as messages: requests by the
// last part of their paths, with a word behind it where there are several of a kind,
// and the messages and bodies of the answers.
var said = struct {
	requests map[string]proto.Message
	hello    *linkpb.Hello
	served   *linkpb.Served
	page     *linkpb.ScanPage
	digest   *linkpb.DigestReply
	listed   *linkpb.DigestReply
	progress *linkpb.ProgressReply
	batches  []*linkpb.ChangeBatch
	headers  []*linkpb.ChunkHeader
	body     []byte
}{}

func init() {
	const path = "Hawaii/Cola/bk1"
	life := bytes.Repeat([]byte{7}, 16)
	dot := func(seq uint64) *catalogpb.Dot {
		return &catalogpb.Dot{Origin: bytes.Repeat([]byte{3}, 16), Epoch: 2, Seq: seq}
	}
	seen := &catalogpb.Vector{Upto: []*catalogpb.Dot{dot(9)}}
	cursor := &catalogpb.Cursor{Site: bytes.Repeat([]byte{3}, 16), Epoch: 2, Incarnation: life, Seq: 5, InitialDone: true}
	id := func(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }
	version := &catalogpb.Record{
		Key: []byte("käse"), Kind: catalogpb.RecordKind_RECORD_VERSION, Dot: dot(6), Generation: 2, Time: 1_700_000_000_000_000_000,
		Context: []*catalogpb.Dot{dot(4)}, Root: &catalogpb.Root{Level: 1, Id: id(8), Size: 1 << 20}, Etag: "d41d8cd98f00b204e9800998ecf8427e",
		Headers: map[string]string{"content-type": "text/plain"}, Metadata: map[string]string{"by": "alice"}, Tags: map[string]string{"team": "gas"},
	}
	gone := &catalogpb.Record{Key: []byte("gone"), Kind: catalogpb.RecordKind_RECORD_TOMBSTONE, Dot: dot(7), Generation: 3, Time: 1_700_000_000_000_000_001}
	said.requests = map[string]proto.Message{
		"hello": &linkpb.Hello{
			Version: 1, MinVersion: 1, Features: []string{"digest"}, Epoch: 2, Clock: 1_700_000_000_000_000_002, Direction: "send+receive", Session: []byte("12345678"),
		},
		"served":      &linkpb.Opening{},
		"changes":     &linkpb.ChangesRequest{Cursors: []*linkpb.BucketCursor{{Path: path, Cursor: cursor, Seen: seen}}},
		"scan":        &linkpb.ScanRequest{Path: path, FromKey: []byte("a\x00"), Limit: 100, Nodes: 1 << 16},
		"digest":      &linkpb.DigestRequest{Path: path, Ranges: []*linkpb.KeyRange{{From: []byte("a"), To: []byte("m")}, {From: []byte("m")}}},
		"digest list": &linkpb.DigestRequest{Path: path, Ranges: []*linkpb.KeyRange{{From: []byte("a")}}, List: true},
		"records":     &linkpb.RecordsRequest{Path: path, Keys: [][]byte{[]byte("gone"), []byte("käse")}, Mend: true},
		"fetch":       &linkpb.FetchRequest{Wants: []*linkpb.Want{{Path: path, Dot: dot(6)}, {Path: path, Dot: dot(6), Nodes: [][]byte{id(8)}, Children: []uint32{0, 3}}}},
		"progress":    &linkpb.Progress{Buckets: []*linkpb.BucketProgress{{Path: path, Cursor: cursor, Seen: seen, Holds: []*catalogpb.Dot{dot(4)}, Pending: 1, Cause: "no space is left"}}},
	}
	said.hello = &linkpb.Hello{Version: 1, MinVersion: 1, Features: []string{"digest"}, Epoch: 3, Clock: 1_700_000_000_000_000_003, Direction: "send", Session: []byte("12345678")}
	said.served = &linkpb.Served{
		Buckets: []*linkpb.ServedBucket{
			{Path: path, Incarnation: life, Epoch: 3, Seq: 9, Trimmed: 1, Objects: 4, Bytes: 1 << 21, Merged: [][]byte{life}},
			{Path: "Hawaii/Cola/bk2"},
		},
		Settings: &linkpb.LinkSettings{Direction: "send"},
	}
	said.page = &linkpb.ScanPage{Incarnation: life, Epoch: 3, Seq: 9, Seen: seen, Records: []*catalogpb.Record{gone, version}, NextKey: []byte("käse\x00")}
	said.digest = &linkpb.DigestReply{Incarnation: life, Epoch: 3, Seq: 9, Sums: []*linkpb.RangeSum{{Keys: 2, Versions: 3, Heads: id(1)[:16], All: id(2)[:16]}, {}}}
	said.listed = &linkpb.DigestReply{
		Incarnation: life, Epoch: 3, Seq: 9, Sparse: true, NextKey: []byte("käse\x00"),
		Keys: []*linkpb.KeySum{{Key: []byte("gone"), Heads: id(1)[:16]}, {Key: []byte("käse"), Heads: id(2)[:16], All: id(3)[:16]}},
	}
	said.progress = &linkpb.ProgressReply{Clock: 1_700_000_000_000_000_004}
	said.batches = []*linkpb.ChangeBatch{
		{Path: path, From: 6, To: 7, Changes: []*linkpb.Change{{Seq: 6, Committed: 1_700_000_000_000_000_000, Record: version}, {Seq: 7, Committed: 1_700_000_000_000_000_001, Record: gone}}},
		{Path: path, From: 8, To: 9, Seen: seen, Clock: 1_700_000_000_000_000_005},
		{Clock: 1_700_000_000_000_000_006, Heads: []*linkpb.BucketHead{{Path: path, Seq: 12, Backlog: 3, BacklogBytes: 99}}, Beat: true},
		{Path: path, Reset_: "the sender's log is trimmed beyond 9", Clock: 1_700_000_000_000_000_007},
		{ServedChanged: true, Clock: 1_700_000_000_000_000_008},
	}
	said.body = []byte("the stored form of a chunk")
	said.headers = []*linkpb.ChunkHeader{
		{Id: id(8), Encoding: 1, RawLength: 70, Length: uint32(len(said.body))},
		{Want: 1, Refused: "the chunk is damaged here"},
		{Want: 1, Gone: true, Head: gone},
	}
}

// goldenSource answers exchanges of the recorded session, and refuses what it does not
// understand as what was said in them.
func goldenSource(names ...string) *linktest.Source {
	understood := func(req proto.Message) error {
		for _, name := range names {
			if proto.Equal(req, said.requests[name]) {
				return nil
			}
		}
		return link.Refuse(link.CodeInvalid, "the request was understood as %v", req)
	}
	return &linktest.Source{
		OnHello: func(_ context.Context, req *linkpb.Hello) (*linkpb.Hello, error) {
			req = proto.CloneOf(req) // the transport fills in who speaks
			req.Service, req.Site, req.SiteName, req.WantReverse = "", nil, "", 0
			return said.hello, understood(req)
		},
		OnServed: func(context.Context) (*linkpb.Served, error) { return said.served, nil },
		OnScan: func(_ context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
			return said.page, understood(req)
		},
		OnRecords: func(_ context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
			return said.page, understood(req)
		},
		OnProgress: func(_ context.Context, req *linkpb.Progress) (*linkpb.ProgressReply, error) {
			return said.progress, understood(req)
		},
		OnDigest: func(_ context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
			if req.GetList() {
				return said.listed, understood(req)
			}
			return said.digest, understood(req)
		},
		OnChanges: func(_ context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
			if err := understood(req); err != nil {
				return err
			}
			for _, b := range said.batches {
				if err := fn(b); err != nil {
					return err
				}
			}
			return link.Refuse(link.CodeBusy, "the node is closing")
		},
		OnFetch: func(_ context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
			if err := understood(req); err != nil {
				return err
			}
			for i, h := range said.headers {
				body := said.body
				if i > 0 {
					body = nil
				}
				if err := fn(h, body); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// askGolden makes the request of an exchange, and returns the messages of the answer, bodies
// after their headers, and the error.
func askGolden(ctx context.Context, far link.Source, name string) (out []any, err error) {
	one := func(m proto.Message, e error) {
		if err = e; err == nil {
			out = append(out, m)
		}
	}
	switch req := said.requests[name].(type) {
	case *linkpb.Hello:
		one(far.Hello(ctx, req))
	case *linkpb.Opening:
		one(far.Served(ctx))
	case *linkpb.ScanRequest:
		one(far.Scan(ctx, req))
	case *linkpb.RecordsRequest:
		one(far.Records(ctx, req))
	case *linkpb.DigestRequest:
		one(far.Digest(ctx, req))
	case *linkpb.Progress:
		one(far.Progress(ctx, req))
	case *linkpb.ChangesRequest:
		err = far.Changes(ctx, req, func(b *linkpb.ChangeBatch) error { out = append(out, b); return nil })
	case *linkpb.FetchRequest:
		err = far.Fetch(ctx, req, func(h *linkpb.ChunkHeader, body []byte) error {
			out = append(out, proto.CloneOf(h), string(body))
			return nil
		})
	default:
		err = fmt.Errorf("the recorded session has no request of kind %s: say what it is in this file", name)
	}
	return out, err
}

// frames takes the frames of a body apart.
func frames(t *testing.T, body io.Reader) (out []string) {
	t.Helper()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for len(raw) > 0 {
		if len(raw) < frameHeader {
			t.Fatalf("a frame of %d bytes", len(raw))
		}
		n := frameHeader + int(uint32(raw[1])<<24|uint32(raw[2])<<16|uint32(raw[3])<<8|uint32(raw[4]))
		if len(raw) < n {
			t.Fatalf("a frame is cut off: %d bytes of %d", len(raw), n)
		}
		if frameKind(raw[0]) != frameKeepAlive {
			out = append(out, string(raw[:n]))
		}
		raw = raw[n:]
	}
	return out
}

// sameFrames checks that frames are those of the recorded session: other bytes may
// only be another order of the same fields, and in a greeting a higher version.
func sameFrames(t *testing.T, got, want []string, message func() proto.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] == want[i] {
			continue
		}
		kind := frameKind(want[i][0])
		if frameKind(got[i][0]) != kind || kind != frameMessage && kind != frameRefusal {
			t.Errorf("frame %d is %q, want %q", i, got[i], want[i])
			continue
		}
		a, b := message(), message()
		if kind == frameRefusal {
			a, b = new(linkpb.Refusal), new(linkpb.Refusal)
		}
		if err := errors.Join(proto.Unmarshal([]byte(got[i][frameHeader:]), a), proto.Unmarshal([]byte(want[i][frameHeader:]), b)); err != nil {
			t.Fatal(err)
		}
		if x, ok := a.(*linkpb.Hello); ok {
			y := b.(*linkpb.Hello)
			if x.GetVersion() < y.GetVersion() || x.GetMinVersion() > y.GetVersion() {
				t.Errorf("versions %d to %d do not have %d", x.GetMinVersion(), x.GetVersion(), y.GetVersion())
			}
			x.Version, x.MinVersion, x.Features = y.Version, y.MinVersion, y.Features
		}
		if !proto.Equal(a, b) {
			t.Errorf("frame %d is %v, want %v", i, a, b)
		}
	}
}

// answers are the messages that the answer to a kind of request consists of.
var answers = map[string]func() proto.Message{
	"hello":    func() proto.Message { return new(linkpb.Hello) },
	"served":   func() proto.Message { return new(linkpb.Served) },
	"changes":  func() proto.Message { return new(linkpb.ChangeBatch) },
	"scan":     func() proto.Message { return new(linkpb.ScanPage) },
	"records":  func() proto.Message { return new(linkpb.ScanPage) },
	"digest":   func() proto.Message { return new(linkpb.DigestReply) },
	"fetch":    func() proto.Message { return new(linkpb.ChunkHeader) },
	"progress": func() proto.Message { return new(linkpb.ProgressReply) },
}

// exchanges are the names of the exchanges of a session: the requests that this
// release knows, and further ones of a kind.
func exchanges() []string {
	out := slices.Collect(maps.Keys(said.requests))
	for path := range calls {
		if name := path[strings.LastIndexByte(path, '/')+1:]; said.requests[name] == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// answerTo is a message as the answer to an exchange has them.
func answerTo(name string) func() proto.Message {
	kind, _, _ := strings.Cut(name, " ")
	return answers[kind]
}

// TestGoldenServer says to the present server what a site of protocol version 1 said,
// byte by byte, and demands the answers that it got.
func TestGoldenServer(t *testing.T) {
	session := readGolden(t, goldenFile)
	near, far := goldenSite(t, 1, "near"), goldenSite(t, 2, "far")
	near.pin(far)
	far.pin(near)
	if *record {
		recordSession(t, near, far, session)
		writeGolden(t, goldenFile, session)
	}
	for _, name := range exchanges() {
		t.Run(name, func(t *testing.T) {
			e, ok := session[name]
			if !ok {
				t.Fatalf("%s has no exchange %q: add it by `go test ./sync/link/ccow -run TestGoldenServer -record`", goldenFile, name)
			}
			far.serve("hawaii", goldenSource(name))
			opening := session[goldenOpening]
			c := rawDial(t, near, far.addr, goldenLinkALPN)
			_, _ = c.Write(opening.asked)
			reply := make([]byte, len(opening.answered))
			if _, err := io.ReadFull(c, reply); err != nil || !bytes.Equal(reply, opening.answered) {
				t.Fatalf("the opening is answered with %q, want %q: %v", reply, opening.answered, err)
			}
			_, _ = c.Write(e.asked)
			got, want := answerOf(t, bufio.NewReader(c)), answerOf(t, bufio.NewReader(bytes.NewReader(e.answered)))
			sameFrames(t, got, want, answerTo(name))
		})
	}
}

// answerOf reads an HTTP answer and returns its frames.
func answerOf(t *testing.T, r *bufio.Reader) []string {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-isgw-frames" {
		t.Fatalf("answered %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	return frames(t, res.Body)
}

// TestGoldenClient lets the present client ask a site of protocol version 1, whose
// answers are recorded: it says what that site understands, and understands it.
func TestGoldenClient(t *testing.T) {
	session := readGolden(t, goldenFile)
	near, far := goldenSite(t, 1, "near"), goldenSite(t, 2, "far")
	near.pin(far)
	for _, name := range exchanges() {
		t.Run(name, func(t *testing.T) {
			e := session[name]
			opening := session[goldenOpening]
			var got *http.Request
			var body []string
			address := rawListen(t, far, goldenLinkALPN, func(c rawConn) {
				asked := make([]byte, len(opening.asked))
				n, err := io.ReadFull(c, asked)
				if n == 0 {
					return // a connection that was opened ahead and not needed
				}
				if err != nil || !bytes.Equal(asked, opening.asked) {
					t.Errorf("the connection is opened with %q, want %q: %v", asked, opening.asked, err)
				}
				_, _ = c.Write(opening.answered)
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return // a connection that was not needed
				}
				raw, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("read request: %v", err)
				}
				got, body = r, frames(t, bytes.NewReader(raw))
				_, _ = c.Write(e.answered)
				_, _ = io.Copy(io.Discard, c)
			})
			client, err := near.ep.Dial(DialOptions{Peer: far.id.Site(), PeerName: far.name, Service: "hawaii", Address: address})
			if err != nil {
				t.Fatal(err)
			}
			heard, err := askGolden(background(t), client, name)
			client.Close()
			told, wantErr := askGolden(background(t), goldenSource(name), name)
			if (err == nil) != (wantErr == nil) || wantErr != nil && err.Error() != wantErr.Error() {
				t.Fatalf("the request ends with %v, want %v", err, wantErr)
			}
			if len(heard) != len(told) {
				t.Fatalf("%d parts of an answer were understood, want %d", len(heard), len(told))
			}
			for i := range heard {
				m, isMessage := heard[i].(proto.Message)
				if isMessage {
					if h, ok := m.(*linkpb.Hello); ok { // the transport fills in who speaks
						h.Service, h.Site, h.SiteName = "", nil, ""
					}
				}
				if isMessage && !proto.Equal(m, told[i].(proto.Message)) || !isMessage && heard[i] != told[i] {
					t.Errorf("part %d of the answer was understood as %v, want %v", i, heard[i], told[i])
				}
			}
			want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.asked)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Method != want.Method || got.URL.Path != want.URL.Path || got.Host != want.Host || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
				t.Errorf("the request is %s %s %s, want %s %s %s", got.Method, got.Host, got.URL, want.Method, want.Host, want.URL)
			}
			message := func() proto.Message { return said.requests[name].ProtoReflect().New().Interface() }
			sameFrames(t, body, frames(t, want.Body), message)
		})
	}
}

// date is what of an answer is another one each time.
var date = regexp.MustCompile(`Date: [^\r\n]*`)

// recordSession adds the kinds of requests that the session lacks: what the present
// client says, and what the present server answers.
func recordSession(t *testing.T, near, far *site, session map[string]exchange) {
	t.Helper()
	opening, err := appendMessage(nil, frameMessage, &linkpb.Opening{Service: "hawaii"})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := appendMessage(nil, frameMessage, &linkpb.OpeningReply{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := session[goldenOpening]; !ok {
		session[goldenOpening] = exchange{asked: opening, answered: reply}
	}
	for _, name := range exchanges() {
		if _, ok := session[name]; ok {
			continue
		}
		far.serve("hawaii", goldenSource(name))
		var mu sync.Mutex
		var e exchange
		address := rawListen(t, far, goldenLinkALPN, func(c rawConn) {
			if _, err := io.ReadFull(c, make([]byte, len(opening))); err != nil {
				return
			}
			_, _ = c.Write(reply)
			var raw bytes.Buffer
			r, err := http.ReadRequest(bufio.NewReaderSize(io.TeeReader(c, &raw), 16))
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				mu.Lock()
				e.asked = bytes.Clone(raw.Bytes())
				mu.Unlock()
			}
		})
		client, err := near.ep.Dial(DialOptions{Peer: far.id.Site(), PeerName: far.name, Service: "hawaii", Address: address})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = askGolden(background(t), client, name) // it ends without an answer
		client.Close()
		mu.Lock()
		c := rawDial(t, near, far.addr, goldenLinkALPN)
		_, _ = c.Write(append(bytes.Clone(opening), e.asked...))
		if _, err := io.ReadFull(c, make([]byte, len(reply))); err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		answerOf(t, bufio.NewReader(io.TeeReader(c, &raw)))
		e.answered = date.ReplaceAll(raw.Bytes(), []byte("Date: Thu, 01 Jan 1970 00:00:00 GMT"))
		mu.Unlock()
		session[name] = e
	}
}
