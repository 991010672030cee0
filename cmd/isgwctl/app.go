package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"edgefog.dev/isgw/cluster/admin"
)

// connectVariable names the node when --connect does not.
const connectVariable = "ISGW_CONNECT"

// The forms of output.
const (
	formTable = "table"
	formWide  = "wide"
	formJSON  = "json"
	formYAML  = "yaml"
	formName  = "name"
)

var forms = []string{formTable, formWide, formJSON, formYAML, formName}

// app is one run of the command.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	connection connection
	form       string // --output
	running    bool   // the command line was understood: what fails now is no usage error
	client     *admin.Client
}

func (a *app) root() *cobra.Command {
	var console consoleFlags
	root := &cobra.Command{
		Use:   "isgwctl",
		Short: "Operate sites, buckets and the links between them",
		Long: `isgwctl operates a site of isgw through one of its nodes: it makes namespaces
(the command calls them cluster, as EdgeFS did), tenants and buckets, pairs
sites, links them, and says how the links do.

The node is named by --connect, by ` + connectVariable + ` in the environment, or by
a profile. Data is written to stdout and everything else to stderr. -o wide adds
columns to tables; -o json and -o yaml write all there is for programs; -o name
writes the names alone, of what is listed, shown, made, changed or deleted.
Control characters in names are written as \xNN or \uNNNN; -o json has every
name exactly.

When something is wrong, begin with isgwctl status: it says what, why, and what
to do. service show NAME -s, link events and link failed tell more of a link,
system status of the node; --watch shows them again and again. When no node
answers, isgwctl doctor tries every step to it and says which one fails.

What takes long tells on stderr how far it is: by a bar on a terminal, elsewhere
by a line every ten seconds.

Exit status: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 not allowed,
5 conflict, 6 no node answers or no quorum, 7 timed out waiting, 8 unhealthy.

Without a verb, isgwctl opens the console where there is a terminal. Several
nodes of a site, with commas between, may be named for it: when one is gone it
goes on with another. --theme auto|dark|light|mono, --ascii and --read-only say
how it is opened; NO_COLOR is respected.`,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(forms, a.form) {
				return usage("-o is %s, not %q", strings.Join(forms, ", "), a.form)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return a.console(cmd, &console)
		},
	}
	root.SetFlagErrorFunc(flagError)
	console.add(root)
	a.connection.register(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.form, "output", "o", formTable, "`FORM` of the output: table, wide, json, yaml or name")
	root.SetHelpCommand(helpCommand(root))
	root.AddCommand(
		a.systemCommand(),
		a.pathCommand(clusterPaths),
		a.pathCommand(tenantPaths),
		a.pathCommand(bucketPaths),
		a.siteCommand(),
		a.serviceCommand(),
		a.linkCommand(),
		a.objectCommand(),
		a.applyCommand(),
		a.diffCommand(),
		a.exportCommand(),
		a.waitCommand(),
		a.statusCommand(),
		a.doctorCommand(),
		a.adminCommand(),
		a.profileCommand(),
		a.completionCommand(root),
		a.versionCommand(),
	)
	a.complete(root)
	return root
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]...",
		Short:   "Print what a verb does and takes",
		Example: "isgwctl help service serve",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("there is no verb %q; see isgwctl --help", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// group makes a command that only has verbs below it.
func group(use, short, long string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return usage("%s needs a verb: %s", cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

func unknownVerb(cmd *cobra.Command, verb string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(verb); len(near) > 0 {
		return usage("%s has no verb %q; did you mean %s?", cmd.CommandPath(), verb, near[0])
	}
	return usage("%s has no verb %q; see %s --help", cmd.CommandPath(), verb, cmd.CommandPath())
}

// verb is what a command does with a client. It runs once the command line was
// understood and a node was named.
type verb func(cmd *cobra.Command, c *admin.Client, args []string) error

// run makes a verb what cobra calls.
func (a *app) run(do verb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if a.client != nil { // it is done again, as --watch does
			return do(cmd, a.client, args)
		}
		target, err := a.target()
		if err != nil {
			return err
		}
		client, err := admin.Connect(target)
		if err != nil {
			return err
		}
		a.client, a.running = client, true
		return do(cmd, client, args)
	}
}

func (a *app) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// usage is a failure to use the command as it is meant to be.
func usage(format string, args ...any) error { return admin.Errorf(admin.CodeInvalid, format, args...) }

// flagError says what is wrong with a flag, and where its command is explained.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return usage("%v; see %s --help", err, cmd.CommandPath())
	}
	wanted := map[string]string{
		"uint32": "a number from 0 on", "int": "a whole number", "int64": "a whole number",
		"bool": "true or false", "duration": "a duration such as 45s or 5m",
	}[value.GetFlag().Value.Type()]
	if wanted == "" {
		return usage("%v; see %s --help", err, cmd.CommandPath())
	}
	return usage("--%s is %s, and not %q; see %s --help", value.GetFlag().Name, wanted, value.GetValue(), cmd.CommandPath())
}

// The arguments that may be empty: the value of a property, and the name that goes
// back to what the other site calls itself.
const (
	emptyValue = "VALUE"
	emptyName  = "NEWNAME"
)

// takes demands exactly these arguments; a name in brackets may be left out. What
// is there and empty is refused: a script's variable that is not set must not make
// a command one of everything.
func takes(names ...string) cobra.PositionalArgs {
	least := 0
	for _, name := range names {
		if !optional(name) {
			least++
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage("%s needs %s; see %s --help", cmd.CommandPath(), names[len(args)], cmd.CommandPath())
		case len(args) > len(names):
			return usage("%s does not know what to do with %q; see %s --help", cmd.CommandPath(), args[len(names)], cmd.CommandPath())
		}
		for i, arg := range args {
			if arg == "" && names[i] != emptyValue && names[i] != emptyName {
				name := names[i]
				if optional(name) {
					name = name[1 : len(name)-1]
				}
				return usage("%s is given an empty %s; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
			}
		}
		return nil
	}
}

// optional says whether an argument may be left out: all of its name is in
// brackets, as in [NAMESPACE[/TENANT]] and not in [service/]NAME.
func optional(name string) bool { return strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") }

// exit prints a failure in one sentence and returns the exit status.
func (a *app) exit(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 1
	}
	failure := a.classify(err)
	text := failure.Message
	if failure.Hint != "" {
		text += "; " + failure.Hint
	}
	if failure.Code == admin.CodeFailed && failure.RequestID != "" {
		text += " (request " + failure.RequestID + ")"
	}
	fmt.Fprintln(a.err, "isgwctl: "+plain(text))
	return failure.Code.Exit()
}

func (a *app) classify(err error) *admin.Error {
	var failure *admin.Error
	switch {
	case errors.As(err, &failure):
		return failure
	case a.running:
		return &admin.Error{Code: admin.CodeFailed, Message: err.Error()}
	}
	return &admin.Error{Code: admin.CodeInvalid, Message: err.Error(), Hint: "see isgwctl --help"} // cobra's own
}

// done tells on stderr what was done: stdout is for data.
func (a *app) done(format string, args ...any) {
	fmt.Fprintln(a.err, plain(fmt.Sprintf(format, args...)))
}
