// Package bulk makes buckets of many keys in little time.
package bulk

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

const (
	// writers is the number of commands that are proposed at a time: many share one
	// sync of the raft log.
	writers = 512
	// storers put batchBytes of chunks at a time each: so do their syncs.
	storers    = 4
	batchBytes = 4 << 20
)

// WriteKeys writes objects with the content of one that the bucket has, the template,
// through the raft log of a replica that leads: what takes S3 a quarter of an hour
// takes a minute. key gives the names, from 0 up to n.
func WriteKeys(ctx context.Context, replica *raftfsm.Replica, bucket, template string, n int, key func(i int) string) error {
	return write(ctx, replica, bucket, template, n, key, func(int, *catalogpb.Record) {})
}

// Content is what each of many objects has of its own.
type Content struct {
	Store chunks.Store // the site's, with no node running
	Size  int          // of every object, in bytes: one chunk, which the splitter does not cut
	Make  func(i int, p []byte)
}

// WriteObjects is WriteKeys with another content for every key, of which the template
// has only the headers. Contents should not compress: they are stored as they are.
func WriteObjects(ctx context.Context, replica *raftfsm.Replica, bucket, template string, n int, key func(i int) string, content Content) error {
	ids, sums, err := content.put(ctx, n)
	if err != nil {
		return err
	}
	return write(ctx, replica, bucket, template, n, key, func(i int, r *catalogpb.Record) {
		r.Root = &catalogpb.Root{Id: ids[i][:], Size: uint64(content.Size)}
		r.Etag = hex.EncodeToString(sums[i][:])
	})
}

// put stores the contents, and returns what they are named by.
func (c *Content) put(ctx context.Context, n int) ([]chunks.ID, [][md5.Size]byte, error) {
	ids, sums := make([]chunks.ID, n), make([][md5.Size]byte, n)
	each := max(1, batchBytes/c.Size)
	err := parallel(ctx, storers, (n+each-1)/each, func(b int) error {
		first, end := b*each, min(n, (b+1)*each)
		raw := make([]byte, (end-first)*c.Size)
		batch := make([]chunks.Chunk, 0, end-first)
		for i := first; i < end; i++ {
			p := raw[(i-first)*c.Size:][:c.Size]
			c.Make(i, p)
			ids[i], sums[i] = chunks.Sum(p), md5.Sum(p)
			batch = append(batch, chunks.Chunk{ID: ids[i], RawLen: uint32(c.Size), Data: p})
		}
		return c.Store.Put(ctx, batch)
	})
	return ids, sums, err
}

// write proposes a write for every key, with what the template has as far as edit does
// not change it.
func write(ctx context.Context, replica *raftfsm.Replica, bucket, template string, n int, key func(i int) string, edit func(i int, r *catalogpb.Record)) error {
	head, err := replica.Catalog().Head(bucket, []byte(template))
	if err != nil {
		return fmt.Errorf("read %s: %w", template, err)
	}
	if head == nil {
		return fmt.Errorf("read %s: there is no such key", template)
	}
	return parallel(ctx, writers, n, func(i int) error {
		record := &catalogpb.Record{
			Key: []byte(key(i)), Kind: catalogpb.RecordKind_RECORD_VERSION, Time: time.Now().UnixNano(),
			Root: head.GetRoot(), Etag: head.GetEtag(), Headers: head.GetHeaders(), Metadata: head.GetMetadata(),
		}
		edit(i, record)
		res, err := replica.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{Bucket: bucket, Record: record}}})
		if err != nil {
			return err
		}
		return raftfsm.ResultError(res)
	})
}

// parallel calls do for every i below n, so many at a time, until one fails.
func parallel(ctx context.Context, workers, n int, do func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			for errs[w] == nil && ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
