package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

// linkedBucket is one bucket on one link, with what is known of the link.
type linkedBucket struct {
	service *adminpb.Service
	row     *adminpb.BucketStatus
}

// bucketsBelow are the buckets on all links that a path names: a namespace, a
// tenant, a bucket, or "" for all. What a link serves and knows nothing of, as
// when it is down, has a row without numbers.
func bucketsBelow(services []*adminpb.Service, path string) []linkedBucket {
	below := func(p string) bool { return path == "" || p == path || strings.HasPrefix(p, path+"/") }
	var out []linkedBucket
	for _, s := range services {
		rows := s.GetStatus().GetBuckets()
		for _, row := range rows {
			if below(row.GetPath()) {
				out = append(out, linkedBucket{s, row})
			}
		}
		for _, served := range s.GetServes() {
			known := slices.ContainsFunc(rows, func(r *adminpb.BucketStatus) bool {
				return r.GetPath() == served || strings.HasPrefix(r.GetPath(), served+"/")
			})
			// A tenant that is served stands for the bucket that is asked for.
			asked := below(served) || path != "" && strings.HasPrefix(path, served+"/")
			if !known && asked {
				p := served
				if len(path) > len(p) {
					p = path
				}
				out = append(out, linkedBucket{s, &adminpb.BucketStatus{Path: p, State: manifest.Word(s.GetStatus().GetState()), ServedHere: true, Cause: s.GetStatus().GetCause()}})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b linkedBucket) int { return strings.Compare(a.row.GetPath(), b.row.GetPath()) })
	return out
}

// complaint says why a bucket is not well on its link, or "" when it is. It goes
// by the rules of the site's verdict: a link that an operator disabled is not
// looked at, and a first copy may take its time.
func (b linkedBucket) complaint() string {
	st := b.service.GetStatus()
	switch st.GetState() {
	case adminpb.ServiceState_SERVICE_STATE_DISABLED, adminpb.ServiceState_SERVICE_STATE_PAUSED:
		return ""
	case adminpb.ServiceState_SERVICE_STATE_DOWN, adminpb.ServiceState_SERVICE_STATE_REFUSED,
		adminpb.ServiceState_SERVICE_STATE_STALLED, adminpb.ServiceState_SERVICE_STATE_UNPAIRED, adminpb.ServiceState_SERVICE_STATE_NO_REMOTE:
		return fmt.Sprintf("link %s is %s", b.service.GetName(), manifest.Word(st.GetState()))
	}
	if b.row.GetState() == "stalled" {
		return fmt.Sprintf("%s makes no progress on link %s", b.row.GetPath(), b.service.GetName())
	}
	for _, d := range []*adminpb.Backlog{b.row.GetSend(), b.row.GetReceive()} {
		if n := d.GetQuarantined(); n > 0 {
			return fmt.Sprintf("%s has %d versions in quarantine on link %s", b.row.GetPath(), n, b.service.GetName())
		}
		if d != nil && d.LagSeconds != nil && d.GetLagSeconds() > st.GetLagTargetSeconds() && b.row.GetState() != "copying" {
			return fmt.Sprintf("%s lags by %s on link %s, the target is %s", b.row.GetPath(), seconds(d.LagSeconds), b.service.GetName(), seconds(&st.LagTargetSeconds))
		}
	}
	return ""
}

// bucketVerdict answers whether buckets are well on their links, as the verdict
// of the site does.
func bucketVerdict(all []linkedBucket) *adminpb.Verdict {
	var complaints []string
	count := map[string]int{}
	for _, b := range all {
		word := b.row.GetState()
		if b.service.GetStatus().GetState() == adminpb.ServiceState_SERVICE_STATE_DISABLED {
			word = "disabled"
		}
		count[word]++
		if c := b.complaint(); c != "" && !slices.Contains(complaints, c) {
			complaints = append(complaints, c)
		}
	}
	switch {
	case len(all) == 0:
		return &adminpb.Verdict{Healthy: true, Sentence: "HEALTHY: it is on no link", NextStep: "serve it with `isgwctl service serve`"}
	case len(complaints) > 3:
		complaints = append(complaints[:3:3], fmt.Sprintf("and %d more", len(complaints)-3))
		fallthrough
	case len(complaints) > 0:
		return &adminpb.Verdict{Sentence: "NOT HEALTHY: " + strings.Join(complaints, ", "), NextStep: "see `isgwctl service show`"}
	}
	parts := []string{fmt.Sprintf("%d of %d in sync", count["synced"], len(all))}
	delete(count, "synced")
	var words []string
	for word := range count {
		words = append(words, word)
	}
	slices.Sort(words)
	for _, word := range words {
		parts = append(parts, fmt.Sprintf("%d %s", count[word], word))
	}
	return &adminpb.Verdict{Healthy: true, Sentence: "HEALTHY: " + strings.Join(parts, ", ")}
}

// bucketStatus writes how the buckets below a path do, and returns the verdict on
// them; what does not exist is an error.
func (a *app) bucketStatus(cmd *cobra.Command, c *admin.Client, path string) (*adminpb.Verdict, error) {
	services, err := c.Services.List(cmd.Context(), true)
	if err != nil {
		return nil, err
	}
	all := bucketsBelow(services, path)
	if len(all) == 0 && path != "" {
		if err := exists(cmd.Context(), c, path); err != nil {
			return nil, err
		}
	}
	verdict := bucketVerdict(all)
	switch {
	case a.structured():
		return verdict, listJSON(a, onlyBuckets(all))
	case a.form == formName:
		last := ""
		for _, b := range all {
			if b.row.GetPath() != last {
				last = b.row.GetPath()
				if _, err := fmt.Fprintln(a.out, plain(last)); err != nil {
					return nil, err
				}
			}
		}
		return verdict, nil
	}
	if path != "" {
		s := a.sheet()
		s.line(path, verdict.GetSentence())
		if s.err != nil {
			return nil, s.err
		}
	}
	if len(all) == 0 {
		return verdict, nil
	}
	return verdict, a.buckets(all, true)
}

// exists asks for a namespace, tenant or bucket.
func exists(ctx context.Context, c *admin.Client, path string) error {
	kind := adminpb.PathKind(min(strings.Count(path, "/"), 2) + 1)
	_, err := c.Paths.Get(ctx, &adminpb.GetPathRequest{Kind: kind, Path: path})
	return err
}

// onlyBuckets are the services of rows, each with those of its buckets.
func onlyBuckets(all []linkedBucket) []*adminpb.Service {
	var out []*adminpb.Service
	index := map[string]*adminpb.Service{}
	for _, b := range all {
		s := index[b.service.GetName()]
		if s == nil {
			s = proto.CloneOf(b.service)
			if s.GetStatus() == nil {
				s.Status = &adminpb.ServiceStatus{}
			}
			s.Status.Buckets = nil
			index[s.GetName()] = s
			out = append(out, s)
		}
		s.Status.Buckets = append(s.Status.Buckets, b.row)
	}
	return out
}

// buckets writes one row for each bucket on a link; with link, the link too.
func (a *app) buckets(all []linkedBucket, link bool) error {
	header := []string{"BUCKET", "LINK", "STATE", "SERVED", "LAG OUT", "UNSENT", "LAG IN", "MISSING", "COPIED", "PENDING", "CAUSE"}
	if a.form == formWide {
		header = append(header, "BYTES OUT", "BYTES IN", "QUARANTINED", "IN SYNC AT", "OLDEST")
	}
	cells := func(row []string) []string {
		if link {
			return row
		}
		return slices.Delete(row, 1, 2)
	}
	t := a.table(cells(header)...)
	for _, b := range all {
		send, receive := backlogOf(b.row.GetSend()), backlogOf(b.row.GetReceive())
		row := []string{
			b.row.GetPath(), b.service.GetName(), b.row.GetState(), servedWhere(b.row),
			seconds(send.LagSeconds), optionalCount(send.Versions, send.GetEstimated()),
			seconds(receive.LagSeconds), optionalCount(receive.Versions, receive.GetEstimated()),
			copied(b.row), fmt.Sprint(send.GetPending() + receive.GetPending()), orDash(b.row.GetCause()),
		}
		if a.form == formWide {
			oldest := send.GetOldestKey()
			if oldest == "" {
				oldest = receive.GetOldestKey()
			}
			row = append(row, optionalBytes(send.Bytes, send.GetEstimated()), optionalBytes(receive.Bytes, receive.GetEstimated()),
				fmt.Sprint(receive.GetQuarantined()), instant(b.row.GetCaughtUp()), orDash(oldest))
		}
		t.row(cells(row)...)
	}
	return t.end()
}
