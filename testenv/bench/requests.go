package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The workload of requests at one site.

// eight at a time, as the figures of other gateways are.
const workers = 8

// load is what a number of equal requests took.
type load struct {
	usage
	latencies []float64 // in milliseconds, sorted
}

// requests makes n requests at A, workers at a time.
func (p *pair) requests(ctx context.Context, section string, n int, fn func(c *conn, i int) error) (load, error) {
	l := load{latencies: make([]float64, n)}
	var err error
	l.usage, err = p.measure(ctx, section, func() error {
		return p.A.s3.each(ctx, workers, n, func(c *conn, i int) error {
			began := time.Now()
			err := fn(c, i)
			l.latencies[i] = milliseconds(time.Since(began))
			return err
		})
	})
	slices.Sort(l.latencies)
	return l, err
}

// sayLoad records the figures of n requests of a size: a rate of requests for
// small ones, of MiB for large ones.
func (b *bench) sayLoad(name string, n int, size int64, l load) {
	if size >= mib {
		b.say(name, "MiB/s", float64(n)*float64(size)/mib/l.wall.Seconds())
		b.say(name+"-cpu", "ms/request", milliseconds(l.cpu)/float64(n))
		b.say(name+"-client", "ms/request", milliseconds(l.client)/float64(n))
	} else {
		b.say(name, "requests/s", float64(n)/l.wall.Seconds())
		b.say(name+"-cpu", "µs/request", 1000*milliseconds(l.cpu)/float64(n))
		b.say(name+"-client", "µs/request", 1000*milliseconds(l.client)/float64(n))
	}
	b.say(name+"-p50", "ms", quantile(l.latencies, 0.5))
	b.say(name+"-p99", "ms", quantile(l.latencies, 0.99))
}

func runS3(ctx context.Context, b *bench, i int) error {
	return b.with(ctx, "s3.", nil, func(p *pair) error {
		if err := b.smallRequests(ctx, p, i); err != nil {
			return err
		}
		return b.largeRequests(ctx, p, i)
	})
}

func (b *bench) smallRequests(ctx context.Context, p *pair, run int) error {
	const size, warmUp = 4 * kib, 200
	n := b.count(10000, 200)
	body := func(i int) []byte {
		data := make([]byte, size)
		fill(b.seed+uint64(10_000_000*(run+1)+i), data)
		return data
	}
	put := func(name string, first int, signed bool) func(c *conn, i int) error {
		return func(c *conn, i int) error {
			data, hash := body(first+i), ""
			if signed {
				sum := sha256.Sum256(data)
				hash = hex.EncodeToString(sum[:])
			}
			_, err := c.put(object(name, i), data, hash)
			return err
		}
	}
	if err := p.A.s3.each(ctx, workers, warmUp, put("warm", 0, false)); err != nil {
		return err
	}
	for _, v := range []struct {
		name, figure string
		signed       bool
	}{{"plain", "s3.put4k", false}, {"signed", "s3.put4k-signed", true}} {
		first := warmUp
		if v.signed {
			first += n
		}
		l, err := p.requests(ctx, v.figure, n, put(v.name, first, v.signed))
		if err != nil {
			return err
		}
		b.sayLoad(v.figure, n, size, l)
	}
	// Every get is compared with what was put.
	get := func(name string, first int) func(c *conn, i int) error {
		return func(c *conn, i int) error {
			// A stride that has no divisor in common with n visits all.
			j := int(uint64(i) * 7919 % uint64(n))
			return c.equal(object(name, j), bytes.NewReader(body(first+j)), size)
		}
	}
	l, err := p.requests(ctx, "s3.get4k", n, get("plain", warmUp))
	if err != nil {
		return err
	}
	b.sayLoad("s3.get4k", n, size, l)
	if err := p.A.s3.each(ctx, workers, n, get("signed", warmUp+n)); err != nil {
		return err
	}
	if err := b.listing(ctx, p, 2*n+warmUp); err != nil {
		return err
	}
	return b.raw("s3.raw4k", n, size, func(i int) io.Reader { return bytes.NewReader(body(i)) })
}

// listing counts all keys some times, one page after the other.
func (b *bench) listing(ctx context.Context, p *pair, keys int) error {
	const passes = 5
	c, err := p.A.s3.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	list := func() error {
		n, err := c.listAll(bucket)
		if err == nil && n != keys {
			err = fmt.Errorf("the listing has %d keys, not %d", n, keys)
		}
		return err
	}
	if err := list(); err != nil {
		return err
	}
	u, err := p.measure(ctx, "s3.list", func() error {
		for range passes {
			if err := list(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.say("s3.list", "keys/s", float64(passes*keys)/u.wall.Seconds())
	b.say("s3.list-cpu", "µs/key", 1000*milliseconds(u.cpu)/float64(passes*keys))
	b.say("s3.list-client", "µs/key", 1000*milliseconds(u.client)/float64(passes*keys))
	return nil
}

func (b *bench) largeRequests(ctx context.Context, p *pair, run int) error {
	const size = 8 * mib
	n := b.count(128, 8)
	// All content is made, and hashed, before anything is timed.
	bodies, hashes := make([][]byte, 2*n), make([]string, 2*n)
	if err := parallel(2, 2*n, func(i int) error {
		bodies[i] = make([]byte, size)
		fill(b.seed+uint64(20_000_000*(run+1)+i), bodies[i])
		if i >= n {
			sum := sha256.Sum256(bodies[i])
			hashes[i] = hex.EncodeToString(sum[:])
		}
		return nil
	}); err != nil {
		return err
	}
	warm := make([]byte, size)
	fill(b.seed+uint64(run)+99, warm)
	if err := p.A.s3.each(ctx, 1, 2, func(c *conn, i int) error {
		_, err := c.put(object("warm8m", i), warm, "")
		return err
	}); err != nil {
		return err
	}
	for v, figure := range []string{"s3.put8m", "s3.put8m-signed"} {
		l, err := p.requests(ctx, figure, n, func(c *conn, i int) error {
			_, err := c.put(object("large", v*n+i), bodies[v*n+i], hashes[v*n+i])
			return err
		})
		if err != nil {
			return err
		}
		b.sayLoad(figure, n, size, l)
	}
	l, err := p.requests(ctx, "s3.get8m", n, func(c *conn, i int) error {
		res, err := c.get(object("large", i), nil)
		if err == nil && res.length != size {
			err = errors.New("an object came short")
		}
		return err
	})
	if err != nil {
		return err
	}
	b.sayLoad("s3.get8m", n, size, l)
	if err := p.A.s3.each(ctx, workers, 2*n, func(c *conn, i int) error {
		return c.equal(object("large", i), bytes.NewReader(bodies[i]), size)
	}); err != nil {
		return err
	}
	return b.raw("s3.raw8m", n, size, func(i int) io.Reader { return bytes.NewReader(bodies[i]) })
}

// raw writes the same content into files, each synced, as many at a time, and reads
// them back.
func (b *bench) raw(figure string, n int, size int64, open func(i int) io.Reader) error {
	if !b.compare {
		return nil
	}
	f := &files{dir: filepath.Join(b.dir, figure)}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return err
	}
	timed := func(figure string, do func(path string, i int) error) error {
		own, began := ownCPU(), time.Now()
		err := parallel(workers, n, func(i int) error { return do(filepath.Join(f.dir, fmt.Sprint(i)), i) })
		took, cpu := time.Since(began).Seconds(), milliseconds(ownCPU()-own)/float64(n)
		switch {
		case err != nil:
		case size >= mib:
			b.say(figure, "MiB/s", float64(n)*float64(size)/mib/took)
			b.say(figure+"-cpu", "ms/file", cpu)
		default:
			b.say(figure, "files/s", float64(n)/took)
			b.say(figure+"-cpu", "µs/file", 1000*cpu)
		}
		return err
	}
	err := timed(figure, func(path string, i int) error { return writeSynced(path, open(i)) })
	if err == nil {
		err = timed(figure+"-get", func(path string, _ int) error { return readThrough(path, size) })
	}
	return errors.Join(err, f.remove())
}

// readThrough reads a file of a size.
func readThrough(path string, size int64) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.CopyBuffer(discard{}, struct{ io.Reader }{in}, make([]byte, min(size, 256*kib)))
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes, not %d", path, n, size)
	}
	return err
}
