package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// pair is two sites of one run: a has the bucket, b gets it by a link.
type pair struct {
	b    *bench
	dir  string
	A, B *node
	// wires: the first is dialled by A, the second by B.
	wires [2]wire
	line  *line // that the sites are at the ends of; nil on loopback
	// tunnel puts the link inside SSH.
	tunnel bool

	// Of the section that is measured: when it began, what had crossed before, and
	// what has since.
	began  time.Time
	before int64
	trace  trace
}

// newPair starts and pairs two sites without a link, on loopback or at the
// ends of a line.
func (b *bench) newPair(ctx context.Context, l *line) (p *pair, err error) {
	p = &pair{b: b, line: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.dir, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return p, fmt.Errorf("make directory of the run: %w", err)
	}
	if p.A, err = b.newNode(p.dir, "alpha"); err != nil {
		return p, err
	}
	if p.B, err = b.newNode(p.dir, "beta"); err != nil {
		return p, err
	}
	if l != nil {
		l.place(p.A, 0)
		l.place(p.B, 1)
	}
	for i, n := range []*node{p.A, p.B} {
		if err := n.start(ctx); err != nil {
			return p, err
		}
		if err := n.init(ctx, i == 0); err != nil {
			return p, err
		}
	}
	for i, n := range []*node{p.A, p.B} {
		other := []*node{p.B, p.A}[i]
		if l != nil {
			p.wires[i], err = newDelayed(l.gateway(i), other.linkAddr, l.roundTrip, l.bound())
		} else {
			p.wires[i], err = newSplice(other.linkAddr)
		}
		if err != nil {
			return p, fmt.Errorf("make wire of %s: %w", n.name, err)
		}
	}
	invitation, err := p.A.admin.Sites.Invite(ctx, &adminpb.InviteRequest{Address: p.wires[1].address()})
	if err != nil {
		return p, fmt.Errorf("invite: %w", err)
	}
	if _, err := p.B.admin.Sites.Pair(ctx, invitation.GetToken()); err != nil {
		return p, fmt.Errorf("pair: %w", err)
	}
	return p, nil
}

// link makes the link at both sites: from here on they copy.
func (p *pair) link(ctx context.Context) error {
	for i, n := range []*node{p.A, p.B} {
		if _, err := n.admin.Services.Create(ctx, &adminpb.CreateServiceRequest{
			Type: "isgw", Name: linkName, Remote: "ccow://" + p.wires[i].address(),
			Settings: &adminpb.LinkSettings{Tunnel: &p.tunnel},
		}); err != nil {
			return fmt.Errorf("create link at %s: %w", n.name, err)
		}
		if _, err := n.admin.Services.Serve(ctx, linkName, bucketPath); err != nil {
			return fmt.Errorf("serve at %s: %w", n.name, err)
		}
	}
	return nil
}

// copyTime bounds how long anything takes to arrive.
const copyTime = 15 * time.Minute

// lookShare is which part of the time that has passed lies between two looks at B, so
// that a long copy, which fills the cores, is not slowed down by being watched: a look
// every 10 ms took 4 % of two cores. Looks are 10 ms apart at least.
const lookShare = 500

// arrive waits until B has a number of objects, and traces what crosses.
func (p *pair) arrive(ctx context.Context, objects int) error {
	var next time.Duration
	return poll(ctx, copyTime, 10*time.Millisecond, fmt.Sprintf("%d objects at %s", objects, p.B.name), func() (bool, error) {
		now := time.Since(p.began)
		if now < next {
			return false, nil
		}
		next = now + now/lookShare
		crossed, err := p.crossed()
		if err != nil {
			return false, err
		}
		p.trace = append(p.trace, passed{time.Since(p.began), crossed - p.before})
		have, err := p.B.objects(ctx)
		return have == uint64(objects), errors.Join(err, p.B.ended())
	})
}

// settle waits until both sites say that nothing is on its way.
func (p *pair) settle(ctx context.Context) error {
	for _, n := range []*node{p.A, p.B} {
		if err := poll(ctx, copyTime, 10*time.Millisecond, "in sync at "+n.name, func() (bool, error) {
			s, err := n.admin.Services.Get(ctx, linkName, true)
			return s.GetStatus().GetSynced(), err
		}); err != nil {
			return err
		}
	}
	return nil
}

// crossed is what has crossed between the sites so far, in bytes: on a line
// what its interfaces have counted, with the headers; on loopback what the
// kernel's sockets have, without.
func (p *pair) crossed() (int64, error) {
	if p.line != nil {
		return p.line.crossed()
	}
	return p.wires[0].crossed() + p.wires[1].crossed(), nil
}

// close stops both sites and removes their data.
func (p *pair) close() error {
	var errs []error
	for _, n := range []*node{p.A, p.B} {
		if n != nil {
			errs = append(errs, n.stop())
		}
	}
	for _, w := range p.wires {
		if w != nil {
			w.close()
		}
	}
	if p.dir != "" && !p.b.keep {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	return errors.Join(errs...)
}

// usage is what a timed section took.
type usage struct {
	wall    time.Duration
	cpu     time.Duration // of all isgwnode processes
	client  time.Duration // CPU time of this program: load and wires
	idle    float64       // share of all cores' time in which they had nothing to do
	wire    int64         // bytes between the sites
	written int64         // bytes that the sites sent to the disk
	trace   trace         // what crossed meanwhile, as arrive saw it
}

// measure times fn.
func (p *pair) measure(ctx context.Context, name string, fn func() error) (usage, error) {
	type reading struct {
		counters counters
		wire     int64
		cores    cores
	}
	read := func() (reading, error) {
		var r reading
		for _, n := range []*node{p.A, p.B} {
			c, err := n.counters()
			if err != nil {
				return r, err
			}
			r.counters.cpu += c.cpu
			r.counters.written += c.written
		}
		var err error
		if r.cores, err = readCores(); err != nil {
			return r, err
		}
		r.wire, err = p.crossed()
		return r, err
	}
	finish := p.b.profiles.start(ctx, name, p.A, p.B)
	before, err := read()
	if err != nil {
		return usage{}, err
	}
	own, began := ownCPU(), time.Now()
	p.began, p.before, p.trace = began, before.wire, trace{{}}
	if err := fn(); err != nil {
		return usage{}, err
	}
	u := usage{wall: time.Since(began), client: ownCPU() - own, trace: p.trace}
	after, err := read()
	if err != nil {
		return usage{}, err
	}
	u.cpu = after.counters.cpu - before.counters.cpu
	u.written = after.counters.written - before.counters.written
	u.wire = after.wire - before.wire
	u.idle = after.cores.idleSince(before.cores)
	return u, finish()
}

// memory is the greatest resident size that either site has had, in bytes.
func (p *pair) memory() (int64, error) {
	var peak int64
	for _, n := range []*node{p.A, p.B} {
		c, err := n.counters()
		if err != nil {
			return 0, err
		}
		peak = max(peak, c.peak)
	}
	return peak, nil
}

// profiles fetches profiles of the sites while a section runs, when a
// directory for them was given.
type profiles struct {
	dir     string
	seconds int
	taken   map[string]bool
}

// start begins to profile, once for each section of the benchmark; the result
// waits until the profiles are written.
func (f *profiles) start(ctx context.Context, name string, nodes ...*node) (finish func() error) {
	if f.dir == "" || f.taken[name] {
		return func() error { return nil }
	}
	f.taken[name] = true
	results := make(chan error)
	waiting := 0
	for _, n := range nodes {
		if n.debug == "" {
			continue
		}
		for _, what := range []string{"profile", "allocs", "mutex"} {
			waiting++
			go func() {
				file := filepath.Join(f.dir, name+"."+n.name+"."+what)
				results <- n.profile(ctx, fmt.Sprintf("%s?seconds=%d", what, f.seconds), file)
			}()
		}
	}
	return func() error {
		var errs []error
		for range waiting {
			errs = append(errs, <-results)
		}
		return errors.Join(errs...)
	}
}
