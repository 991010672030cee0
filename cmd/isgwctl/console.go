package main

import (
	"os"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/buildinfo"
	"edgefog.dev/isgw/tui"
)

// consoleFlags are how the console is opened.
type consoleFlags struct {
	theme    string
	ascii    bool
	readOnly bool
}

func (f *consoleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.theme, "theme", "auto", "`THEME` of the console: auto, dark, light or mono")
	cmd.Flags().BoolVar(&f.ascii, "ascii", false, "draw the console with ASCII only")
	cmd.Flags().BoolVar(&f.readOnly, "read-only", false, "open the console unable to change anything")
}

// console opens the console where there is a terminal, and prints the help
// where there is none.
func (a *app) console(cmd *cobra.Command, f *consoleFlags) error {
	in, isFile := a.in.(*os.File)
	out, isFileToo := a.out.(*os.File)
	if !isFile || !isFileToo || !term.IsTerminal(in.Fd()) || !term.IsTerminal(out.Fd()) {
		return cmd.Help()
	}
	if err := tui.Usable(a.getenv); err != nil {
		return usage("%v", err)
	}
	a.running = true
	options, err := a.consoleOptions(f)
	if err != nil {
		return err
	}
	return tui.Run(cmd.Context(), in, out, options)
}

// consoleOptions are what the console is opened with.
func (a *app) consoleOptions(f *consoleFlags) (tui.Options, error) {
	sites, err := a.sitesOfConsole()
	if err != nil {
		return tui.Options{}, err
	}
	offered, err := sites.Profiles()
	if err != nil {
		return tui.Options{}, err
	}
	o := tui.Options{
		Profiles: offered, Dial: sites.dial, Version: buildinfo.Read().Version,
		Theme: f.theme, ASCII: f.ascii, ReadOnly: f.readOnly, Getenv: a.getenv,
		// Nothing is in use: the operator chooses.
		Connect: len(offered) > 0 && (!offered[0].Kept || offered[0].Name == sites.chosen),
	}
	if sites.kept.dir != "" {
		o.Keeper = sites
	}
	return o, nil
}
