// Command isgwnode is a node of a site: it keeps the site's config, catalog
// and chunks, serves S3, and carries changes over links. `isgwnode demo` shows
// two sites at work in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"edgefog.dev/isgw/cluster/buildinfo"
)

// Exit codes, the same as isgwctl's.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}

// usageError marks faults of the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs the program with the given arguments and environment and returns
// its exit code. Interrupt and SIGTERM end what runs, cleanly.
func Main(args []string, stdout, stderr io.Writer, environ []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	root := &cobra.Command{
		Use:           "isgwnode",
		Short:         "A node of a site: config, catalog, chunks, S3 and links",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("say what to do: run, restored, demo or version")}
		},
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(environ), restoredCommand(environ), demoCommand(environ), versionCommand())
	root.CompletionOptions.DisableDefaultCmd = true

	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n") + "\n") {
		fmt.Fprintf(stderr, "isgwnode: %s", line)
	}
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(stderr, "isgwnode: see %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and the commit and toolchain it was built from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), buildinfo.Read().Text("isgwnode"))
			return err
		},
	}
}

// fromEnvironment sets every flag that was not given from ISGW_NAME, where
// NAME is the flag's name in capitals with _ for -. All faults are returned.
func fromEnvironment(flags *pflag.FlagSet, environ []string) error {
	values := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "ISGW_") {
			values[name] = value
		}
	}
	var faults []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "ISGW_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := values[name]
		if !set || f.Changed {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			faults = append(faults, fmt.Errorf("environment %s=%s: %w", name, value, err))
		}
	})
	return errors.Join(faults...)
}

// logFlags choose the form of the log, which always goes to stderr.
type logFlags struct{ level, format string }

func (l *logFlags) register(flags *pflag.FlagSet, level string) {
	flags.StringVar(&l.level, "log-level", level, "debug, info, warn or error")
	flags.StringVar(&l.format, "log-format", "text", "text or json")
}

func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	var faults []error
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		faults = append(faults, fmt.Errorf("--log-level %s: want debug, info, warn or error", l.level))
	}
	opts := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), errors.Join(faults...)
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), errors.Join(faults...)
	}
	return nil, errors.Join(append(faults, fmt.Errorf("--log-format %s: want text or json", l.format))...)
}
