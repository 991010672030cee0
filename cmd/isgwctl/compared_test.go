package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

// nodeVerification finds the same in the test node's buckets each time: in bk1 one
// difference of every kind, nothing in bk2, and bk3 cannot be compared.
type nodeVerification struct{ *node }

func (n nodeVerification) Verify(_ context.Context, req *adminpb.VerifyRequest, fn func(*adminpb.VerifyResponse) error) error {
	var served []string
	if err := n.read(func() error {
		service, err := plan.GetService(n.cfg, req.GetName())
		served = service.GetServes()
		return err
	}); err != nil {
		return err
	}
	for _, bucket := range served {
		if req.GetBucket() != "" && req.GetBucket() != bucket {
			continue
		}
		say := func(m *adminpb.VerifyResponse) error {
			m.Bucket = bucket
			return fn(m)
		}
		done := &adminpb.VerifyResponse{Done: true, Progress: &adminpb.VerifyProgress{Keys: 40, Versions: 41, Requests: 1}}
		switch {
		case bucket == "Hawaii/Cola/bk3":
			done.Progress, done.Failure = &adminpb.VerifyProgress{}, "link hawaii is paused at south: resume it there, or compare from there"
		case req.GetPrefix() != "":
			done.Progress.Latest = true
		case bucket == "Hawaii/Cola/bk1":
			if err := say(&adminpb.VerifyResponse{Progress: &adminpb.VerifyProgress{Keys: 10, Versions: 10, ReadBytes: 2048}}); err != nil {
				return err
			}
			found := []*adminpb.BucketDifference{
				{Version: "tags", Kind: "differing"},
				{Key: "a", Version: "null", Kind: "missing here", Cause: "it is in quarantine here: chunk 1a2b cannot be read at south"},
				{Key: "b/\x1b[31m", Version: "v2", Kind: "missing there", Cause: "south has had it and removed it"},
				{Key: "c", Version: "null", Kind: "differing"},
			}
			done.Progress = &adminpb.VerifyProgress{Keys: 40, Versions: 41, Differences: 4, Requests: 5}
			if req.GetContent() {
				found = append(found, &adminpb.BucketDifference{Key: "d", Version: "v4", Kind: "corrupt", Cause: "a chunk is damaged"})
				done.Progress.Differences, done.Progress.Read, done.Progress.ReadBytes = 5, 41, 4<<20
			}
			for _, d := range found {
				d.Repaired = req.GetRepair()
				if d.Repaired {
					done.Progress.Repaired++
				}
				if err := say(&adminpb.VerifyResponse{Difference: d}); err != nil {
					return err
				}
			}
		}
		if err := say(done); err != nil {
			return err
		}
	}
	return nil
}

// nodeVersions has the history of one key, "plan", which two sites wrote at once, and
// the conflicts of its bucket, one in a page.
type nodeVersions struct{ *node }

func history() []*adminpb.ObjectVersion {
	version := func(id string, generation, size uint64, before time.Duration, site string) *adminpb.Object {
		return &adminpb.Object{
			Bucket: "Hawaii/Cola/bk1", Key: "plan", VersionId: id, Generation: generation, Size: size, Origin: site,
			Modified: timestamppb.New(testNow.Add(-before)), Etag: "d41d8cd98f00b204",
		}
	}
	gone := version("north-1-7", 2, 0, 2*time.Hour, "north")
	gone.Deleted, gone.Etag = true, ""
	return []*adminpb.ObjectVersion{
		{Object: version("north-1-9", 3, 700, time.Minute, "north"), Latest: true, S3VersionId: "0g91"},
		{Object: version("south-1-4", 3, 300, time.Hour, "south"), Lost: true, S3VersionId: "0g4s"},
		{Object: gone, S3VersionId: "null", Tags: map[string]string{"team": "gas"}},
	}
}

func (n nodeVersions) List(_ context.Context, req *adminpb.ListVersionsRequest) (*adminpb.ListVersionsResponse, error) {
	if req.GetKey() != "plan" {
		return nil, admin.Errorf(admin.CodeNotFound, "bucket %s has no object %s", req.GetBucket(), req.GetKey())
	}
	return &adminpb.ListVersionsResponse{Versions: history()}, n.read(func() error { return nil })
}

func (n nodeVersions) Conflicts(_ context.Context, req *adminpb.ListConflictsRequest) (*adminpb.ListConflictsResponse, error) {
	h := history()
	other := proto.CloneOf(h[1].GetObject())
	other.Key = "quay/\x1b[31m"
	gone := proto.CloneOf(h[2].GetObject())
	gone.Key = other.GetKey()
	switch {
	case req.GetBucket() != "Hawaii/Cola/bk1" || req.GetPrefix() == "none/":
		return &adminpb.ListConflictsResponse{}, nil
	case req.GetAfter() == "":
		return &adminpb.ListConflictsResponse{Conflicts: []*adminpb.Conflict{{Loser: h[1].GetObject(), Winner: h[0].GetObject()}}, Next: "plan"}, nil
	}
	return &adminpb.ListConflictsResponse{Conflicts: []*adminpb.Conflict{{Loser: other, Winner: gone}}}, nil
}

func (n nodeVersions) Promote(_ context.Context, req *adminpb.PromoteVersionRequest) (*adminpb.Object, error) {
	o := history()[1].GetObject()
	o.VersionId = "north-1-10"
	return o, nil
}
