package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

// nodeFaults are three versions that the test node's links cannot apply.
type nodeFaults struct{ *node }

func (n nodeFaults) list() []*adminpb.Fault {
	if n.faults == nil {
		since := timestamppb.New(testNow.Add(-time.Hour))
		n.faults = []*adminpb.Fault{
			{Bucket: "Hawaii/Cola/bk1", Key: "photos/\x1b[31ma.jpg", Version: "null", Kind: "version", Reason: "quarantined", Cause: "chunk 1a2b cannot be read at oahu", Attempts: 3, Since: since, NextRetry: timestamppb.New(testNow.Add(time.Minute)), Bytes: 3000},
			{Bucket: "Hawaii/Cola/bk1", Key: "old", Version: "v1", Kind: "deletion", Reason: "skipped", Cause: "generation 4611686018427387905 exceeds 4611686018427387904", Attempts: 1, Since: since},
			{Bucket: "Hawaii/Cola/bk2", Key: "k", Version: "v2", Kind: "version", Reason: "transferring", Since: since, Bytes: 1 << 30},
		}
	}
	return n.faults
}

// known wants a link, and that it serves a bucket if one is named.
func (n nodeFaults) known(name, bucket string) error {
	return n.read(func() error {
		service, err := plan.GetService(n.cfg, name)
		if err == nil && bucket != "" && !slices.ContainsFunc(service.GetServes(), func(path string) bool { return strings.HasPrefix(bucket+"/", path+"/") }) {
			return admin.Errorf(admin.CodeNotFound, "service %s does not serve %s", name, bucket)
		}
		return err
	})
}

func (n nodeFaults) List(_ context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	if err := n.known(req.GetName(), req.GetBucket()); err != nil {
		return nil, err
	}
	out := &adminpb.ListFaultsResponse{}
	if req.GetAfter() == "" {
		out.Quarantined, out.Skipped, out.Transferring = 1, 1, 1
	}
	var all []*adminpb.Fault
	for _, f := range n.list() {
		if f.GetReason() == req.GetReason() || req.GetReason() == "" && f.GetReason() != "transferring" {
			all = append(all, proto.CloneOf(f))
		}
	}
	// A page has one, whatever is asked for.
	i := slices.IndexFunc(all, func(f *adminpb.Fault) bool { return f.GetKey() == req.GetAfter() }) + 1
	if i < len(all) {
		out.Faults = all[i : i+1]
	}
	if i+1 < len(all) {
		out.Next = all[i].GetKey()
	}
	return out, nil
}

// pending counts as plan.Facts has it; n is locked.
func (n nodeFaults) pending(_, bucket string, keys []string) (all plan.Pending, of map[string]plan.Pending, err error) {
	of = map[string]plan.Pending{}
	for _, f := range n.list() {
		if bucket != "" && f.GetBucket() != bucket || len(keys) > 0 && !slices.Contains(keys, f.GetKey()) {
			continue
		}
		one := of[f.GetKey()]
		for _, p := range []*plan.Pending{&all, &one} {
			switch f.GetReason() {
			case "quarantined":
				p.Quarantined++
			case "skipped":
				p.Skipped++
			default:
				p.Transferring++
			}
		}
		of[f.GetKey()] = one
	}
	return all, of, nil
}

func (n nodeFaults) amend(name, bucket string, keys []string, reason string) (*adminpb.FaultsChanged, error) {
	if err := n.known(name, bucket); err != nil {
		return nil, err
	}
	out := &adminpb.FaultsChanged{}
	for _, key := range keys {
		i := slices.IndexFunc(n.list(), func(f *adminpb.Fault) bool { return f.GetKey() == key })
		switch {
		case i < 0:
			out.Absent = append(out.Absent, key)
		case key == "old" && reason == "quarantined":
			out.Unsound = append(out.Unsound, &adminpb.UnsoundFault{Key: "Hawaii/Cola/bk1/old", Cause: n.list()[i].GetCause()})
		default:
			n.list()[i].Reason = reason
			out.Versions++
		}
	}
	return out, nil
}

func (n nodeFaults) Retry(_ context.Context, req *adminpb.RetryFaultsRequest) (*adminpb.FaultsChanged, error) {
	if len(req.GetKeys()) == 0 {
		return &adminpb.FaultsChanged{Versions: 1}, n.known(req.GetName(), req.GetBucket())
	}
	return n.amend(req.GetName(), req.GetBucket(), req.GetKeys(), "quarantined")
}

func (n nodeFaults) Skip(_ context.Context, req *adminpb.SkipFaultsRequest) (*adminpb.FaultsChanged, error) {
	return n.amend(req.GetName(), req.GetBucket(), req.GetKeys(), "skipped")
}

// TestSplitFault: what link failed lists can be given back to retry and skip.
func TestSplitFault(t *testing.T) {
	for path, want := range map[string][2]string{
		"N/T/b/key":  {"N/T/b", "key"},
		"N/T/b//key": {"N/T/b", "/key"},
		"N/T/b/a/":   {"N/T/b", "a/"},
		"N/T/b/":     {"N/T/b", ""},
	} {
		bucket, key, err := splitFault(path)
		if err != nil || bucket != want[0] || key != want[1] {
			t.Errorf("%s is bucket %q and key %q, %v", path, bucket, key, err)
		}
	}
	for _, path := range []string{"N/T/b", "N/T", ""} {
		if _, _, err := splitFault(path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}
