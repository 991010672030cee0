package catalog

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// TestReadersBesideApply: while commands are applied, the log is trimmed and the
// Pebble is swapped, every page is consistent in itself, and one who follows the
// log page by page gets the last version of every key.
func TestReadersBesideApply(t *testing.T) {
	s := testSite(t, 1).makeBucket(2)
	peer := siteID(2)
	const rounds, keys = 30, 10
	done, stop := context.WithCancel(context.Background())
	defer stop()
	var g errgroup.Group
	g.Go(func() error {
		defer stop()
		for i := range rounds {
			var steps []step
			for j := range keys {
				steps = append(steps, step{now: int64(i), cmd: putCmd(fmt.Sprint("k", j), fmt.Sprint(i))})
			}
			r := content(1, 1, dot(2, 1, uint64(i+1)))
			steps = append(steps, step{cmd: &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Hold: []*pb.Pending{{Record: r}}}},
				step{cmd: &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Settle: []*pb.Dot{dot(2, 1, uint64(i))}}})
			if i%10 == 9 {
				steps = append(steps, step{now: int64(i), cmd: &pb.Trim{Bucket: testPath, Before: int64(i - 8)}})
			}
			s.run(steps...)
			if i%20 == 0 {
				if err := s.cat.Swap(s.db); err != nil {
					return err
				}
			}
		}
		return nil
	})
	reader := func(f func() error) {
		g.Go(func() error {
			for done.Err() == nil {
				if err := f(); err != nil {
					return err
				}
			}
			return f()
		})
	}
	last := map[string]string{}
	after := uint64(0)
	follow := func() error {
		page, err := s.cat.Log(testPath, after, 7)
		if errors.Is(err, ErrTrimmed) {
			scan, err := s.cat.ScanKeys(testPath, nil, 0)
			if err != nil {
				return err
			}
			for i := len(scan.Records) - 1; i >= 0; i-- {
				last[string(scan.Records[i].GetKey())] = scan.Records[i].GetEtag()
			}
			after = scan.Seq
			return nil
		}
		if err != nil {
			return err
		}
		if page.From != after+1 || page.AtEnd != (page.Seen != nil) || int(page.To-page.From+1) != len(page.Entries) {
			return fmt.Errorf("page after %d: %d to %d, %d entries, at end %v", after, page.From, page.To, len(page.Entries), page.AtEnd)
		}
		if page.AtEnd && page.To > 0 && !Covers(page.Seen, dot(1, 1, page.To)) {
			return fmt.Errorf("page to %d tells %v", page.To, page.Seen)
		}
		for _, item := range page.Entries {
			if item.Record != nil {
				last[string(item.Record.GetKey())] = item.Record.GetEtag()
			}
		}
		after = page.To
		return nil
	}
	reader(follow)
	reader(func() error {
		page, err := s.cat.List(testPath, ListOptions{})
		if err == nil && len(page.Items) != keys && len(page.Items) != 0 {
			err = fmt.Errorf("%d items", len(page.Items))
		}
		return err
	})
	reader(func() error {
		v, err := s.cat.Versions(testPath, []byte("k3"))
		if errors.Is(err, ErrNoKey) {
			return nil
		}
		if err == nil && len(v) == 2 && v[0].GetGeneration() != v[1].GetGeneration()+1 {
			err = fmt.Errorf("generations %d and %d", v[0].GetGeneration(), v[1].GetGeneration())
		}
		return err
	})
	reader(func() error {
		_, err := s.cat.Seen(testPath)
		if err == nil {
			_, err = s.cat.Behind(testPath, peer, maxBehind)
		}
		if err == nil {
			_, _, err = s.cat.Decide(testPath, []*pb.Record{content(1, 1, dot(2, 1, 5))})
		}
		s.cat.Digest()
		s.cat.Buckets()
		return err
	})
	reader(func() error { return s.cat.Check(context.Background(), testPath) })
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for after < s.state().GetSeq() {
		if err := follow(); err != nil {
			t.Fatal(err)
		}
	}
	for j := range keys {
		if got := last[fmt.Sprint("k", j)]; got != fmt.Sprint(rounds-1) {
			t.Fatalf("k%d is %q to who follows the log", j, got)
		}
	}
	s.check()
}
