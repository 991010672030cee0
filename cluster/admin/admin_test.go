package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
	"edgefog.dev/isgw/raftfsm/state"
)

// TestCalls makes every call once and looks at what arrived and came back.
func TestCalls(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	c := dial(t, socket)
	ctx := t.Context()
	kind := adminpb.PathKind_PATH_KIND_TENANT
	for _, call := range []struct {
		make func() (any, error)
		saw  string
		back string // a part of the answer
	}{
		{func() (any, error) { return c.System.Init(ctx, &adminpb.InitRequest{Force: true}) }, "init true", "n1"},
		{func() (any, error) { return c.System.Status(ctx) }, "status", "n1"},
		{func() (any, error) {
			return c.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: kind, Path: "a/b", Replicas: 2, Versions: 3})
		}, "create path PATH_KIND_TENANT a/b 2 3", "a/b"},
		{func() (any, error) {
			return c.Paths.List(ctx, &adminpb.ListPathsRequest{Kind: kind, Parent: "a", After: "a/b", Limit: 7})
		}, "list paths PATH_KIND_TENANT a a/b 7", "a/x"},
		{func() (any, error) { return c.Paths.Get(ctx, &adminpb.GetPathRequest{Kind: kind, Path: "a/b"}) }, "get path PATH_KIND_TENANT a/b", "a/b"},
		{func() (any, error) {
			return nil, c.Paths.Delete(ctx, &adminpb.DeletePathRequest{Kind: kind, Path: "a/b"})
		}, "delete path PATH_KIND_TENANT a/b", ""},
		{func() (any, error) { return c.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: "a/b"}) }, "create key a/b", "SK"},
		{func() (any, error) { return c.Keys.List(ctx, "a/b") }, "list keys a/b", "a/b"},
		{func() (any, error) { return nil, c.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: "AK"}) }, "delete key AK", ""},
		{func() (any, error) { return c.Sites.Invite(ctx, &adminpb.InviteRequest{Address: "h:1"}) }, "invite h:1", "token"},
		{func() (any, error) { return c.Sites.Pair(ctx, "token") }, "pair token", "south"},
		{func() (any, error) { return c.Sites.Pairings(ctx) }, "pairings", "south"},
		{func() (any, error) {
			return c.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: "ccow://h:1"})
		}, "create service isgw hawaii ccow://h:1", "hawaii"},
		{func() (any, error) { return c.Services.List(ctx, true) }, "list services after hawaii", "maui"},
		{func() (any, error) {
			return c.Services.Page(ctx, &adminpb.ListServicesRequest{Stats: true, Filter: "haw"})
		}, "list services true haw", "hawaii"},
		{func() (any, error) { return c.Services.Get(ctx, "hawaii", true) }, "get service hawaii true", "hawaii"},
		{func() (any, error) { return c.Services.Serve(ctx, "hawaii", "a/b") }, "serve hawaii a/b", "hawaii"},
		{func() (any, error) { return c.Services.Unserve(ctx, "hawaii", "a/b") }, "unserve hawaii a/b", "hawaii"},
		{func() (any, error) { return c.Services.SetEnabled(ctx, "hawaii", true) }, "enable hawaii true", "enabled:true"},
		{func() (any, error) { return c.Services.SetEnabled(ctx, "hawaii", false) }, "enable hawaii false", "hawaii"},
		{func() (any, error) { return nil, c.Services.Delete(ctx, "hawaii") }, "delete service hawaii", ""},
		{func() (any, error) {
			return c.Objects.List(ctx, &adminpb.ListObjectsRequest{Bucket: "a/b/c", Prefix: "p", Delimiter: "/", After: "x", Limit: 3})
		}, "list objects a/b/c p / x 3", "n"},
		{func() (any, error) {
			return c.Objects.Show(ctx, &adminpb.ShowObjectRequest{Bucket: "a/b/c", Key: "k", Versions: true})
		}, "show a/b/c k true", "k"},
		{func() (any, error) {
			return c.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "a/b/c", Key: "k"}, strings.NewReader("x"))
		}, "put a/b/c k", "size:1"},
		{func() (any, error) {
			object, body, err := c.Objects.Get(ctx, "a/b/c", "k")
			if err != nil {
				return nil, err
			}
			return object, body.Close()
		}, "get a/b/c k", "size:1"},
		{func() (any, error) { return nil, c.Objects.Delete(ctx, "a/b/c", "k") }, "delete a/b/c k", ""},
	} {
		got, err := call.make()
		if err != nil {
			t.Errorf("%s: %v", call.saw, err)
			continue
		}
		if saw, id := n.last(); saw != call.saw || !validRequestID(id) {
			t.Errorf("%s: the node saw %q with request id %q", call.saw, saw, id)
		}
		if call.back != "" && !strings.Contains(fmt.Sprint(got), call.back) {
			t.Errorf("%s: came back %v, want something with %q", call.saw, got, call.back)
		}

		// The same call, refused.
		n.failWith(Errorf(CodeConflict, "refused %s", call.saw).WithHint("do so"))
		_, err = call.make()
		n.failWith(nil)
		var typed *Error
		if !errors.As(err, &typed) || typed.Code != CodeConflict || typed.Message != "refused "+call.saw || typed.Hint != "do so" ||
			typed.Node != "n1" || !validRequestID(typed.RequestID) {
			t.Errorf("%s refused: %#v", call.saw, err)
		}
	}
}

// hinted stands for the typed refusals of plans.
type hinted struct{ kind error }

func (h *hinted) Error() string { return "the sentence" }
func (h *hinted) Unwrap() error { return h.kind }
func (h *hinted) Hint() string  { return "the hint" }

func TestFailures(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	c := dial(t, socket)
	for _, f := range []struct {
		err      error
		code     Code
		exit     int
		says     string
		withHint bool
	}{
		{&hinted{state.ErrInvalid}, CodeInvalid, 2, "the sentence", true},
		{fmt.Errorf("propose: %w", &hinted{state.ErrNotFound}), CodeNotFound, 3, "the sentence", true},
		{&hinted{state.ErrExists}, CodeExists, 5, "the sentence", true},
		{&state.Error{Kind: state.ErrNotEmpty, Message: "full"}, CodeConflict, 5, "full", false},
		{fmt.Errorf("apply: %w", &state.Error{Kind: state.ErrConflict, Message: "moved"}), CodeConflict, 5, "moved", false},
		{Errorf(CodeDenied, "no"), CodeDenied, 4, "no", false},
		{Errorf(CodeUnavailable, "no leader"), CodeUnavailable, 6, "no leader", false},
		{Errorf(CodeTimeout, "too late"), CodeTimeout, 7, "too late", false},
		{Errorf(CodeUnsupported, "later"), CodeUnsupported, 1, "later", false},
		{Errorf(CodeExhausted, "no space left"), CodeExhausted, 1, "no space left", false},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), CodeTimeout, 7, "did not finish in time", false},
		{errors.New("disk on fire"), CodeFailed, 1, "the node failed: disk on fire", true},
		{errors.New("bad \xff bytes"), CodeFailed, 1, "bad \uFFFD bytes", true},
		{errors.New(strings.Repeat("x", 1<<20)), CodeFailed, 1, "xxx", true},
	} {
		n.failWith(f.err)
		_, err := c.System.Status(t.Context())
		var typed *Error
		if !errors.As(err, &typed) {
			t.Errorf("%v: arrived as %T", f.err, err)
			continue
		}
		if typed.Code != f.code || typed.Code.Exit() != f.exit || !strings.Contains(typed.Message, f.says) || (typed.Hint != "") != f.withHint {
			t.Errorf("%v: arrived as code %d, exit %d, %q, hint %q", f.err, typed.Code, typed.Code.Exit(), typed.Message, typed.Hint)
		}
		if len(typed.Message) > 8<<10 {
			t.Errorf("a message of %d bytes arrived", len(typed.Message))
		}
	}
}

func TestCodesRoundTrip(t *testing.T) {
	for code := CodeFailed; code <= CodeExhausted; code++ {
		if code == CodeUnhealthy {
			continue // a verdict of the command, never of a call
		}
		if back := codeOf(wireCode(code)); back != code {
			t.Errorf("code %d goes out as %v and comes back as %d", code, wireCode(code), back)
		}
	}
}

func TestDialRefuses(t *testing.T) {
	for target, says := range map[string]string{
		"":                                     "is not the address of a node",
		"/run/isgw/admin.sock":                 "is not the address of a node",
		"unix:":                                "has no path",
		"https://node:7443":                    "nothing says which site to trust",
		"http://node:7443":                     "not served without TLS",
		"unix:/" + strings.Repeat("long/", 30): "has 151 characters",
	} {
		_, err := Dial(target)
		var typed *Error
		if !errors.As(err, &typed) || typed.Code != CodeInvalid || !strings.Contains(typed.Message, says) {
			t.Errorf("dial %q: %v, want something with %q", target, err, says)
		}
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for path, says := range map[string]string{
		filepath.Join(dir, "none.sock"): "there is no such socket",
		dead:                            "nothing listens on the socket",
	} {
		c := dial(t, path)
		for call, err := range map[string]error{
			"unary":  second(c.System.Status(t.Context())),
			"upload": second(c.Objects.Put(t.Context(), &adminpb.PutObjectHeader{}, strings.NewReader("x"))),
			"stream": c.Services.Watch(t.Context(), "hawaii", 0, func(*adminpb.Service) error { return nil }),
		} {
			var typed *Error
			if !errors.As(err, &typed) || typed.Code != CodeUnavailable || !mentions(typed.Message, "no node answers at unix:"+path, says) || typed.Hint == "" {
				t.Errorf("%s at %s: %#v", call, path, err)
			}
		}
	}
	silent := unreachableTLS("https://h:1", connect.NewError(connect.CodeUnavailable, errors.New("net/http: TLS handshake timeout")))
	if silent == nil || silent.Code != CodeUnavailable || !strings.Contains(silent.Message, "does not answer") {
		t.Errorf("an endpoint that swallows: %v", silent)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = dial(t, dead).System.Status(ctx)
	var typed *Error
	if !errors.As(err, &typed) || typed.Code != CodeInterrupted {
		t.Errorf("an interrupted call: %#v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRequestIDs(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	c := dial(t, socket)
	if _, err := c.System.Status(WithRequestID(t.Context(), "ticket-17")); err != nil {
		t.Fatal(err)
	}
	if _, id := n.last(); id != "ticket-17" {
		t.Errorf("the node saw the request id %q", id)
	}
	// Over HTTP/1.1 and in JSON, as curl does it, with an id that is not fit for a log.
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for _, bad := range []string{"", "two words", strings.Repeat("x", 65), "esc\x1b"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/isgw.admin.v1.System/Status", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if bad != "esc\x1b" { // net/http refuses to send that one
			req.Header.Set(requestHeader, bad)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var status map[string]any
		err = json.NewDecoder(res.Body).Decode(&status)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || status["nodeName"] != "n1" {
			t.Errorf("JSON: %s %v %v", res.Status, status, err)
		}
		if _, id := n.last(); id == bad || !validRequestID(id) || res.Header.Get(requestHeader) != id {
			t.Errorf("id %q became %q, and the answer says %q", bad, id, res.Header.Get(requestHeader))
		}
	}
}

func TestObjectsThereAndBack(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	c := dial(t, socket)
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	for _, size := range []int{0, 1, dataPiece - 1, dataPiece, dataPiece + 1, 5<<20 + 3} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		for _, known := range []bool{true, false} {
			header := &adminpb.PutObjectHeader{Bucket: "b", Key: "k", Metadata: map[string]string{"a": "1"}}
			if known {
				header.Size = new(uint64(size))
			}
			object, err := c.Objects.Put(t.Context(), header, bytes.NewReader(content))
			if err != nil || object.GetSize() != uint64(size) || object.GetMetadata()["a"] != "1" {
				t.Fatalf("put %d bytes: %v, %v", size, object, err)
			}
			object, body, err := c.Objects.Get(t.Context(), "b", "k")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, content) || object.GetSize() != uint64(size) {
				t.Errorf("get %d bytes: %d came, %v", size, len(got), err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	// A reader that has had enough lets go of the stream.
	_, body, err := c.Objects.Get(t.Context(), "b", "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Errorf("close half-way: %v", err)
	}
}

// TestPutBrokenOff ends uploads too early, in every way: nothing may be stored.
func TestPutBrokenOff(t *testing.T) {
	broken := errors.New("the pipe broke")
	tooShort, tooLong := new(uint64(1<<20)), new(uint64(3))
	for name, c := range map[string]struct {
		header *adminpb.PutObjectHeader
		body   func(*node, context.CancelFunc) io.Reader
		code   Code
		says   string
	}{
		"body fails": {&adminpb.PutObjectHeader{}, func(*node, context.CancelFunc) io.Reader {
			return io.MultiReader(bytes.NewReader(make([]byte, 600<<10)), iotest{broken})
		}, CodeFailed, "the pipe broke"},
		"fewer bytes than announced": {&adminpb.PutObjectHeader{Size: tooShort}, func(*node, context.CancelFunc) io.Reader {
			return bytes.NewReader(make([]byte, 1000))
		}, CodeInvalid, "ended after 1000 of 1048576 bytes"},
		"more bytes than announced": {&adminpb.PutObjectHeader{Size: tooLong}, func(*node, context.CancelFunc) io.Reader {
			return bytes.NewReader(make([]byte, 8<<20))
		}, CodeInvalid, "more than the 3 bytes"},
		"interrupted": {&adminpb.PutObjectHeader{}, func(n *node, cancel context.CancelFunc) io.Reader {
			return io.MultiReader(bytes.NewReader(make([]byte, 600<<10)), readerFunc(func([]byte) (int, error) {
				<-n.reading
				cancel()
				return 0, context.Canceled
			}))
		}, CodeFailed, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.reading = make(chan struct{})
			socket, _ := serve(t, n.options())
			client := dial(t, socket)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := client.Objects.Put(ctx, c.header, c.body(n, cancel))
			var typed *Error
			if !errors.As(err, &typed) || typed.Code != c.code || !strings.Contains(typed.Message, c.says) {
				t.Errorf("put: %#v", err)
			}
			eventually(t, "the node's Put ends", func() bool {
				n.mu.Lock()
				defer n.mu.Unlock()
				return len(n.putErrs) == 1
			})
			n.mu.Lock()
			defer n.mu.Unlock()
			if len(n.stored) != 0 || errors.Is(n.putErrs[0], io.EOF) {
				t.Errorf("stored %d objects; the body ended with %v", len(n.stored), n.putErrs[0])
			}
		})
	}
}

type iotest struct{ err error }

func (r iotest) Read([]byte) (int, error) { return 0, r.err }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPutRefusedAtOnce refuses an upload before its body was read.
func TestPutRefusedAtOnce(t *testing.T) {
	n := newNode()
	n.failWith(Errorf(CodeNotFound, "no such bucket"))
	socket, _ := serve(t, n.options())
	_, err := dial(t, socket).Objects.Put(t.Context(), &adminpb.PutObjectHeader{}, bytes.NewReader(make([]byte, 64<<20)))
	var typed *Error
	if !errors.As(err, &typed) || typed.Code != CodeNotFound || typed.Message != "no such bucket" {
		t.Errorf("put: %#v", err)
	}
}

// TestGetBrokenOff has the node fail while it sends: the reader must not end
// as if all had come.
func TestGetBrokenOff(t *testing.T) {
	for name, c := range map[string]struct {
		body func([]byte) (io.Reader, uint64)
		says string
	}{
		"store fails": {func(b []byte) (io.Reader, uint64) {
			return io.MultiReader(bytes.NewReader(b), iotest{errors.New("bad disk")}), 1 << 20
		}, "bad disk"},
		"store cut short": {func(b []byte) (io.Reader, uint64) {
			return io.MultiReader(bytes.NewReader(b), iotest{io.ErrUnexpectedEOF}), 1 << 20
		}, "unexpected EOF"},
		"shorter than size": {func(b []byte) (io.Reader, uint64) { return bytes.NewReader(b), uint64(len(b)) + 7 }, "7 bytes before its end"},
		"longer than size":  {func(b []byte) (io.Reader, uint64) { return bytes.NewReader(b), uint64(len(b)) - 1 }, "more bytes than its size"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.stored["b/k"] = make([]byte, 600<<10)
			n.body = c.body
			socket, _ := serve(t, n.options())
			_, body, err := dial(t, socket).Objects.Get(t.Context(), "b", "k")
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			_, err = io.Copy(io.Discard, body)
			var typed *Error
			if !errors.As(err, &typed) || typed.Code != CodeFailed || !strings.Contains(typed.Message, c.says) {
				t.Errorf("read: %#v", err)
			}
		})
	}
}

// TestTooLarge sends more than the bounds.
func TestTooLarge(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	c := dial(t, socket)
	var typed *Error
	_, err := c.Sites.Pair(t.Context(), strings.Repeat("x", maxRequest+1))
	if !errors.As(err, &typed) || typed.Code != CodeExhausted {
		t.Errorf("a large token: %#v", err)
	}
	rpc := c.Objects.(*objectsClient).rpc
	stream := rpc.Put(t.Context())
	if err := stream.Send(&adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Header{Header: &adminpb.PutObjectHeader{}}}); err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Data{Data: make([]byte, maxUpload+1)}})
	if _, err := stream.CloseAndReceive(); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a large piece: %v", err)
	}
	if len(n.stored) != 0 {
		t.Error("it was stored")
	}
}

// TestPutMalformed sends what no client of ours sends.
func TestPutMalformed(t *testing.T) {
	n := newNode()
	socket, _ := serve(t, n.options())
	rpc := dial(t, socket).Objects.(*objectsClient).rpc
	header := &adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Header{Header: &adminpb.PutObjectHeader{}}}
	data := &adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Data{Data: []byte("x")}}
	for name, messages := range map[string][]*adminpb.PutObjectRequest{
		"nothing":      {},
		"no header":    {data},
		"an empty one": {{}},
		"two headers":  {header, data, header},
		"hole":         {header, {}, data},
	} {
		stream := rpc.Put(t.Context())
		for _, m := range messages {
			if stream.Send(m) != nil {
				break
			}
		}
		if _, err := stream.CloseAndReceive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(n.stored) != 0 {
		t.Error("something was stored")
	}
}

func TestWatch(t *testing.T) {
	n := newNode()
	n.set("hawaii", adminpb.ServiceState_SERVICE_STATE_BEHIND)
	socket, stop := serve(t, n.options())
	c := dial(t, socket)

	enough := errors.New("enough")
	var states []adminpb.ServiceState
	err := c.Services.Watch(t.Context(), "hawaii", minWatch, func(s *adminpb.Service) error {
		states = append(states, s.GetStatus().GetState())
		n.set("hawaii", adminpb.ServiceState_SERVICE_STATE_SYNCED)
		if len(states) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || fmt.Sprint(states) != "[SERVICE_STATE_BEHIND SERVICE_STATE_SYNCED]" {
		t.Errorf("watched %v, %v", states, err)
	}

	var typed *Error
	err = c.Services.Watch(t.Context(), "hawaii", minWatch, func(*adminpb.Service) error {
		n.failWith(Errorf(CodeNotFound, "it was deleted"))
		return nil
	})
	n.failWith(nil)
	if !errors.As(err, &typed) || typed.Code != CodeNotFound || typed.Message != "it was deleted" {
		t.Errorf("a deleted service: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = c.Services.Watch(ctx, "hawaii", 0, func(*adminpb.Service) error { cancel(); return nil })
	if !errors.As(err, &typed) || typed.Code != CodeInterrupted {
		t.Errorf("interrupted: %v", err)
	}

	err = c.Services.Watch(t.Context(), "hawaii", time.Hour, func(*adminpb.Service) error { go stop(); return nil })
	if !errors.As(err, &typed) || typed.Code != CodeUnavailable || typed.Message != "the node is shutting down" {
		t.Errorf("when the node ends: %v", err)
	}
	stop()
}

func TestWatchInterval(t *testing.T) {
	for millis, want := range map[uint32]time.Duration{0: time.Second, 1: minWatch, 250: 250 * time.Millisecond, 1 << 31: maxWatch} {
		if got := watchInterval(millis); got != want {
			t.Errorf("%d ms: %v, want %v", millis, got, want)
		}
	}
}

func TestPanicEndsOneCall(t *testing.T) {
	n := newNode()
	var log bytes.Buffer
	o := n.options()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	socket, stop := serve(t, o)
	c := dial(t, socket)
	_, err := c.Paths.Create(t.Context(), &adminpb.CreatePathRequest{Path: "panic"})
	var typed *Error
	if !errors.As(err, &typed) || typed.Code != CodeFailed || strings.Contains(err.Error(), "planned") {
		t.Errorf("a panic: %v", err)
	}
	if _, err := c.System.Status(t.Context()); err != nil {
		t.Errorf("after a panic: %v", err)
	}
	c.Close()
	stop()
	if !mentions(log.String(), "admin call panicked", "planned", "Paths/Create") {
		t.Errorf("log: %s", log.String())
	}
}

// TestLog checks that changes leave a line with their request id, reads none,
// and secrets none at all.
func TestLog(t *testing.T) {
	n := newNode()
	var log bytes.Buffer
	o := n.options()
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	socket, stop := serve(t, o)
	c := dial(t, socket)
	ctx := WithRequestID(t.Context(), "ticket-18")
	for _, call := range []func() error{
		func() error { return second(c.System.Status(ctx)) },
		func() error { return second(c.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: "a/b"})) },
		func() error { return second(c.Sites.Pair(ctx, "canary-token")) },
		func() error {
			return second(c.Objects.Put(ctx, &adminpb.PutObjectHeader{}, strings.NewReader("canary-body")))
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	n.failWith(Errorf(CodeNotFound, "nope"))
	if err := c.Keys.Delete(ctx, &adminpb.DeleteKeyRequest{AccessKey: "AK"}); err == nil {
		t.Fatal("not refused")
	}
	c.Close()
	stop()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), log.String())
	}
	for i, parts := range [][]string{
		{"admin change", "Keys/Create", "request=ticket-18"},
		{"admin change", "Sites/Pair", "request=ticket-18"},
		{"admin change", "Objects/Put", "request=ticket-18"},
		{"admin change refused", "Keys/Delete", "nope", "request=ticket-18"},
	} {
		if !mentions(lines[i], parts...) {
			t.Errorf("line %q lacks one of %q", lines[i], parts)
		}
	}
	for _, canary := range []string{"canary", "SK"} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("%q is in the log:\n%s", canary, log.String())
		}
	}
}

func TestNewServerNeedsAll(t *testing.T) {
	if _, err := NewServer(Options{}); err == nil {
		t.Error("a server without interfaces was made")
	}
}

// FuzzServer feeds the handler with whatever comes: it answers and lives.
func FuzzServer(f *testing.F) {
	for _, path := range []string{adminpbconnect.SystemStatusProcedure, adminpbconnect.PathsCreateProcedure, adminpbconnect.ObjectsPutProcedure, "/", "/isgw.admin.v1.Objects/../x"} {
		f.Add(path, "application/proto", []byte{10, 1, 'x'})
		f.Add(path, "application/json", []byte(`{"path":"x"}`))
		f.Add(path, "application/connect+proto", []byte{0, 0, 0, 0, 2, 10, 0})
		f.Add(path, "application/connect+json", []byte{0, 255, 255, 255, 255, '{'})
		f.Add(path, "application/grpc", []byte{0, 0, 0, 0, 0})
	}
	n := newNode()
	server, err := NewServer(n.options())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, contentType string, body []byte) {
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "Watch") {
			return // the one call without an end
		}
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		req = req.WithContext(context.WithValue(req.Context(), viaKey{}, via{local: true}))
		req.URL.Path = path
		req.Header.Set("Content-Type", contentType)
		res := httptest.NewRecorder()
		server.Handler().ServeHTTP(res, req)
		n.mu.Lock()
		n.calls, n.ids, n.putErrs = nil, nil, nil
		n.mu.Unlock()
		if res.Code == 0 {
			t.Error("no answer")
		}
	})
}
