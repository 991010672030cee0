package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// pathEdit changes settings of a tenant or bucket.
func (a *app) pathEdit(k pathKind) *cobra.Command {
	var replicas, versions uint32
	var quota string
	req := &adminpb.EditPathRequest{Kind: k.kind}
	inherits := "the tenant's"
	if k.word == "tenant" {
		inherits = "the site's"
	}
	cmd := &cobra.Command{
		Use:   "edit " + k.shape,
		Short: "Change settings of a " + k.word,
		Long: `Changes the settings that are given and leaves the others. They are this site's
alone. A quota bounds what clients store here, all kept versions counted; what
links bring is always taken. Less history than before is trimmed with the next
change of each key.`,
		Example: "isgwctl " + k.word + " edit " + k.example + " -q 1TiB\nisgwctl " + k.word + " edit " + k.example + " -q none -n 5",
		Args:    takes(k.shape),
	}
	flags := cmd.Flags()
	flags.Uint32VarP(&replicas, "replicas", "r", 0, "keep `N` copies of each chunk, 1 to 4; 0 is "+inherits)
	flags.Uint32VarP(&versions, "versions", "n", 0, "keep `N` versions of each key; 0 is "+inherits)
	flags.StringVarP(&quota, "quota", "q", "", "let clients store at most `BYTES`, such as 10GiB; none is no bound")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if flags.Changed("replicas") {
			if replicas > 4 {
				return usage("replicas are 1 to 4, or 0 for %s, not %d", inherits, replicas)
			}
			req.Replicas = &replicas
		}
		if flags.Changed("versions") {
			req.Versions = &versions
		}
		if flags.Changed("quota") {
			n, err := parseQuota(quota)
			if err != nil {
				return err
			}
			req.Quota = &n
		}
		if req.Replicas == nil && req.Versions == nil && req.Quota == nil {
			return usage("say what to change: --quota, --replicas or --versions")
		}
		return nil
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		req.Path = args[0]
		path, err := c.Paths.Edit(cmd.Context(), req)
		if err != nil {
			return err
		}
		return a.made(path, "%s %s is changed", k.word, path.GetPath())
	})
	return cmd
}

// parseQuota reads a number of bytes with a unit; none and 0 are no bound.
func parseQuota(text string) (uint64, error) {
	switch text {
	case "", "none", "0":
		return 0, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, usage("quota %q is no number of bytes such as 500MB, 10GiB or 1TiB; none is no bound", text)
	}
	return n, nil
}

// quotaUse is a quota with how much of it is used.
func quotaUse(p *adminpb.Path) string {
	if p.GetQuota() == 0 {
		return "none, " + byteCount(p.GetStored()) + " stored"
	}
	used := 100 * float64(p.GetStored()) / float64(p.GetQuota())
	return fmt.Sprintf("%s, %s stored, %.0f %%", byteCount(p.GetQuota()), byteCount(p.GetStored()), used)
}
