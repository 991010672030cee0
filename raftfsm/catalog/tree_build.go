package catalog

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// loadTree reads the root of a bucket's tree. A catalog that was last written by a
// release without the tree has none, or one that is behind the bucket: then the
// tree is built from the keys first, which takes a few microseconds for each.
//
// It is built outside of any command. That is safe because the rows follow from
// the keys alone, and because the root is written last: whatever a crash leaves of
// it is built again.
func loadTree(db *pebble.DB, s *pb.BucketState) (tree, error) {
	if s.GetDeleted() || s.GetSeq() == 0 {
		return tree{}, nil
	}
	t, found, err := readTree(db, s.GetNumber())
	if err == nil && found && t.seq == s.GetSeq() {
		return t, nil
	}
	if err != nil && !errors.Is(err, errShown) {
		return t, err
	}
	if t, err = buildTree(db, s); err != nil {
		return t, fmt.Errorf("build tree of bucket %s: %w", s.GetPath(), err)
	}
	return t, nil
}

// readTree reads the root of a bucket's tree.
func readTree(rows pebble.Reader, number uint64) (t tree, found bool, err error) {
	found, err = read(rows, rootKey(nil, number), func(value []byte) error {
		t, err = decodeTree(value)
		return err
	})
	return t, found, err
}

// buildBytes is how much is written at once while a tree is built.
const buildBytes = 1 << 20

// buildTree writes the tree of a bucket from its keys.
func buildTree(db *pebble.DB, s *pb.BucketState) (t tree, err error) {
	number := s.GetNumber()
	t.seq = s.GetSeq()
	batch := db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	lower, upper := bounds(rowTree, number)
	if err := batch.DeleteRange(lower, upper, nil); err != nil {
		return t, err
	}
	put := func(key []byte, value []byte) error {
		if err := batch.Set(key, value, nil); err != nil || batch.Len() < buildBytes {
			return err
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			return err
		}
		batch.Reset()
		return nil
	}
	r := &shownReader{rows: db, number: number, hashes: new(hashes)}
	err = r.eachLeaf(func(l *leaf) error {
		t.add(&l.shownSum)
		key := lastLeafKey(nil, number)
		if !l.last {
			key = leafKey(nil, number, l.end)
		} else if l.shownSum == (shownSum{}) {
			return nil
		}
		return put(key, appendShown(nil, &l.shownSum))
	})
	if err != nil {
		return t, err
	}
	if err := batch.Set(rootKey(nil, number), appendTree(nil, &t), nil); err != nil {
		return t, err
	}
	return t, batch.Commit(pebble.NoSync)
}

// eachLeaf calls fn with every leaf as the keys make it, without looking at the
// rows of the leaves.
func (s *shownReader) eachLeaf(fn func(*leaf) error) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	l := leaf{shownSum: settings}
	err = s.span(nil, nil, func(key []byte, sum *shownSum) (bool, error) {
		l.add(sum)
		if !endsLeaf(key) {
			return true, nil
		}
		l.end = bytes.Clone(key)
		err := fn(&l)
		l = leaf{}
		return true, err
	})
	if err != nil {
		return err
	}
	l.last = true
	return fn(&l)
}

// leaves checks the rows of the tree against what the keys make of them. Of a bucket
// that was deleted nothing is shown, wherever its leaves end; one that is made
// again has fewer ends than deleted keys of its that were left.
func (k *checker) leaves() error {
	if k.state.GetDeleted() {
		return nil
	}
	s := &shownReader{rows: k.rows, number: k.number, hashes: &k.hashes}
	w, err := newLeaves(k.rows, k.number)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }() // its errors were seen before
	stored, err := w.seek(nil)
	if err != nil {
		return err
	}
	var sum, total shownSum
	err = s.eachLeaf(func(l *leaf) error {
		if err := k.ctx.Err(); err != nil {
			return err
		}
		sum.add(&l.shownSum)
		switch {
		case !stored.last && !l.last && bytes.Compare(stored.end, l.end) < 0, !stored.last && l.last:
			return fmt.Errorf("a leaf of the tree ends with key %q, which is not there", stored.end)
		case stored.last != l.last || !bytes.Equal(stored.end, l.end):
			return nil // the key's leaf was dropped with the bucket it was in
		}
		if sum != stored.shownSum {
			return fmt.Errorf("the leaf of the tree that ends with key %q does not have the sums of its keys", l.end)
		}
		total.add(&sum)
		sum = shownSum{}
		stored, err = w.next()
		return err
	})
	if err != nil {
		return err
	}
	root, found, err := readTree(k.rows, k.number)
	switch {
	case err != nil:
		return err
	case !found && k.state.GetSeq() > 0:
		return errors.New("the tree has no root")
	case root.seq != k.state.GetSeq():
		return fmt.Errorf("the tree is of sequence %d, but the bucket is at %d", root.seq, k.state.GetSeq())
	case root.shownSum != total:
		return errors.New("the root of the tree does not have the sums of its leaves")
	}
	return nil
}
