package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) linkFailed() *cobra.Command {
	req := &adminpb.ListFaultsRequest{}
	most := uint32(0)
	cmd := &cobra.Command{
		Use:   "failed NAME",
		Short: "List what cannot be applied over a link",
		Long: `Lists the versions that a link knows of and cannot apply: those in quarantine,
which are tried again by themselves, and those that were skipped. Everything
else goes on beside them. With --reason transferring it lists versions that
are merely long on their way.`,
		Example: "isgwctl link failed hawaii\nisgwctl link failed hawaii --bucket Hawaii/Cola/bk1 -o wide",
		Args:    takes("NAME"),
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		req.Name, req.After = args[0], ""
		var all []*adminpb.Fault
		var first *adminpb.ListFaultsResponse
		for {
			req.Limit = 1000
			if most > 0 {
				req.Limit = min(req.Limit, most-uint32(len(all)))
			}
			page, err := c.Faults.List(cmd.Context(), req)
			if err != nil {
				return err
			}
			if first == nil {
				first = page
			}
			all = append(all, page.GetFaults()...)
			if page.GetNext() == "" || most > 0 && len(all) >= int(most) {
				break
			}
			req.After = page.GetNext()
		}
		if a.structured() {
			return listJSON(a, all)
		}
		if a.form == formName {
			for _, f := range all {
				if _, err := fmt.Fprintln(a.out, plain(f.GetBucket()+"/"+f.GetKey())); err != nil {
					return err
				}
			}
			return nil
		}
		if err := a.faults(all); err != nil {
			return err
		}
		a.done("%d in quarantine, %d skipped, %d long on their way", first.GetQuarantined(), first.GetSkipped(), first.GetTransferring())
		return nil
	})
	cmd.Flags().StringVar(&req.Bucket, "bucket", "", "only of this `BUCKET`")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "only with this `REASON`: quarantined, skipped or transferring")
	cmd.Flags().Uint32Var(&most, "limit", 0, "list at most `N`")
	return a.watched(cmd)
}

// faults writes a table of versions that are not applied.
func (a *app) faults(all []*adminpb.Fault) error {
	header := []string{"KEY", "REASON", "ATTEMPTS", "SINCE", "NEXT RETRY", "CAUSE"}
	if a.form == formWide {
		header = append(header, "KIND", "BYTES", "VERSION")
	}
	t := a.table(header...)
	for _, f := range all {
		row := []string{
			f.GetBucket() + "/" + f.GetKey(), f.GetReason(), fmt.Sprint(f.GetAttempts()),
			instant(f.GetSince()), instant(f.GetNextRetry()), orDash(f.GetCause()),
		}
		if a.form == formWide {
			row = append(row, f.GetKind(), byteCount(f.GetBytes()), f.GetVersion())
		}
		t.row(row...)
	}
	return t.end()
}

func (a *app) linkRetry() *cobra.Command {
	all := false
	cmd := a.dryRuns(&cobra.Command{
		Use:   "retry NAME [" + objectShape + "]...",
		Short: "Try again at once what a link could not apply",
		Long: `Fetches versions in quarantine again at once, instead of at their next retry,
and takes back what was skipped. With --all it does so for everything in
quarantine; what was skipped is named by its key. A setting of a bucket, which
has no key, is named as link failed lists it: NAMESPACE/TENANT/BUCKET/.`,
		Example: "isgwctl link retry hawaii --all\nisgwctl link retry hawaii Hawaii/Cola/bk1/reports/2026.csv --dry-run",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := takes("NAME")(cmd, args[:min(len(args), 1)]); err != nil {
				return err
			}
			if all == (len(args) > 1) {
				return usage("say what to retry: keys as %s, or --all; see %s --help", objectShape, cmd.CommandPath())
			}
			return nil
		},
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			return a.eachBucket(args[0], args[1:], func(bucket string, keys []string) (*adminpb.FaultsChanged, error) {
				return c.Faults.Retry(cmd.Context(), &adminpb.RetryFaultsRequest{Name: args[0], Bucket: bucket, Keys: keys})
			}, "are fetched again")
		}),
	}, func(args []string) ([]*adminpb.PlanRequest, error) {
		return plansByBucket(args[1:], func(bucket string, keys []string) *adminpb.PlanRequest {
			return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: args[0], Bucket: bucket, Keys: keys}}}
		})
	})
	cmd.Flags().BoolVar(&all, "all", false, "everything in quarantine")
	return cmd
}

func (a *app) linkSkip() *cobra.Command {
	return a.dryRuns(&cobra.Command{
		Use:   "skip NAME " + objectShape + "...",
		Short: "Give up versions that a link cannot apply",
		Long: `Gives versions up: nothing waits for them any more, the link counts as in sync
without them, and they stay listed by link failed as skipped. A later version of
the same key is applied as ever. link retry takes it back.`,
		Example: "isgwctl link skip hawaii Hawaii/Cola/bk1/reports/2026.csv --dry-run",
		Args: func(cmd *cobra.Command, args []string) error {
			return takes("NAME", objectShape)(cmd, args[:min(len(args), 2)])
		},
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			return a.eachBucket(args[0], args[1:], func(bucket string, keys []string) (*adminpb.FaultsChanged, error) {
				return c.Faults.Skip(cmd.Context(), &adminpb.SkipFaultsRequest{Name: args[0], Bucket: bucket, Keys: keys})
			}, "are skipped")
		}),
	}, func(args []string) ([]*adminpb.PlanRequest, error) {
		return plansByBucket(args[1:], func(bucket string, keys []string) *adminpb.PlanRequest {
			return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{SkipFaults: &adminpb.SkipFaultsRequest{Name: args[0], Bucket: bucket, Keys: keys}}}
		})
	})
}

// bucketKeys are keys of one bucket.
type bucketKeys struct {
	bucket string
	keys   []string
}

// byBucket sorts the paths of objects by their buckets, in the order in which
// these are named first. No paths are everything: all keys of no bucket.
func byBucket(paths []string) ([]bucketKeys, error) {
	if len(paths) == 0 {
		return []bucketKeys{{}}, nil
	}
	var all []bucketKeys
	for _, path := range paths {
		bucket, key, err := splitFault(path)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(of bucketKeys) bool { return of.bucket == bucket })
		if i < 0 {
			i, all = len(all), append(all, bucketKeys{bucket: bucket})
		}
		all[i].keys = append(all[i].keys, key)
	}
	return all, nil
}

// splitFault is splitKey for what link failed lists: a setting of a bucket, which has no
// key, is listed as BUCKET/ and named so.
func splitFault(path string) (bucket, key string, err error) {
	if bucket, _, err = splitObject(path); err == nil && path == bucket+"/" {
		return bucket, "", nil
	}
	return splitKey(path)
}

// plansByBucket are the requests for plans of a change for keys, one for each of
// their buckets.
func plansByBucket(paths []string, request func(bucket string, keys []string) *adminpb.PlanRequest) ([]*adminpb.PlanRequest, error) {
	all, err := byBucket(paths)
	if err != nil {
		return nil, err
	}
	requests := make([]*adminpb.PlanRequest, len(all))
	for i, of := range all {
		requests[i] = request(of.bucket, of.keys)
	}
	return requests, nil
}

// eachBucket makes a change of a link for keys, bucket by bucket, and reports the
// sum. Of no paths it makes the one change of everything.
func (a *app) eachBucket(link string, paths []string, change func(bucket string, keys []string) (*adminpb.FaultsChanged, error), outcome string) error {
	all, err := byBucket(paths)
	if err != nil {
		return err
	}
	sum := &adminpb.FaultsChanged{}
	for _, of := range all {
		changed, err := change(of.bucket, of.keys)
		if err != nil {
			if sum.GetVersions() > 0 { // of the buckets before
				a.done("versions that %s: %d, before it failed", outcome, sum.GetVersions())
			}
			return err
		}
		sum.Versions += changed.GetVersions()
		for _, key := range changed.GetAbsent() {
			sum.Absent = append(sum.Absent, of.bucket+"/"+key)
		}
		sum.Unsound = append(sum.Unsound, changed.GetUnsound()...)
	}
	return a.faultsChanged(link, sum, outcome)
}

// faultsChanged reports a retry or a skip. It fails when a key had nothing to be
// changed, or cannot be helped; the others were changed all the same.
func (a *app) faultsChanged(link string, changed *adminpb.FaultsChanged, outcome string) error {
	if a.structured() {
		if err := a.json(changed); err != nil {
			return err
		}
	}
	done := fmt.Sprintf("versions that %s: %d", outcome, changed.GetVersions())
	if unsound := changed.GetUnsound(); len(unsound) > 0 {
		return admin.Errorf(admin.CodeConflict, "%s, but %d can never be applied, such as %s: %s", done, len(unsound), unsound[0].GetKey(), unsound[0].GetCause()).
			WithHint("give them up with `isgwctl link skip %s`", link)
	}
	if absent := changed.GetAbsent(); len(absent) > 0 {
		return admin.Errorf(admin.CodeNotFound, "%s, but nothing of this kind is pending for %s", done, strings.Join(absent, ", ")).
			WithHint("see `isgwctl link failed %s`", link)
	}
	if !a.structured() {
		a.done("%s", done)
	}
	return nil
}
