package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The workloads that copy over a link.

func object(name string, i int) string { return fmt.Sprintf("/%s/%s-%07d", bucket, name, i) }

// comparer is a sink that fails at the first byte that differs.
type comparer struct {
	want io.Reader
	buf  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	if _, err := io.ReadFull(c.want, c.buf[:len(p)]); err != nil {
		return 0, fmt.Errorf("longer than what was put: %w", err)
	}
	if !bytes.Equal(c.buf[:len(p)], p) {
		return 0, errors.New("not the bytes that were put")
	}
	return len(p), nil
}

// equal reads an object and compares it with what was put.
func (c *conn) equal(path string, want io.Reader, size int64) error {
	res, err := c.get(path, &comparer{want: want})
	if err == nil && res.length != size {
		err = fmt.Errorf("%s has %d bytes, not the %d that were put", path, res.length, size)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// set is a number of objects of equal size that exist before the link does.
type set struct {
	name string
	n    int
	size int64
	open func(i int) io.Reader
}

// copySet puts the objects at A, links, waits until all of them are at B and
// verifies every byte there.
func (p *pair) copySet(ctx context.Context, section string, s set) (usage, error) {
	err := p.A.s3.each(ctx, 8, s.n, func(c *conn, i int) error {
		_, err := c.putStream(object(s.name, i), s.open(i), s.size)
		return err
	})
	if err != nil {
		return usage{}, err
	}
	u, err := p.measure(ctx, section, func() error {
		if err := p.link(ctx); err != nil {
			return err
		}
		return p.arrive(ctx, s.n)
	})
	if err != nil {
		return u, err
	}
	if err := p.settle(ctx); err != nil {
		return u, err
	}
	return u, p.B.s3.each(ctx, 4, s.n, func(c *conn, i int) error {
		return c.equal(object(s.name, i), s.open(i), s.size)
	})
}

// with runs fn with a new pair, and records the memory of its sites as a figure
// whose name begins with prefix.
func (b *bench) with(ctx context.Context, prefix string, l *line, fn func(p *pair) error) error {
	p, err := b.newPair(ctx, l)
	if err != nil {
		return err
	}
	err = fn(p)
	if err == nil {
		var peak int64
		if peak, err = p.memory(); err == nil {
			b.say(prefix+"memory", "MiB", float64(peak)/mib)
		}
	} else {
		err = fmt.Errorf("%w\nlog of alpha: %s\nlog of beta: %s", err, p.A.tail(), p.B.tail())
	}
	return errors.Join(err, p.close())
}

func runInitial(ctx context.Context, b *bench, i int) error {
	s := set{name: "large", n: 8, size: b.size(2*gib, 8*mib) / 8}
	s.open = func(j int) io.Reader {
		return content(kind(j%2), b.seed+uint64(100*i+j), s.size)
	}
	total := float64(s.size * int64(s.n))
	err := b.with(ctx, "initial.", nil, func(p *pair) error {
		u, err := p.copySet(ctx, "initial", s)
		if err != nil {
			return err
		}
		b.say("initial.rate", "MiB/s", total/mib/u.wall.Seconds())
		b.say("initial.time", "s", u.wall.Seconds())
		b.say("initial.cpu", "s", u.cpu.Seconds())
		b.say("initial.client-cpu", "s", u.client.Seconds())
		b.say("initial.wire", "MiB", float64(u.wire)/mib)
		b.say("initial.written", "MiB", float64(u.written)/mib)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := makeFiles(b.dir, s.n, s.open)
	if err != nil {
		return err
	}
	return errors.Join(b.yardsticks(ctx, "initial.", f, nil), f.remove())
}

func runSmall(ctx context.Context, b *bench, i int) error {
	s := set{name: "small", n: b.count(20000, 200), size: 4 * kib}
	s.open = func(j int) io.Reader {
		body := make([]byte, s.size)
		fill(b.seed+uint64(1_000_000*(i+1)+j), body)
		return bytes.NewReader(body)
	}
	err := b.with(ctx, "small.", nil, func(p *pair) error {
		u, err := p.copySet(ctx, "small", s)
		if err != nil {
			return err
		}
		b.say("small.rate", "objects/s", float64(s.n)/u.wall.Seconds())
		b.say("small.time", "s", u.wall.Seconds())
		b.say("small.cpu", "s", u.cpu.Seconds())
		b.say("small.client-cpu", "s", u.client.Seconds())
		b.say("small.wire", "MiB", float64(u.wire)/mib)
		b.say("small.written", "MiB", float64(u.written)/mib)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := makeFiles(b.dir, s.n, s.open)
	if err != nil {
		return err
	}
	return errors.Join(b.yardsticks(ctx, "small.", f, nil), f.remove())
}

// seen polls until an object has an ETag, and returns when the answer that said
// so arrived. The polls stand between the change and its sight, so there is
// nothing else between them but gap.
func (c *conn) seen(ctx context.Context, path, etag string, gap time.Duration) (at time.Time, polls int, err error) {
	deadline := time.Now().Add(copyTime)
	for {
		polls++
		res, err := c.headObject(path)
		now := time.Now()
		switch {
		case err != nil && !notFound(err):
			return now, polls, err
		case err == nil && (etag == "" || res.etag == etag):
			return now, polls, nil
		case now.After(deadline):
			return now, polls, fmt.Errorf("after %v: %s is not at the other site", copyTime, path)
		}
		select {
		case <-ctx.Done():
			return now, polls, ctx.Err()
		case <-time.After(gap):
		}
	}
}

func runInsert(ctx context.Context, b *bench, i int) error {
	original := make([]byte, b.size(gib, 16*mib))
	fill(b.seed+uint64(i), original)
	added := make([]byte, mib)
	fill(b.seed+uint64(1000+i), added)
	half := len(original)/2 + 1
	changed := func() io.Reader {
		return io.MultiReader(bytes.NewReader(original[:half]), bytes.NewReader(added), bytes.NewReader(original[half:]))
	}
	size := int64(len(original) + len(added))
	err := b.with(ctx, "insert.", nil, func(p *pair) error {
		a, err := p.A.s3.dial(ctx)
		if err != nil {
			return err
		}
		defer a.close()
		other, err := p.B.s3.dial(ctx)
		if err != nil {
			return err
		}
		defer other.close()
		path, second := object("large", 0), object("copy", 0)
		if _, err := a.put(path, original, ""); err != nil {
			return err
		}
		if err := p.link(ctx); err != nil {
			return err
		}
		if err := errors.Join(p.arrive(ctx, 1), p.settle(ctx)); err != nil {
			return err
		}
		step := func(name string, limitUnit float64, unit string, do func() (response, error), path string) error {
			u, err := p.measure(ctx, name, func() error {
				res, err := do()
				if err == nil {
					_, _, err = other.seen(ctx, path, res.etag, time.Millisecond)
				}
				return err
			})
			if err != nil {
				return err
			}
			before, err := p.crossed()
			if err != nil {
				return err
			}
			// What tells the other site that all has arrived belongs to it.
			if err := p.settle(ctx); err != nil {
				return err
			}
			after, err := p.crossed()
			if err != nil {
				return err
			}
			b.say(name+".time", "s", u.wall.Seconds())
			b.say(name+".wire", unit, float64(u.wire+after-before)/limitUnit)
			b.say(name+".cpu", "s", u.cpu.Seconds())
			return other.equal(path, changed(), size)
		}
		if err := step("insert", mib, "MiB", func() (response, error) { return a.putStream(path, changed(), size) }, path); err != nil {
			return err
		}
		return step("copy", kib, "KiB", func() (response, error) {
			return a.do(request{method: "PUT", path: second, copySource: path})
		}, second)
	})
	if err != nil || !b.compare {
		return err
	}
	return b.insertYardsticks(ctx, original, changed)
}

// insertYardsticks does to a file what runInsert does to an object: it is there, changes,
// and is copied under another name, which rsync is allowed to guess (--fuzzy).
func (b *bench) insertYardsticks(ctx context.Context, original []byte, changed func() io.Reader) (err error) {
	f, err := makeFiles(b.dir, 1, func(int) io.Reader { return bytes.NewReader(original) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.remove()) }()
	to, err := os.MkdirTemp(b.dir, "to-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(to)) }()
	first, second := filepath.Join(f.dir, f.names[0]), filepath.Join(f.dir, f.names[0]+"-copy")
	for _, step := range []struct {
		prefix  string // none: it is not told
		prepare func() error
		options []string
	}{
		{"", func() error { return nil }, nil},
		{"insert.", func() error {
			_, err := writeFile(first, changed())
			return err
		}, []string{"--ignore-times"}},
		{"copy.", func() error {
			_, err := writeFile(second, changed())
			return err
		}, []string{"--fuzzy"}},
	} {
		if err := step.prepare(); err != nil {
			return err
		}
		u, err := b.rsync(ctx, f.dir, to, nil, step.options...)
		none := errors.Is(err, errNoRsync)
		if err != nil && !none {
			return err
		}
		if step.prefix == "" {
			continue
		}
		if none {
			b.report.skip("%srsync: %v", step.prefix, err)
		} else {
			b.sayRsync(step.prefix, u)
		}
		// To a plain copy both are the same work: it does not know what is there.
		if u, err = f.copyWithSync(); err != nil {
			return fmt.Errorf("plain copy: %w", err)
		}
		b.sayCopy(step.prefix, u)
	}
	return nil
}

func runChange(ctx context.Context, b *bench, i int) error {
	const warmUp, gap = 20, 200 * time.Microsecond
	samples := b.count(100, 20)
	return b.with(ctx, "change.", nil, func(p *pair) error {
		if err := p.link(ctx); err != nil {
			return err
		}
		a, err := p.A.s3.dial(ctx)
		if err != nil {
			return err
		}
		defer a.close()
		other, err := p.B.s3.dial(ctx)
		if err != nil {
			return err
		}
		defer other.close()
		body := make([]byte, kib)
		var puts, visible, resolution []float64
		one := func(j int, keep bool) error {
			fill(b.seed+uint64(1000*i+j), body)
			began := time.Now()
			res, err := a.put(object("change", j), body, "")
			if err != nil {
				return err
			}
			acknowledged := time.Now()
			at, polls, err := other.seen(ctx, object("change", j), res.etag, gap)
			if err != nil {
				return err
			}
			if keep {
				puts = append(puts, milliseconds(acknowledged.Sub(began)))
				visible = append(visible, milliseconds(at.Sub(acknowledged)))
				resolution = append(resolution, milliseconds(at.Sub(acknowledged))/float64(polls))
			}
			return other.equal(object("change", j), bytes.NewReader(body), int64(len(body)))
		}
		for j := range warmUp {
			if err := one(j, false); err != nil {
				return err
			}
		}
		if err := p.settle(ctx); err != nil {
			return err
		}
		u, err := p.measure(ctx, "change", func() error {
			for j := range samples {
				if err := one(warmUp+j, true); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.Sort(puts)
		slices.Sort(visible)
		slices.Sort(resolution)
		b.say("change.p50", "ms", quantile(visible, 0.5))
		b.say("change.p99", "ms", quantile(visible, 0.99))
		b.say("change.put-p50", "ms", quantile(puts, 0.5))
		b.say("change.poll", "ms", quantile(resolution, 0.5))
		b.say("change.cpu", "ms", milliseconds(u.cpu)/float64(samples))
		b.say("change.wire", "KiB", float64(u.wire)/kib/float64(samples))
		return nil
	})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// runLine measures large and small objects over a line, and rsync on the same;
// with tunnel the link goes inside SSH.
func runLine(roundTrip time.Duration, tunnel bool) func(context.Context, *bench, int) error {
	name := fmt.Sprintf("line%d", roundTrip.Milliseconds())
	if tunnel {
		name = fmt.Sprintf("tunnel%d", roundTrip.Milliseconds())
	}
	return func(ctx context.Context, b *bench, i int) (err error) {
		l, err := newLine(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		l.roundTrip = roundTrip
		large := set{name: "large", n: 2, size: b.size(4*gib, 16*mib) / 2}
		large.open = func(j int) io.Reader { return content(random, b.seed+uint64(100*i+j), large.size) }
		small := set{name: "small", n: b.count(10000, 200), size: 10 * kib}
		small.open = func(j int) io.Reader {
			return content(random, b.seed+uint64(1_000_000*(i+1)+j), small.size)
		}
		for _, s := range []set{large, small} {
			var u usage
			if err := b.with(ctx, name+"."+s.name+"-", l, func(p *pair) (err error) {
				p.tunnel = tunnel
				u, err = p.copySet(ctx, name+"-"+s.name, s)
				return err
			}); err != nil {
				return err
			}
			total := float64(s.size * int64(s.n))
			if s.name == "large" {
				share := func(rate float64) float64 { return 100 * rate * 8 / float64(l.rate) }
				b.say(name+".large", "% of the line", share(total/u.wall.Seconds()))
				b.say(name+".large-steady", "% of the line", share(u.trace.steady(int64(total))))
				b.say(name+".large-start", "ms", milliseconds(u.trace.reached(mib)))
				b.say(name+".large-rate", "MiB/s", total/mib/u.wall.Seconds())
				b.say(name+".large-idle", "% of the cores", 100*u.idle)
				b.say(name+".large-client-cpu", "s", u.client.Seconds())
			} else {
				b.say(name+".small", "objects/s", float64(s.n)/u.wall.Seconds())
			}
			b.say(name+"."+s.name+"-wire", "MiB", float64(u.wire)/mib)
			b.say(name+"."+s.name+"-cpu", "s", u.cpu.Seconds())
			if !b.compare || tunnel { // the line is the same
				continue
			}
			f, err := makeFiles(b.dir, s.n, s.open)
			if err != nil {
				return err
			}
			if err := errors.Join(b.yardsticks(ctx, name+"."+s.name+"-", f, l), f.remove()); err != nil {
				return err
			}
		}
		return nil
	}
}
