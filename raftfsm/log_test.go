package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

func openTestLog(t testing.TB, fs vfs.FS, dir string) *raftLog {
	t.Helper()
	l, err := openLog(fs, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// logModel is what a log must hold.
type logModel struct {
	first   uint64
	entries []raft.Log // from first on
	stable  map[string]uint64
}

func (m *logModel) last() uint64 {
	if len(m.entries) == 0 {
		return 0
	}
	return m.first + uint64(len(m.entries)) - 1
}

// clone is a copy that later steps do not change.
func (m *logModel) clone() *logModel {
	c := &logModel{first: m.first, entries: append([]raft.Log(nil), m.entries...), stable: map[string]uint64{}}
	for k, v := range m.stable {
		c.stable[k] = v
	}
	return c
}

// differs says in what a log is not the model, or "".
func (m *logModel) differs(l *raftLog) string {
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	if first != m.first || last != m.last() {
		return fmt.Sprintf("log is from %d to %d, want %d to %d", first, last, m.first, m.last())
	}
	for i, want := range m.entries {
		var got raft.Log
		if err := l.GetLog(m.first+uint64(i), &got); err != nil {
			return err.Error()
		}
		if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !got.AppendedAt.Equal(want.AppendedAt) ||
			!bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) {
			return fmt.Sprintf("entry %d is %+v, want %+v", want.Index, got, want)
		}
	}
	for _, outside := range []uint64{first - 1, last + 1} {
		if err := l.GetLog(outside, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			return fmt.Sprintf("entry %d: error %v, want raft.ErrLogNotFound", outside, err)
		}
	}
	for name, want := range m.stable {
		if got, err := l.GetUint64([]byte(name)); err != nil || got != want {
			return fmt.Sprintf("%s is %d (%v), want %d", name, got, err, want)
		}
	}
	return ""
}

// step does something that raft does to a log, to both.
func (m *logModel) step(rng *rand.Rand, l *raftLog) error {
	switch n := rng.IntN(20); {
	case n < 12: // append
		next := m.last() + 1
		if m.last() == 0 {
			next = 1 + rng.Uint64N(100)
		} else if rng.IntN(20) == 0 {
			next += 1 + rng.Uint64N(10) // after a snapshot from another node
		}
		return m.append(rng, l, next)
	case n < 15 && len(m.entries) > 0: // compact
		high := m.first + rng.Uint64N(uint64(len(m.entries)))
		if err := l.DeleteRange(m.first, high); err != nil {
			return err
		}
		m.entries = m.entries[high-m.first+1:]
		m.first = high + 1
	case n < 17 && len(m.entries) > 0: // a conflict with a new leader
		low := m.first + rng.Uint64N(uint64(len(m.entries)))
		if err := l.DeleteRange(low, m.last()); err != nil {
			return err
		}
		m.entries = m.entries[:low-m.first]
	default:
		name, value := []string{"CurrentTerm", "LastVoteTerm"}[rng.IntN(2)], rng.Uint64()
		if err := l.SetUint64([]byte(name), value); err != nil {
			return err
		}
		m.stable[name] = value
	}
	if len(m.entries) == 0 {
		m.first = 0
	}
	return nil
}

func (m *logModel) append(rng *rand.Rand, l *raftLog, next uint64) error {
	var entries []*raft.Log
	for range 1 + rng.IntN(5) {
		e := &raft.Log{Index: next, Term: rng.Uint64N(9), Type: raft.LogType(rng.IntN(6)), Data: make([]byte, rng.IntN(3000))}
		for i := range e.Data {
			e.Data[i] = byte(rng.Uint32())
		}
		if rng.IntN(4) == 0 {
			e.Extensions = []byte("extension")
		}
		if rng.IntN(4) > 0 {
			e.AppendedAt = time.Unix(0, rng.Int64())
		}
		entries = append(entries, e)
		next++
	}
	if err := l.StoreLogs(entries); err != nil {
		return err
	}
	if len(m.entries) == 0 || entries[0].Index != m.last()+1 {
		m.first, m.entries = entries[0].Index, nil
	}
	for _, e := range entries {
		m.entries = append(m.entries, *e)
	}
	return nil
}

// TestLogCrash cuts the power of a log again and again. What it answered is
// there afterwards, and nothing else: an answer waits for the sync.
func TestLogCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		model := &logModel{stable: map[string]uint64{}}
		for life := range 10 {
			l := openTestLog(t, fs, "/log")
			if diff := model.differs(l); diff != "" {
				t.Fatalf("seed %d, life %d: %s", seed, life, diff)
			}
			var crashed *vfs.MemFS
			var then *logModel
			steps := rng.IntN(40)
			for i := range steps + 1 {
				if i == steps {
					crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
					then = model.clone()
				}
				if err := model.step(rng, l); err != nil {
					t.Fatalf("seed %d, life %d, step %d: %v", seed, life, i, err)
				}
			}
			if diff := model.differs(l); diff != "" {
				t.Fatalf("seed %d, life %d: before the crash: %s", seed, life, diff)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			fs, model = crashed, then
		}
	}
}

func TestLogRefusals(t *testing.T) {
	t.Parallel()
	l := openTestLog(t, vfs.NewMem(), "/log")
	defer l.Close()
	model := &logModel{stable: map[string]uint64{}}
	rng := rand.New(rand.NewPCG(1, 1))
	if err := model.append(rng, l, 5); err != nil {
		t.Fatal(err)
	}
	for model.last() < 20 {
		if err := model.append(rng, l, model.last()+1); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"an entry that exists":   l.StoreLog(&raft.Log{Index: model.last()}),
		"a gap between entries":  l.StoreLogs([]*raft.Log{{Index: model.last() + 1}, {Index: model.last() + 3}}),
		"a gap by deletion":      l.DeleteRange(10, 12),
		"a number that is short": errors.Join(l.Set([]byte("x"), []byte("short")), func() error { _, err := l.GetUint64([]byte("x")); return err }()),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, nothing := range [][2]uint64{{1, 4}, {model.last() + 1, model.last() + 9}, {9, 8}} {
		if err := l.DeleteRange(nothing[0], nothing[1]); err != nil {
			t.Errorf("delete %d to %d: %v", nothing[0], nothing[1], err)
		}
	}
	if diff := model.differs(l); diff != "" {
		t.Errorf("something was changed: %s", diff)
	}
	if value, err := l.Get([]byte("never set")); err != nil || len(value) != 0 {
		t.Errorf("what was never set is %q, %v", value, err)
	}
}

// TestLogDamage flips a bit somewhere in a closed log's files. The log is then
// refused, or holds a beginning of what it held: entries are never wrong, and
// none in the middle is missing.
func TestLogDamage(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	l := openTestLog(t, vfs.Default, whole)
	model := &logModel{stable: map[string]uint64{}}
	rng := rand.New(rand.NewPCG(7, 7))
	for range 30 {
		if err := model.append(rng, l, model.last()+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 60 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		flipBit(t, rng, dir)
		l, err := openLog(vfs.Default, dir, slog.New(slog.DiscardHandler))
		if err != nil {
			refused++
			continue
		}
		got := model.clone()
		last, _ := l.LastIndex()
		got.entries = got.entries[:last]
		if last == 0 {
			got.first = 0
		}
		if diff := got.differs(l); diff != "" {
			t.Errorf("damage %d: %s", i, diff)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d of 60 damaged logs were refused", refused)
	if refused == 0 {
		t.Error("no damage was seen")
	}
}

// flipBit damages one of the files that hold entries.
func flipBit(t *testing.T, rng *rand.Rand, dir string) {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.log", "*.sst"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if info, err := os.Stat(name); err == nil && info.Size() > 0 {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("the log has no files")
	}
	name := names[rng.IntN(len(names))]
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[rng.IntN(len(raw))] ^= 1 << rng.IntN(8)
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecodeLogValue(f *testing.F) {
	f.Add(appendLogValue(nil, &raft.Log{Term: 3, Type: raft.LogCommand, Data: []byte("data"), Extensions: []byte("x"), AppendedAt: time.Unix(1, 2)}))
	f.Add([]byte("short"))
	f.Add(bytes.Repeat([]byte{0xff}, logValueHead))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e raft.Log
		if decodeLogValue(raw, &e) != nil {
			return
		}
		if again := appendLogValue(nil, &e); !bytes.Equal(again, raw) {
			t.Errorf("%x becomes %x", raw, again)
		}
	})
}
