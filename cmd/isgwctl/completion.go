package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands in a shell",
		Long: `Prints a script for a shell. It completes verbs, flags and their values, and
asks the node for the names of what there is: paths level by level, services,
keys, tokens, objects. A node that does not answer at once offers nothing.`,
		Example: "source <(isgwctl completion bash)",
		Args:    takes("bash|zsh|fish"),
		RunE: func(_ *cobra.Command, args []string) error {
			a.running = true
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return usage("there is no completion for %q: bash, zsh or fish", args[0])
		},
	}
}

const (
	// completionTime bounds how long a shell waits for names.
	completionTime = 1500 * time.Millisecond
	// mostOffers bounds how many names are offered: nobody reads more.
	mostOffers = 1000
)

// offer finds what may stand at a place of the command line; typed is what is
// there already. Everything that it returns begins with it. An error offers
// nothing.
type offer func(ctx context.Context, c *admin.Client, typed string) ([]cobra.Completion, error)

// complete gives every verb below root what to offer for its arguments and
// flags, by the words of its usage line.
func (a *app) complete(root *cobra.Command) {
	eachVerb(root, func(cmd *cobra.Command) {
		words := strings.Fields(cmd.Use)[1:]
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			place := len(args)
			if n := len(words); n > 0 && strings.HasSuffix(words[n-1], "...") {
				place = min(place, n-1)
			}
			if place >= len(words) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.offers(cmd, offerOf(a, cmd, words[place]), typed)
		}
	})
	eachCommand(root, func(cmd *cobra.Command) {
		for name, find := range flagOffers(a, cmd) {
			if cmd.LocalFlags().Lookup(name) == nil {
				continue
			}
			// It fails for a flag that has one already, which cannot be here.
			_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return a.offers(cmd, find, typed)
			})
		}
	})
}

func eachCommand(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, fn)
	}
}

// eachVerb calls fn for the commands that have no verbs below them.
func eachVerb(root *cobra.Command, fn func(*cobra.Command)) {
	eachCommand(root, func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() {
			fn(cmd)
		}
	})
}

// offers asks for names and tells the shell what to do with them. What fails is
// not told: the shell is in the middle of a line.
func (a *app) offers(cmd *cobra.Command, find offer, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if find == nil {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	// Without a node there may still be offers that need none.
	var client *admin.Client
	if a.connection.tokenFile != "-" { // which would take what is typed next
		if target, err := a.target(); err == nil {
			if client, err = admin.Connect(target); err == nil {
				defer client.Close()
			}
		}
	}
	all, err := find(ctx, client, typed)
	switch {
	case err == errFiles:
		return nil, cobra.ShellCompDirectiveDefault
	case err != nil:
		return nil, none
	}
	var out []cobra.Completion
	directive := none | cobra.ShellCompDirectiveKeepOrder
	for _, text := range all {
		name, _, _ := strings.Cut(text, "\t")
		if !strings.HasPrefix(name, typed) || plain(name) != name || len(out) == mostOffers {
			continue
		}
		out = append(out, text)
		if strings.HasSuffix(name, "/") { // more follows
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return out, directive
}

// offerOf is what a word of a usage line stands for: nil when nothing can be
// offered, because the word names something new or a secret.
func offerOf(a *app, cmd *cobra.Command, word string) offer {
	group, fresh := cmd.Parent().Name(), cmd.Name() == "create" || cmd.Name() == "add"
	switch word {
	case "NAMESPACE":
		if fresh {
			return nil
		}
		return paths(1, 1)
	case "NAMESPACE/TENANT":
		if fresh && group == "tenant" {
			return paths(1, 2) // the namespace is there, the tenant is not
		}
		return paths(2, 2)
	case "NAMESPACE/TENANT/BUCKET":
		if fresh {
			return paths(2, 3)
		}
		return paths(3, 3)
	case "[NAMESPACE]":
		return paths(1, 1)
	case "[NAMESPACE/TENANT]":
		return paths(2, 2)
	case "[NAMESPACE[/TENANT]]":
		return paths(2, 1)
	case "NAMESPACE/TENANT[/BUCKET]", "[NAMESPACE/TENANT[/BUCKET]]":
		return paths(3, 2)
	case "[NAMESPACE[/TENANT[/BUCKET]]]":
		return paths(3, 1)
	case objectShape, objectShape + "...", "[" + objectShape + "]...", "NAMESPACE/TENANT/BUCKET[/PREFIX]", "[NAMESPACE/TENANT/BUCKET[/PREFIX]]":
		return objects
	case "NAME", "[NAME]":
		switch {
		case fresh:
			return nil
		case group == "service", group == "link":
			return services("")
		case group == "token":
			return tokens
		case group == "profile":
			return a.profileNames
		}
	case "[NAME]...":
		return services("")
	case "SITE", "[SITE]":
		return pairedSites
	case "PROPERTY":
		return fixed(manifest.Properties()...)
	case "[service/]NAME":
		return services("service/")
	case "ACCESSKEY":
		return accessKeys
	case "FILE|-", "[FILE|-]":
		return files
	case "isgw", "bash|zsh|fish":
		return fixed(strings.Split(word, "|")...)
	}
	return nil
}

// flagOffers are what the flags of a command take, as far as it is known.
func flagOffers(a *app, cmd *cobra.Command) map[string]offer {
	roles := fixed("viewer", "tenant-admin", "operator", "site-admin")
	if cmd.HasParent() && cmd.Parent().Name() == "key" {
		roles = fixed("read-only", "read-write", "admin")
	}
	directions := fixed("send+receive", "send", "receive")
	if cmd.Name() == "serve" {
		directions = fixed("send", "receive")
	}
	return map[string]offer{
		"output":  fixed(forms...),
		"file":    files,
		"profile": a.profileNames,
		"tenant":  paths(2, 2),
		"serve":   paths(3, 2),
		"role":    roles,
		"for":     fixed("synced", "connected", "copied", "paused", "received", "sent"),
		"sort":    fixed("path", "created", "objects", "bytes"),
		"theme":   fixed("auto", "dark", "light", "mono"),

		"direction":        directions,
		"replication":      fixed("initial+continuous", "initial", "continuous"),
		"tunnel":           fixed("true", "false"),
		"resource-profile": fixed("performance", "embedded"),
		"deletes":          fixed("travel", "keep"),
		"bucket":           paths(3, 3),
		"reason":           fixed("quarantined", "skipped", "transferring"),
		"server":           services(""),
	}
}

// fixed offers words that are always the same.
func fixed(words ...string) offer {
	return func(context.Context, *admin.Client, string) ([]cobra.Completion, error) { return words, nil }
}

// errFiles leaves it to the shell, which knows files.
var errFiles = admin.Errorf(admin.CodeInvalid, "a file's name")

func files(context.Context, *admin.Client, string) ([]cobra.Completion, error) { return nil, errFiles }

// errNoNode is why nothing is offered where nothing says which node to ask.
var errNoNode = admin.Errorf(admin.CodeUnavailable, "no node is named")

// paths offers the next level of the path that is typed: namespaces, then tenants
// of one, then buckets of one, down to the level deepest. From the level enough on
// a path is offered as it is; where something goes on below it, with a slash.
func paths(deepest, enough int) offer {
	return func(ctx context.Context, c *admin.Client, typed string) ([]cobra.Completion, error) {
		if c == nil {
			return nil, errNoNode
		}
		level := strings.Count(typed, "/") + 1
		if level > deepest {
			return nil, nil
		}
		req := &adminpb.ListPathsRequest{Kind: adminpb.PathKind(level), Limit: mostOffers}
		if i := strings.LastIndexByte(typed, '/'); i >= 0 {
			req.Parent, req.Filter = typed[:i], typed
		} else {
			req.Filter = typed
		}
		var out []cobra.Completion
		err := eachPath(ctx, c, req, func(p *adminpb.Path) error {
			if !strings.HasPrefix(p.GetPath(), typed) {
				return nil
			}
			if len(out) >= mostOffers {
				return errEnough
			}
			if level >= enough {
				out = append(out, p.GetPath())
			}
			if level < deepest || level < enough {
				out = append(out, p.GetPath()+"/")
			}
			return nil
		})
		if err == errEnough {
			err = nil
		}
		return out, err
	}
}

// errEnough ends a list that has more than is offered.
var errEnough = admin.Errorf(admin.CodeInvalid, "more than is offered")

// objects offers buckets, and below one its keys as files of directories.
func objects(ctx context.Context, c *admin.Client, typed string) ([]cobra.Completion, error) {
	if strings.Count(typed, "/") < 3 {
		return paths(3, 4)(ctx, c, typed)
	}
	if c == nil {
		return nil, errNoNode
	}
	bucket, prefix, err := splitObject(typed)
	if err != nil {
		return nil, err
	}
	page, err := c.Objects.List(ctx, &adminpb.ListObjectsRequest{Bucket: bucket, Prefix: prefix, Delimiter: "/", Limit: mostOffers})
	if err != nil {
		return nil, err
	}
	var out []cobra.Completion
	for _, item := range page.GetItems() {
		key := item.GetPrefix()
		if o := item.GetObject(); o != nil {
			key = o.GetKey()
		}
		out = append(out, bucket+"/"+key)
	}
	return out, nil
}

// services offers the names of services after a prefix, with their states.
func services(prefix string) offer {
	return func(ctx context.Context, c *admin.Client, typed string) ([]cobra.Completion, error) {
		if c == nil {
			return nil, errNoNode
		}
		req := &adminpb.ListServicesRequest{Limit: mostOffers}
		if name, ok := strings.CutPrefix(typed, prefix); ok {
			req.Filter = name
		}
		page, err := c.Services.Page(ctx, req)
		if err != nil {
			return nil, err
		}
		var out []cobra.Completion
		for _, s := range page.GetServices() {
			out = append(out, cobra.CompletionWithDesc(prefix+s.GetName(), manifest.Word(s.GetStatus().GetState())))
		}
		return out, nil
	}
}

func tokens(ctx context.Context, c *admin.Client, _ string) ([]cobra.Completion, error) {
	if c == nil {
		return nil, errNoNode
	}
	all, err := c.Access.ListTokens(ctx)
	var out []cobra.Completion
	for _, k := range all {
		out = append(out, cobra.CompletionWithDesc(k.GetName(), k.GetKind()+", "+k.GetRole()))
	}
	return out, err
}

func pairedSites(ctx context.Context, c *admin.Client, _ string) ([]cobra.Completion, error) {
	if c == nil {
		return nil, errNoNode
	}
	all, err := c.Sites.Pairings(ctx)
	var out []cobra.Completion
	for _, p := range all {
		out = append(out, cobra.CompletionWithDesc(p.GetSiteName(), p.GetSiteId()))
	}
	return out, err
}

func accessKeys(ctx context.Context, c *admin.Client, _ string) ([]cobra.Completion, error) {
	if c == nil {
		return nil, errNoNode
	}
	all, err := c.Keys.List(ctx, "")
	var out []cobra.Completion
	for _, k := range all {
		out = append(out, cobra.CompletionWithDesc(k.GetAccessKey(), k.GetTenant()))
	}
	return out, err
}

func (a *app) profileNames(context.Context, *admin.Client, string) ([]cobra.Completion, error) {
	names, err := a.profiles().names()
	slices.Sort(names)
	return names, err
}
