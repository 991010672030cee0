package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestDoorsOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		own   string
		local []string
		want  []string
	}{
		{"none", "127.0.0.1:14000", []string{"", ""}, nil},
		{"one", "127.0.0.1:14000", []string{"127.0.0.1:14001", ""}, []string{"127.0.0.1:14001"}},
		{"shared", "", []string{"10.0.0.1:14000", "10.0.0.1:14000"}, []string{"10.0.0.1:14000"}},
		{"the node's own", "127.0.0.1:14000", []string{"127.0.0.1:14000"}, nil},
		{"the node listens everywhere", "[::]:14000", []string{"10.0.0.1:14000", "0.0.0.0:14000", "[fd00::1]:14000"}, nil},
		{"the node listens everywhere in IPv4", "0.0.0.0:14000", []string{"10.0.0.1:14000", "[fd00::1]:14000"}, []string{"[fd00::1]:14000"}},
		{"another port", "[::]:14000", []string{"10.0.0.1:14001"}, []string{"10.0.0.1:14001"}},
		{"the node listens on one address only", "127.0.0.1:14000", []string{"0.0.0.0:14000"}, []string{"0.0.0.0:14000"}},
		{"a link listens everywhere", "", []string{"10.0.0.1:14000", "0.0.0.0:14000"}, []string{"0.0.0.0:14000"}},
		{"everywhere in two ways", "", []string{":14000", "[::]:14000"}, []string{":14000", "[::]:14000"}},
		{"any port", "127.0.0.1:0", []string{"127.0.0.2:0"}, []string{"127.0.0.2:0"}},
		{"a name", "", []string{"localhost:14000", "[::]:14000"}, []string{"[::]:14000"}},
	} {
		var services []*statepb.Service
		for _, local := range c.local {
			services = append(services, &statepb.Service{Type: state.TypeLink, Local: local})
		}
		services = append(services, &statepb.Service{Type: state.TypeLink, Local: "10.9.9.9:1", Disabled: true}, &statepb.Service{Type: "s3", Local: "10.9.9.9:2"})
		if got := doorsOf(services, c.own); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestDoors opens, keeps and closes addresses, says which cannot be had and
// opens those when they can.
func TestDoors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &doors{
		log: slog.New(slog.DiscardHandler), at: map[string]*door{},
		listen: func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
		serve: func(ctx context.Context, ln net.Listener) error {
			defer context.AfterFunc(ctx, func() { ln.Close() })()
			for {
				c, err := ln.Accept()
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				_, _ = c.Write([]byte("x"))
				c.Close()
			}
		},
	}
	defer d.close()
	open := func(address string) bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		defer c.Close()
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	busy, err := net.Listen("tcp", "127.0.0.2:0") // nobody else listens there
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	first, second := free.Addr().String(), busy.Addr().String()
	free.Close()

	d.set(ctx, []string{first, second})
	if !open(first) {
		t.Error("the first address is not open")
	}
	if p := d.problem(second); p == nil || p.what != "cannot listen on "+second+": another program or link does" || !strings.Contains(p.next, "--local") {
		t.Errorf("of an address in use is said %+v", p)
	}
	if p := d.problem(first); p != nil {
		t.Errorf("of the open address is said %+v", p)
	}
	d.own = second
	d.set(ctx, []string{first, second})
	if p := d.problems(); len(p) != 1 || !strings.Contains(p[0].what, "the node itself listens on "+second) {
		t.Errorf("of the node's own address is said %+v", p)
	}
	busy.Close()
	d.set(ctx, []string{first, second})
	if !open(first) || !open(second) || len(d.problems()) != 0 {
		t.Errorf("what has become free is not opened: %+v", d.problems())
	}
	d.set(ctx, []string{second})
	if open(first) || !open(second) {
		t.Error("the first address is open, or the second one is not")
	}
	d.set(ctx, []string{"192.0.2.1:1"})
	if p := d.problem("192.0.2.1:1"); open(second) || p == nil || !strings.Contains(p.what, "does not have that address") {
		t.Errorf("of somebody else's address is said %+v", p)
	}
}

// TestDoorFails: a listener that fails is told of and opened again.
func TestDoorFails(t *testing.T) {
	fail := make(chan error, 1)
	served := 0
	d := &doors{
		log: slog.New(slog.DiscardHandler), at: map[string]*door{},
		listen: func(string) (net.Listener, error) { return nil, nil },
		serve: func(ctx context.Context, _ net.Listener) error {
			served++
			select {
			case err := <-fail:
				return err
			case <-ctx.Done():
				return nil
			}
		},
	}
	d.set(t.Context(), []string{"h:1"})
	fail <- errors.New("no more descriptors")
	for limit := time.Now().Add(time.Minute); d.problem("h:1") == nil; {
		if time.Now().After(limit) {
			t.Fatal("nothing is said of the failure")
		}
		<-time.After(time.Millisecond)
	}
	if p := d.problem("h:1"); p.what != "no more descriptors" {
		t.Errorf("it is said: %+v", p)
	}
	d.set(t.Context(), []string{"h:1"})
	if p := d.problem("h:1"); p != nil {
		t.Errorf("after it was opened again: %+v", p)
	}
	d.close()
	if served != 2 {
		t.Errorf("it was opened %d times", served)
	}
}
