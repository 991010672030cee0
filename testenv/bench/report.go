package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one measured quantity of a workload, over all runs.
type figure struct {
	Name    string    `json:"name"` // WORKLOAD.QUANTITY
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"` // one for each run, in their order
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	AtLeast *float64  `json:"at_least,omitempty"` // or at most; absent without a target
	Goal    *float64  `json:"goal,omitempty"`
	Verdict string    `json:"verdict,omitempty"` // goal, met, MISSED; only at full size
}

// report is everything that a call of the program found.
type report struct {
	Started  time.Time `json:"started"`
	Took     float64   `json:"seconds"`
	Command  string    `json:"command"`
	Revision string    `json:"revision"`
	Machine  machine   `json:"machine"`
	Scale    float64   `json:"scale"`
	Runs     int       `json:"runs"`
	Figures  []*figure `json:"figures"`
	Skipped  []string  `json:"skipped,omitempty"`  // what was left out, and why
	Doubtful []string  `json:"doubtful,omitempty"` // runs whose figures the machine may have worsened
	Failed   []string  `json:"failed,omitempty"`   // workloads that did not run correctly
}

// add records the value of one run.
func (r *report) add(name, unit string, value float64) {
	i := slices.IndexFunc(r.Figures, func(f *figure) bool { return f.Name == name })
	if i < 0 {
		i = len(r.Figures)
		r.Figures = append(r.Figures, &figure{Name: name, Unit: unit})
	}
	f := r.Figures[i]
	f.Values = append(f.Values, value)
	sorted := slices.Sorted(slices.Values(f.Values))
	f.Median, f.Min, f.Max = quantile(sorted, 0.5), sorted[0], sorted[len(sorted)-1]
	if t := targetOf(name); t != nil {
		f.AtLeast = &t.least
		if t.goal != 0 {
			f.Goal = &t.goal
		}
		if r.Scale == 1 {
			f.Verdict = t.verdict(f.Median)
		}
	}
}

// skip records once what is left out.
func (r *report) skip(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(r.Skipped, s) {
		r.Skipped = append(r.Skipped, s)
	}
}

// doubt records why a run says little.
func (r *report) doubt(format string, args ...any) {
	r.Doubtful = append(r.Doubtful, fmt.Sprintf(format, args...))
}

// missed says whether a minimum was.
func (r *report) missed() bool {
	return slices.ContainsFunc(r.Figures, func(f *figure) bool { return f.Verdict == "MISSED" })
}

// quantile interpolates between the two nearest of sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// number writes three digits that count.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1 || a == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// wanted is what a figure is compared with, in words.
func (f *figure) wanted() string {
	t := targetOf(f.Name)
	if t == nil {
		return ""
	}
	sign := "≥"
	if t.most {
		sign = "≤"
	}
	s := sign + " " + number(t.least)
	if t.goal != 0 {
		s += ", goal " + number(t.goal)
	}
	return s
}

// spread is empty for a single run.
func (f *figure) spread() string {
	if len(f.Values) < 2 {
		return ""
	}
	return number(f.Min) + " … " + number(f.Max)
}

// table writes the figures for people.
func (r *report) table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "FIGURE\tMEDIAN\tUNIT\tSPREAD\tWANTED\t\n")
	for _, f := range r.Figures {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, number(f.Median), f.Unit, f.spread(), f.wanted(), f.Verdict)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	for _, s := range r.Doubtful {
		fmt.Fprintf(w, "doubtful: %s\n", s)
	}
	for _, s := range r.Failed {
		fmt.Fprintf(w, "FAILED: %s\n", s)
	}
	if r.Scale != 1 {
		fmt.Fprintf(w, "sizes were scaled by %s: the figures are compared with nothing\n", number(r.Scale))
	}
	return nil
}

// writeJSON writes the report for machines.
func (r *report) writeJSON(file string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// The part of the documentation between these lines is the program's.
const (
	docBegin = "<!-- figures: written by testenv/bench -doc -->"
	docEnd   = "<!-- end of figures -->"
)

// writeDoc replaces the figures in a page of the documentation.
func (r *report) writeDoc(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	before, rest, ok := strings.Cut(string(data), docBegin)
	_, after, ended := strings.Cut(rest, docEnd)
	if !ok || !ended {
		return fmt.Errorf("write figures: %s lacks the lines %q and %q around them", file, docBegin, docEnd)
	}
	if err := os.WriteFile(file, []byte(before+docBegin+"\n"+r.markdown()+docEnd+after), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "\nMeasured on %s with `%s`, revision %s: %d cores of %s, %d GiB of memory, %s, %s, %s. Medians of %d runs; it took %s.\n",
		r.Started.UTC().Format("2006-01-02"), r.Command, r.Revision, m.Cores, m.CPU, (m.Memory+1<<29)>>30, m.Kernel, m.Disk, m.Go,
		r.Runs, time.Duration(r.Took*float64(time.Second)).Round(time.Second))
	if r.Scale != 1 {
		fmt.Fprintf(&b, "Sizes were scaled by %s, so nothing is compared.\n", number(r.Scale))
	}
	b.WriteString("\n| figure | median | unit | spread | wanted | |\n|---|---|---|---|---|---|\n")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.Name, number(f.Median), f.Unit, f.spread(), f.wanted(), f.Verdict)
	}
	for _, s := range r.Doubtful {
		fmt.Fprintf(&b, "\nDoubtful: %s.\n", s)
	}
	for _, s := range append(slices.Clone(r.Skipped), r.Failed...) {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", s)
	}
	b.WriteString("\n")
	return b.String()
}

// describe tells where the program runs.
func describe(dir string) machine {
	m := machine{CPU: firstMatch("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version()}
	if total, err := memory("MemTotal:"); err == nil {
		m.Memory = total
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	m.Disk = fileSystem(dir)
	return m
}

// fileSystem is the type of the file system that holds a directory.
func fileSystem(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	found, longest := "", -1
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/") + "/"
		if strings.HasPrefix(dir+"/", at) && len(at) > longest {
			found, longest = fields[2], len(at)
		}
	}
	return found
}

// revision is what is checked out, with a + when files differ from it.
func revision() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	rev := strings.TrimSpace(string(out))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
		rev += "+"
	}
	return rev
}
