package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

// maxPlanSize is the most bytes of what one plan may ask for: a node reads no
// longer requests, and the plan comes back with what it is bound to.
const maxPlanSize = 192 << 10

// errDiffers is how diff says that something differs. It is no failure: the
// exit status is 1, and nothing is written about it.
var errDiffers = errors.New("what was compared differs")

func (a *app) applyCommand() *cobra.Command {
	var file string
	var yes, dry bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Bring links to what manifests say of them",
		Long: `Reads manifests of kind ISGW and makes the links that do not exist and changes
those that are not as their manifest says. What a manifest leaves out stays as
it is; a list of what to serve is the whole list. All documents of a file are
one plan: all of it happens or nothing.

The plan is shown before anything is changed, and asked about on a terminal;
elsewhere, or when the file is stdin, --yes is needed. Applying the same file
again changes nothing. docs/manifests.md says what a manifest may have.`,
		Example: "isgwctl apply -f hawaii.yaml\nisgwctl apply -f hawaii.yaml --dry-run\nisgwctl export | isgwctl --profile spare apply -f - --yes",
		Args:    takes(),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return a.canAsk(file, yes || dry) },
	}
	cmd.RunE = a.withManifests(&file, func(cmd *cobra.Command, c *admin.Client, docs []manifest.Document) error {
		plan, err := a.planManifests(cmd, c, docs)
		switch {
		case err != nil:
			return err
		case dry, plan.GetBlocked(): // which the node would refuse
			return a.showPlans([]*adminpb.Plan{plan})
		case len(plan.GetWhat()) == 0:
			return a.applied(cmd, c, docs, "nothing changes: everything is as "+called(file)+" says")
		}
		fmt.Fprint(a.err, plainLines(plan.GetText()))
		if !yes {
			if ok, err := a.agreed(cmd.Context(), "apply this plan?"); err != nil || !ok {
				return errors.Join(err, admin.Errorf(admin.CodeFailed, "nothing was changed: the plan was not agreed to"))
			}
		}
		if err := a.applyPlan(cmd, c, plan); err != nil {
			return err
		}
		return a.applied(cmd, c, docs, "applied: "+steps(plan))
	})
	manifestFile(cmd, &file)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would happen, and change nothing")
	return cmd
}

func (a *app) diffCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show how links differ from what manifests say of them",
		Long: `Prints a line for each difference between what the site has and what applying
the file would make of it: + is added, ~ changed, - removed. -o json prints the
whole plan that apply would make.

Exit status: 0 nothing differs, 1 something does. A failure that is 1 elsewhere
is 6 here, so that 1 means nothing but a difference.`,
		Example: "isgwctl diff -f hawaii.yaml",
		Args:    takes(),
	}
	differs := a.withManifests(&file, func(cmd *cobra.Command, c *admin.Client, docs []manifest.Document) error {
		plan, err := a.planManifests(cmd, c, docs)
		if err != nil {
			return err
		}
		if err := a.showDifferences(plan); err != nil {
			return err
		}
		if len(plan.GetWhat()) > 0 {
			return errDiffers
		}
		return nil
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := differs(cmd, args)
		if err == nil || errors.Is(err, errDiffers) {
			return err
		}
		failure := a.classify(err)
		if failure.Code.Exit() == admin.CodeFailed.Exit() {
			known := *failure
			known.Code = admin.CodeUnavailable
			return &known
		}
		return failure
	}
	manifestFile(cmd, &file)
	return cmd
}

func (a *app) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export [NAME]...",
		Short: "Write links as manifests that apply reads",
		Long: `Writes the manifests of the links that are named, or of all, to stdout. Every
setting is in them, so that applying them later brings the links back to this.
Pairings, tokens and what was copied are no part of a manifest.`,
		Example: "isgwctl export > links.yaml\nisgwctl export hawaii",
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if a.form != formTable && a.form != formYAML {
				return usage("export writes YAML, and not -o %s", a.form)
			}
			var services []*adminpb.Service
			for i, name := range args {
				if slices.Contains(args[:i], name) {
					continue // a file names a link once
				}
				service, err := c.Services.Get(cmd.Context(), name, false)
				if err != nil {
					return err
				}
				services = append(services, service)
			}
			if len(args) == 0 {
				var err error
				if services, err = filteredServices(cmd.Context(), c, ""); err != nil {
					return err
				}
			}
			return manifest.Write(a.out, services)
		}),
	}
}

// manifestFile adds -f.
func manifestFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "`FILE` with the manifests; - is stdin")
}

// called is a file in a sentence.
func called(file string) string {
	if file == "-" {
		return "stdin"
	}
	return file
}

// withManifests reads the manifests before a node is looked for: what is wrong
// with them is wrong at every node.
func (a *app) withManifests(file *string, do func(*cobra.Command, *admin.Client, []manifest.Document) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if *file == "" {
			return usage("%s needs -f FILE, or -f - for stdin; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
		text, err := a.manifestText(*file)
		if err != nil {
			return err
		}
		docs, err := manifest.Read(called(*file), text)
		if err != nil {
			return a.faulty(*file, err)
		}
		return a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error { return do(cmd, c, docs) })(cmd, args)
	}
}

// manifestText is all that a file has, or a byte more than it may have.
func (a *app) manifestText(file string) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usage("there is no file %s", file)
		}
		if err != nil {
			return nil, usage("%v", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxSize+1))
	if err != nil {
		return nil, usage("read %s: %v", called(file), err)
	}
	return text, nil
}

// faulty tells all that is wrong with a file: one fault is the sentence of the
// failure, several are told a line each before it.
func (a *app) faulty(file string, err error) error {
	faults, ok := errors.AsType[manifest.Faults](err)
	if !ok {
		return err
	}
	if len(faults) == 1 {
		return usage("%v", faults[0])
	}
	for _, f := range faults {
		a.done("%v", f)
	}
	return usage("%d faults in %s: nothing was planned", len(faults), called(file))
}

// planManifests has a node plan what the documents say, all in one plan.
func (a *app) planManifests(cmd *cobra.Command, c *admin.Client, docs []manifest.Document) (*adminpb.Plan, error) {
	all := &adminpb.PlanApplyManifest{}
	for _, d := range docs {
		all.Services = append(all.Services, d.Service)
	}
	change := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_ApplyManifest{ApplyManifest: all}}
	if n := proto.Size(change); n > maxPlanSize {
		return nil, usage("the manifests ask for %s in one plan, which is more than %s: apply them in parts, or serve whole tenants",
			roundBytes(float64(n)), roundBytes(maxPlanSize))
	}
	plan, err := c.Plans.Plan(cmd.Context(), change)
	if err != nil {
		return nil, located(err, docs)
	}
	return plan, nil
}

// located adds to a refusal of a node where in the file it is from. Those that
// are due to one service begin with its name.
func located(err error, docs []manifest.Document) error {
	failure, ok := errors.AsType[*admin.Error](err)
	if !ok {
		return err
	}
	words := strings.Fields(failure.Message)
	if len(words) < 2 || words[0] != "service" {
		return err
	}
	for _, d := range docs {
		if d.Name() == strings.TrimSuffix(words[1], ":") {
			placed := *failure
			placed.Message = d.Position.String() + ": " + failure.Message
			return &placed
		}
	}
	return err
}

// applyPlan carries out a plan as it was shown. Of its description only what
// names it is sent back.
func (a *app) applyPlan(cmd *cobra.Command, c *admin.Client, plan *adminpb.Plan) error {
	res, err := c.Plans.Apply(cmd.Context(), &adminpb.ApplyRequest{Plan: &adminpb.Plan{
		Id: plan.GetId(), ConfigRevision: plan.GetConfigRevision(), Bound: plan.GetBound(), Change: plan.GetChange(),
	}})
	if err != nil {
		return err
	}
	if res.GetOutcome() != adminpb.ApplyResponse_OUTCOME_APPLIED {
		return admin.Errorf(admin.CodeConflict, "nothing was changed: %s", res.GetReason()).WithHint("see the plan as it is now, and try again")
	}
	return nil
}

// applied tells what was done, or for programs how the services are now.
func (a *app) applied(cmd *cobra.Command, c *admin.Client, docs []manifest.Document, sentence string) error {
	if !a.listed() {
		a.done("%s", sentence)
		return nil
	}
	var services []*adminpb.Service
	for _, d := range docs {
		service, err := c.Services.Get(cmd.Context(), d.Name(), false)
		if err != nil {
			return err
		}
		services = append(services, service)
	}
	return listJSON(a, services)
}

// steps counts what a plan did.
func steps(plan *adminpb.Plan) string {
	var parts []string
	for _, kind := range []struct{ sign, word string }{{"+", "added"}, {"~", "changed"}, {"-", "removed"}} {
		n := 0
		for _, step := range plan.GetWhat() {
			if step.GetSign() == kind.sign {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind.word))
		}
	}
	return strings.Join(parts, ", ")
}

// showDifferences prints a line for each step of a plan.
func (a *app) showDifferences(plan *adminpb.Plan) error {
	if a.structured() {
		return a.json(plan)
	}
	for _, step := range plan.GetWhat() {
		line := plain(step.GetName())
		if a.form != formName {
			line = plain(fmt.Sprintf("%s %-8s %s   %s", step.GetSign(), step.GetKind(), step.GetName(), step.GetText()))
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}

// canAsk refuses a command that would have to ask where nobody answers.
func (a *app) canAsk(file string, need bool) error {
	switch {
	case need || file == "":
		return nil
	case file == "-":
		return usage("the manifests come from stdin, so nobody can be asked: use --yes")
	case !a.terminal():
		return usage("there is no terminal to ask on: use --yes, or --dry-run to see the plan")
	}
	return nil
}

// terminal says whether somebody can be asked: stdin and stderr are a terminal.
func (a *app) terminal() bool {
	in, isFile := a.in.(*os.File)
	out, isFileToo := a.err.(*os.File)
	return isFile && isFileToo && term.IsTerminal(in.Fd()) && term.IsTerminal(out.Fd())
}

// shows says that stdout is a terminal.
func (a *app) shows() bool {
	out, isFile := a.out.(*os.File)
	return isFile && term.IsTerminal(out.Fd())
}

// agreed asks, and says whether the answer was yes. When the context ends it
// does not wait for an answer any more; what reads stdin then ends with the
// process.
func (a *app) agreed(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(a.err, "\n%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(a.in, 1<<10)).ReadString('\n') // no line is no
		answers <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return false, ctx.Err()
	case answer := <-answers:
		answer = strings.ToLower(strings.TrimSpace(answer))
		return answer == "y" || answer == "yes", nil
	}
}
