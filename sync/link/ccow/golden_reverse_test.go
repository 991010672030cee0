package ccow

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// testdata/reverse-1.txt is what two sites of protocol version 1 say to each other when
// one of them cannot dial: its answer to a greeting on a connection that the other
// dialled asks for connections, and on those that come it asks. In its names "near"
// dials and "far" knows no address.
const reverseFile = "testdata/reverse-1.txt"

// The exchanges of a reverse session, in their order.
const (
	reverseWanted  = "1 near greets, and far wants connections"
	reverseOpening = "2 near opens one"
	reverseHello   = "3 far greets on it"
	reverseDigest  = "4 far asks for more on it"
	reverseUnknown = "5 near opens one for a link on which far does not wait"
)

// wantedConnections is how many far asks for: 5, and its 8 for chunks.
const wantedConnections = 13

// reverseSites are the two sites of the recording. far has a client of the link that
// waits for connections.
func reverseSites(t *testing.T) (near, far *site, waiting *Client, session map[string]exchange) {
	t.Helper()
	near, far = goldenSite(t, 1, "near"), goldenSite(t, 2, "far")
	near.pin(far)
	far.pin(near)
	waiting, err := far.ep.Dial(DialOptions{Peer: near.id.Site(), PeerName: near.name, Service: "hawaii"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { waiting.Close() })
	session = readGolden(t, reverseFile)
	if *record && len(session) == 0 {
		recordReverse(t, near, far, session)
		writeGolden(t, reverseFile, session)
	}
	return near, far, waiting, session
}

// greeting is a greeting of a site, as it is sent.
func greeting(s *site, want uint32, h *linkpb.Hello) *linkpb.Hello {
	h = proto.CloneOf(h)
	h.Service, h.Site, h.SiteName, h.WantReverse = "hawaii", s.id.Site().Bytes(), s.name, want
	return h
}

// recordReverse makes the recording: requests as the present client has them, and
// what the present server answers.
func recordReverse(t *testing.T, near, far *site, session map[string]exchange) {
	t.Helper()
	frameOf := func(m proto.Message) []byte {
		b, err := appendMessage(nil, frameMessage, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	requestOf := func(path string, m proto.Message) []byte {
		b, err := appendRequest(nil, path, []proto.Message{m})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	answer := func(server *site, from *site, source, alpn string, asked []byte) exchange {
		server.serve("hawaii", goldenSource(source))
		c := rawDial(t, from, server.addr, alpn)
		opening := frameOf(&linkpb.Opening{Service: "hawaii"})
		_, _ = c.Write(append(opening, asked...))
		if _, err := io.ReadFull(c, make([]byte, len(frameOf(new(linkpb.OpeningReply))))); err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		answerOf(t, bufio.NewReader(io.TeeReader(c, &raw)))
		return exchange{asked: asked, answered: date.ReplaceAll(raw.Bytes(), []byte("Date: Thu, 01 Jan 1970 00:00:00 GMT"))}
	}
	hello := said.requests["hello"].(*linkpb.Hello)
	session[reverseWanted] = answer(far, near, "hello", goldenLinkALPN, requestOf(pathHello, greeting(near, 0, hello)))
	session[reverseOpening] = exchange{asked: frameOf(&linkpb.Opening{Service: "hawaii"}), answered: frameOf(new(linkpb.OpeningReply))}
	session[reverseUnknown] = exchange{
		asked: frameOf(&linkpb.Opening{Service: "tahiti"}),
		answered: frameOf(&linkpb.OpeningReply{Refusal: &linkpb.Refusal{
			Code: string(link.CodeNoService), Message: "site far does not wait for connections of link tahiti",
		}}),
	}
	// What is asked does not depend on who dialled, nor do the answers.
	session[reverseHello] = answer(near, far, "hello", goldenLinkALPN, requestOf(pathHello, greeting(far, wantedConnections, hello)))
	session[reverseDigest] = answer(near, far, "digest", goldenLinkALPN, requestOf(pathDigest, said.requests["digest"]))
}

// TestGoldenReverseAccept has a site of version 1 dial connections for the present one:
// the recorded bytes are those of the site that dials and answers.
func TestGoldenReverseAccept(t *testing.T) {
	near, far, waiting, session := reverseSites(t)
	far.serve("hawaii", goldenSource("hello"))

	// far says, on a connection that near dialled to ask, how many it wants.
	c := rawDial(t, near, far.addr, goldenLinkALPN)
	opening := session[reverseOpening]
	_, _ = c.Write(append(bytes.Clone(opening.asked), session[reverseWanted].asked...))
	reply := make([]byte, len(opening.answered))
	if _, err := io.ReadFull(c, reply); err != nil || !bytes.Equal(reply, opening.answered) {
		t.Fatalf("the opening is answered with %q: %v", reply, err)
	}
	hello := func() proto.Message { return new(linkpb.Hello) }
	got := answerOf(t, bufio.NewReader(c))
	sameFrames(t, got, answerOf(t, bufio.NewReader(bytes.NewReader(session[reverseWanted].answered))), hello)

	// near dials one, and far asks on it.
	c = rawDial(t, near, far.addr, goldenReverseALPN)
	_, _ = c.Write(opening.asked)
	if _, err := io.ReadFull(c, reply); err != nil || !bytes.Equal(reply, opening.answered) {
		t.Fatalf("the reverse opening is answered with %q, want %q: %v", reply, opening.answered, err)
	}
	asked := make(chan error, 1)
	r := bufio.NewReader(c)
	for _, step := range []struct{ exchange, name string }{{reverseHello, "hello"}, {reverseDigest, "digest"}} {
		e := session[step.exchange]
		var heard []any
		go func() {
			var err error
			heard, err = askGolden(background(t), waiting, step.name)
			asked <- err
		}()
		sameRequest(t, r, e.asked, func() proto.Message { return said.requests[step.name].ProtoReflect().New().Interface() })
		_, _ = c.Write(e.answered)
		if err := <-asked; err != nil || len(heard) != 1 {
			t.Fatalf("%s: heard %v: %v", step.name, heard, err)
		}
		want := proto.Message(said.digest)
		if step.name == "hello" {
			want = greeting(near, 0, said.hello)
		}
		if !proto.Equal(heard[0].(proto.Message), want) {
			t.Errorf("%s: understood as %v, want %v", step.name, heard[0], want)
		}
	}

	// Of a link on which nothing waits there is no reverse connection.
	c = rawDial(t, near, far.addr, goldenReverseALPN)
	_, _ = c.Write(session[reverseUnknown].asked)
	sameFrames(t, frames(t, bytes.NewReader(c.ended())), frames(t, bytes.NewReader(session[reverseUnknown].answered)), func() proto.Message { return new(linkpb.OpeningReply) })
}

// sameRequest reads a request and holds it against a recorded one.
func sameRequest(t *testing.T, r *bufio.Reader, recorded []byte, message func() proto.Message) {
	t.Helper()
	got, err := http.ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(recorded)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != want.Method || got.URL.Path != want.URL.Path || got.Host != want.Host || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
		t.Errorf("the request is %s %s %s, want %s %s %s", got.Method, got.Host, got.URL, want.Method, want.Host, want.URL)
	}
	sameFrames(t, frames(t, got.Body), frames(t, want.Body), message)
}

// TestGoldenReverseDial has the present site dial connections that a site of version 1
// wants, and answer on them: the recorded bytes are those of the site that waits.
func TestGoldenReverseDial(t *testing.T) {
	near, far, _, session := reverseSites(t)
	near.serve("hawaii", goldenSource("hello", "digest"))
	cert, err := far.cred.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	opening := session[reverseOpening]
	greetings := make(chan []byte, wantedConnections) // that near sent where it asks
	answers := make(chan [2][]byte, wantedConnections)
	config := &tls.Config{NextProtos: []string{goldenLinkALPN, goldenReverseALPN}, Certificates: []tls.Certificate{*cert}}
	address := rawListenWith(t, config, func(c rawConn) {
		asked := make([]byte, len(opening.asked))
		if n, err := io.ReadFull(c, asked); n == 0 {
			return // near has gone
		} else if err != nil || !bytes.Equal(asked, opening.asked) {
			t.Errorf("a connection is opened with %q, want %q: %v", asked, opening.asked, err)
			return
		}
		_, _ = c.Write(opening.answered)
		r := bufio.NewReader(c)
		if c.ConnectionState().NegotiatedProtocol == goldenLinkALPN {
			var sent bytes.Buffer
			if q, err := http.ReadRequest(bufio.NewReaderSize(io.TeeReader(c, &sent), 16)); err != nil {
				return // a connection that was opened ahead and not needed
			} else if _, err := io.Copy(io.Discard, q.Body); err != nil {
				return
			}
			greetings <- sent.Bytes()
			_, _ = c.Write(session[reverseWanted].answered)
			_, _ = io.Copy(io.Discard, c)
			return
		}
		var got [2][]byte
		for i, name := range []string{reverseHello, reverseDigest} {
			_, _ = c.Write(session[name].asked)
			var sent bytes.Buffer
			q, err := http.ReadResponse(bufio.NewReaderSize(io.TeeReader(r, &sent), 16), &http.Request{Method: http.MethodPost})
			if err == nil {
				_, err = io.Copy(io.Discard, q.Body)
			}
			if err != nil {
				t.Errorf("%s: read the answer: %v", name, err)
				return
			}
			got[i] = sent.Bytes()
		}
		answers <- got
		_, _ = io.Copy(io.Discard, c)
	})
	asking := client(t, near, far, func(o *DialOptions) { o.Address = address })
	if _, err := asking.Hello(background(t), said.requests["hello"].(*linkpb.Hello)); err != nil {
		t.Fatal(err)
	}
	sameRequest(t, bufio.NewReader(bytes.NewReader(<-greetings)), session[reverseWanted].asked, answerTo("hello"))
	linktest.WaitFor(t, "as many connections as are wanted", func() bool { return len(answers) == wantedConnections })
	for range wantedConnections {
		got := <-answers
		for i, step := range []struct{ exchange, name string }{{reverseHello, "hello"}, {reverseDigest, "digest"}} {
			want := answerOf(t, bufio.NewReader(bytes.NewReader(session[step.exchange].answered)))
			sameFrames(t, answerOf(t, bufio.NewReader(bytes.NewReader(got[i]))), want, answerTo(step.name))
		}
	}
}
