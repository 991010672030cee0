package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestNaming says when the first write after a start goes on, and in which epoch.
func TestNaming(t *testing.T) {
	for name, c := range map[string]struct {
		links  []string
		intact map[string]time.Duration // after the write came
		fails  int                      // times that the epoch cannot be raised
		want   time.Duration
		raises int
	}{
		"no links":                {want: 0},
		"all say so":              {links: []string{"a", "b"}, intact: map[string]time.Duration{"a": time.Second, "b": 500 * time.Millisecond}, want: time.Second},
		"it was said before":      {links: []string{"a"}, intact: map[string]time.Duration{"a": -time.Second}, want: 0},
		"one is away":             {links: []string{"a", "b"}, intact: map[string]time.Duration{"a": 0}, want: namingPatience, raises: 1},
		"too late":                {links: []string{"a"}, intact: map[string]time.Duration{"a": time.Minute}, want: namingPatience, raises: 1},
		"it cannot be raised yet": {links: []string{"a"}, fails: 3, want: namingPatience + 300*time.Millisecond, raises: 4},
		"a link that is not ours": {links: []string{"a"}, intact: map[string]time.Duration{"x": 0}, want: namingPatience, raises: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNaming(c.links)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				raises, fails := 0, c.fails
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					n.run(ctx, func(context.Context) error {
						if raises++; raises <= fails {
							return errors.New("no leader")
						}
						return nil
					})
				}()
				for link, at := range c.intact {
					if at < 0 {
						n.intact(link)
						n.intact(link) // it is said again and again
						continue
					}
					go func() {
						time.Sleep(at) // of the bubble
						n.intact(link)
					}()
				}
				synctest.Wait()
				began := time.Now()
				for range 3 {
					if err := n.wait(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took != c.want || raises != c.raises {
					t.Errorf("it took %s and %d raises, want %s and %d", took, raises, c.want, c.raises)
				}
				<-ended
				time.Sleep(2 * time.Minute) // those that come late
			})
		})
	}
}

// TestNamingEnds has a node stop while a write waits.
func TestNamingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNaming([]string{"a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the request ended with %v", err)
		}
		began := time.Now()
		node, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		go n.run(node, func(context.Context) error {
			t.Error("the epoch is raised")
			return nil
		})
		if err := n.wait(t.Context()); err == nil || time.Since(began) != time.Second {
			t.Errorf("it ended with %v after %s", err, time.Since(began))
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		cmd  *raftfsmpb.Command
		want bool
	}{
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Write{}}, true},
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Trim{}}, true},
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{Records: []*catalogpb.Record{{}}}}}, true},
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{Cursor: &catalogpb.Cursor{}}}}, false},
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Progress{}}, false},
		{&raftfsmpb.Command{Command: &raftfsmpb.Command_Config{}}, false},
	} {
		if got := names(c.cmd); got != c.want {
			t.Errorf("%T: %v, want %v", c.cmd.GetCommand(), got, c.want)
		}
	}
}
