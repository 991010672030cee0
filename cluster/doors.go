package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// doors are the addresses where peers may connect beside the node's own: they are
// opened and closed as the config says. An address that cannot be had is tried
// again each time.
type doors struct {
	listen func(address string) (net.Listener, error)
	serve  func(ctx context.Context, ln net.Listener) error // until ctx ends; closes ln
	own    string                                           // where the node listens for links; empty: nowhere
	log    *slog.Logger

	mu sync.Mutex
	at map[string]*door // by address as the config has it
}

// door is one address: open, or with the reason why it is not.
type door struct {
	close context.CancelFunc
	done  chan struct{} // closed when nothing of it runs
	err   *doorError    // why it is not open; under doors.mu
}

// doorError says why an address is not listened on, and what to do.
type doorError struct{ what, next string }

// set makes addresses the open ones. It is called by one goroutine; ctx lives as
// long as the doors.
func (d *doors) set(ctx context.Context, addresses []string) {
	var closing []*door
	d.mu.Lock()
	for address, open := range d.at {
		if !slices.Contains(addresses, address) || open.err != nil {
			closing = append(closing, open)
		}
	}
	d.mu.Unlock()
	// What is closed makes room for what is opened, maybe at the same port.
	for _, c := range closing {
		c.close()
		<-c.done
	}
	for _, address := range addresses {
		d.mu.Lock()
		was := d.at[address]
		d.mu.Unlock()
		if was != nil && !slices.Contains(closing, was) {
			continue
		}
		now := d.open(ctx, address)
		if now.err != nil && (was == nil || was.err == nil || *was.err != *now.err) {
			d.log.Warn("address of a link is not listened on", "address", address, "reason", now.err.what)
		} else if now.err == nil {
			d.log.Info("listening for a link", "address", address)
		}
		d.mu.Lock()
		d.at[address] = now
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for address := range d.at {
		if !slices.Contains(addresses, address) {
			delete(d.at, address)
		}
	}
}

// open listens on an address.
func (d *doors) open(ctx context.Context, address string) *door {
	now := &door{close: func() {}, done: make(chan struct{})}
	ln, err := d.listen(address)
	if err != nil {
		now.err = d.explain(address, err)
		close(now.done)
		return now
	}
	ctx, now.close = context.WithCancel(ctx)
	go func() {
		defer close(now.done)
		if err := d.serve(ctx, ln); err != nil {
			d.mu.Lock()
			now.err = &doorError{err.Error(), "see the node's log; it is tried again"}
			d.mu.Unlock()
			d.log.Error("address of a link is not listened on any more", "address", address, "error", err)
		}
	}()
	return now
}

// explain says why an address cannot be had.
func (d *doors) explain(address string, err error) *doorError {
	out := &doorError{what: fmt.Sprintf("cannot listen on %s: %v", address, err), next: "give the link another address (isgwctl service edit NAME --local)"}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		out.what = fmt.Sprintf("cannot listen on %s: %v", address, op.Err)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && samePort(address, d.own):
		out.what = fmt.Sprintf("cannot listen on %s: the node itself listens on %s", address, d.own)
		out.next = "start the node with --link " + address + ", or give the link another port (isgwctl service edit NAME --local)"
	case errors.Is(err, syscall.EADDRINUSE):
		out.what = fmt.Sprintf("cannot listen on %s: another program or link does", address)
		out.next = "give the link another port (isgwctl service edit NAME --local)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		out.what = fmt.Sprintf("cannot listen on %s: this node does not have that address", address)
	case errors.Is(err, syscall.EACCES):
		out.what = fmt.Sprintf("cannot listen on %s: the system does not let this node have that port", address)
		out.next = "give the link a port above 1023 (isgwctl service edit NAME --local)"
	}
	return out
}

// problem says why an address is not listened on; nil when it is, or is not
// wanted.
func (d *doors) problem(address string) *doorError {
	d.mu.Lock()
	defer d.mu.Unlock()
	for open, door := range d.at {
		if door.err != nil && covers(open, address) {
			return door.err
		}
	}
	return nil
}

// problems says why addresses are not listened on, in order.
func (d *doors) problems() []doorError {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []doorError
	for _, door := range d.at {
		if door.err != nil {
			all = append(all, *door.err)
		}
	}
	slices.SortFunc(all, func(a, b doorError) int { return strings.Compare(a.what, b.what) })
	return all
}

// close closes all and waits.
func (d *doors) close() { d.set(context.Background(), nil) }

// doorsOf are the addresses, each once and in order, that the links of a config
// want to listen on and the node's own listener does not cover. The address of a
// server is one of its clients too, so it stays while one of them is enabled.
func doorsOf(services []*statepb.Service, own string) []string {
	var all []string
	served := make(map[string]bool)
	for _, s := range services {
		if server := s.GetServer(); server != "" && !s.GetDisabled() {
			served[server] = true
		}
	}
	for _, s := range services {
		if s.GetType() == state.TypeLink && (!s.GetDisabled() || served[s.GetName()]) && s.GetLocal() != "" && !covers(own, s.GetLocal()) {
			all = append(all, s.GetLocal())
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	// Who listens on all addresses of a port listens on each.
	return slices.DeleteFunc(slices.Clone(all), func(a string) bool {
		return slices.ContainsFunc(all, func(o string) bool { return o != a && !covers(a, o) && covers(o, a) })
	})
}

// covers reports whether whoever listens on an address listens on another one too.
func covers(open, address string) bool {
	if open == address {
		return open != ""
	}
	if !samePort(open, address) {
		return false
	}
	host, _, _ := net.SplitHostPort(open)
	other, _, _ := net.SplitHostPort(address)
	if host == "" {
		return true
	}
	ip, to := net.ParseIP(host), net.ParseIP(other)
	if ip.Equal(net.IPv4zero) {
		return to.To4() != nil
	}
	return ip != nil && (ip.Equal(net.IPv6unspecified) || ip.Equal(to)) // unspecified is of IPv4 too
}

func samePort(a, b string) bool {
	_, one, err1 := net.SplitHostPort(a)
	_, other, err2 := net.SplitHostPort(b)
	return err1 == nil && err2 == nil && one == other && one != "0"
}
