package ccow

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// rawConn is the wire seen by a peer that does as it likes.
type rawConn struct {
	*tls.Conn
	t testing.TB
}

// rawDial connects as a site, down to the handshake.
func rawDial(t testing.TB, from *site, address, alpn string) rawConn {
	t.Helper()
	cert, err := from.cred.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return rawDialWith(t, cert, from.ep.o.Dial, address, alpn)
}

// rawDialWith is rawDial with a certificate.
func rawDialWith(t testing.TB, cert *tls.Certificate, dial dialFunc, address, alpn string) rawConn {
	t.Helper()
	var c *tls.Conn
	linktest.WaitFor(t, "a handshake", func() bool { // which has little time in some tests
		under, err := dial(background(t), "tcp", address)
		if err != nil {
			return false
		}
		c = tls.Client(under, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}, Certificates: []tls.Certificate{*cert}})
		if err = c.Handshake(); err != nil {
			c.Close()
		}
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(linktest.Patience))
	return rawConn{c, t}
}

// rawLink connects as a site up to where requests begin.
func rawLink(t testing.TB, from *site, address string) rawConn {
	t.Helper()
	var c rawConn
	linktest.WaitFor(t, "an opening", func() bool {
		c = rawDial(t, from, address, alpnLink)
		c.message(frameMessage, &linkpb.Opening{Service: "hawaii"})
		var reply linkpb.OpeningReply
		return readMessage(c, maxOpening, &reply) == nil && reply.GetRefusal() == nil
	})
	return c
}

// message sends a message; the other side may have hung up already.
func (c rawConn) message(kind frameKind, m *linkpb.Opening) {
	c.t.Helper()
	b, err := appendMessage(nil, kind, m)
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = c.Write(b)
}

// say sends text as it is; the other side may have hung up already.
func (c rawConn) say(format string, args ...any) { _, _ = fmt.Fprintf(c, format, args...) }

// ended reads up to the end of the connection, which must come.
func (c rawConn) ended() []byte {
	c.t.Helper()
	got, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("the connection was not closed after %q", got)
	}
	return got
}

// rawPairServer answers a pairing, as a site, with the same bytes each time.
func rawPairServer(t testing.TB, as *site, answer string) string {
	return rawListen(t, as, alpnPair, func(c rawConn) {
		if readMessage(c, maxOpening, new(identitypb.PairRequest)) == nil {
			c.say("%s", answer)
		}
	})
}

// rawServer answers as a site, each connection with the script, which begins
// after the request was read. It returns its address.
func rawServer(t testing.TB, as *site, script func(c rawConn)) string {
	return rawListen(t, as, alpnLink, func(c rawConn) {
		if readMessage(c, maxOpening, new(linkpb.Opening)) != nil || writeMessage(c, new(linkpb.OpeningReply)) != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		script(c)
	})
}

// rawListen accepts connections as a site, down to the handshake.
func rawListen(t testing.TB, as *site, alpn string, serve func(c rawConn)) string {
	t.Helper()
	cert, err := as.cred.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return rawListenWith(t, &tls.Config{NextProtos: []string{alpn}, Certificates: []tls.Certificate{*cert}}, serve)
}

// rawListenWith is rawListen with a way of its own to run the handshake.
func rawListenWith(t testing.TB, config *tls.Config, serve func(c rawConn)) string {
	t.Helper()
	config.ClientAuth = tls.RequireAnyClientCert
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(linktest.Patience))
				serve(rawConn{c.(*tls.Conn), t})
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}
