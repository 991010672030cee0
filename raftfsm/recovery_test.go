package raftfsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
)

// used is a closed replica's directory with snapshots and a compacted log, and
// the fingerprint of its state.
func used(t *testing.T) (o Options, want string) {
	o = Options{Dir: t.TempDir(), NodeID: "n1", SnapshotEntries: 10, TrailingLogs: 1}
	r := newSite(t, o)
	fill(t, r, "a", 25)
	eventually(t, "a snapshot", func() bool { return r.Status().LastSnapshot > 10 })
	closeNow(t, r)
	o.SnapshotEntries = 0 // none from here on: the log is ahead of the last one
	r = openAt(t, o)
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	fill(t, r, "b", 8)
	want = fingerprint(t, r)
	closeNow(t, r)
	return o, want
}

func TestStateMovedAway(t *testing.T) {
	t.Parallel()
	o, want := used(t)
	if err := os.RemoveAll(filepath.Join(o.Dir, stateName)); err != nil {
		t.Fatal(err)
	}
	r := openAt(t, o)
	if err := r.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := fingerprint(t, r); got != want {
		t.Fatalf("state is %s, not %s", got, want)
	}
}

func TestPartsMissing(t *testing.T) {
	t.Parallel()
	whole, _ := used(t)
	for _, c := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"no log", func(dir string) error { return os.RemoveAll(filepath.Join(dir, logName)) }, "the log was lost"},
		{"older log", func(dir string) error { return truncateLog(filepath.Join(dir, logName), 5) }, "the log is older than the state"},
		{"no snapshots", func(dir string) error { return os.RemoveAll(filepath.Join(dir, snapshotsName)) }, "a snapshot is missing"},
		{"damaged log", func(dir string) error {
			found, err := filepath.Glob(filepath.Join(dir, logName, "*.log"))
			if err != nil || len(found) == 0 {
				return errors.Join(err, errors.New("no file of the log"))
			}
			newest := found[len(found)-1]
			raw, err := os.ReadFile(newest)
			if err != nil {
				return err
			}
			raw[100] ^= 1
			return os.WriteFile(newest, raw, 0o600)
		}, "the log is older than the state"},
		{"damaged pointer", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, stateName, currentName), []byte("../x\n"), 0o600)
		}, "names no database"},
		{"pointer to nothing", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, stateName, currentName), []byte("db-000099\n"), 0o600)
		}, "moved away"},
		{"newer format", func(dir string) error {
			name, err := os.ReadFile(filepath.Join(dir, stateName, currentName))
			if err != nil {
				return err
			}
			db, err := pebble.Open(filepath.Join(dir, stateName, strings.TrimSpace(string(name))), &pebble.Options{Logger: pebbleLogger{slog.New(slog.DiscardHandler)}})
			if err != nil {
				return err
			}
			return errors.Join(db.Set(keyFormat, binary.BigEndian.AppendUint32(nil, 2), pebble.Sync), db.Close())
		}, "its format is 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := whole
			o.Dir = t.TempDir()
			if err := os.CopyFS(o.Dir, os.DirFS(whole.Dir)); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(o.Dir); err != nil {
				t.Fatal(err)
			}
			r, err := Open(testContext(t), o)
			if err == nil {
				closeNow(t, r)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			// Nothing stays open: the same error comes again.
			if _, again := Open(testContext(t), o); again == nil || again.Error() != err.Error() {
				t.Fatalf("the second time: %v", again)
			}
		})
	}
}

// truncateLog drops the last entries of a log.
func truncateLog(path string, n uint64) error {
	log, err := openLog(vfs.Default, path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err == nil {
		err = log.DeleteRange(last-n+1, last)
	}
	return errors.Join(err, log.Close())
}

func TestRaftLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := newRaftLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Named("x").With("a", hclog.Fmt("%d-%d", 1, 2)).Info("went", "b", hclog.Fmt("%s", "c"))
	log.Trace("unseen")
	if got := out.String(); !strings.Contains(got, "level=DEBUG msg=went component=raft a=1-2 b=c") || strings.Contains(got, "unseen") {
		t.Errorf("logged %q", got)
	}
	if !log.IsDebug() || log.IsTrace() || log.GetLevel() != hclog.Debug || log.Named("x").Name() != "raft.x" {
		t.Error("levels or names are wrong")
	}
	if len(log.With("k", 1).ImpliedArgs()) != 2 {
		t.Error("implied arguments are lost")
	}
	out.Reset()
	log.Warn("careful")
	log.Error("broken")
	log.StandardLogger(nil).Print("plain")
	for _, want := range []string{"level=WARN msg=careful", "level=ERROR msg=broken", "msg=plain"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("logged %q, without %q", out.String(), want)
		}
	}
}
