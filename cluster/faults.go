package cluster

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	objsync "edgefog.dev/isgw/sync"
)

// faultsAdmin is admin.Faults over a node.
type faultsAdmin struct{ *Node }

const (
	faultsPage    = 100  // faults of a page unless something else is asked for
	maxFaultsPage = 1000 // of a page, and keys of one change
)

// reasonWords are the reasons for which a version is not applied, as people write them.
var reasonWords = map[catalogpb.PendingReason]string{
	catalogpb.PendingReason_PENDING_QUARANTINED:  "quarantined",
	catalogpb.PendingReason_PENDING_SKIPPED:      "skipped",
	catalogpb.PendingReason_PENDING_TRANSFERRING: "transferring",
}

// List implements admin.Faults. It reads the pending tables as they are committed.
func (a faultsAdmin) List(ctx context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	if r := req.GetReason(); r != "" && !slices.Contains(slices.Collect(maps.Values(reasonWords)), r) {
		return nil, admin.Errorf(admin.CodeInvalid, "there is no reason %q", r).WithHint("it is quarantined, skipped or transferring")
	}
	peer, buckets, err := s.faulty(req.GetName(), req.GetBucket())
	if err != nil {
		return nil, err
	}
	at, err := parseFaultsPlace(req.GetAfter())
	if err != nil {
		return nil, err
	}
	out := &adminpb.ListFaultsResponse{}
	if req.GetAfter() == "" {
		n, _, err := s.pending(ctx, req.GetName(), req.GetBucket(), nil)
		if err != nil {
			return nil, err
		}
		out.Quarantined, out.Skipped, out.Transferring = n.Quarantined, n.Skipped, n.Transferring
	}
	limit := min(cmp.Or(int(req.GetLimit()), faultsPage), maxFaultsPage)
	var last faultsPlace
	for p, err := range pendings(ctx, s.replica.Catalog(), peer, buckets, at) {
		if err != nil {
			return nil, err
		}
		word := reasonWords[p.entry.GetReason()]
		if req.GetReason() != word && (req.GetReason() != "" || word == "transferring") {
			continue
		}
		if len(out.Faults) == limit {
			out.Next = last.String()
			break
		}
		out.Faults = append(out.Faults, faultOf(p.bucket, p.entry))
		last = faultsPlace{p.bucket, p.entry.GetRecord().GetDot()}
	}
	return out, ctx.Err()
}

// Retry implements admin.Faults.
func (a faultsAdmin) Retry(ctx context.Context, req *adminpb.RetryFaultsRequest) (*adminpb.FaultsChanged, error) {
	if len(req.GetKeys()) > 0 && req.GetBucket() == "" {
		return nil, admin.Errorf(admin.CodeInvalid, "the request names keys and no bucket")
	}
	return a.amend(ctx, req.GetName(), req.GetBucket(), objsync.RemedyRetry, req.GetKeys())
}

// Skip implements admin.Faults.
func (a faultsAdmin) Skip(ctx context.Context, req *adminpb.SkipFaultsRequest) (*adminpb.FaultsChanged, error) {
	if len(req.GetKeys()) == 0 || req.GetBucket() == "" {
		return nil, admin.Errorf(admin.CodeInvalid, "the request does not say which versions are to be skipped").
			WithHint("name a bucket and keys: versions are given up one by one")
	}
	return a.amend(ctx, req.GetName(), req.GetBucket(), objsync.RemedySkip, req.GetKeys())
}

// carryOut makes the change of a plan that is about faults.
func (a faultsAdmin) carryOut(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.FaultsChanged, error) {
	if skip := req.GetSkipFaults(); skip != nil {
		return a.Skip(ctx, skip)
	}
	return a.Retry(ctx, req.GetRetryFaults())
}

// pending counts what waits on a link, as plan.Facts has it.
func (s *site) pending(ctx context.Context, name, bucket string, keys []string) (all plan.Pending, of map[string]plan.Pending, err error) {
	peer, buckets, err := s.faulty(name, bucket)
	if err != nil {
		return all, nil, err
	}
	of = make(map[string]plan.Pending, len(keys))
	for _, key := range keys {
		of[key] = plan.Pending{}
	}
	for p, err := range pendings(ctx, s.replica.Catalog(), peer, buckets, faultsPlace{}) {
		if err != nil {
			return all, nil, err
		}
		key := string(p.entry.GetRecord().GetKey())
		one, named := of[key]
		if len(keys) > 0 && !named {
			continue
		}
		for _, n := range []*plan.Pending{&all, &one} {
			switch p.entry.GetReason() {
			case catalogpb.PendingReason_PENDING_QUARANTINED:
				n.Quarantined++
			case catalogpb.PendingReason_PENDING_SKIPPED:
				n.Skipped++
			default:
				n.Transferring++
			}
		}
		if named {
			of[key] = one
		}
	}
	return all, of, nil
}

// amend carries out a remedy in the buckets of a link.
func (a faultsAdmin) amend(ctx context.Context, name, bucket string, remedy objsync.Remedy, keys []string) (*adminpb.FaultsChanged, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	if len(keys) > maxFaultsPage {
		return nil, admin.Errorf(admin.CodeInvalid, "the request names %d keys, more than %d", len(keys), maxFaultsPage)
	}
	peer, buckets, err := s.faulty(name, bucket)
	if err != nil {
		return nil, err
	}
	out := &adminpb.FaultsChanged{}
	for _, path := range buckets {
		n, err := s.replica.Catalog().PendingCount(path, peer)
		if err != nil || n == 0 {
			out.Absent = append(out.Absent, keys...)
			continue
		}
		did, err := s.links.amend(ctx, name, peer, objsync.Amendment{Bucket: path, Remedy: remedy, Keys: keys})
		if err != nil {
			return nil, raftFailure("change what is pending", err)
		}
		out.Versions += uint64(did.Versions)
		out.Absent = append(out.Absent, did.Absent...)
		for _, key := range slices.Sorted(maps.Keys(did.Unsound)) {
			out.Unsound = append(out.Unsound, &adminpb.UnsoundFault{Key: path + "/" + key, Cause: did.Unsound[key]})
		}
	}
	return out, nil
}

// amend hands a remedy to the engine of a link, or does it itself where there is none.
func (l *links) amend(ctx context.Context, name string, peer state.SiteID, what objsync.Amendment) (objsync.Amended, error) {
	l.mu.Lock()
	r := l.runners[name]
	l.mu.Unlock()
	if r != nil && r.peer == peer {
		did, err := r.engine.Amend(ctx, what)
		if !errors.Is(err, objsync.ErrStopped) {
			return did, err
		}
	}
	s := l.site
	return objsync.AmendStored(ctx, objsync.Site{
		ID: s.id, Name: s.node.opts.Site, Epoch: s.epoch,
		Catalog: s.replica.Catalog(), Chunks: s.chunks, Propose: s.proposeNamed, Clock: s.node.opts.Clock,
	}, peer, what)
}

// epoch is the site's present one.
func (s *site) epoch() uint32 {
	site, _, _ := s.replica.Config().Site()
	return site.GetEpoch()
}

// faulty finds what faults of a link are asked for: its peer, and the buckets in
// order. Without a peer there are none.
func (s *site) faulty(name, bucket string) (state.SiteID, []string, error) {
	cfg := s.replica.Config()
	if _, err := plan.GetService(cfg, name); err != nil {
		return state.SiteID{}, nil, err
	}
	service, _, _ := cfg.Service(name)
	peer, err := state.SiteIDFromBytes(service.GetPeer())
	if bucket != "" {
		if !state.Serves(service, bucket) {
			return peer, nil, admin.Errorf(admin.CodeNotFound, "service %s does not serve %s", name, bucket).
				WithHint("see `isgwctl service show %s`", name)
		}
		return peer, []string{bucket}, nil
	}
	if err != nil {
		return peer, nil, nil // it has not met its peer
	}
	var buckets []string
	for _, served := range service.GetServes() {
		if strings.Count(served.GetPath(), "/") == 2 {
			buckets = append(buckets, served.GetPath())
			continue
		}
		for _, b := range cfg.Buckets(served.GetPath()) {
			buckets = append(buckets, b.GetPath())
		}
	}
	slices.Sort(buckets)
	return peer, slices.Compact(buckets), nil
}

// pendingIn is an entry of the pending table of a bucket.
type pendingIn struct {
	bucket string
	entry  *catalogpb.Pending
}

// pendingReader reads pending tables: it is a catalog.
type pendingReader interface {
	Pending(bucket string, peer state.SiteID, after *catalogpb.Dot, limit int) ([]*catalogpb.Pending, error)
}

// pendings goes through the pending tables of buckets, which are in order, from
// after a place on. A table that cannot be read ends it.
func pendings(ctx context.Context, tables pendingReader, peer state.SiteID, buckets []string, from faultsPlace) iter.Seq2[pendingIn, error] {
	return func(yield func(pendingIn, error) bool) {
		for _, bucket := range buckets {
			var after *catalogpb.Dot
			switch {
			case bucket < from.bucket:
				continue
			case bucket == from.bucket:
				after = from.dot
			}
			for ctx.Err() == nil {
				page, err := tables.Pending(bucket, peer, after, 1000)
				if err != nil && !errors.Is(err, catalog.ErrNoBucket) {
					yield(pendingIn{}, fmt.Errorf("read pending table of bucket %s: %w", bucket, err))
					return
				}
				if len(page) == 0 {
					break // the end, or a bucket that is not here
				}
				for _, p := range page {
					if !yield(pendingIn{bucket, p}, nil) {
						return
					}
				}
				after = page[len(page)-1].GetRecord().GetDot()
			}
		}
	}
}

// faultsPlace is a place in the list of faults.
type faultsPlace struct {
	bucket string
	dot    *catalogpb.Dot
}

// String is the form in which callers are told of a place.
func (p faultsPlace) String() string {
	raw, err := proto.Marshal(p.dot)
	if err != nil {
		return p.bucket + "/" // from the beginning of the bucket
	}
	return p.bucket + "/" + hex.EncodeToString(raw)
}

func parseFaultsPlace(text string) (faultsPlace, error) {
	if text == "" {
		return faultsPlace{}, nil
	}
	i := strings.LastIndexByte(text, '/')
	p := faultsPlace{bucket: text[:max(i, 0)], dot: new(catalogpb.Dot)}
	raw, err := hex.DecodeString(text[i+1:])
	if i < 0 || err != nil || proto.Unmarshal(raw, p.dot) != nil || catalog.CheckDot(p.dot) != nil {
		return p, admin.Errorf(admin.CodeInvalid, "%q is not the end of a page of faults", text)
	}
	return p, nil
}

// faultOf describes an entry of a pending table.
func faultOf(bucket string, p *catalogpb.Pending) *adminpb.Fault {
	r := p.GetRecord()
	f := &adminpb.Fault{
		Bucket: bucket, Key: strings.ToValidUTF8(string(r.GetKey()), "\uFFFD"), Version: catalog.VersionID(r), Kind: kindOf(r),
		Reason: reasonWords[p.GetReason()], Cause: strings.ToValidUTF8(p.GetCause(), "\uFFFD"), Attempts: p.GetAttempts(),
		Bytes: r.GetRoot().GetSize(),
	}
	if p.GetSince() != 0 {
		f.Since = timestamppb.New(time.Unix(0, p.GetSince()))
	}
	if p.GetReason() == catalogpb.PendingReason_PENDING_QUARANTINED && p.GetNextRetry() != 0 {
		f.NextRetry = timestamppb.New(time.Unix(0, p.GetNextRetry()))
	}
	return f
}

// kindOf is what a record is, in a word.
func kindOf(r *catalogpb.Record) string {
	switch r.GetKind() {
	case catalogpb.RecordKind_RECORD_VERSION:
		return "version"
	case catalogpb.RecordKind_RECORD_TOMBSTONE:
		return "deletion"
	case catalogpb.RecordKind_RECORD_PURGE:
		return "purge"
	case catalogpb.RecordKind_RECORD_BUCKET:
		return "setting"
	}
	return "attributes"
}
