package main

import (
	"os"
	"strings"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
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
	target := a.connect
	if target == "" {
		target = a.getenv(connectVariable)
	}
	var profiles []tui.Profile
	if target != "" {
		p := tui.Profile{Name: "--connect"}
		for address := range strings.SplitSeq(target, ",") {
			p.Endpoints = append(p.Endpoints, tui.Endpoint{Target: strings.TrimSpace(address)})
		}
		profiles = append(profiles, p)
	}
	return tui.Run(cmd.Context(), in, out, tui.Options{
		Profiles: profiles,
		Connect:  true,
		Dial: func(e tui.Endpoint) (tui.Node, error) {
			client, err := admin.Dial(e.Target)
			if err != nil {
				return nil, err
			}
			return tui.NewNode(client), nil
		},
		Theme: f.theme, ASCII: f.ascii, ReadOnly: f.readOnly, Getenv: a.getenv,
	})
}
