package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
)

// verificationAdmin is admin.Verification over a node.
type verificationAdmin struct{ *Node }

// verifyNotes is the time between two words about how far a comparison is.
const verifyNotes = time.Second

// Verify implements admin.Verification.
func (a verificationAdmin) Verify(ctx context.Context, req *adminpb.VerifyRequest, fn func(*adminpb.VerifyResponse) error) error {
	s, err := a.running()
	if err != nil {
		return err
	}
	if req.GetPrefix() != "" && req.GetBucket() == "" {
		return admin.Errorf(admin.CodeInvalid, "a prefix is given without its bucket")
	}
	_, buckets, err := s.faulty(req.GetName(), req.GetBucket())
	if err != nil {
		return err
	}
	s.links.mu.Lock()
	r := s.links.runners[req.GetName()]
	s.links.mu.Unlock()
	if r == nil {
		_, cause, next := s.links.whyIdle(req.GetName())
		return admin.Errorf(admin.CodeUnavailable, "link %s does not run: %s", req.GetName(), cause).WithHint("%s", next)
	}
	if req.GetRepair() && r.setting().Paused {
		return admin.Errorf(admin.CodeConflict, "link %s is paused here, and nothing is merged until it goes on", req.GetName()).
			WithHint("run `isgwctl link resume %s`, or compare without --repair", req.GetName())
	}
	for _, bucket := range buckets {
		if err := r.verify(ctx, req, bucket, fn); err != nil {
			return err
		}
	}
	return nil
}

// verify compares one bucket over a link.
func (r *runner) verify(ctx context.Context, req *adminpb.VerifyRequest, bucket string, fn func(*adminpb.VerifyResponse) error) error {
	clock := r.site.node.opts.Clock
	told := clock()
	var failed error // of fn
	send := func(m *adminpb.VerifyResponse) error {
		m.Bucket = bucket
		if failed == nil {
			failed = fn(m)
		}
		return failed
	}
	o := objsync.VerifyOptions{
		Prefix: []byte(req.GetPrefix()), Content: req.GetContent(), Repair: req.GetRepair(),
		Progress: func(v objsync.Verified) {
			if now := clock(); now.Sub(told) >= verifyNotes {
				told = now
				_ = send(&adminpb.VerifyResponse{Progress: verifyProgress(&v)}) // kept in failed
			}
		},
	}
	if r.setting().Paused {
		o.Settle = time.Millisecond // what is on its way does not come
	}
	done, err := objsync.NewVerifier(r.engine, r.local).Verify(ctx, bucket, o, func(d *objsync.Difference) error {
		return send(&adminpb.VerifyResponse{Difference: &adminpb.BucketDifference{
			Key: strings.ToValidUTF8(string(d.Key), "\uFFFD"), Version: d.Version, Kind: d.Kind.String(), Cause: d.Cause, Repaired: d.Repaired,
		}})
	})
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	last := &adminpb.VerifyResponse{Done: true, Progress: verifyProgress(done)}
	if err != nil {
		st := r.engine.Status()
		last.Failure = verifyFailure(err, r.service, bucket, r.peerName, &st)
	}
	return send(last)
}

// verifyFailure says in a sentence why a bucket could not be compared over a link, and
// what to do. A site answers for what it sends, so of what only leaves this site it is
// the other one that can compare.
func verifyFailure(err error, service, bucket, peer string, st *objsync.Status) string {
	refused, ok := errors.AsType[*link.Refused](err)
	there := "run `isgwctl link verify " + service + " " + bucket + "` at " + peer
	switch {
	case ok && refused.Code == link.CodeVersion:
		return "the release at " + peer + " cannot compare buckets: upgrade it"
	case ok && refused.Code == link.CodePaused:
		return "link " + service + " is paused at " + peer + ", which lets nothing out meanwhile: resume it there, or compare from there: " + there
	case ok && refused.Code == link.CodeNotServed && st.State == objsync.StateOff:
		return st.Cause + ", so " + peer + " answers for nothing: compare where the bucket is received: " + there
	case ok && refused.Code == link.CodeNotServed:
		return refused.Message + "; if it is only received there, " + there
	case ok:
		return refused.Message
	}
	return err.Error()
}

func verifyProgress(v *objsync.Verified) *adminpb.VerifyProgress {
	if v == nil {
		return &adminpb.VerifyProgress{}
	}
	return &adminpb.VerifyProgress{
		Keys: v.Keys, Versions: v.Versions, Differences: v.Differences, Repaired: v.Repaired,
		Read: v.Read, ReadBytes: v.ReadBytes, Requests: v.Requests, Latest: v.Latest,
	}
}
