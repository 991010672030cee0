package main

import (
	"errors"
	"net"
	"os"
	"testing"
)

// TestLine makes a line twice, as two runs of a workload do, and finds nothing
// of it afterwards.
func TestLine(t *testing.T) {
	if testing.Short() {
		t.Skip("makes network namespaces")
	}
	for range 2 {
		l, err := newLine(t.Context())
		if errors.Is(err, errNoLine) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := net.InterfaceByName(l.device(0, "o")); err != nil {
			t.Errorf("the first cable: %v", err)
		}
		if n, err := l.crossed(); err != nil || n > 10_000 {
			t.Errorf("%d bytes have crossed a new line: %v", n, err)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
		for i := range 2 {
			if _, err := net.InterfaceByName(l.device(i, "o")); err == nil {
				t.Errorf("cable %d outlives its line", i)
			}
			if _, err := os.Stat("/run/netns/" + l.netns(i)); err == nil {
				t.Errorf("namespace %d outlives its line", i)
			}
		}
		if err := l.close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	}
}
