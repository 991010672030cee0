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
	return &cobra.Command{
		Use:   "create NAMESPACE/TENANT",
		Short: "Make an S3 key",
		Long: `Makes an access key with its secret and prints both. The secret is told this
once; whoever loses it makes another key.`,
		Example: "isgwctl tenant key create Hawaii/Cola\nisgwctl tenant key create Hawaii/Cola -o json",
		Args:    takes("NAMESPACE/TENANT"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			key, err := c.Keys.Create(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(key, func(s *sheet) {
				s.line("access key", key.GetAccessKey())
				s.line("secret key", key.GetSecretKey())
				s.line("tenant", key.GetTenant())
			})
		}),
	}
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
			t := a.table("ACCESS KEY", "TENANT", "CREATED")
			for _, k := range keys {
				t.row(k.GetAccessKey(), k.GetTenant(), instant(k.GetCreated()))
			}
			return t.end()
		}),
	}
}

func (a *app) keyDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ACCESSKEY",
		Short:   "Delete an S3 key",
		Long:    "Deletes an S3 key. Requests that are signed with it are refused from then on.",
		Example: "isgwctl tenant key delete 4N6Q0C2KJ9WZ3T5B7XYA",
		Args:    takes("ACCESSKEY"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := c.Keys.Delete(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.done("access key %s is deleted", args[0])
			return nil
		}),
	}
}
