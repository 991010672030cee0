package chunkstest

import (
	"context"
	"errors"
	"testing"

	"edgefog.dev/isgw/chunks"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) chunks.Store { return NewMemory(Codec()) })
}

func TestFaultyWithoutFaults(t *testing.T) {
	Run(t, func(t *testing.T) chunks.Store { return NewFaulty(t, NewMemory(Codec())) })
}

func TestMemoryDamage(t *testing.T) {
	m := NewMemory(Codec())
	batch, raws := Batch(1, 2, 1000)
	put(t, m, batch)
	var b chunks.Buffer
	if !m.Damage(batch[0].ID) || m.Damage(chunks.ID{1}) {
		t.Error("Damage misreports what the store holds")
	}
	if err := m.Get(t.Context(), batch[0].ID, &b); !errors.Is(err, chunks.ErrCorrupt) || m.Stats().Corrupt != 1 {
		t.Errorf("damaged chunk: %v", err)
	}
	if !m.Drop(batch[0].ID) || m.Drop(batch[0].ID) {
		t.Error("Drop misreports what the store holds")
	}
	if err := m.Get(t.Context(), batch[0].ID, &b); !errors.Is(err, chunks.ErrNotFound) {
		t.Errorf("dropped chunk: %v", err)
	}
	Check(t, m, raws[1:])
}

// spy records failures instead of reporting them.
type spy struct {
	testing.TB
	cleanups []func()
	failures int
}

func (s *spy) Cleanup(f func())      { s.cleanups = append(s.cleanups, f) }
func (s *spy) Errorf(string, ...any) { s.failures++ }
func (s *spy) finish() (failures int) {
	for _, f := range s.cleanups {
		f()
	}
	return s.failures
}

func TestFaulty(t *testing.T) {
	broken := errors.New("broken")
	batch, raws := Batch(2, 3, 1000)
	var b chunks.Buffer

	s := &spy{TB: t}
	f := NewFaulty(s, NewMemory(Codec()))
	f.Plan(
		Fault{Op: OpPut, Err: broken},
		Fault{Op: OpPut, Skip: 1, Err: broken, Late: true},
		Fault{Op: OpGet, ID: batch[1].ID, Times: 2, Err: broken},
		Fault{Op: OpHas, Err: broken},
	)
	if err := f.Put(t.Context(), batch); !errors.Is(err, broken) || f.Stats().Chunks != 0 {
		t.Errorf("first Put: %v, %d chunks", err, f.Stats().Chunks)
	}
	if err := f.Put(t.Context(), batch[:1]); err != nil {
		t.Errorf("second Put: %v", err)
	}
	if err := f.Put(t.Context(), batch); !errors.Is(err, broken) || f.Stats().Chunks != 3 {
		t.Errorf("third Put, whose answer is lost: %v, %d chunks", err, f.Stats().Chunks)
	}
	if err := f.Get(t.Context(), batch[0].ID, &b); err != nil {
		t.Errorf("Get of another chunk: %v", err)
	}
	for range 2 {
		if err := f.Get(t.Context(), batch[1].ID, &b); !errors.Is(err, broken) {
			t.Errorf("Get: %v", err)
		}
	}
	if n := s.finish(); n != 1 || len(f.Left()) != 1 {
		t.Errorf("%d failures for one fault that was not hit", n)
	}
	if err := f.Has(t.Context(), nil, nil); !errors.Is(err, broken) {
		t.Errorf("Has: %v", err)
	}
	Check(t, f, raws)
	if n := s.finish(); n != 1 {
		t.Errorf("failures although every fault was hit")
	}
}

func TestFaultyWaits(t *testing.T) {
	f := NewFaulty(t, NewMemory(Codec()))
	batch, raws := Batch(3, 1, 1000)
	gate := make(chan struct{})
	f.Plan(Fault{Op: OpPut, Wait: gate, Times: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Put(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("Put that waits beyond its context: %v", err)
	}
	done := make(chan error)
	go func() { done <- f.Put(t.Context(), batch) }()
	close(gate)
	if err := <-done; err != nil {
		t.Errorf("Put after the wait: %v", err)
	}
	Check(t, f, raws)
}
