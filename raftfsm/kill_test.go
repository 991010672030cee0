package raftfsm

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// writerDir is the variable that makes the test binary a writer: it opens the
// replica there and writes until it is killed, printing every key it was
// acknowledged.
const writerDir = "ISGW_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := writer(dir, os.Getenv("ISGW_TEST_WRITER_PREFIX")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killOptions make snapshots, flushes and log compaction happen all the time.
func killOptions(dir string) Options {
	return Options{Dir: dir, NodeID: "n1", SnapshotEntries: 40, TrailingLogs: 3,
		MemtableBytes: 256 << 10, CacheBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func writer(dir, prefix string) error {
	ctx := context.Background()
	r, err := Open(ctx, killOptions(dir))
	if err != nil {
		return err
	}
	if err := r.Ready(ctx); err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%s-%d-%d", prefix, w, i)
				res, err := r.Propose(ctx, write(bk1, key, nil))
				if err == nil {
					err = ResultError(res)
				}
				if err == nil {
					_, err = os.Stdout.WriteString(key + "\n")
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// TestKillLosesNothing kills a writing process at random moments. What it was
// acknowledged is there when the state is opened again, once.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeNow(t, newSite(t, killOptions(dir)))
	acked := map[string]bool{}
	snapshots := uint64(0)
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), writerDir+"="+dir, fmt.Sprintf("ISGW_TEST_WRITER_PREFIX=r%d", round))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 60 + rand.IntN(240); n > 0 && lines.Scan(); n-- {
			acked[lines.Text()] = true
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had written when it died
			acked[lines.Text()] = true
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the writer ended by itself: %v: %s", err, stderr.String())
		}

		r := openAt(t, killOptions(dir))
		if err := r.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
		for key := range acked {
			head, err := r.Catalog().Head(bk1, []byte(key))
			if err != nil {
				t.Fatalf("round %d: %s was acknowledged and is lost: %v", round, key, err)
			}
			if head.GetGeneration() != 1 {
				t.Fatalf("round %d: %s was applied %d times", round, key, head.GetGeneration())
			}
		}
		snapshots = r.Status().LastSnapshot
		closeNow(t, r)
	}
	t.Logf("%d acknowledged writes in 5 lives, last snapshot at %d", len(acked), snapshots)
	if snapshots == 0 {
		t.Error("no snapshot was taken on the way")
	}
}
