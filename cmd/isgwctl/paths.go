package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// pathKind is what the commands cluster, tenant and bucket differ in.
type pathKind struct {
	kind         adminpb.PathKind
	word         string // of the command
	shape        string // of its paths
	parent       string // of what list takes; empty: nothing
	short, long  string
	example      string
	exampleAbove string
	storage      bool // has replicas and versions
	below        string
	empty        string // what delete wants
}

var (
	clusterPaths = pathKind{
		kind: adminpb.PathKind_PATH_KIND_NAMESPACE, word: "cluster", shape: "NAMESPACE",
		short: "Make and list namespaces, which EdgeFS calls clusters",
		long: `A namespace is what several sites have in common. Make it at every site that
is to have a part of it, under the same name.`,
		example: "Hawaii", below: "tenants", empty: "a namespace without tenants",
	}
	tenantPaths = pathKind{
		kind: adminpb.PathKind_PATH_KIND_TENANT, word: "tenant", shape: "NAMESPACE/TENANT", parent: "[NAMESPACE]",
		short: "Make and list tenants, and their S3 keys",
		long: `A tenant owns buckets and S3 keys. Its settings hold for its buckets that have
none of their own, also for those that a link makes.`,
		example: "Hawaii/Cola", exampleAbove: "Hawaii", storage: true, below: "buckets",
		empty: "a tenant without buckets, and its S3 keys with it",
	}
	bucketPaths = pathKind{
		kind: adminpb.PathKind_PATH_KIND_BUCKET, word: "bucket", shape: "NAMESPACE/TENANT/BUCKET", parent: "[NAMESPACE[/TENANT]]",
		short:   "Make and list buckets",
		long:    "A bucket holds objects. S3 clients see it under its last name.",
		example: "Hawaii/Cola/bk1", exampleAbove: "Hawaii/Cola", storage: true,
		empty: "a bucket without objects. Links that serve it wait for it to come back",
	}
)

func (a *app) pathCommand(k pathKind) *cobra.Command {
	verbs := []*cobra.Command{a.pathCreate(k), a.pathList(k), a.pathShow(k), a.pathDelete(k)}
	if k.storage {
		verbs = append(verbs, a.pathEdit(k))
	}
	if k.word == "tenant" {
		verbs = append(verbs, a.keyCommand())
	}
	cmd := group(k.word, k.short, k.long, verbs...)
	if k.word == "cluster" {
		cmd.Aliases = []string{"namespace"}
	}
	return cmd
}

func (a *app) pathCreate(k pathKind) *cobra.Command {
	var replicas, versions uint32
	var quota, chunkSize string
	var bound uint64
	cmd := &cobra.Command{
		Use:     "create " + k.shape,
		Short:   "Make a " + k.word,
		Example: "isgwctl " + k.word + " create " + k.example,
		Args:    takes(k.shape),
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case cmd.Flags().Changed("chunk-size"):
			return usage("chunk size is fixed by the protocol")
		case cmd.Flags().Changed("replicas") && (replicas < 1 || replicas > 4):
			return usage("replicas are 1 to 4, not %d", replicas)
		case cmd.Flags().Changed("versions") && versions < 1:
			return usage("the number of versions is at least 1")
		}
		var err error
		bound, err = parseQuota(quota)
		return err
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		path, err := c.Paths.Create(cmd.Context(), &adminpb.CreatePathRequest{
			Kind: k.kind, Path: args[0], Replicas: replicas, Versions: versions, Quota: bound,
		})
		if err != nil {
			return err
		}
		return a.made(path, "%s %s is created", k.word, path.GetPath())
	})
	if k.storage {
		cmd.Example += "\nisgwctl " + k.word + " create " + k.example + " -r 2 -n 10 -q 500GiB"
		inherits := "the tenant's"
		if k.word == "tenant" {
			inherits = "the site's"
		}
		cmd.Flags().Uint32VarP(&replicas, "replicas", "r", 0, "keep `N` copies of each chunk, 1 to 4, as far as there are nodes (default "+inherits+")")
		cmd.Flags().Uint32VarP(&versions, "versions", "n", 0, "keep `N` versions of each key (default "+inherits+")")
		cmd.Flags().StringVarP(&quota, "quota", "q", "", "let clients store at most `BYTES` here, such as 10GiB (default no bound)")
		cmd.Flags().StringVarP(&chunkSize, "chunk-size", "s", "", "refused: chunk size is fixed by the protocol")
		if err := cmd.Flags().MarkHidden("chunk-size"); err != nil {
			panic(err) // the flag above
		}
	}
	return cmd
}

func (a *app) pathList(k pathKind) *cobra.Command {
	req := &adminpb.ListPathsRequest{Kind: k.kind}
	by := ""
	cmd := &cobra.Command{
		Use:     strings.TrimSpace("list " + k.parent),
		Short:   "List the " + k.word + "s, one name a line; with -o wide, what they have",
		Example: "isgwctl " + k.word + " list",
		Args:    takes(),
	}
	if k.parent != "" {
		cmd.Example += "\nisgwctl " + k.word + " list " + k.exampleAbove
		cmd.Args = takes(k.parent)
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		if len(args) > 0 {
			req.Parent = args[0]
		}
		var ok bool
		if req.Sort, ok = pathSorts[by]; !ok {
			return usage("--sort is path, created, objects or bytes, not %q", by)
		}
		if a.form == formWide {
			return a.widePaths(cmd.Context(), c, k, req)
		}
		out := &list[*adminpb.Path]{app: a, text: (*adminpb.Path).GetPath}
		if err := eachPath(cmd.Context(), c, req, out.add); err != nil {
			return err
		}
		return out.end()
	})
	cmd.Flags().StringVar(&req.Filter, "filter", "", "only those with `TEXT` in their path, in letters of either case")
	orders := "path or created"
	if k.kind == adminpb.PathKind_PATH_KIND_BUCKET {
		orders = "path, created, objects or bytes"
	}
	cmd.Flags().StringVar(&by, "sort", "path", "`ORDER` of the list: "+orders)
	cmd.Flags().BoolVar(&req.Descending, "descending", false, "the greatest first")
	return cmd
}

// widePaths writes a list as a table.
func (a *app) widePaths(ctx context.Context, c *admin.Client, k pathKind, req *adminpb.ListPathsRequest) error {
	bucket := k.kind == adminpb.PathKind_PATH_KIND_BUCKET
	header := []string{strings.ToUpper(k.word)}
	if k.below != "" {
		header = append(header, strings.ToUpper(k.below))
	}
	if bucket {
		header = append(header, "OBJECTS", "BYTES")
	}
	if k.storage {
		header = append(header, "REPLICAS", "VERSIONS", "QUOTA")
	}
	if bucket {
		header = append(header, "LINKS")
	}
	t := a.table(append(header, "CREATED")...)
	err := eachPath(ctx, c, req, func(p *adminpb.Path) error {
		row := []string{p.GetPath()}
		if k.below != "" {
			row = append(row, fmt.Sprint(p.GetChildren()))
		}
		if bucket {
			row = append(row, fmt.Sprint(p.GetObjects()), byteCount(p.GetBytes()))
		}
		if k.storage {
			row = append(row, fmt.Sprint(p.GetEffectiveReplicas()), fmt.Sprint(p.GetEffectiveVersions()), quotaUse(p))
		}
		if bucket {
			row = append(row, orDash(strings.Join(p.GetServices(), " ")))
		}
		t.row(append(row, instant(p.GetCreated()))...)
		return nil
	})
	if err != nil {
		return err
	}
	return t.end()
}

// pathSorts are the orders of lists of paths.
var pathSorts = map[string]adminpb.PathSort{
	"path": adminpb.PathSort_PATH_SORT_PATH, "created": adminpb.PathSort_PATH_SORT_CREATED,
	"objects": adminpb.PathSort_PATH_SORT_OBJECTS, "bytes": adminpb.PathSort_PATH_SORT_BYTES,
}

// eachPath calls fn for everything that a list has, page by page.
func eachPath(ctx context.Context, c *admin.Client, req *adminpb.ListPathsRequest, fn func(*adminpb.Path) error) error {
	byPath := req.GetSort() <= adminpb.PathSort_PATH_SORT_PATH && !req.GetDescending()
	for {
		page, err := c.Paths.List(ctx, req)
		if err != nil {
			return err
		}
		for _, p := range page.GetPaths() {
			if err := fn(p); err != nil {
				return err
			}
			if byPath {
				req.After = p.GetPath()
			} else {
				req.Offset++
			}
		}
		if !page.GetMore() || len(page.GetPaths()) == 0 {
			return nil
		}
	}
}

func (a *app) pathShow(k pathKind) *cobra.Command {
	return &cobra.Command{
		Use:     "show " + k.shape,
		Short:   "Show a " + k.word,
		Example: "isgwctl " + k.word + " show " + k.example,
		Args:    takes(k.shape),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			path, err := c.Paths.Get(cmd.Context(), &adminpb.GetPathRequest{Kind: k.kind, Path: args[0]})
			if err != nil {
				return err
			}
			return a.show(path, func(s *sheet) { writePath(s, k, path) })
		}),
	}
}

func writePath(s *sheet, k pathKind, p *adminpb.Path) {
	s.line("path", p.GetPath())
	s.line("created", instant(p.GetCreated()))
	s.some("created by", p.GetCreatedBy())
	if k.below != "" {
		s.line(k.below, fmt.Sprint(p.GetChildren()))
	}
	if k.storage {
		s.line("replicas", setting(p.GetReplicas(), p.GetEffectiveReplicas(), k))
		s.line("versions", setting(p.GetVersions(), p.GetEffectiveVersions(), k))
	}
	if k.storage {
		s.line("quota", quotaUse(p))
	}
	if p.GetKind() == adminpb.PathKind_PATH_KIND_BUCKET {
		s.line("objects", fmt.Sprint(p.GetObjects()))
		s.line("bytes", byteCount(p.GetBytes()))
		s.some("incarnation", p.GetIncarnation())
	}
	for _, service := range p.GetServices() {
		s.line("served by", service)
	}
}

// setting is a value with where it comes from.
func setting(own, effective uint32, k pathKind) string {
	if own != 0 || effective == 0 {
		return fmt.Sprint(effective)
	}
	if k.kind == adminpb.PathKind_PATH_KIND_TENANT {
		return fmt.Sprintf("%d (default)", effective)
	}
	return fmt.Sprintf("%d (the tenant's)", effective)
}

func (a *app) pathDelete(k pathKind) *cobra.Command {
	return &cobra.Command{
		Use:     "delete " + k.shape,
		Short:   "Delete an empty " + k.word,
		Long:    "Deletes " + k.empty + ".\nNothing that holds something is deleted.",
		Example: "isgwctl " + k.word + " delete " + k.example,
		Args:    takes(k.shape),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := c.Paths.Delete(cmd.Context(), &adminpb.DeletePathRequest{Kind: k.kind, Path: args[0]}); err != nil {
				return err
			}
			return a.did(args[0], "%s %s is deleted", k.word, args[0])
		}),
	}
}
