package catalog

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets the random tests draw the same every time, so that what makes them fail
// is a change; -rapid.seed=N draws others, and -rapid.checks=N more.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed != nil && seed.Value.String() == "0" {
		if err := seed.Value.Set("1"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
