package main

import (
	"os"
	"slices"
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
	targets, profiles, err := a.consoleTargets()
	if err != nil {
		return err
	}
	return tui.Run(cmd.Context(), in, out, tui.Options{
		Profiles: profiles,
		Connect:  true,
		Dial: func(e tui.Endpoint) (tui.Node, error) {
			client, err := admin.Connect(targets[e.Target])
			if err != nil {
				return nil, err
			}
			return tui.NewNode(client), nil
		},
		Theme: f.theme, ASCII: f.ascii, ReadOnly: f.readOnly, Getenv: a.getenv,
	})
}

// consoleTargets are the sites that the console offers: the one that the
// command line names first, then the user's profiles.
func (a *app) consoleTargets() (map[string]admin.Target, []tui.Profile, error) {
	targets := map[string]admin.Target{}
	var offered []tui.Profile
	add := func(name string, t admin.Target) {
		p := tui.Profile{Name: name}
		for address := range strings.SplitSeq(t.Address, ",") {
			t.Address = strings.TrimSpace(address)
			key := t.Address
			if _, taken := targets[key]; taken { // the same node with other secrets
				key = name + " " + t.Address
			}
			targets[key] = t
			p.Endpoints = append(p.Endpoints, tui.Endpoint{Name: t.Address, Target: key})
		}
		offered = append(offered, p)
	}
	if a.connection.profile == "" && first(a.connection.address, a.getenv(connectVariable)) != "" {
		t := admin.Target{Address: first(a.connection.address, a.getenv(connectVariable))}
		if err := a.secrets(&t); err != nil {
			return nil, nil, err
		}
		add("--connect", t)
	}
	kept := a.profiles()
	if kept.dir == "" {
		return targets, offered, nil
	}
	names, err := kept.names()
	if err != nil {
		return nil, nil, err
	}
	chosen := first(a.connection.profile, a.getenv(profileVariable), kept.current())
	slices.SortStableFunc(names, func(x, y string) int {
		switch {
		case x == chosen && y != chosen:
			return -1
		case y == chosen && x != chosen:
			return 1
		}
		return 0
	})
	for _, name := range names {
		p, err := kept.find(name)
		if err != nil {
			return nil, nil, err
		}
		t, err := p.target()
		if err != nil {
			return nil, nil, err
		}
		add(name, t)
	}
	return targets, offered, nil
}
