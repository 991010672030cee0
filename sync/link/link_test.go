package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

func TestNegotiate(t *testing.T) {
	hello := func(min, max uint32, features ...string) *linkpb.Hello {
		return &linkpb.Hello{MinVersion: min, Version: max, Features: features}
	}
	for _, c := range []struct {
		name         string
		mine, theirs *linkpb.Hello
		version      uint32 // 0: refused
		features     []string
	}{
		{"equal", hello(1, 1), hello(1, 1), 1, nil},
		{"they are newer", hello(1, 2), hello(2, 3), 2, nil},
		{"they are older", hello(2, 3), hello(1, 2), 2, nil},
		{"much newer, and patient", hello(1, 1), hello(1, 9), 1, nil},
		{"nothing in common", hello(1, 1), hello(2, 3), 0, nil},
		{"nothing in common, the other way", hello(3, 4), hello(1, 2), 0, nil},
		{"no version", hello(1, 1), hello(0, 0), 0, nil},
		{"nothing at all", hello(1, 1), nil, 0, nil},
		{"features", hello(1, 1, "b", "a", "c", "a"), hello(1, 1, "a", "x", "b"), 1, []string{"a", "b"}},
		{"no features there", hello(1, 1, "a"), hello(1, 1), 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, swapped := range []bool{false, true} {
				a, b := c.mine, c.theirs
				if swapped {
					a, b = b, a
				}
				s, err := Negotiate(a, b)
				if c.version == 0 {
					if r, ok := errors.AsType[*Refused](err); !ok || r.Code != CodeVersion {
						t.Errorf("the error is %v", err)
					}
					continue
				}
				if err != nil || s.Version != c.version || !slices.Equal(s.Features, c.features) {
					t.Errorf("agreed on %+v, %v", s, err)
				}
			}
		})
	}
}

func TestOwnVersions(t *testing.T) {
	if MinVersion > Version || Version == 0 || Version-MinVersion > 1 {
		t.Errorf("this build speaks %d to %d", MinVersion, Version)
	}
}

func TestCause(t *testing.T) {
	fault := &Fault{Kind: FaultStalled, Message: "it stopped", Err: context.DeadlineExceeded}
	for want, err := range map[string]error{
		"":         nil,
		"stalled":  fmt.Errorf("fetch chunks: %w", fault),
		"busy":     fmt.Errorf("list: %w", Refuse(CodeBusy, "later")),
		"canceled": fmt.Errorf("wait: %w", context.Canceled),
		"failed":   errors.New("what"),
	} {
		if got := Cause(err); got != want {
			t.Errorf("the cause of %v is %q, want %q", err, got, want)
		}
	}
	if !errors.Is(fault, context.DeadlineExceeded) {
		t.Error("a fault hides its cause")
	}
	if got := Refuse(CodeNotServed, "bucket %s", "a/b/c").Error(); got != "refused (not-served): bucket a/b/c" {
		t.Errorf("a refusal reads %q", got)
	}
}

func TestMeters(t *testing.T) {
	var ms Meters
	a, b := state.SiteID{1}, state.SiteID{2}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				ms.Get(MeterKey{a, "x", Pulling}).AddRead(3)
				ms.Get(MeterKey{a, "x", Serving}).AddWritten(5)
				ms.Get(MeterKey{a, "y", Pulling}).AddRead(1)
				ms.Get(MeterKey{b, "x", Pulling}).AddRead(1)
			}
		})
	}
	wg.Wait()
	got := ms.Snapshot()
	if len(got) != 4 || got[MeterKey{a, "x", Pulling}] != (Traffic{Read: 2400}) || got[MeterKey{a, "x", Serving}] != (Traffic{Written: 4000}) {
		t.Errorf("counted %+v", got)
	}
	if sum := got[MeterKey{a, "x", Pulling}].Add(got[MeterKey{a, "x", Serving}]); sum != (Traffic{2400, 4000}) {
		t.Errorf("the sum is %+v", sum)
	}
	ms.Forget(a, "x")
	if got := ms.Snapshot(); len(got) != 2 || got[MeterKey{a, "y", Pulling}].Read != 800 {
		t.Errorf("after forgetting a service: %+v", got)
	}
	ms.Forget(a, "")
	if got := ms.Snapshot(); len(got) != 1 || got[MeterKey{b, "x", Pulling}].Read != 800 {
		t.Errorf("after forgetting a site: %+v", got)
	}
	if Pulling.String() != "pulling" || Serving.String() != "serving" {
		t.Error("the roles have other names")
	}
}
