package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/tui"
)

func demoCommand(environ []string) *cobra.Command {
	var opts demoOptions
	var log logFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run two linked sites in this process and watch them replicate",
		Long: `Run two sites of one node each on loopback, in this process: initialise and
pair them, link two buckets, upload a source tree through S3 at the first site
and go on changing objects at both, printing each second what there is, what
crossed the wire and how far each side is behind. Ctrl-c ends it.
On a terminal it opens the console on the first site instead, unless --plain is
given; q ends it.

With --once it uploads, waits until both sites are in sync, compares every
object byte for byte at both sites, and exits 0 only if all is equal.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			envErr := fromEnvironment(cmd.Flags(), environ)
			opts.log = &heldLog{to: cmd.ErrOrStderr()}
			logger, logErr := log.logger(opts.log)
			if err := errors.Join(envErr, logErr, opts.complete(cmd.Context())); err != nil {
				return usageError{err}
			}
			if opts.dir == "" {
				dir, err := os.MkdirTemp("", "isgw-demo-")
				if err != nil {
					return fmt.Errorf("make directory for the demo: %w", err)
				}
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
				opts.dir = dir
			}
			opts.logger = logger
			opts.console = !opts.once && !opts.plain && onTerminal(cmd) && tui.Usable(os.Getenv) == nil
			return runDemo(cmd.Context(), opts, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.dir, "dir", "", "directory for the data of both sites (default a temporary one, removed at the end)")
	flags.StringVar(&opts.source, "source", "", "directory to upload (default the source tree of the Go toolchain)")
	flags.BoolVar(&opts.once, "once", false, "upload, wait until both sites are in sync, compare everything, and exit")
	flags.BoolVar(&opts.plain, "plain", false, "print lines on a terminal too, instead of opening the console")
	log.register(flags, "error")
	return cmd
}

// onTerminal says whether the program talks to a person.
func onTerminal(cmd *cobra.Command) bool {
	in, isFile := cmd.InOrStdin().(*os.File)
	out, isFileToo := cmd.OutOrStdout().(*os.File)
	return isFile && isFileToo && term.IsTerminal(in.Fd()) && term.IsTerminal(out.Fd())
}

// complete finds what to upload and looks at what was given.
func (o *demoOptions) complete(ctx context.Context) error {
	if o.source == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		root := strings.TrimSpace(string(out))
		if err != nil || root == "" {
			return errors.New("find the Go toolchain's source tree: `go env GOROOT` does not tell it: give --source DIR")
		}
		o.source = filepath.Join(root, "src")
	}
	info, err := os.Stat(o.source)
	if err != nil {
		return fmt.Errorf("open --source: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--source %s is not a directory", o.source)
	}
	return nil
}

// runDemo is the demo from the first node's start to the last one's end.
func runDemo(ctx context.Context, o demoOptions, out io.Writer) (err error) {
	began := time.Now()
	d := &demo{demoOptions: o, out: out}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.start(ctx); err != nil {
		return interrupted(ctx, err)
	}
	fmt.Fprintf(out, "two sites, one link: %s and %s, ready after %.1f s\n", d.first.name, d.second.name, time.Since(began).Seconds())
	for _, s := range d.sites() {
		fmt.Fprintf(out, "  %-6s S3 http://%s   isgwctl --connect unix:%s\n", s.name, s.node.S3Address(), s.node.Socket())
	}
	if o.once {
		return interrupted(ctx, d.once(ctx))
	}
	return interrupted(ctx, d.forever(ctx))
}

// interrupted makes ctrl-c a clean end.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return nil
	}
	return err
}
