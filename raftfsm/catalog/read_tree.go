package catalog

import (
	"bytes"
	"fmt"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// KeyRange is a range of the keys of a bucket: from From (inclusive; empty for the
// beginning, which has the bucket's settings too) to To (exclusive; nil for the end).
type KeyRange struct{ From, To []byte }

// check reports a range that is none.
func (r KeyRange) check() error {
	if r.To != nil && bytes.Compare(r.From, r.To) >= 0 {
		return fmt.Errorf("keys from %q to %q are no range", r.From, r.To)
	}
	return nil
}

// sumLen is the length of a [Sum].
const sumLen = 16

// Sum is the sum of what keys show, as it is compared with another site's: the
// lowest 128 bits of a set hash, the least significant byte first. The sum of two
// ranges that do not overlap is the sum of their numbers modulo 2^128.
type Sum [sumLen]byte

func (s setSum) short() (out Sum) {
	copy(out[:], s.bytes())
	return out
}

// RangeSum says what a set of keys shows: of two sites that show the same it is the
// same, and it is not if anything differs.
type RangeSum struct {
	Keys     uint64 // that have a version or a delete marker
	Versions uint64 // versions and delete markers of those keys
	// Heads is of the latest version or delete marker of each key with its
	// attributes, All of every one; both are of the bucket's settings too. Where
	// a site keeps a bounded number of versions only Heads can be compared.
	Heads, All Sum
}

func (s *shownSum) short() RangeSum {
	return RangeSum{Keys: s.keys, Versions: s.versions, Heads: s.heads.short(), All: s.all.short()}
}

// Sums are sums of ranges of a bucket's keys at one moment.
type Sums struct {
	Ranges []RangeSum
	// Sparse says that versions with an id of their own may be missing here
	// because a bounded number of them is kept: only Heads can be compared.
	Sparse bool
	// Seq, Incarnation and Epoch are the bucket's. What the log has above Seq may
	// be in the sums.
	Seq         uint64
	Incarnation []byte
	Epoch       uint32
}

// Sums sums up ranges of a bucket's keys. The whole bucket costs one read, another
// range one for each leaf of the tree within it (some hundred keys) and one for
// each key at its ends.
func (c *Catalog) Sums(path string, ranges []KeyRange) (*Sums, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	out := &Sums{
		Ranges: make([]RangeSum, len(ranges)), Sparse: v.state.GetSeen().GetSparse(),
		Seq: v.state.GetSeq(), Incarnation: bytes.Clone(v.state.GetIncarnation()), Epoch: v.epoch,
	}
	for i, r := range ranges {
		var sum shownSum
		if len(r.From) == 0 && r.To == nil {
			t, _, err := readTree(v.rows, v.number)
			if err != nil {
				return nil, err
			}
			sum = t.shownSum
		} else if err := v.pieces(r, func(_ KeyRange, s *shownSum) { sum.add(s) }); err != nil {
			return nil, err
		}
		out.Ranges[i] = sum.short()
	}
	return out, nil
}

// pieces calls fn with the parts of a range in order: its leaves, and what it has
// of the leaves at its ends.
func (v *view) pieces(r KeyRange, fn func(KeyRange, *shownSum)) (err error) {
	if err := r.check(); err != nil {
		return err
	}
	w, err := newLeaves(v.rows, v.number)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := w.close(); err == nil {
			err = cerr
		}
	}()
	s := &shownReader{rows: v.rows, number: v.number, hashes: new(hashes)}
	from := r.From
	whole, err := v.beginsLeaf(from)
	if err != nil {
		return err
	}
	l, err := w.seek(from)
	for err == nil {
		within := r.To == nil || !l.last && bytes.Compare(l.end, r.To) < 0 // its end is
		piece := KeyRange{From: from, To: r.To}
		if within && !l.last {
			piece.To = append(bytes.Clone(l.end), 0)
		}
		sum := l.shownSum
		if !whole || !within {
			if sum, err = s.sum(piece.From, piece.To); err != nil {
				return err
			}
			if len(from) == 0 {
				settings, err := s.settings()
				if err != nil {
					return err
				}
				sum.add(&settings)
			}
		}
		fn(piece, &sum)
		from, whole = piece.To, true
		if !within || l.last || r.To != nil && bytes.Compare(from, r.To) >= 0 {
			return nil
		}
		l, err = w.next()
	}
	return err
}

// beginsLeaf reports whether a leaf begins at a key: at the first, and right behind
// one that ends a leaf.
func (v *view) beginsLeaf(key []byte) (bool, error) {
	n := len(key)
	if n == 0 {
		return true, nil
	}
	if key[n-1] != 0 {
		return false, nil
	}
	return read(v.rows, leafKey(nil, v.number, key[:n-1]), func([]byte) error { return nil })
}

// RangePart is a part of a range with its sum.
type RangePart struct {
	KeyRange
	RangeSum
}

// PartRange divides a range into parts that have about as many leaves of the tree
// each, and sums them up: at most 2*most of them (most is at least 1), and one
// for each leaf where those are fewer.
func (c *Catalog) PartRange(path string, r KeyRange, most int) ([]RangePart, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	type part struct {
		KeyRange
		shownSum
	}
	var parts []part
	each, last := 1, 1 // pieces in a part, and in the last one
	err = v.pieces(r, func(piece KeyRange, sum *shownSum) {
		if last < each {
			p := &parts[len(parts)-1]
			p.To = piece.To
			p.add(sum)
			last++
			return
		}
		if most = max(1, most); len(parts) == 2*most { // two become one, from now on too
			for i := range most {
				p := parts[2*i]
				p.To = parts[2*i+1].To
				p.add(&parts[2*i+1].shownSum)
				parts[i] = p
			}
			parts = parts[:most]
			each *= 2
		}
		parts = append(parts, part{KeyRange: piece, shownSum: *sum})
		last = 1
	})
	if err != nil {
		return nil, err
	}
	out := make([]RangePart, len(parts))
	for i := range parts {
		out[i] = RangePart{KeyRange: parts[i].KeyRange, RangeSum: parts[i].short()}
	}
	return out, nil
}

// KeySum says what one key shows. That of the empty key is of the bucket's settings.
type KeySum struct {
	Key        []byte
	Heads, All Sum
}

// KeySums lists what the keys of a range show, one by one and in order: at most
// limit of them (1,000 when it is 0), those that show nothing left out. next is
// where the list goes on; nil at the end.
func (c *Catalog) KeySums(path string, r KeyRange, limit int) (sums []KeySum, next []byte, err error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	v, err := c.view(path)
	if err != nil {
		return nil, nil, err
	}
	defer v.close()
	limit = pageLimit(limit)
	s := &shownReader{rows: v.rows, number: v.number, hashes: new(hashes)}
	if len(r.From) == 0 {
		settings, err := s.settings()
		if err != nil {
			return nil, nil, err
		}
		if settings != (shownSum{}) {
			sums = append(sums, KeySum{Heads: settings.heads.short(), All: settings.all.short()})
		}
	}
	examined := 0
	err = s.span(r.From, r.To, func(key []byte, sum *shownSum) (bool, error) {
		if examined++; len(sums) >= limit || examined > MaxPage {
			next = bytes.Clone(key)
			return false, nil
		}
		if sum.keys > 0 {
			sums = append(sums, KeySum{Key: bytes.Clone(key), Heads: sum.heads.short(), All: sum.all.short()})
		}
		return true, nil
	})
	return sums, next, err
}

// Shown returns what a sum of a bucket counts of one key: its versions and delete
// markers, the latest first, without what belongs to them.
func (c *Catalog) Shown(path string, key []byte) ([]*pb.Record, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	all, err := readKey(v.rows, v.number, key)
	if err != nil {
		return nil, err
	}
	return ShownOf(all), nil
}

// ShownOf picks what a sum counts out of the records of a key: its versions with an
// id of their own, and its null version. The records are in the order of Compare,
// the greatest first.
func ShownOf(records []*pb.Record) (out []*pb.Record) {
	null := false
	for _, r := range records {
		if !nullLane(r) {
			if rowOf(r) == rowOwn {
				out = append(out, r)
			}
			continue
		}
		if !null && Visible(r) {
			out = append(out, r)
		}
		null = true
	}
	return out
}
