package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) objectVersions() *cobra.Command {
	return &cobra.Command{
		Use:   "versions " + objectShape,
		Short: "List what is kept of an object",
		Long: `Lists the versions that are kept of an object, the greatest first: those with an
S3 version id, the null version with the history that the bucket keeps, and what
lost against a version that was written at another site without knowledge of it.`,
		Example: "isgwctl object versions Hawaii/Cola/bk1/reports/2026.csv",
		Args:    takes(objectShape),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			bucket, key, err := splitKey(args[0])
			if err != nil {
				return err
			}
			list, err := c.Versions.List(cmd.Context(), &adminpb.ListVersionsRequest{Bucket: bucket, Key: key})
			if err != nil {
				return err
			}
			switch {
			case a.structured():
				return listJSON(a, list.GetVersions())
			case a.form == formName: // what object promote takes; the key is the same for all
				for _, v := range list.GetVersions() {
					if _, err := fmt.Fprintln(a.out, plain(v.GetObject().GetVersionId())); err != nil {
						return err
					}
				}
				return nil
			}
			header := []string{"VERSION", "STATE", "GENERATION", "MODIFIED", "SIZE", "ORIGIN", "ETAG"}
			if a.form == formWide {
				header = append(header, "S3-VERSION-ID")
			}
			t := a.table(header...)
			for _, v := range list.GetVersions() {
				o := v.GetObject()
				row := []string{o.GetVersionId(), versionState(v), fmt.Sprint(o.GetGeneration()), instant(o.GetModified()), sizeOrDeleted(o), o.GetOrigin(), orDash(o.GetEtag())}
				if a.form == formWide {
					row = append(row, v.GetS3VersionId())
				}
				t.row(row...)
			}
			return t.end()
		}),
	}
}

func versionState(v *adminpb.ObjectVersion) string {
	switch {
	case v.GetLatest():
		return "latest"
	case v.GetLost():
		return "lost"
	}
	return "older"
}

func sizeOrDeleted(o *adminpb.Object) string {
	if o.GetDeleted() {
		return "deleted"
	}
	return fmt.Sprint(o.GetSize())
}

func (a *app) objectConflicts() *cobra.Command {
	return &cobra.Command{
		Use:   "conflicts NAMESPACE/TENANT/BUCKET[/PREFIX]",
		Short: "List edits that lost against others made at the same time elsewhere",
		Long: `Lists the versions of a bucket that lost against one whose writer did not know
of them, because two sites wrote the same key while they could not talk. All
sites keep the same winner. The loser can be read and promoted; the conflict
ends when the object is written or deleted again where both are known.`,
		Example: "isgwctl object conflicts Hawaii/Cola/bk1",
		Args:    takes("NAMESPACE/TENANT/BUCKET[/PREFIX]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			req := &adminpb.ListConflictsRequest{}
			var err error
			if req.Bucket, req.Prefix, err = splitObject(args[0]); err != nil {
				return err
			}
			var all []*adminpb.Conflict
			header := []string{"KEY", "LOST", "SIZE", "MODIFIED", "AGAINST", "SIZE", "MODIFIED"}
			if a.form == formWide {
				header = append(header, "LOST ORIGIN", "ORIGIN")
			}
			t := a.table(header...)
			for {
				page, err := c.Versions.Conflicts(cmd.Context(), req)
				if err != nil {
					return err
				}
				for _, conflict := range page.GetConflicts() {
					lost, won := conflict.GetLoser(), conflict.GetWinner()
					all = append(all, conflict)
					row := []string{lost.GetKey(), lost.GetVersionId(), fmt.Sprint(lost.GetSize()), instant(lost.GetModified()),
						won.GetVersionId(), sizeOrDeleted(won), instant(won.GetModified())}
					if a.form == formWide {
						row = append(row, lost.GetOrigin(), won.GetOrigin())
					}
					t.row(row...)
				}
				if req.After = page.GetNext(); req.After == "" {
					break
				}
			}
			switch {
			case a.structured():
				return listJSON(a, all)
			case a.form == formName: // what object versions and object promote take
				for _, conflict := range all {
					if _, err := fmt.Fprintln(a.out, plain(req.GetBucket()+"/"+conflict.GetLoser().GetKey())); err != nil {
						return err
					}
				}
				return nil
			}
			if len(all) == 0 {
				fmt.Fprintf(a.out, "%s has no conflicts\n", args[0])
				return nil
			}
			return t.end()
		}),
	}
}

func (a *app) objectPromote() *cobra.Command {
	return &cobra.Command{
		Use:   "promote " + objectShape + " VERSION",
		Short: "Make an older or lost version the newest again",
		Long: `Writes the content of a version of an object again, above all others, at every
site. Nothing is copied and nothing is removed. The conflicts of the object end;
promoting the latest version just ends them.`,
		Example: "isgwctl object promote Hawaii/Cola/bk1/key 51000000000000000000000000000001-1-42",
		Args:    takes(objectShape, "VERSION"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			bucket, key, err := splitKey(args[0])
			if err != nil {
				return err
			}
			object, err := c.Versions.Promote(cmd.Context(), &adminpb.PromoteVersionRequest{Bucket: bucket, Key: key, Version: args[1]})
			if err != nil {
				return err
			}
			return a.made(object, "%s has the content of version %s again, as version %s", args[0], args[1], object.GetVersionId())
		}),
	}
}
