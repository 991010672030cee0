package raftfsm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestStateDamage flips a bit of a table of the state. Whoever
// reads what is damaged gets an error, the process lives, and a node that meets the
// damage while it applies the log stops with the cause instead of going on with
// something else.
func TestStateDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newSite(t, Options{Dir: dir})
	fill(t, r, "k", 200)
	if err := r.machine.flushAhead(); err != nil {
		t.Fatal(err)
	}
	closeNow(t, r)
	r = nil
	tables, err := filepath.Glob(filepath.Join(dir, stateName, "db-*", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	// A place is looked for whose damage is in the record and not in what every start
	// reads.
	read := func() error { _, err := r.Catalog().Head(bk1, []byte("k-0100")); return err }
	for _, table := range tables {
		raw, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 20 && r == nil; i++ {
			damaged := bytes.Clone(raw)
			damaged[len(raw)*i/20] ^= 4
			if err := os.WriteFile(table, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err = Open(testContext(t), Options{Dir: dir, NodeID: "n1"}); err != nil {
				r = nil
			} else if read() == nil {
				closeNow(t, r)
				r = nil
			}
		}
		if r != nil {
			break
		}
		if err := os.WriteFile(table, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r == nil {
		t.Fatal("no place was found")
	}
	defer closeNow(t, r)
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := read(); !pebble.IsCorruptionError(err) {
		t.Errorf("a damaged record reads with %v", err)
	}
	select {
	case <-r.Done():
		t.Errorf("a read has stopped the node: %v", r.Err())
	default:
	}
	if res, err := r.Propose(testContext(t), write(bk1, "k-0100", nil)); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrHalted) {
		t.Errorf("a write of a damaged key: %v, %v", res, err)
	}
	select {
	case <-r.Done():
		if err := r.Err(); !pebble.IsCorruptionError(err) {
			t.Errorf("the node stops for %v", err)
		}
	default:
		t.Error("the node goes on without having applied an entry")
	}
}
