package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
)

// TestWayToAnExpiredNode: who is there is judged after the handshake, so that also a
// certificate that is not valid tells whose it is, and when it was.
func TestWayToAnExpiredNode(t *testing.T) {
	began := time.Now().AddDate(-40, 0, 0) // an authority lives for thirty years
	authority, err := identity.NewAuthority(state.SiteID{1}, "alpha", began)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Server("alpha-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // of a step that only connects there is none
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended })
	var last string
	for _, step := range Way(Target{Address: "https://" + ln.Addr().String(), CA: []byte(authority.PEM())}) {
		last = step.Name
		if _, err = step.Try(t.Context()); err != nil {
			break
		}
	}
	var failure *Error
	want := "the certificate of node alpha-1 is valid from " + began.AddDate(0, 0, -1).UTC().Format("2006-01-") // the day depends on the hour
	if last != "certificate" || !errors.As(err, &failure) || failure.Code != CodeDenied || !strings.HasPrefix(failure.Message, want) || !strings.Contains(failure.Hint, "clocks") {
		t.Errorf("it ends at %s with %v, want %q", last, err, want)
	}
}

// TestWayToSomeAddresses: a name with an address that does not answer is told, and
// what follows goes on with one that does.
func TestWayToSomeAddresses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	w := &wayTLS{port: port, addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}}
	found, err := w.tcp(t.Context())
	if err != nil || w.open != ln.Addr().String() || !strings.HasPrefix(found, "nothing listens at https://127.0.0.2:"+port+"; "+w.open+" took a connection in ") {
		t.Errorf("found %q, %v, and goes on at %q", found, err, w.open)
	}
	ln.Close()
	var failure *Error
	_, err = w.tcp(t.Context())
	if !errors.As(err, &failure) || failure.Code != CodeUnavailable || w.open != "" || failure.Hint == "" ||
		failure.Message != "nothing listens at https://127.0.0.2:"+port+"; nothing listens at https://127.0.0.1:"+port {
		t.Errorf("with no listener: %v, %+v", err, failure)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.tcp(ctx); !errors.As(err, &failure) || failure.Code != CodeInterrupted {
		t.Errorf("interrupted: %v", err)
	}
}
