package main

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestTableColumns: columns stand below each other on a terminal, where a character
// takes no, one or two places, and a row has no more than its cells need.
func TestTableColumns(t *testing.T) {
	var out strings.Builder
	a := &app{out: &out}
	table := a.table("KEY", "STATE", "CAUSE")
	for _, key := range []string{"plain", "日本語の写真", "cafe\u0301", "photo 🙂", "bell\a"} {
		table.row(key, "x", "CAUSE")
	}
	table.row("empty", "", "CAUSE")
	if err := table.end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 7 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	const want = 12 + 2 + len("STATE") + 2 // the widest key takes 12
	for _, line := range lines {
		before, ok := strings.CutSuffix(line, "CAUSE")
		if got := ansi.StringWidth(before); !ok || got != want {
			t.Errorf("%q: the last column begins at %d, want %d", line, got, want)
		}
	}
}

// TestFailedColumns: link failed is such a table.
func TestFailedColumns(t *testing.T) {
	var out strings.Builder
	if err := (&app{out: &out}).faults([]*adminpb.Fault{
		{Bucket: "N/T/b", Key: "写真.jpg", Reason: "quarantined"}, {Bucket: "N/T/b", Key: "photo.jpg", Reason: "quarantined"},
	}); err != nil {
		t.Fatal(err)
	}
	var at []int
	for line := range strings.Lines(out.String()) {
		before, _, _ := strings.Cut(strings.Replace(line, "REASON", "quarantined", 1), "quarantined")
		at = append(at, ansi.StringWidth(before))
	}
	if len(at) != 3 || at[0] != at[1] || at[1] != at[2] {
		t.Errorf("the reasons begin at %v:\n%s", at, out.String())
	}
}
