package ccow

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// forbidden is a source that fails the test when anything is asked of it.
func forbidden(t *testing.T) link.Source {
	src := new(linktest.Source)
	v := reflect.ValueOf(src).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Func {
			continue
		}
		name := v.Type().Field(i).Name
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
			t.Errorf("the source was asked: %s", name)
			out := make([]reflect.Value, f.Type().NumOut())
			for i := range out {
				out[i] = reflect.Zero(f.Type().Out(i))
			}
			out[len(out)-1] = reflect.ValueOf(errors.New("asked"))
			return out
		}))
	}
	return src
}

// answers sends a request on a connection and returns the frames of its answer.
func (c rawConn) answers(path string, m proto.Message) (kinds []frameKind, refusal *linkpb.Refusal) {
	c.t.Helper()
	body, err := appendMessage(nil, frameMessage, m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.say("%s%s", post(path, len(body)), body)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		c.t.Fatalf("%s: no answer: %v", path, err)
	}
	defer res.Body.Close()
	frames := newFrameReader(res.Body, MaxMessage)
	defer frames.release()
	for {
		kind, payload, err := frames.next()
		if errors.Is(err, io.EOF) {
			return kinds, refusal
		}
		if err != nil {
			c.t.Fatalf("%s: %v", path, err)
		}
		kinds = append(kinds, kind)
		if kind == frameRefusal {
			refusal = new(linkpb.Refusal)
			if err := decode(payload, refusal); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// TestNothingWithoutALink asks, by every request that an endpoint knows, as a site
// that is not paired, as one that is paired and has no link, and as one whose link has
// gone while it was connected. No source is asked, and nothing but a refusal comes.
func TestNothingWithoutALink(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	stranger := newSite(t, "stranger", nil)
	stranger.pin(far) // which knows nothing of it
	far.serve("hawaii", forbidden(t))
	if len(calls) < 6 {
		t.Fatalf("only %d kinds of requests are known", len(calls))
	}
	for path, call := range calls {
		t.Run(path, func(t *testing.T) {
			// Not paired: the handshake is not even accepted.
			conn := rawDial(t, stranger, far.addr, alpnLink)
			conn.message(frameMessage, &linkpb.Opening{Service: "hawaii"})
			conn.say("%s", post(path, 5)+frame(1, 0, ""))
			if got := conn.ended(); len(got) > 0 {
				t.Errorf("a site that is not paired is answered with %q", got)
			}

			// Paired, and without a link: there is one of another name.
			conn = rawDial(t, near, far.addr, alpnLink)
			conn.message(frameMessage, &linkpb.Opening{Service: "maui"})
			conn.say("%s", post(path, 5)+frame(1, 0, ""))
			var reply linkpb.OpeningReply
			if err := readMessage(conn, maxOpening, &reply); err != nil || reply.GetRefusal().GetCode() != string(link.CodeNoService) {
				t.Errorf("without a link the opening is answered with %v, %v", &reply, err)
			}
			if rest := conn.ended(); len(rest) > 0 {
				t.Errorf("without a link a request is answered with %q", rest)
			}

			// The link goes while the connection is open.
			far.serve("kauai", forbidden(t))
			conn = rawDial(t, near, far.addr, alpnLink)
			conn.message(frameMessage, &linkpb.Opening{Service: "kauai"})
			if err := readMessage(conn, maxOpening, &reply); err != nil || reply.GetRefusal() != nil {
				t.Fatalf("the opening is answered with %v, %v", &reply, err)
			}
			far.serve("kauai", nil)
			kinds, refusal := conn.answers(path, call.request())
			if len(kinds) != 1 || refusal.GetCode() != string(link.CodeNoService) {
				t.Errorf("once the link has gone the answer has the frames %v with %v", kinds, refusal)
			}
		})
	}
}

// TestARequestCannotNameAnotherLink: whose connection it is decides, whatever a
// greeting says.
func TestARequestCannotNameAnotherLink(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	far.serve("hawaii", greeter())
	far.serve("maui", forbidden(t))
	conn := rawLink(t, near, far.addr)
	kinds, refusal := conn.answers(pathHello, &linkpb.Hello{Version: link.Version, MinVersion: link.MinVersion, Service: "maui"})
	if len(kinds) != 1 || refusal.GetCode() != string(link.CodeInvalid) {
		t.Errorf("the answer has the frames %v with %v", kinds, refusal)
	}
}
