package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromisesHaveTests: each promise of docs/promises.md names tests, and there is
// every test that it names.
func TestPromisesHaveTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	promises := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| elsewhere") {
			continue
		}
		promises++
		for _, problem := range promiseProblems(line) {
			t.Errorf("%s\n%s", problem, line)
		}
	}
	if promises < 20 {
		t.Errorf("%d promises were found", promises)
	}
	for _, faulty := range []string{
		"| a | b |", "| a | b | c |", "| a | b | `sync TestNoSuchTest` |", "| a | b | `nowhere TestConverge` |", "| a | b | `sync TestConverg` |",
	} {
		if len(promiseProblems(faulty)) == 0 {
			t.Errorf("nothing is found wrong with %s", faulty)
		}
	}
}

var namedTest = regexp.MustCompile("^`([a-z0-9/]+) (Test[A-Za-z0-9]+)`$")

// promiseProblems says what is wrong with a line of the table.
func promiseProblems(line string) []string {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	if len(cells) != 3 {
		return []string{"a promise has three cells"}
	}
	var problems []string
	for name := range strings.SplitSeq(cells[2], ",") {
		m := namedTest.FindStringSubmatch(strings.TrimSpace(name))
		if m == nil {
			problems = append(problems, strings.TrimSpace(name)+" is not `PACKAGE TEST`")
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(m[1]), "*_test.go"))
		if err != nil {
			return append(problems, err.Error())
		}
		found := false
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				return append(problems, err.Error())
			}
			found = found || strings.Contains(string(source), "\nfunc "+m[2]+"(t *testing.T)")
		}
		if !found {
			problems = append(problems, "package "+m[1]+" has no test "+m[2])
		}
	}
	return problems
}
