package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one call of the program.
type bench struct {
	dir      string // holds everything that is made; removed at the end
	binary   string // isgwnode
	keep     bool
	seed     uint64
	scale    float64
	compare  bool // run the yardsticks too
	out      io.Writer
	report   *report
	profiles profiles
	leave    int64    // bytes of memory to leave, in use already; 0: as it is
	ballast  *ballast // nil as it is
}

// workload measures one thing and verifies what came out of it.
type workload struct {
	name, about string
	// run does one run; i counts them. What it finds goes to b.report.
	run func(ctx context.Context, b *bench, i int) error
}

var workloads = []workload{
	{"initial", "2 GiB in 8 objects, half of it text, that exist when the link is made", runInitial},
	{"small", "20,000 objects of 4 KiB that exist when the link is made", runSmall},
	{"insert", "1 MiB inserted into 1 GiB, and a copy of it under another name", runInsert},
	{"change", "from the acknowledgement of a small put at one site to the HEAD that finds it at the other", runChange},
	{"s3", "put, get and list at one site, eight at a time", runS3},
	{"keys", "the cost of each operation with 1,000,000 keys against 10,000", runKeys},
	{"line50", "a line of 1 Gbit/s with a round trip of 50 ms", runLine(50*time.Millisecond, false)},
	{"line100", "a line of 1 Gbit/s with a round trip of 100 ms", runLine(100*time.Millisecond, false)},
	{"tunnel50", "line50 with the link inside SSH", runLine(50*time.Millisecond, true)},
	{"tunnel100", "line100 with the link inside SSH", runLine(100*time.Millisecond, true)},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // a workload did not run correctly, or with -strict a minimum was missed
	exitUsage  = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	b := &bench{out: stderr, report: &report{Started: time.Now(), Command: strings.Join(append([]string{"go run ./testenv/bench"}, args...), " ")}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		names  = flags.String("run", "", "workloads to run, with commas between (default all)")
		list   = flags.Bool("list", false, "list the workloads and exit")
		runs   = flags.Int("runs", 3, "runs of each workload; medians are told")
		dir    = flags.String("dir", "", "directory for the sites' data, some 20 GB (default the system's for temporary files)")
		js     = flags.String("json", "", "file for the report as JSON")
		doc    = flags.String("doc", "", "page of documentation to write the figures into, docs/performance.md")
		strict = flags.Bool("strict", false, "fail when a minimum is missed")
		prof   = flags.String("profile", "", "directory for profiles of the sites, one set for each section; they cost some speed")
	)
	flags.StringVar(&b.binary, "node", "", "isgwnode to measure (default it is built)")
	gibs := flags.Float64("memory", 0, "leave `GiB` of memory, the cache of files included, and let it be in use already (default as it is)")
	flags.Float64Var(&b.scale, "scale", 1, "multiplies sizes and numbers of objects; figures are compared at 1 only")
	flags.Uint64Var(&b.seed, "seed", 1, "seed of the content")
	flags.BoolVar(&b.keep, "keep", false, "leave the sites' data and logs")
	flags.BoolVar(&b.compare, "yardstick", true, "do the same work by rsync and by a plain copy")
	flags.IntVar(&b.profiles.seconds, "profile-seconds", 5, "length of a profile")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if *list {
		for _, w := range workloads {
			fmt.Fprintf(stdout, "%-8s %s\n", w.name, w.about)
		}
		return exitOK
	}
	chosen, err := choose(*names)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("%q: workloads are chosen with -run", flags.Arg(0))
	case *runs < 1:
		err = fmt.Errorf("-runs %d: at least 1", *runs)
	case *gibs != 0 && *gibs < 1:
		err = fmt.Errorf("-memory %v: at least 1", *gibs)
	case b.scale <= 0 || b.scale > 1000:
		err = fmt.Errorf("-scale %v: above 0, at most 1000", b.scale)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	b.profiles.dir, b.profiles.taken = *prof, map[string]bool{}
	b.leave = int64(*gibs * gib)
	b.report.Scale, b.report.Runs, b.report.Revision = b.scale, *runs, revision()

	err = b.measureAll(ctx, chosen, *runs, *dir)
	b.report.Took = time.Since(b.report.Started).Seconds()
	err = errors.Join(err, b.report.table(stdout))
	if *js != "" {
		err = errors.Join(err, b.report.writeJSON(*js))
	}
	if *doc != "" {
		err = errors.Join(err, b.report.writeDoc(*doc))
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
	}
	if err != nil || len(b.report.Failed) > 0 || *strict && b.report.missed() {
		return exitFailed
	}
	return exitOK
}

// choose finds workloads by their names, in the order of the list.
func choose(names string) ([]workload, error) {
	if names == "" {
		return workloads, nil
	}
	wanted := strings.Split(names, ",")
	var chosen []workload
	for _, w := range workloads {
		if slices.Contains(wanted, w.name) {
			chosen = append(chosen, w)
			wanted = slices.DeleteFunc(wanted, func(n string) bool { return n == w.name })
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("-run: there is no workload %q; -list tells them", wanted[0])
	}
	return chosen, nil
}

// measureAll runs the workloads one after the other. One that fails is told and
// the next one runs.
func (b *bench) measureAll(ctx context.Context, chosen []workload, runs int, parent string) (err error) {
	if b.dir, err = os.MkdirTemp(parent, "isgw-bench-"); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if b.keep {
		fmt.Fprintf(b.out, "data and logs stay in %s\n", b.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	if b.profiles.dir != "" {
		if err := os.MkdirAll(b.profiles.dir, 0o700); err != nil {
			return fmt.Errorf("make directory for profiles: %w", err)
		}
	}
	b.report.Machine = describe(b.dir)
	if b.binary == "" {
		if b.binary, err = buildNode(ctx, b.dir); err != nil {
			return err
		}
	} else if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	fresh, err := writeCost(b.dir)
	if err != nil {
		return err
	}
	b.say("machine.write", "CPU s/GiB", fresh.Seconds())
	if b.leave > 0 {
		if b.ballast, err = takeMemory(b.leave, b.dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.ballast.release()) }()
	}
	for _, w := range chosen {
		for i := range runs {
			if err := b.fillMemory(fmt.Sprintf("%s, run %d", w.name, i+1)); err != nil {
				return err
			}
			began := time.Now()
			err := w.run(ctx, b, i)
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			if errors.Is(err, errNoLine) {
				b.report.skip("%s: %v", w.name, err)
				break
			}
			if err != nil {
				b.report.Failed = append(b.report.Failed, fmt.Sprintf("%s, run %d: %v", w.name, i+1, err))
				break
			}
			fmt.Fprintf(b.out, "%s: run %d of %d took %.1f s\n", w.name, i+1, runs, time.Since(began).Seconds())
		}
	}
	return nil
}

// fillMemory lets what is left of memory be in use before a run, and says what it
// then takes to write a file. A run that begins although that is dear is told.
func (b *bench) fillMemory(run string) error {
	if b.ballast == nil {
		return nil
	}
	cost, err := inUse(b.ballast.fill, func() (time.Duration, error) { return writeCost(b.dir) })
	if err != nil {
		return err
	}
	b.say("machine.write-used", "CPU s/GiB", cost.Seconds())
	if cost > usedCost {
		b.report.doubt("%s: a GiB written took %s CPU seconds before it, although memory had been filled %d times", run, number(cost.Seconds()), fills)
	}
	return nil
}

// count scales a number of objects, to at least least.
func (b *bench) count(full, least int) int { return max(least, int(float64(full)*b.scale)) }

// size scales a number of bytes, to at least least.
func (b *bench) size(full, least int64) int64 { return max(least, int64(float64(full)*b.scale)) }

// say records a figure of a workload.
func (b *bench) say(name, unit string, value float64) { b.report.add(name, unit, value) }

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)
