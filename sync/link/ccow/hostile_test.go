package ccow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
	"google.golang.org/protobuf/proto"
)

// untouched is a source that must not be asked anything.
func untouched(t *testing.T) *linktest.Source {
	return &linktest.Source{
		OnHello: func(context.Context, *linkpb.Hello) (*linkpb.Hello, error) {
			t.Error("the source was asked")
			return &linkpb.Hello{}, nil
		},
		OnScan: func(context.Context, *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
			t.Error("the source was asked")
			return &linkpb.ScanPage{}, nil
		},
	}
}

// post is the head of a request whose body has n bytes.
func post(path string, n int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: isgw\r\nContent-Length: %d\r\n\r\n", path, n)
}

// frame is a frame of any kind, length and content.
func frame(kind byte, n uint32, payload string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, n)) + payload
}

// TestHostileClient sends what no peer sends. Each time the connection ends, no
// source is asked, and the endpoint goes on serving.
func TestHostileClient(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Handshake, o.Stall = time.Second, time.Second })
	far.serve("hawaii", untouched(t))
	t.Cleanup(func() { // after the parallel cases
		far.serve("hawaii", greeter())
		c := client(t, near, far, nil)
		defer c.Close()
		linktest.WaitFor(t, "the endpoint to serve on", func() bool { return served(background(t), c) == nil })
	})
	long := strings.Repeat("x", 40<<10)
	for _, c := range []struct {
		name string
		send string // after the opening
		want string // part of the answer, if there must be one
	}{
		{"garbage", "\x00\x01\x02\x03\xff\xfe\r\n\r\n", "400 Bad Request"},
		{"endless head", "POST " + pathScan + " HTTP/1.1\r\nHost: isgw\r\nX: " + long, "431"},
		{"head that stops", "POST " + pathScan + " HTTP/1.1\r\nHos", ""},
		{"nothing in the body", post(pathScan, 0), "a request of 0 bytes"},
		{"absurd request", post(pathScan, 1<<40), "a request of 1099511627776 bytes"},
		{"chunked request", "POST " + pathScan + " HTTP/1.1\r\nHost: isgw\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\x01\r\n0\r\n\r\n", "a request of -1 bytes"},
		{"absurd frame", post(pathScan, 5) + frame(1, 1<<31, ""), "are more than"},
		{"unknown frame", post(pathScan, 5) + frame(77, 0, ""), "kind 77 is unknown"},
		{"frame of another kind", post(pathScan, 5) + frame(2, 0, ""), "a request with a frame of kind 2"},
		{"frame longer than the body", post(pathScan, 6) + frame(1, 100, "a"), ""},
		{"frame shorter than the body", post(pathScan, 8) + frame(1, 0, "abc"), "more than one frame"},
		{"no message", post(pathScan, 8) + frame(1, 3, "\xff\xff\xff"), "no ScanRequest"},
		{"another site's name", post(pathHello, 7+16) + frame(1, 18, "\x2a\x10"+strings.Repeat("z", 16)), "another site than the handshake"},
		{"body that stops", post(pathScan, 1000) + frame(1, 995, "abc"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := rawLink(t, near, far.addr)
			// The peer may hang up before it has all.
			_, _ = io.WriteString(conn, c.send)
			if c.name == "another site's name" {
				// A refusal leaves the connection, so it is ended here.
				_, _ = io.WriteString(conn, "\r\n\r\nGET\r\n\r\n")
			}
			if got := string(conn.ended()); !strings.Contains(got, c.want) {
				t.Errorf("the answer is %q, without %q", got, c.want)
			}
		})
	}
}

// TestHostileOpening breaks the protocol before the first request.
func TestHostileOpening(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Handshake = 500 * time.Millisecond })
	far.serve("hawaii", untouched(t))
	for name, send := range map[string]string{
		"silence":           "",
		"absurd length":     frame(1, 1<<31-1, "abc"),
		"unknown kind":      frame(9, 1, "a"),
		"no message":        frame(1, 2, "\xff\xff"),
		"length that stops": "\x01\x00",
		"bad service name":  frame(1, 5, "\x0a\x03../"),
		"HTTP at once":      post(pathScan, 5) + frame(1, 0, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, alpn := range []string{alpnLink, alpnReverse, alpnPair} {
				conn := rawDial(t, near, far.addr, alpn)
				conn.say("%s", send)
				conn.ended()
			}
		})
	}
	here, there := twoSites(t, nil) // with time to answer
	conn := rawDial(t, here, there.addr, alpnReverse)
	conn.message(frameMessage, &linkpb.Opening{Service: "hawaii"})
	if got := string(conn.ended()); !strings.Contains(got, "does not wait for connections") {
		t.Errorf("a reversed connection that nobody wants is answered with %q", got)
	}
}

// TestHostileHandshake connects without the right to.
func TestHostileHandshake(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Handshake = 500 * time.Millisecond })
	far.serve("hawaii", untouched(t))
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := near.cred.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	foreign := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	// The roster of a paired site, with a key that is not in it.
	stolen := tls.Certificate{Certificate: own.Certificate, PrivateKey: key}
	for name, config := range map[string]*tls.Config{
		"no certificate":      {NextProtos: []string{alpnLink}},
		"foreign certificate": {NextProtos: []string{alpnLink}, Certificates: []tls.Certificate{foreign}},
		"stolen certificate":  {NextProtos: []string{alpnLink}, Certificates: []tls.Certificate{stolen}},
		"no protocol":         {Certificates: []tls.Certificate{*own}},
		"another protocol":    {NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*own}},
		"TLS 1.2":             {NextProtos: []string{alpnLink}, Certificates: []tls.Certificate{*own}, MaxVersion: tls.VersionTLS12},
	} {
		t.Run(name, func(t *testing.T) {
			config.InsecureSkipVerify = true
			c, err := tls.Dial("tcp", far.addr, config)
			if err != nil {
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(linktest.Patience))
			_ = writeMessage(c, &linkpb.Opening{Service: "hawaii"})
			if n, err := c.Read(make([]byte, 1)); n > 0 {
				t.Error("the endpoint answers")
			} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Error("the connection was not closed")
			}
		})
	}
	if len(far.handshakes()) > 0 {
		t.Errorf("%d handshakes were accepted", len(far.handshakes()))
	}
	// One that never says anything is cut when its time is over.
	c, err := net.Dial("tcp", far.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(linktest.Patience))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("a silent connection ends with %v", err)
	}
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n"

// ok is an answer with a body of its length.
func ok(body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", okHead, len(body), body)
}

// TestHostileServer answers with what no peer answers.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, func(o *Options) { o.Stall = 300 * time.Millisecond })
	header := func(n uint32) string {
		b, err := proto.Marshal(&linkpb.ChunkHeader{Length: n})
		if err != nil {
			t.Fatal(err)
		}
		return frame(1, uint32(len(b)), string(b))
	}
	end := frame(2, 0, "")
	const chunked = okHead + "Transfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, answer string
		kind         link.FaultKind
		part         string
	}{
		{"garbage", "\x00\x01\x02 what\r\n\r\n", link.FaultProtocol, "not HTTP"},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), link.FaultProtocol, "the head of an answer is longer"},
		{"another status", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", link.FaultProtocol, "HTTP status 500"},
		{"another content", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", link.FaultProtocol, `content type "text/html"`},
		{"unknown frame", ok(frame(99, 0, "")), link.FaultProtocol, "kind 99 is unknown"},
		{"absurd frame", ok(frame(1, 1<<32-1, "")), link.FaultProtocol, "4294967295 bytes of kind 1"},
		{"absurd chunk", ok(header(1<<31) + frame(5, 1<<31, "")), link.FaultProtocol, "are more than"},
		{"chunk above the bound", ok(header(chunks.MaxRaw+1) + frame(5, chunks.MaxRaw+1, "")), link.FaultProtocol, "are more than"},
		{"chunk longer than its header", ok(header(3) + frame(5, 4, "abcd") + end), link.FaultProtocol, "4 bytes of a chunk whose header says 3"},
		{"chunk without a header", ok(frame(5, 4, "abcd") + end), link.FaultProtocol, "kind 5 where a message belongs"},
		{"header without a chunk", ok(header(3) + end), link.FaultProtocol, "where the bytes of a chunk belong"},
		{"no header message", ok(frame(1, 3, "\xff\xff\xff") + end), link.FaultProtocol, "no ChunkHeader"},
		{"no refusal message", ok(frame(3, 3, "\xff\xff\xff")), link.FaultProtocol, "no Refusal"},
		{"more after the end", ok(end + "x"), link.FaultProtocol, "goes on after its end"},
		{"no end", ok(header(3) + frame(5, 3, "abc")), link.FaultBroken, "was lost"},
		{"bad chunked coding", chunked + "zz\r\n", link.FaultProtocol, "a bad coding"},
		{"truncated", okHead + "Content-Length: 1000\r\n\r\n" + header(300) + frame(5, 300, "abc"), link.FaultBroken, "was lost"},
		{"end of an empty answer", okHead + "Content-Length: 0\r\n\r\n", link.FaultBroken, "was lost"},
		{"hangs up", "", link.FaultBroken, "was lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := rawServer(t, far, func(conn rawConn) { _, _ = io.WriteString(conn, c.answer) })
			cl := client(t, near, far, func(o *DialOptions) { o.Address = address })
			err := cl.Fetch(background(t), &linkpb.FetchRequest{}, func(h *linkpb.ChunkHeader, body []byte) error {
				if len(body) != int(h.GetLength()) {
					t.Errorf("a chunk of %d bytes with a header that says %d", len(body), h.GetLength())
				}
				return nil
			})
			wantFault(t, err, c.kind, c.part)
			if c.kind == link.FaultProtocol && !near.log.has("connection to peer dropped") {
				t.Error("it is not logged")
			}
		})
	}
	// A refusal full of tricks is one short line.
	nasty, err := proto.Marshal(&linkpb.Refusal{Code: "busy", Message: "a\nb\x1b[2J" + strings.Repeat("m", 5000)})
	if err != nil {
		t.Fatal(err)
	}
	address := rawServer(t, far, func(conn rawConn) { conn.say("%s", ok(frame(3, uint32(len(nasty)), string(nasty)))) })
	cl := client(t, near, far, func(o *DialOptions) { o.Address = address })
	err = served(background(t), cl)
	wantRefused(t, err, link.CodeBusy, "a b [2Jmmm")
	if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("the refusal reads %q", err)
	}
	// A greeting in another's name.
	hello, err := proto.Marshal(&linkpb.Hello{Version: 1, MinVersion: 1, Site: bytes.Repeat([]byte{9}, 16)})
	if err != nil {
		t.Fatal(err)
	}
	address = rawServer(t, far, func(conn rawConn) { conn.say("%s", ok(frame(1, uint32(len(hello)), string(hello))+end)) })
	_, err = client(t, near, far, func(o *DialOptions) { o.Address = address }).Hello(background(t), &linkpb.Hello{})
	wantFault(t, err, link.FaultProtocol, "in the name of another site")
}
