// Package buildinfo says what a program was built from, as the Go toolchain
// recorded it. Nothing is passed to the linker, so a program that was built
// from the same commit with the same toolchain says the same, to the byte.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Development is the version of a program that was not built from a checkout
// of its repository, as that of a test is.
const Development = "development"

// Info is what is known of a build. What is not known is empty.
type Info struct {
	// Version is the version of the module: a tag, or the pseudo-version that
	// Go gives a commit without one; "+dirty" at its end when files were changed.
	Version string `json:"version"`
	// Revision is the commit, in full.
	Revision string `json:"revision"`
	// Modified says that files differed from the commit.
	Modified bool `json:"modified"`
	// Date is when the commit was made, RFC 3339 in UTC. The time of the build
	// is not recorded: it would make two builds differ.
	Date string `json:"date"`
	// Go is the version of the toolchain.
	Go string `json:"go"`
	// Platform is the system and architecture: linux/arm64.
	Platform string `json:"platform"`
}

// Read returns what is known of the program that runs.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	i := of(info)
	i.Go, i.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
	return i
}

// of takes from the toolchain's record what it says of the commit.
func of(info *debug.BuildInfo) Info {
	i := Info{Version: info.Main.Version}
	if i.Version == "" || i.Version == "(devel)" {
		i.Version = Development
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.time":
			i.Date = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
	return i
}

// Text is what the commands `version` print: the program and its version in
// the first line, then "key: value" lines.
func (i Info) Text(program string) string {
	revision, date := i.Revision, i.Date
	if revision == "" {
		revision = "unknown"
	} else if i.Modified {
		revision += ", with changes"
	}
	if date == "" {
		date = "unknown"
	}
	return fmt.Sprintf("%s %s\nrevision: %s\ndate: %s\ngo: %s\nplatform: %s\n", program, i.Version, revision, date, i.Go, i.Platform)
}
