package objsync

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Bounds of one request for sums or records of keys.
const (
	maxRanges  = 4096 // of a DigestRequest
	maxRecords = 1024 // keys of a RecordsRequest
	maxListed  = 2000 // keys of a DigestReply
)

// Digest implements link.Source.
func (l *Local) Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
	l.touch()
	path := req.GetPath()
	if !l.lets(path) {
		return nil, l.notServed(path)
	}
	if l.o.Settings().Paused {
		return nil, l.paused()
	}
	ranges, err := rangesOf(req)
	if err != nil {
		return nil, err
	}
	filter := l.o.Terms(path).Filter
	for _, r := range ranges {
		if !req.GetList() && !filter.admitsRange(r) {
			return nil, link.Refuse(link.CodeNotServed, "only a part of bucket %s is let out over link %s at %s: compare keys with a prefix that is let out as a whole", path, l.o.Service, l.o.Name)
		}
	}
	if err := l.o.Limit.Wait(ctx, 0); err != nil {
		return nil, err
	}
	sum := ranges
	if req.GetList() {
		sum = nil
	}
	sums, err := l.o.Catalog.Sums(path, sum)
	if err != nil {
		return nil, l.readFailed("compare", path, err)
	}
	out := &linkpb.DigestReply{Incarnation: sums.Incarnation, Epoch: sums.Epoch, Seq: sums.Seq, Sparse: sums.Sparse}
	for i := range sums.Ranges {
		out.Sums = append(out.Sums, rangeSum(&sums.Ranges[i]))
	}
	if req.GetList() {
		if err := l.list(path, ranges, filter, out); err != nil {
			return nil, l.readFailed("compare", path, err)
		}
	}
	l.o.Limit.Charge(proto.Size(out))
	return out, nil
}

// list adds the keys of ranges, as many as there is room for.
func (l *Local) list(path string, ranges []catalog.KeyRange, filter Filter, out *linkpb.DigestReply) error {
	for i, r := range ranges {
		keys, next, err := l.o.Catalog.KeySums(path, r, maxListed-len(out.Keys))
		if err != nil {
			return err
		}
		for i := range keys {
			if len(keys[i].Key) > 0 && !filter.admitsKey(keys[i].Key) {
				continue
			}
			out.Keys = append(out.Keys, keySum(&keys[i]))
		}
		switch {
		case next != nil:
			out.NextKey, err = l.nextLetOut(path, filter, next)
			return err
		case len(out.Keys) >= maxListed && i+1 < len(ranges):
			out.NextKey = ranges[i+1].From
			return nil
		}
	}
	return nil
}

// Records implements link.Source.
func (l *Local) Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	l.touch()
	path := req.GetPath()
	if !l.lets(path) {
		return nil, l.notServed(path)
	}
	if l.o.Settings().Paused {
		return nil, l.paused()
	}
	if err := checkKeys(req.GetKeys()); err != nil {
		return nil, err
	}
	if err := l.o.Limit.Wait(ctx, 0); err != nil {
		return nil, err
	}
	if req.GetMend() && l.o.Mend != nil {
		l.o.Mend(path, req.GetKeys())
	}
	keys, filter := req.GetKeys(), l.o.Terms(path).Filter
	if !filter.whole() { // of what is left out nothing is told, not even that it is long
		keys = slices.DeleteFunc(slices.Clone(keys), func(k []byte) bool { return len(k) > 0 && !filter.admitsKey(k) })
	}
	page, err := l.o.Catalog.ScanTheseWithin(path, keys, l.longest(req.GetMost()))
	if long, ok := errors.AsType[*catalog.LongKey](err); ok {
		return nil, l.tooLong(path, long, req.GetMost())
	}
	if err != nil {
		return nil, l.readFailed("read keys of", path, err)
	}
	if !filter.whole() {
		page.Records = slices.DeleteFunc(page.Records, func(r *catalogpb.Record) bool { return !filter.admits(r) })
	}
	l.count.scanned.Add(uint64(len(page.Records)))
	l.count.logical.Add(logicalBytes(page.Records))
	out := scanPageOf(page)
	if req.GetMost() == 0 && proto.Size(out) > l.o.message {
		return nil, l.tooLong(path, &catalog.LongKey{Key: out.Records[0].GetKey(), Most: l.o.message}, 0)
	}
	l.o.Limit.Charge(proto.Size(out))
	return out, nil
}

// scanPageOf is a page of a scan as it travels.
func scanPageOf(page *catalog.ScanPage) *linkpb.ScanPage {
	return &linkpb.ScanPage{
		Incarnation: page.Incarnation,
		Epoch:       page.Epoch,
		Seq:         page.Seq,
		Seen:        page.Seen,
		Records:     page.Records,
		NextKey:     page.NextKey,
		Done:        page.Done,
	}
}

// rangesOf reads the ranges of a request.
func rangesOf(req *linkpb.DigestRequest) ([]catalog.KeyRange, error) {
	if n := len(req.GetRanges()); n > maxRanges {
		return nil, link.Refuse(link.CodeInvalid, "%d ranges of keys are more than %d", n, maxRanges)
	}
	out := make([]catalog.KeyRange, len(req.GetRanges()))
	for i, r := range req.GetRanges() {
		out[i] = catalog.KeyRange{From: r.GetFrom(), To: r.GetTo()}
		if len(r.GetTo()) == 0 {
			out[i].To = nil
		}
		before := i == 0 || out[i-1].To != nil && bytes.Compare(out[i-1].To, out[i].From) <= 0
		proper := out[i].To == nil || bytes.Compare(out[i].From, out[i].To) < 0
		if !before || !proper || len(r.GetFrom()) > catalog.MaxKey+1 || len(r.GetTo()) > catalog.MaxKey+1 {
			return nil, link.Refuse(link.CodeInvalid, "range %d of keys is not one, or is out of order", i)
		}
	}
	return out, nil
}

// checkKeys reports keys that a request must not have.
func checkKeys(keys [][]byte) error {
	if n := len(keys); n > maxRecords {
		return link.Refuse(link.CodeInvalid, "%d keys are more than %d", n, maxRecords)
	}
	for i, k := range keys {
		if len(k) > catalog.MaxKey || i > 0 && bytes.Compare(keys[i-1], k) >= 0 {
			return link.Refuse(link.CodeInvalid, "key %d is too long, or is out of order", i)
		}
	}
	return nil
}

// allOf leaves out the sum of all versions when it is that of the latest ones.
func allOf(heads, all *catalog.Sum) []byte {
	if *heads == *all {
		return nil
	}
	return all[:]
}

func rangeSum(s *catalog.RangeSum) *linkpb.RangeSum {
	return &linkpb.RangeSum{Keys: s.Keys, Versions: s.Versions, Heads: s.Heads[:], All: allOf(&s.Heads, &s.All)}
}

func keySum(s *catalog.KeySum) *linkpb.KeySum {
	return &linkpb.KeySum{Key: s.Key, Heads: s.Heads[:], All: allOf(&s.Heads, &s.All)}
}
