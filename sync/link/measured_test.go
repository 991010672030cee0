package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// slow answers each request a fixed time later, by a clock of its own.
type slow struct {
	Source
	now  time.Time
	took time.Duration
	err  error
}

func (s *slow) Progress(context.Context, *linkpb.Progress) (*linkpb.ProgressReply, error) {
	s.now = s.now.Add(s.took)
	return &linkpb.ProgressReply{}, s.err
}

func TestMeasured(t *testing.T) {
	source := &slow{now: time.Unix(1, 0), took: 60 * time.Millisecond}
	m := Measure(source, func() time.Time { return source.now })
	if _, ok := m.Latency(); ok {
		t.Error("a latency without a request")
	}
	ask := func() error { _, err := m.Progress(t.Context(), nil); return err }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if l, _ := m.Latency(); l != 60*time.Millisecond {
		t.Errorf("latency %v after one request of 60ms", l)
	}
	source.took = 120 * time.Millisecond
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if l, _ := m.Latency(); l != 70*time.Millisecond {
		t.Errorf("latency %v after 60ms and 120ms, want 70ms", l)
	}
	source.err = errors.New("broken")
	if err := ask(); err == nil {
		t.Error("the error is lost")
	}
	if l, _ := m.Latency(); l != 70*time.Millisecond || m.Requests() != 3 {
		t.Errorf("latency %v and %d requests after a failure, want 70ms and 3", l, m.Requests())
	}
}
