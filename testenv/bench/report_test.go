package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		q    float64
		of   []float64
		want float64
	}{
		{0.5, []float64{3}, 3},
		{0.5, []float64{1, 2}, 1.5},
		{0.5, []float64{1, 2, 10}, 2},
		{0.99, []float64{0, 100}, 99},
		{1, []float64{1, 2, 10}, 10},
		{0, []float64{1, 2, 10}, 1},
	} {
		if got := quantile(c.of, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.of, got, c.want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a median")
	}
}

func TestVerdict(t *testing.T) {
	rate, cost, open := &target{least: 300, goal: 455}, &target{most: true, least: 10, goal: 8}, &target{least: 90}
	for _, c := range []struct {
		t     *target
		value float64
		want  string
	}{
		{rate, 299, "MISSED"}, {rate, 300, "met"}, {rate, 455, "goal"},
		{cost, 10.1, "MISSED"}, {cost, 10, "met"}, {cost, 8, "goal"},
		{open, 1000, "met"}, {open, 89, "MISSED"}, {nil, 1, ""},
	} {
		if got := c.t.verdict(c.value); got != c.want {
			t.Errorf("%v against %+v: %q, want %q", c.value, c.t, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.01234: "0.0123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 123456: "123456", -5: "-5.00"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func sample(scale float64) *report {
	r := &report{
		Started: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Took: 61, Command: "go run ./testenv/bench", Revision: "abc",
		Machine: machine{CPU: "CPU", Cores: 2, Memory: 8 << 30, Kernel: "Linux 6", Disk: "ext4", Go: "go1"}, Scale: scale, Runs: 3,
	}
	for _, v := range []float64{310, 290, 320} {
		r.add("initial.rate", "MiB/s", v)
	}
	r.add("initial.memory", "MiB", 600)
	r.add("initial.wire", "MiB", 12)
	r.skip("line50: no line: %s", "it takes root")
	r.skip("line50: no line: %s", "it takes root")
	r.doubt("initial, run %d: memory is dear", 2)
	return r
}

func TestReport(t *testing.T) {
	r := sample(1)
	var out bytes.Buffer
	if err := r.table(&out); err != nil {
		t.Fatal(err)
	}
	want := `FIGURE          MEDIAN  UNIT   SPREAD     WANTED           
initial.rate    310     MiB/s  290 … 320  ≥ 300, goal 455  met
initial.memory  600     MiB               ≤ 512            MISSED
initial.wire    12.0    MiB                                
skipped: line50: no line: it takes root
doubtful: initial, run 2: memory is dear
`
	if out.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", out.String(), want)
	}
	if !r.missed() {
		t.Error("a missed minimum is not told")
	}
	// At another size nothing is compared.
	small := sample(0.1)
	out.Reset()
	if err := small.table(&out); err != nil || small.missed() || strings.Contains(out.String(), "MISSED") || !strings.Contains(out.String(), "scaled by 0.1") {
		t.Errorf("scaled table: %v\n%s", err, out.String())
	}
}

func TestReportFiles(t *testing.T) {
	dir := t.TempDir()
	r := sample(1)
	file := filepath.Join(dir, "r.json")
	if err := r.writeJSON(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(data, &back); err != nil || len(back.Figures) != 3 || *back.Figures[0].AtLeast != 300 || back.Figures[0].Verdict != "met" || back.Figures[2].AtLeast != nil {
		t.Errorf("JSON: %v\n%s", err, data)
	}

	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("before\n"+docBegin+"\nold\n"+docEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also over what it wrote itself
		if err := r.writeDoc(page); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + docBegin + `

Measured on 2030-01-02 with ` + "`go run ./testenv/bench`" + `, revision abc: 2 cores of CPU, 8 GiB of memory, Linux 6, ext4, go1. Medians of 3 runs; it took 1m1s.

| figure | median | unit | spread | wanted | |
|---|---|---|---|---|---|
| initial.rate | 310 | MiB/s | 290 … 320 | ≥ 300, goal 455 | met |
| initial.memory | 600 | MiB |  | ≤ 512 | MISSED |
| initial.wire | 12.0 | MiB |  |  |  |

Doubtful: initial, run 2: memory is dear.

Not measured: line50: no line: it takes root.

` + docEnd + "\nafter\n"
	if string(got) != want {
		t.Errorf("page:\n%s\nwant:\n%s", got, want)
	}
	if err := os.WriteFile(page, []byte("no lines"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.writeDoc(page); err == nil {
		t.Error("a page without the lines is overwritten")
	}
}

// TestPageHasLines keeps the documentation fit for -doc.
func TestPageHasLines(t *testing.T) {
	data, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if before, after := strings.Index(string(data), docBegin), strings.Index(string(data), docEnd); before < 0 || after < before {
		t.Error("docs/performance.md lacks the lines around the figures")
	}
	for _, w := range workloads {
		if !strings.Contains(string(data), "`"+w.name+"`") {
			t.Errorf("docs/performance.md does not tell how %s is measured", w.name)
		}
	}
}

// TestPageHoldsWhatIsWanted: the page has a figure for everything that is wanted, compared
// with what is wanted now, and none that missed it.
func TestPageHoldsWhatIsWanted(t *testing.T) {
	data, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{} // by figure: median, unit, spread, wanted, verdict
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 6 && strings.HasPrefix(cells[0], "| ") {
			cells[5] = strings.TrimSuffix(cells[5], " |")
			rows[strings.TrimPrefix(cells[0], "| ")] = cells[1:]
		}
	}
	wanted := map[string]bool{}
	for _, target := range targets {
		wanted[target.metric] = true
	}
	for _, w := range workloads {
		memory := w.name + ".memory"
		if strings.HasPrefix(w.name, "line") || strings.HasPrefix(w.name, "tunnel") {
			memory = w.name + ".large-memory"
		}
		wanted[memory] = true
	}
	for name := range wanted {
		if rows[name] == nil {
			t.Errorf("%s has a minimum and no figure", name)
		}
	}
	for name, cells := range rows {
		if is, want := cells[3], (&figure{Name: name}).wanted(); is != want && name != "figure" {
			t.Errorf("%s is compared with %q, and wanted is %q", name, is, want)
		}
		if want := targetOf(name) != nil; want && cells[4] != "met" && cells[4] != "goal" {
			t.Errorf("%s: %q", name, cells[4])
		}
	}
}

func TestTargetsAreOfWorkloads(t *testing.T) {
	for _, target := range targets {
		name, _, _ := strings.Cut(target.metric, ".")
		if _, err := choose(name); err != nil && name != "copy" { // copy is part of insert
			t.Errorf("%s is of no workload", target.metric)
		}
		if target.goal != 0 && target.verdict(target.goal) != "goal" {
			t.Errorf("%s: the goal is behind the minimum", target.metric)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"-list"}, exitOK, ""},
		{[]string{"-run", "fly"}, exitUsage, `no workload "fly"`},
		{[]string{"-runs", "0"}, exitUsage, "-runs 0"},
		{[]string{"-scale", "0"}, exitUsage, "-scale 0"},
		{[]string{"small"}, exitUsage, "-run"},
		{[]string{"-wings"}, exitUsage, "-wings"},
	} {
		var out, errs bytes.Buffer
		if exit := run(context.Background(), c.args, &out, &errs); exit != c.exit || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, exit, errs.String())
		}
		if c.exit == exitOK && !strings.Contains(out.String(), "line100") {
			t.Errorf("-list: %s", out.String())
		}
	}
}

func TestParse(t *testing.T) {
	line := "4711 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0"
	if got, err := parseStat(line); err != nil || got != 1270*time.Millisecond {
		t.Errorf("CPU time %v, %v, want 1.27s", got, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2", strings.Replace(line, " 100 ", " x ", 1)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if n, err := parseField("a: 1\nVmHWM:\t  77 kB\n", "VmHWM:"); n != 77 || err != nil {
		t.Errorf("field: %d %v", n, err)
	}
	stat := "cpu  10 20 30 400 50 1 2 3 7 7\ncpu0 1 1 1 1\n"
	if c, err := parseCores(stat); err != nil || c != (cores{all: 516, idle: 450}) {
		t.Errorf("cores: %+v, %v", c, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", strings.Replace(stat, "cpu ", "cpu0 ", 1), strings.Replace(stat, "400", "x", 1)} {
		if _, err := parseCores(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	before := cores{all: 500, idle: 440}
	if idle := (cores{all: 516, idle: 450}).idleSince(before); idle != 0.625 || before.idleSince(before) != 0 {
		t.Errorf("idle: %v", idle)
	}
	for _, bad := range []string{"", "VmHWM:\n", "VmHWM: x"} {
		if _, err := parseField(bad, "VmHWM:"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestCountersOfThisProcess(t *testing.T) {
	before, err := readCounters(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Work until the kernel has counted it.
	data := make([]byte, 1<<20)
	for {
		fill(1, data)
		now, err := readCounters(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.cpu >= before.cpu+20*time.Millisecond {
			if now.peak < 1<<20 || now.syscw < before.syscw {
				t.Errorf("counters %+v", now)
			}
			break
		}
	}
	if m := describe(t.TempDir()); m.Cores == 0 || m.Memory == 0 || m.Kernel == "" || m.Disk == "" {
		t.Errorf("machine %+v", m)
	}
}

// TestMemoryIsFilledUntilItIsInUse: a file that is dear to write says that memory has to
// be filled once more, a few times.
func TestMemoryIsFilledUntilItIsInUse(t *testing.T) {
	for _, c := range []struct {
		costs []time.Duration // of one write after the other
		fills int
		want  time.Duration
	}{
		{[]time.Duration{usedCost}, 2, usedCost},
		{[]time.Duration{4 * usedCost, 2 * usedCost, usedCost / 2}, 4, usedCost / 2},
		{slices.Repeat([]time.Duration{3 * usedCost}, fills), fills + 1, 3 * usedCost},
	} {
		filled, written := 0, 0
		got, err := inUse(func() error { filled++; return nil }, func() (time.Duration, error) {
			written++
			return c.costs[written-1], nil
		})
		if got != c.want || err != nil || filled != c.fills {
			t.Errorf("writes that cost %v: %v after %d fills, %v; want %v after %d", c.costs, got, filled, err, c.want, c.fills)
		}
	}
	full := errors.New("no room")
	if _, err := inUse(func() error { return full }, func() (time.Duration, error) { return 0, nil }); !errors.Is(err, full) {
		t.Errorf("memory that cannot be filled: %v", err)
	}
	if _, err := inUse(func() error { return nil }, func() (time.Duration, error) { return 0, full }); !errors.Is(err, full) {
		t.Errorf("a file that cannot be written: %v", err)
	}
	if free, err := memory("MemFree:"); err != nil || free <= 0 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}

// TestFilesAreCopied runs the plain copy on a few files.
func TestFilesAreCopied(t *testing.T) {
	f, err := makeFiles(t.TempDir(), 5, func(i int) io.Reader { return content(random, uint64(i), 1000) })
	if err != nil || f.bytes != 5000 {
		t.Fatalf("made %d bytes: %v", f.bytes, err)
	}
	u, err := f.copyWithSync()
	if err != nil || u.wall <= 0 {
		t.Errorf("copy: %+v %v", u, err)
	}
	if err := readThrough(filepath.Join(f.dir, f.names[3]), 1000); err != nil {
		t.Error(err)
	}
	if err := readThrough(filepath.Join(f.dir, f.names[3]), 1001); err == nil {
		t.Error("a file that is short is read through")
	}
	if err := f.remove(); err != nil {
		t.Error(err)
	}
}
