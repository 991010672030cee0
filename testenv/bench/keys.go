package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/testenv/bulk"
)

// The workload of a bucket with many keys.

// keySize is what every object of the workload has, in bytes. No two have a chunk in
// common: the store has as many as the bucket has keys.
const keySize = 4 * kib

// fillKeys gives the bucket of a node that does not run objects, with the headers of one
// that is there, through the node's own chunk store and raft log: what S3 would take a
// quarter of an hour for takes a minute.
func (n *node) fillKeys(ctx context.Context, template string, keys int, key func(i int) string, content func(i int, p []byte)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("fill bucket: %w", err)
		}
	}()
	id, err := identity.OpenNode(n.dir, identity.NodeOptions{SiteName: n.name})
	if err != nil {
		return err
	}
	held, err := store.Open(ctx, store.Options{Dir: filepath.Join(n.dir, "chunks")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	replica, err := raftfsm.Open(ctx, raftfsm.Options{Dir: filepath.Join(n.dir, "raft"), NodeID: id.ID()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.Close(ctx)) }()
	if err := replica.Ready(ctx); err != nil {
		return err
	}
	return bulk.WriteObjects(ctx, replica, bucketPath, template, keys, key, bulk.Content{Store: held, Size: keySize, Make: content})
}

// quiet waits until the node does nothing by itself: what a start begins, a filter to
// load and tables to compact, is no cost of the requests that come then.
func (n *node) quiet(ctx context.Context) error {
	var before counters
	return poll(ctx, startTime, 500*time.Millisecond, "at rest: site "+n.name, func() (bool, error) {
		now, err := n.counters()
		used := now.cpu - before.cpu
		before = now
		return used <= 20*time.Millisecond, err
	})
}

// operation is one kind of request of the workload of keys.
type operation struct {
	name  string
	count int // requests of a batch
	do    func(c *conn, keys, batch, i int) error
}

func runKeys(ctx context.Context, b *bench, run int) (err error) {
	few, many := b.count(10_000, 500), b.count(1_000_000, 5000)
	dir := filepath.Join(b.dir, fmt.Sprintf("keys-%d", run))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !b.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	key := func(i int) string { return fmt.Sprintf("dir-%03d/k-%09d", i%997, i) }
	path := func(i int) string { return "/" + bucket + "/" + key(i) }
	// Seeds of what is put later are below those of the keys that are there before.
	content := func(i int, p []byte) { fill(b.seed+1<<32+uint64(i), p) }
	body := make([]byte, keySize)
	content(0, body)

	sites := make([]*node, 2)
	sizes := []int{few, many}
	for s, name := range []string{"few", "many"} {
		n, err := b.newNode(dir, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.stop()) }()
		sites[s] = n
		if err := errors.Join(n.start(ctx), n.init(ctx, true)); err != nil {
			return err
		}
		c, err := n.s3.dial(ctx)
		if err != nil {
			return err
		}
		_, err = c.put(path(0), body, "")
		c.close()
		if err := errors.Join(err, n.stop()); err != nil {
			return err
		}
		if err := n.fillKeys(ctx, key(0), sizes[s], key, content); err != nil {
			return err
		}
		n.past.peak = 0 // of the process before
		if err := errors.Join(n.start(ctx), n.quiet(ctx)); err != nil {
			return err
		}
	}

	added := func(keys, batch, i int) string {
		// The keys between which new ones go are spread over all.
		return fmt.Sprintf("%s-new-%d", path(i*7919%keys), batch)
	}
	operations := []operation{
		{"put", b.count(500, 50), func(c *conn, keys, batch, i int) error {
			data := make([]byte, keySize)
			fill(b.seed+uint64(1000*batch+i)+uint64(keys), data)
			_, err := c.put(added(keys, batch, i), data, "")
			return err
		}},
		{"get", b.count(4000, 100), func(c *conn, keys, _, _ int) error {
			j, want := rand.N(keys), make([]byte, keySize)
			content(j, want)
			return c.equal(path(j), bytes.NewReader(want), keySize)
		}},
		{"head", b.count(4000, 100), func(c *conn, keys, _, _ int) error {
			_, err := c.headObject(path(rand.N(keys)))
			return err
		}},
		{"list", b.count(60, 10), func(c *conn, keys, _, _ int) error {
			p, err := c.list(bucket, key(rand.N(keys)), "", nil)
			if err == nil && p.keys == 0 && p.next != "" {
				err = errors.New("an empty page of a listing that goes on")
			}
			return err
		}},
		{"delete", b.count(500, 50), func(c *conn, keys, batch, i int) error { return c.delete(added(keys, batch, i)) }},
	}
	type cost struct{ cpu, wall time.Duration }
	costs := make([][2]cost, len(operations))
	batches := b.count(8, 2)
	finish := b.profiles.start(ctx, "keys", sites...)
	for batch := range batches + 1 {
		for o, op := range operations {
			for s, n := range sites {
				before, err := n.counters()
				if err != nil {
					return err
				}
				began := time.Now()
				if err := n.s3.each(ctx, workers, op.count, func(c *conn, i int) error {
					return op.do(c, sizes[s], batch, i)
				}); err != nil {
					return fmt.Errorf("%s with %d keys: %w; its log: %s", op.name, sizes[s], err, n.tail())
				}
				took := time.Since(began)
				after, err := n.counters()
				if err != nil {
					return err
				}
				if batch > 0 { // the first one warms up
					costs[o][s].cpu += after.cpu - before.cpu
					costs[o][s].wall += took
				}
			}
		}
	}
	if err := finish(); err != nil {
		return err
	}
	for o, op := range operations {
		n := float64(batches * op.count)
		perRequest := func(d time.Duration) float64 { return 1000 * milliseconds(d) / n }
		b.say("keys."+op.name+"-ratio", "×", float64(costs[o][1].cpu)/float64(max(1, costs[o][0].cpu)))
		b.say("keys."+op.name+"-time-ratio", "×", float64(costs[o][1].wall)/float64(max(1, costs[o][0].wall)))
		b.say("keys."+op.name+"-cpu", "µs/request", perRequest(costs[o][1].cpu))
		b.say("keys."+op.name+"-rate", "requests/s", n/costs[o][1].wall.Seconds())
	}

	// Everything is still there: the keys of the fill, and none of the others.
	var rate float64
	for s, n := range sites {
		c, err := n.s3.dial(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		keys, err := c.listAll(bucket)
		c.close()
		if err == nil && keys != sizes[s] {
			err = fmt.Errorf("the listing has %d keys, not %d", keys, sizes[s])
		}
		if err != nil {
			return err
		}
		rate = float64(keys) / time.Since(began).Seconds()
	}
	b.say("keys.list-all", "keys/s", rate)
	for s, figure := range []string{"keys.memory-few", "keys.memory"} {
		c, err := sites[s].counters()
		if err != nil {
			return err
		}
		b.say(figure, "MiB", float64(c.peak)/mib)
	}
	return nil
}
