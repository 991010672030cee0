package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// versionsAdmin is admin.Versions over a node.
type versionsAdmin struct{ *Node }

// maxConflicts is the greatest number of conflicts in one page.
const maxConflicts = 1000

func (a versionsAdmin) List(_ context.Context, req *adminpb.ListVersionsRequest) (*adminpb.ListVersionsResponse, error) {
	s, bucket, err := objectsAdmin(a).bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	history, err := s.replica.Catalog().History(bucket, []byte(req.GetKey()))
	if err != nil {
		return nil, objectError(err)
	}
	if len(history) == 0 {
		return nil, admin.Errorf(admin.CodeNotFound, "nothing is kept of key %s in bucket %s", req.GetKey(), bucket)
	}
	res := &adminpb.ListVersionsResponse{}
	for _, v := range history {
		res.Versions = append(res.Versions, &adminpb.ObjectVersion{
			Object:      describe(bucket, v.Record),
			Latest:      v.Latest,
			Lost:        v.Lost,
			S3VersionId: catalog.VersionID(v.Record),
			Tags:        v.Tags,
		})
	}
	return res, nil
}

func (a versionsAdmin) Conflicts(_ context.Context, req *adminpb.ListConflictsRequest) (*adminpb.ListConflictsResponse, error) {
	s, bucket, err := objectsAdmin(a).bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	var after *catalogpb.Dot
	var afterKey []byte
	if token := req.GetAfter(); token != "" {
		name, key, ok := strings.Cut(token, "/")
		if after, err = parseVersion(name); err != nil || !ok {
			return nil, admin.Errorf(admin.CodeInvalid, "%q is not where a page of conflicts ended", token)
		}
		afterKey = []byte(key)
	}
	limit := int(min(req.GetLimit(), maxConflicts))
	if limit == 0 {
		limit = maxConflicts
	}
	page, err := s.replica.Catalog().Conflicts(bucket, []byte(req.GetPrefix()), afterKey, after, limit)
	if err != nil {
		return nil, objectError(err)
	}
	res := &adminpb.ListConflictsResponse{}
	for _, c := range page.Contests {
		res.Conflicts = append(res.Conflicts, &adminpb.Conflict{Loser: describe(bucket, c.Loser), Winner: describe(bucket, c.Winner)})
	}
	if len(page.NextKey) > 0 {
		res.Next = versionName(page.NextDot) + "/" + string(page.NextKey)
	}
	return res, nil
}

func (a versionsAdmin) Promote(ctx context.Context, req *adminpb.PromoteVersionRequest) (*adminpb.Object, error) {
	s, bucket, err := objectsAdmin(a).bucket(req.GetBucket())
	if err != nil {
		return nil, err
	}
	dot, err := parseVersion(req.GetVersion())
	if err != nil {
		return nil, admin.Errorf(admin.CodeInvalid, "%q is no version: %w", req.GetVersion(), err).
			WithHint("`isgwctl object versions %s/%s` lists the versions of the key", bucket, req.GetKey())
	}
	history, err := s.replica.Catalog().History(bucket, []byte(req.GetKey()))
	if err != nil {
		return nil, objectError(err)
	}
	chosen, err := choose(history, dot)
	if err != nil {
		return nil, admin.Errorf(admin.CodeConflict, "version %s of %s/%s cannot be promoted: %w", req.GetVersion(), bucket, req.GetKey(), err)
	}
	record, err := s.objects.Copy(ctx, chosen.Record, objects.CopyRequest{Bucket: bucket, Key: req.GetKey(), Tags: chosen.Tags})
	if err != nil {
		return nil, objectError(err)
	}
	return describe(bucket, record), nil
}

// choose finds the version of a history that is to be promoted. The present one need
// not be, unless others lost against it: promoting it ends those conflicts.
func choose(history []*catalog.Version, dot *catalogpb.Dot) (*catalog.Version, error) {
	contested := false
	var found *catalog.Version
	for _, v := range history {
		contested = contested || v.Lost
		if catalog.CompareDots(v.Record.GetDot(), dot) == 0 {
			found = v
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("it is not kept here")
	case !catalog.Live(found.Record):
		return nil, fmt.Errorf("it is a deletion, which has no content")
	case found.Latest && !contested:
		return nil, fmt.Errorf("it is what the key holds already, and nothing has lost against it")
	}
	return found, nil
}

// versionName is what commands call a version: its name at every site.
func versionName(d *catalogpb.Dot) string {
	origin, err := state.SiteIDFromBytes(d.GetOrigin())
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s-%d-%d", origin, d.GetEpoch(), d.GetSeq())
}

// parseVersion undoes versionName.
func parseVersion(name string) (*catalogpb.Dot, error) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 {
		return nil, fmt.Errorf("it does not have the form SITE-EPOCH-NUMBER")
	}
	origin, err := state.ParseSiteID(parts[0])
	if err != nil {
		return nil, err
	}
	epoch, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("its epoch %q is no number", parts[1])
	}
	seq, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("its number %q is none", parts[2])
	}
	d := &catalogpb.Dot{Origin: origin.Bytes(), Epoch: uint32(epoch), Seq: seq}
	return d, catalog.CheckDot(d)
}
