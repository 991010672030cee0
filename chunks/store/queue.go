package store

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"edgefog.dev/isgw/chunks"
)

// request is the part of a Put that has to be written.
type request struct {
	batch []chunks.Chunk
	bytes int64
	done  chan error // of one
}

// queue gathers requests for the committer, up to limit bytes: a request is let
// in while fewer wait, so that the longest one passes too.
type queue struct {
	limit int64
	wake  chan struct{} // of one: something waits

	mu      sync.Mutex
	waiting []*request
	bytes   int64
	room    chan struct{} // closed when the waiting requests are taken
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), room: make(chan struct{})}
}

// do has r committed and returns its result. When ctx ends first, r is taken
// back if it is still waiting; what is being written is waited for, because the
// committer reads the caller's bytes.
func (q *queue) do(ctx context.Context, r *request) error {
	q.mu.Lock()
	for q.bytes >= q.limit {
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("put chunks: %w", ctx.Err())
		}
		q.mu.Lock()
	}
	q.waiting = append(q.waiting, r)
	q.bytes += r.bytes
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}

	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	if q.takeBack(r) {
		return fmt.Errorf("put chunks: %w", ctx.Err())
	}
	return <-r.done
}

// takeBack removes r and reports whether it was still waiting.
func (q *queue) takeBack(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.bytes -= r.bytes
	q.makeRoom()
	return true
}

// take returns all that wait, in dst[:0].
func (q *queue) take(dst []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst = append(dst[:0], q.waiting...)
	clear(q.waiting)
	q.waiting = q.waiting[:0]
	q.bytes = 0
	q.makeRoom()
	return dst
}

// makeRoom wakes those that wait for room. q.mu is held.
func (q *queue) makeRoom() {
	close(q.room)
	q.room = make(chan struct{})
}
