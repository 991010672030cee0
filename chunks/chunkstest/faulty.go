package chunkstest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"edgefog.dev/isgw/chunks"
)

// Op is a method of chunks.Store that can be made to fail.
type Op string

// The operations of a Fault.
const (
	OpHas Op = "Has"
	OpPut Op = "Put"
	OpGet Op = "Get"
)

// Fault is a planned failure.
type Fault struct {
	// Op is the operation that fails.
	Op Op
	// Skip is the number of calls that match and pass before the first fails.
	Skip int
	// Times is the number of calls that fail; 0 is one.
	Times int
	// ID narrows a fault of Get to one chunk. The zero ID is any.
	ID chunks.ID
	// Err is returned in the place of the operation's result.
	Err error
	// Late lets the operation happen before its success is hidden behind Err,
	// as when a connection breaks before the answer.
	Late bool
	// Wait delays the operation, which then goes on, until it is closed or
	// the context ends. With no Err the fault is only a delay.
	Wait <-chan struct{}
}

// Faulty is a store that fails as planned. A fault that was planned and never
// hit fails the test: it did not test what it says. Its methods may be called
// by any number of goroutines at once.
type Faulty struct {
	chunks.Store

	mu     sync.Mutex
	faults []*Fault
}

// NewFaulty wraps inner for the test t. Closing it closes inner.
func NewFaulty(t testing.TB, inner chunks.Store) *Faulty {
	f := &Faulty{Store: inner}
	t.Cleanup(func() {
		for _, left := range f.Left() {
			t.Errorf("a planned fault of %s was never hit: %v, %d times after %d calls", left.Op, left.Err, left.Times, left.Skip)
		}
	})
	return f
}

// Plan adds faults. Of several that match a call, the first one planned hits.
func (f *Faulty) Plan(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		fault.Times = max(1, fault.Times)
		f.faults = append(f.faults, &fault)
	}
}

// Left returns the faults that are still to be hit, with what is left of them.
func (f *Faulty) Left() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Fault, len(f.faults))
	for i, fault := range f.faults {
		out[i] = *fault
	}
	return out
}

// next returns the fault that hits a call, or nil.
func (f *Faulty) next(op Op, id chunks.ID) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.faults {
		if fault.Op != op || !fault.ID.IsZero() && fault.ID != id {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		hit := *fault
		if fault.Times--; fault.Times == 0 {
			f.faults = slices.Delete(f.faults, i, i+1)
		}
		return &hit
	}
	return nil
}

// call runs do as the plan says.
func (f *Faulty) call(ctx context.Context, op Op, id chunks.ID, do func() error) error {
	fault := f.next(op, id)
	if fault == nil {
		return do()
	}
	if fault.Wait != nil {
		select {
		case <-fault.Wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fault.Err == nil {
		return do()
	}
	if fault.Late {
		if err := do(); err != nil {
			return err
		}
	}
	return fault.Err
}

// Has implements chunks.Store.
func (f *Faulty) Has(ctx context.Context, ids []chunks.ID, present []bool) error {
	return f.call(ctx, OpHas, chunks.ID{}, func() error { return f.Store.Has(ctx, ids, present) })
}

// Put implements chunks.Store.
func (f *Faulty) Put(ctx context.Context, batch []chunks.Chunk) error {
	return f.call(ctx, OpPut, chunks.ID{}, func() error { return f.Store.Put(ctx, batch) })
}

// Get implements chunks.Store.
func (f *Faulty) Get(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	return f.call(ctx, OpGet, id, func() error { return f.Store.Get(ctx, id, b) })
}

// GetStored implements chunks.Store. Its faults are those of Get.
func (f *Faulty) GetStored(ctx context.Context, id chunks.ID, b *chunks.Buffer) error {
	return f.call(ctx, OpGet, id, func() error { return f.Store.GetStored(ctx, id, b) })
}
