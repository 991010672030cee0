// Package isgw_test holds the tests of the repository as a whole.
package isgw_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "edgefog.dev/isgw"

// floors says on which floor a package lives. A package imports lower floors
// freely, and of its own floor only what sameFloor lists.
var floors = map[string]int{
	"chunks":        0,
	"raftfsm/state": 0,
	"sync/tunnel":   0,

	"cluster/buildinfo": 0,

	"chunks/cdc":        1,
	"chunks/manifest":   1,
	"chunks/store":      1,
	"chunks/s3store":    1,
	"chunks/cache":      1,
	"chunks/chunkstest": 1,
	"raftfsm/catalog":   1,
	"cluster/identity":  1,

	"raftfsm":            2,
	"sync/link":          2,
	"sync/link/ccow":     2,
	"sync/link/file":     2,
	"sync/link/s3":       2,
	"sync/link/linktest": 2,
	"sync/link/limit":    2,

	"sync":                   3,
	"sync/fetch":             3,
	"cluster/objects":        3,
	"cluster/admin":          3,
	"cluster/admin/manifest": 3,
	"cluster/plan":           3,
	"cluster/s3gate":         3,

	"cluster": 4,
	"tui":     4,

	"tui/term":   4,
	"tui/screen": 4,
	"tui/chart":  4,
	"tui/table":  4,

	"testenv": 5,

	"testenv/bench": 6,
	"testenv/bulk":  4,

	"cmd/isgwnode": 6,
	"cmd/isgwctl":  6,
}

// sameFloor lists the imports between packages of one floor; protobuf packages
// may import each other.
var sameFloor = map[string][]string{
	"sync/link/ccow":     {"sync/link"},
	"sync/link/linktest": {"sync/link"},
	"sync/link/file":     {"sync/link"},
	"sync/link/s3":       {"sync/link"},
	"cluster/s3gate":     {"cluster/objects"},
	"tui":                {"tui/term", "tui/screen", "tui/chart", "tui/table"},
	"tui/chart":          {"tui/screen"},
	"tui/table":          {"tui/screen"},

	"cluster/admin/manifest": {"cluster/plan"},
}

// onlyThrough lists the packages that know the site only through the admin
// API, and what of this module they may import.
var onlyThrough = map[string][]string{
	"tui":         {"cluster/admin", "cluster/admin/adminpb", "cluster/admin/manifest", "tui/term", "tui/screen", "tui/chart", "tui/table"},
	"tui/term":    {},
	"tui/screen":  {},
	"tui/chart":   {"tui/screen"},
	"tui/table":   {"tui/screen"},
	"cmd/isgwctl": {"cluster/buildinfo", "cluster/admin", "cluster/admin/adminpb", "cluster/admin/manifest", "tui"},
}

// topLevel are the folders the repository may have.
var topLevel = []string{"chunks", "cluster", "cmd", "deploy", "docs", "raftfsm", "sync", "testenv", "tui"}

func TestLayout(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) && !ignored(e.Name()) {
			t.Errorf("top-level folder %s is not in the layout", e.Name())
		}
	}
	for pkg, imports := range productionImports(t) {
		for _, problem := range layerProblems(pkg, imports) {
			t.Error(problem)
		}
	}
}

// TestLayoutCatches plants faults, so that the rules cannot pass by matching nothing.
func TestLayoutCatches(t *testing.T) {
	for _, c := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"cluster/objects", "raftfsm/catalog", true},
		{"cluster/s3gate", "cluster/objects", true},
		{"sync/link/ccow", "sync/link", true},
		{"chunks/store", "chunks", true},
		{"sync/link/linkpb", "raftfsm/catalog/catalogpb", true},
		{"chunks", "chunks/cdc", false},
		{"raftfsm/catalog", "raftfsm", false},
		{"cluster/objects", "cluster/s3gate", false},
		{"raftfsm/catalog/catalogpb", "raftfsm/catalog", false},
		{"cmd/isgwctl", "cluster", false},
		{"cluster/util", "chunks", false},
		{"elsewhere", "chunks", false},
	} {
		if got := len(layerProblems(c.pkg, []string{c.imp})) == 0; got != c.ok {
			t.Errorf("%s imports %s: allowed %v, want %v", c.pkg, c.imp, got, c.ok)
		}
	}
}

// layerProblems says, each in a sentence, which imports of pkg break the floors.
func layerProblems(pkg string, imports []string) []string {
	var problems []string
	for _, word := range []string{"util", "utils", "common", "types", "helpers"} {
		if filepath.Base(pkg) == word {
			problems = append(problems, pkg+": a package is named after what it does, not "+word)
		}
	}
	floor, known := floorOf(pkg)
	if !known {
		return append(problems, pkg+" is on no floor")
	}
	for _, imp := range imports {
		if only, bound := onlyThrough[pkg]; bound && !slices.Contains(only, imp) {
			problems = append(problems, pkg+" imports "+imp+", but knows the site only through cluster/admin")
		}
		other, known := floorOf(imp)
		switch {
		case !known:
			problems = append(problems, pkg+" imports "+imp+", which is on no floor")
		case other > floor:
			problems = append(problems, pkg+" (floor "+strconv.Itoa(floor)+") imports "+imp+" (floor "+strconv.Itoa(other)+")")
		case other == floor && !isProto(imp) && !slices.Contains(sameFloor[pkg], imp):
			problems = append(problems, pkg+" imports "+imp+" of its own floor, which is not listed")
		case isProto(pkg) && !isProto(imp):
			problems = append(problems, pkg+" holds messages and imports "+imp)
		}
	}
	return problems
}

func floorOf(pkg string) (int, bool) {
	if isProto(pkg) {
		return 0, true
	}
	floor, ok := floors[pkg]
	return floor, ok
}

// isProto reports whether a package is PKG/PKGpb, or the code generated in it.
func isProto(pkg string) bool {
	base := strings.TrimSuffix(filepath.Base(pkg), "connect")
	parent := filepath.Base(filepath.Dir(pkg))
	return base == parent+"pb" || (strings.HasSuffix(pkg, "connect") && base == parent && strings.HasSuffix(parent, "pb"))
}

func ignored(dir string) bool { return dir == "bin" || dir == "dist" }

// productionImports reads the module's own imports of every package that has
// files other than tests.
func productionImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || ignored(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		imports := found[pkg]
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rest, ours := strings.CutPrefix(imp, module+"/"); ours && !slices.Contains(imports, rest) {
				imports = append(imports, rest)
			}
		}
		found[pkg] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
