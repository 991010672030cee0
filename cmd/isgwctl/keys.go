package main

import (
	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Make and list the S3 keys of tenants",
		"An S3 client that signs with a tenant's key sees that tenant's buckets.",
		a.keyCreate(), a.keyList(), a.keyDelete())
}

func (a *app) keyCreate() *cobra.Command {
	var role, prefix string
	cmd := &cobra.Command{
		Use:   "create NAMESPACE/TENANT",
		Short: "Make an S3 key",
		Long: `Makes an access key with its secret and prints both. The secret is told this
once; whoever loses it makes another key.

A read-only key reads, a read-write key also writes and deletes objects and
buckets, and an admin key also says who may use a bucket: its policy, its
ownership, its ACL, and the bypass of governance locks. With --prefix a key sees
one bucket, or of its objects those whose keys begin with PREFIX.`,
		Example: "isgwctl tenant key create Hawaii/Cola\nisgwctl tenant key create Hawaii/Cola --role read-only --prefix bk1/reports/",
		Args:    takes("NAMESPACE/TENANT"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			key, err := c.Keys.Create(cmd.Context(), &adminpb.CreateKeyRequest{Tenant: args[0], Role: role, Prefix: prefix})
			if err != nil {
				return err
			}
			return a.show(key, func(s *sheet) {
				s.line("access key", key.GetAccessKey())
				s.line("secret key", key.GetSecretKey())
				s.line("tenant", key.GetTenant())
				s.line("role", key.GetRole())
				s.some("prefix", key.GetPrefix())
			})
		}),
	}
	cmd.Flags().StringVar(&role, "role", "", "`ROLE`: read-only, read-write or admin (default read-write)")
	cmd.Flags().StringVar(&prefix, "prefix", "", "restrict it to `BUCKET[/PREFIX]`, the bucket by its last name")
	return cmd
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use:     "list [NAMESPACE/TENANT]",
		Short:   "List S3 keys, without their secrets",
		Example: "isgwctl tenant key list Hawaii/Cola",
		Args:    takes("[NAMESPACE/TENANT]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			tenant := ""
			if len(args) > 0 {
				tenant = args[0]
			}
			keys, err := c.Keys.List(cmd.Context(), tenant)
			if err != nil {
				return err
			}
			if a.listed() {
				return listJSON[*adminpb.Key](a, keys, "secretKey")
			}
			t := a.table("ACCESS KEY", "TENANT", "ROLE", "PREFIX", "CREATED")
			for _, k := range keys {
				t.row(k.GetAccessKey(), k.GetTenant(), k.GetRole(), orDash(k.GetPrefix()), instant(k.GetCreated()))
			}
			return t.end()
		}),
	}
}

func (a *app) keyDelete() *cobra.Command {
	tenant := ""
	cmd := &cobra.Command{
		Use:     "delete ACCESSKEY",
		Short:   "Delete an S3 key",
		Long:    "Deletes an S3 key. Requests that are signed with it are refused from then on.",
		Example: "isgwctl tenant key delete 4N6Q0C2KJ9WZ3T5B7XYA",
		Args:    takes("ACCESSKEY"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			req := &adminpb.DeleteKeyRequest{AccessKey: args[0], Tenant: tenant}
			if tenant == "" {
				// A tenant-admin has to say whose key it is, and there is but one tenant.
				// Where nobody tells who calls, the node judges the request as it is.
				if who, err := c.Access.WhoAmI(cmd.Context()); err == nil {
					req.Tenant = who.GetCaller().GetTenant()
				}
			}
			if err := c.Keys.Delete(cmd.Context(), req); err != nil {
				return err
			}
			return a.did(args[0], "access key %s is deleted", args[0])
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only if it belongs to `NAMESPACE/TENANT`")
	return cmd
}
