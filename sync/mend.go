package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// mendRequest names keys of a bucket that are to be looked at again, as a scan
// would.
type mendRequest struct {
	path string
	keys [][]byte
}

// maxMends bounds the requests that wait. What is beyond is dropped: who asks looks
// at the outcome.
const maxMends = 64

// maxMending bounds the requests that are being carried out, as a peer can
// ask for as many as it likes. What is beyond is dropped too.
const maxMending = 4

// Mend makes the engine read some keys of a bucket from the far end again, which
// are in order and at most 1,024, and take what is missing here: also what this
// site has seen before and does not have any more, unless something that is kept
// deletes or purges it. Nothing is removed here because it is missing there. What
// of the keys is in quarantine is tried at once. It returns at once; without a
// session, or while the bucket is not open, nothing happens. The keys belong to the
// engine from then on.
func (e *Engine) Mend(path string, keys [][]byte) {
	select {
	case e.mends <- mendRequest{path: path, keys: keys}:
	default:
	}
}

// onMend reads the keys of a request.
func (s *session) onMend(m mendRequest) {
	b := s.buckets[m.path]
	if b == nil || !b.live || !s.mayFetch() || s.e.mending >= maxMending || b.scan.bytes >= laneBytes {
		return
	}
	now := s.o.Clock()
	for _, v := range b.pend {
		if v.quarantined() && among(m.keys, v.rec.GetKey()) {
			v.rewind()
			s.tr.add(v, now)
		}
	}
	o := &opening{there: b.there, want: b.want, filter: b.filter}
	s.e.mending++
	s.do(func(ctx context.Context) func() {
		records, _, long, err := s.readKeys(ctx, o, m.keys, examineLost, nil)
		return func() {
			s.e.mending--
			switch {
			case b.closed:
				if long != nil {
					long()
				}
			case isLarge(err), errors.Is(err, errAnotherLong), link.Cause(err) == string(link.CodeInternal):
				s.log.Warn("link: keys that differ are not taken again", "bucket", b.path, "cause", err)
			case err != nil:
				s.openFailed(b, err)
			default:
				s.log.Info("link: keys that differ are taken again", "bucket", b.path, "keys", len(m.keys), "records", len(records))
				s.enlist(b, &b.scan, records, s.o.Clock())
				s.queueLong(b, records, long)
				s.mark(b)
			}
		}
	})
}

func among(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// readKeys reads the records of some keys and looks at them; examine says how. got,
// if set, is called with each page and the keys it answers. It ends after the first n of
// the keys when their records are enough for a lane. long is as in page.
func (s *session) readKeys(ctx context.Context, o *opening, keys [][]byte, examine examiner,
	got func(keys [][]byte, page *linkpb.ScanPage) error) (out []incoming, n int, long func(), err error) {
	defer func() {
		if err != nil && long != nil {
			long()
		}
	}()
	there := o.there
	for size := 0; n < len(keys) && long == nil && size < laneBytes; {
		rest := keys[n:]
		var page *linkpb.ScanPage
		page, long, err = s.askPage(ctx, func(most uint32) (*linkpb.ScanPage, error) {
			return s.o.Source.Records(ctx, &linkpb.RecordsRequest{Path: there.GetPath(), Keys: rest, Most: most})
		})
		if n > 0 && (isLarge(err) || errors.Is(err, errAnotherLong)) {
			return out, n, nil, nil // what was read is good
		}
		if err != nil {
			return nil, 0, long, err
		}
		bytesOf := proto.Size(page)
		size += bytesOf
		s.o.Limit.Charge(bytesOf)
		if !bytes.Equal(page.GetIncarnation(), there.GetIncarnation()) || page.GetEpoch() != there.GetEpoch() {
			return nil, 0, long, errAnotherLife
		}
		answered, err := checkRecords(page, rest)
		if err != nil {
			return nil, 0, long, violated("records of bucket %s: %w", there.GetPath(), err)
		}
		records, err := examine(s.o.Catalog, there.GetPath(), page.GetRecords(), o.filter)
		if err != nil {
			return nil, 0, long, err
		}
		for i := range records {
			records[i].seq = page.GetSeq()
		}
		out = append(out, records...)
		if got != nil {
			if err := got(rest[:answered], page); err != nil {
				return nil, 0, long, err
			}
		}
		n += answered
	}
	return out, n, long, nil
}

// examiner is examine or one of its like.
type examiner func(c *catalog.Catalog, path string, records []*catalogpb.Record, filter Filter) ([]incoming, error)

// mend merges some keys at both ends, and notes which differences are gone then.
func (x *verification) mend(ctx context.Context, keys [][]byte, found []Difference) error {
	x.e.Mend(x.path, keys)
	x.cmp.compare.Requests++
	_, err := x.e.o.Source.Records(ctx, &linkpb.RecordsRequest{Path: x.path, Keys: keys, Mend: true})
	if err != nil && !isLarge(err) { // what it would answer is not wanted
		return fmt.Errorf("ask %s to merge: %w", x.e.o.PeerName, err)
	}
	deadline := x.e.o.Clock().Add(x.o.Settle)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		at, err := x.shownOf(ctx, keys)
		if err != nil {
			return err
		}
		left := 0
		for _, k := range keys {
			if x.differ(at, k) {
				left++
			}
		}
		if over := !x.e.o.Clock().Before(deadline); left > 0 && !over {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-poll.C:
			}
			continue
		}
		for i := range found {
			d := &found[i]
			d.Repaired = d.Repaired || d.Kind != Corrupt && !x.differ(at, d.Key)
		}
		return nil
	}
}
