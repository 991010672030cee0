// Command isgwctl operates the sites of isgw: it speaks to a node through the
// node's admin API and knows nothing else of it.
//
// Data goes to stdout and everything else to stderr. The exit status is 0 when
// all went well, 1 when something failed (of diff: when something differs), 2
// for wrong usage, 3 when something was not found, 4 when it is not allowed, 5
// for a conflict, 6 when no node answers or the site has no quorum, 7 when
// waiting took too long and 8 when something is not healthy.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(status)
}

// Main runs one command and returns the exit status of the process. It ends
// early, with an error, when the context does.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{in: stdin, out: stdout, err: stderr, getenv: getenv}
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(root.ExecuteContext(ctx))
}
