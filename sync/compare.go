package objsync

import (
	"bytes"
	"context"
	"fmt"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// A comparison finds the keys of a bucket that do not show the same here and at the
// far end, by sums of ranges of keys. Ranges that differ are divided along the
// leaves of this site's tree, the first ones first, until few keys are left; those
// are compared one by one. So the keys come in their order, what is kept in memory
// is bounded, and the work is in proportion to what differs.
type comparison struct {
	cat  *catalog.Catalog
	src  link.Source
	path string

	sparse  bool  // at either side: only the latest versions can be compared
	work    []gap // ranges that differ, in order
	begun   bool
	life    []byte // the far end's incarnation
	epoch   uint32
	seq     uint64 // of the far end, when the comparison began
	ours    catalog.RangeSum
	compare ComparisonCounts
}

// ComparisonCounts are what a comparison took.
type ComparisonCounts struct {
	Requests uint64 // to the far end
	Ranges   uint64 // whose sums were asked for
	Listed   uint64 // keys that were compared one by one
}

// gap is a range of keys that differs, or is not known to be equal.
type gap struct {
	catalog.KeyRange
	keys uint64 // that both sides show in it, together
	list bool   // there is no point in dividing it
}

const (
	compareFan   = 64  // parts of a range that is divided: up to twice as many
	compareWidth = 16  // ranges that are divided, or listed, in one request
	compareList  = 512 // keys of both sides up to which a range is listed
)

// differingKey is a key that does not show the same; the empty one stands for the
// bucket's settings.
type differingKey struct {
	key         []byte
	here, there bool // something is shown there
}

// newComparison prepares a comparison of a range of a bucket's keys.
func newComparison(cat *catalog.Catalog, src link.Source, path string, r catalog.KeyRange) *comparison {
	return &comparison{cat: cat, src: src, path: path, work: []gap{{KeyRange: r}}}
}

// next returns the next keys that differ, about as many as asked for at most, and
// up to where all keys were compared: nil when that is all.
func (c *comparison) next(ctx context.Context, most int) (keys []differingKey, upTo []byte, err error) {
	if !c.begun {
		if err := c.begin(ctx); err != nil {
			return nil, nil, err
		}
	}
	for len(c.work) > 0 && len(keys) < most {
		if c.work[0].list {
			var found []differingKey
			found, err = c.list(ctx, most-len(keys))
			keys = append(keys, found...)
		} else {
			err = c.divide(ctx)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(c.work) == 0 {
		return keys, nil, nil
	}
	return keys, c.work[0].From, nil
}

// begin compares the whole range.
func (c *comparison) begin(ctx context.Context) error {
	whole := c.work[0]
	mine, err := c.cat.Sums(c.path, []catalog.KeyRange{whole.KeyRange})
	if err != nil {
		return &localError{fmt.Errorf("sum up bucket %s: %w", c.path, err)}
	}
	theirs, err := c.ask(ctx, []catalog.KeyRange{whole.KeyRange})
	if err != nil {
		return err
	}
	c.begun = true
	c.sparse = mine.Sparse || theirs.GetSparse()
	c.life, c.epoch, c.seq = theirs.GetIncarnation(), theirs.GetEpoch(), theirs.GetSeq()
	c.ours = mine.Ranges[0]
	c.work = nil
	if g, differs := c.gap(whole.KeyRange, &mine.Ranges[0], theirs.GetSums()[0]); differs {
		c.work = append(c.work, g)
	}
	return nil
}

// gap says what is to be done about a range whose sums are known.
func (c *comparison) gap(r catalog.KeyRange, mine *catalog.RangeSum, theirs *linkpb.RangeSum) (g gap, differs bool) {
	if c.equal(mine.Heads, mine.All, theirs.GetHeads(), theirs.GetAll()) {
		return g, false
	}
	g = gap{KeyRange: r, keys: mine.Keys + theirs.GetKeys()}
	// Where one side has nothing, everything that the other has differs.
	g.list = g.keys <= compareList || mine.Keys == 0 || theirs.GetKeys() == 0
	return g, true
}

// equal compares two pairs of sums.
func (c *comparison) equal(heads, all catalog.Sum, theirHeads, theirAll []byte) bool {
	if len(theirAll) == 0 {
		theirAll = theirHeads
	}
	return bytes.Equal(heads[:], theirHeads) && (c.sparse || bytes.Equal(all[:], theirAll))
}

// ask asks the far end for the sums of ranges, and checks what it says.
func (c *comparison) ask(ctx context.Context, ranges []catalog.KeyRange) (*linkpb.DigestReply, error) {
	got, err := c.request(ctx, ranges, false)
	if err != nil {
		return nil, err
	}
	if len(got.GetSums()) != len(ranges) {
		return nil, violated("sums of bucket %s: %d for %d ranges", c.path, len(got.GetSums()), len(ranges))
	}
	for _, s := range got.GetSums() {
		if len(s.GetHeads()) != len(catalog.Sum{}) || len(s.GetAll()) != 0 && len(s.GetAll()) != len(catalog.Sum{}) {
			return nil, violated("sums of bucket %s: a sum of %d and %d bytes", c.path, len(s.GetHeads()), len(s.GetAll()))
		}
	}
	c.compare.Ranges += uint64(len(ranges))
	return got, nil
}

func (c *comparison) request(ctx context.Context, ranges []catalog.KeyRange, list bool) (*linkpb.DigestReply, error) {
	req := &linkpb.DigestRequest{Path: c.path, List: list}
	for _, r := range ranges {
		req.Ranges = append(req.Ranges, &linkpb.KeyRange{From: r.From, To: r.To})
	}
	c.compare.Requests++
	got, err := c.src.Digest(ctx, req)
	if err != nil {
		return nil, err
	}
	if c.begun && (!bytes.Equal(got.GetIncarnation(), c.life) || got.GetEpoch() != c.epoch) {
		return nil, errAnotherLife
	}
	return got, nil
}

// divide replaces the first ranges that are to be divided by what differs of their
// parts.
func (c *comparison) divide(ctx context.Context) error {
	n := 0
	var parts []catalog.RangePart
	var ends []int // of the parts of each range
	for n < len(c.work) && n < compareWidth && !c.work[n].list {
		of, err := c.cat.PartRange(c.path, c.work[n].KeyRange, compareFan)
		if err != nil {
			return &localError{fmt.Errorf("divide keys of bucket %s: %w", c.path, err)}
		}
		parts = append(parts, of...)
		ends = append(ends, len(parts))
		n++
	}
	ranges := make([]catalog.KeyRange, len(parts))
	for i := range parts {
		ranges[i] = parts[i].KeyRange
	}
	theirs, err := c.ask(ctx, ranges)
	if err != nil {
		return err
	}
	var work []gap
	begin := 0
	for _, end := range ends {
		for i := begin; i < end; i++ {
			if g, differs := c.gap(ranges[i], &parts[i].RangeSum, theirs.GetSums()[i]); differs {
				g.list = g.list || end-begin == 1 // one leaf: it cannot be divided
				work = append(work, g)
			}
		}
		begin = end
	}
	c.work = append(work, c.work[n:]...)
	return nil
}

// list compares the keys of the first ranges one by one, and takes away from the
// work what was compared.
func (c *comparison) list(ctx context.Context, most int) (keys []differingKey, err error) {
	n := 0
	var ranges []catalog.KeyRange
	for n < len(c.work) && n < compareWidth && c.work[n].list {
		ranges = append(ranges, c.work[n].KeyRange)
		n++
	}
	got, err := c.request(ctx, ranges, true)
	if err != nil {
		return nil, err
	}
	if err := checkListed(got, ranges); err != nil {
		return nil, violated("keys of bucket %s: %w", c.path, err)
	}
	theirs, end := got.GetKeys(), got.GetNextKey()
	for len(c.work) > 0 && n > 0 {
		r := c.work[0].KeyRange
		if len(end) > 0 && bytes.Compare(r.From, end) >= 0 {
			return keys, nil // the rest is for another request
		}
		within := r
		if len(end) > 0 && (r.To == nil || bytes.Compare(end, r.To) < 0) {
			within.To = end
		}
		m := 0
		for m < len(theirs) && (within.To == nil || bytes.Compare(theirs[m].GetKey(), within.To) < 0) {
			m++
		}
		found, rest, err := c.merge(within, theirs[:m], most-len(keys))
		keys, theirs = append(keys, found...), theirs[m:]
		switch {
		case err != nil:
			return nil, err
		case rest != nil:
			c.work[0].From = rest
			return keys, nil
		case !bytes.Equal(within.To, r.To):
			c.work[0].From = within.To
			return keys, nil
		}
		c.work = c.work[1:]
		n--
	}
	return keys, nil
}

// merge compares the keys of a range here with those of the far end. rest is where
// it ended because enough was found.
func (c *comparison) merge(r catalog.KeyRange, theirs []*linkpb.KeySum, most int) (keys []differingKey, rest []byte, err error) {
	there := func(upTo []byte, all bool) bool { // what only the far end has, before a key
		for len(theirs) > 0 && (all || bytes.Compare(theirs[0].GetKey(), upTo) < 0) {
			if len(keys) >= most {
				rest = theirs[0].GetKey()
				return false
			}
			keys = append(keys, differingKey{key: theirs[0].GetKey(), there: true})
			theirs = theirs[1:]
		}
		return true
	}
	c.compare.Listed += uint64(len(theirs))
	for from := r.From; ; {
		mine, next, err := c.cat.KeySums(c.path, catalog.KeyRange{From: from, To: r.To}, 0)
		if err != nil {
			return nil, nil, &localError{fmt.Errorf("list keys of bucket %s: %w", c.path, err)}
		}
		for i := range mine {
			k := &mine[i]
			if !there(k.Key, false) {
				return keys, rest, nil
			}
			both := len(theirs) > 0 && bytes.Equal(theirs[0].GetKey(), k.Key)
			if both && c.equal(k.Heads, k.All, theirs[0].GetHeads(), theirs[0].GetAll()) {
				theirs = theirs[1:]
				continue
			}
			if len(keys) >= most {
				return keys, k.Key, nil
			}
			keys = append(keys, differingKey{key: k.Key, here: true, there: both})
			if both {
				theirs = theirs[1:]
			}
		}
		if next == nil {
			there(nil, true)
			return keys, rest, nil
		}
		from = next
	}
}

// checkListed checks that a list of keys is one of the ranges that were asked for.
func checkListed(got *linkpb.DigestReply, ranges []catalog.KeyRange) error {
	i := 0
	var last []byte
	for n, k := range got.GetKeys() {
		key := k.GetKey()
		for i < len(ranges) && ranges[i].To != nil && bytes.Compare(key, ranges[i].To) >= 0 {
			i++
		}
		switch {
		case i == len(ranges) || bytes.Compare(key, ranges[i].From) < 0:
			return fmt.Errorf("key %q was not asked for", key)
		case n > 0 && bytes.Compare(key, last) <= 0:
			return fmt.Errorf("key %q is out of order", key)
		case len(key) > catalog.MaxKey:
			return fmt.Errorf("a key of %d bytes", len(key))
		}
		last = key
	}
	if next := got.GetNextKey(); len(next) > 0 {
		if bytes.Compare(next, ranges[0].From) <= 0 || last != nil && bytes.Compare(next, last) <= 0 {
			return fmt.Errorf("the list goes on at %q, which it has passed", next)
		}
	}
	return nil
}
