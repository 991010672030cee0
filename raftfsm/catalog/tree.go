package catalog

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// The tree over the keys of a bucket has two levels. Its leaves are runs of keys
// that follow each other, each with the sums of what its keys show; its root has
// the sums of the whole bucket. A leaf ends with a key that says so by its hash,
// so where the leaves end follows from which keys there are and not from the order
// in which they came; the last leaf has no end. On average a leaf has leafKeys
// keys. The sums of any other range are those of the leaves within it, and of the
// keys at its two ends, so that two sites can compare ranges that neither of them
// has a leaf for (the comparison is the range-based set reconciliation of A. L.
// Meyer, 2022, over sums that are kept instead of computed).
//
// What a key shows is what S3 shows of it, because that is what two sites that
// are in sync have in common: its versions and delete markers, with their
// attributes and the revocations of their purges. The history of the null version,
// deletions and purges are not in it; each site keeps those for as long as it
// needs them itself. The settings of the bucket count as those of a key that is
// empty, the first.

// leafKeys is the number of keys of a leaf, on average. It is a power of two.
const leafKeys = 128

// endsLeaf reports whether a key is the last of its leaf. The hash is FNV-1a of
// 64 bits with the finalizer of MurmurHash3 (A. Appleby) behind it: rows that
// exist depend on it, so it must not change.
func endsLeaf(key []byte) bool {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return (h^h>>33)%leafKeys == 0
}

// shownSum says what a set of keys shows. The zero value is that of no keys.
type shownSum struct {
	keys     uint64 // that have a version or a delete marker
	versions uint64 // and delete markers, of all keys
	heads    setSum // of each key the latest version or delete marker, and the bucket's settings
	all      setSum // of each key all versions and delete markers, and the bucket's settings
}

// add and sub wrap around, so a difference can be held and added too.
func (s *shownSum) add(o *shownSum) {
	s.keys += o.keys
	s.versions += o.versions
	s.heads.add(o.heads)
	s.all.add(o.all)
}

func (s *shownSum) sub(o *shownSum) {
	s.keys -= o.keys
	s.versions -= o.versions
	s.heads.sub(o.heads)
	s.all.sub(o.all)
}

// appendShown encodes a sum: the two counts as LEB128, a byte that is 1 when the
// sum of all versions follows that of the heads and 0 when they are equal.
func appendShown(dst []byte, s *shownSum) []byte {
	dst = binary.AppendUvarint(dst, s.keys)
	dst = binary.AppendUvarint(dst, s.versions)
	sums := [2]setSum{s.heads, s.all}
	more := 0
	if s.all != s.heads {
		more = 1
	}
	dst = append(dst, byte(more))
	for _, sum := range sums[:1+more] {
		for _, w := range sum {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
	}
	return dst
}

var errShown = errors.New("decode sums of keys: the row is damaged")

func decodeShown(b []byte) (s shownSum, err error) {
	for _, n := range []*uint64{&s.keys, &s.versions} {
		v, used := binary.Uvarint(b)
		if used <= 0 {
			return s, errShown
		}
		*n, b = v, b[used:]
	}
	if len(b) < 1 || b[0] > 1 || len(b) != 1+32*(1+int(b[0])) {
		return s, errShown
	}
	s.heads = parseSum(b[1:33])
	s.all = s.heads
	if b[0] == 1 {
		s.all = parseSum(b[33:])
	}
	return s, nil
}

// tree is the root: the sums of a bucket, and the bucket's sequence when they were
// brought up to date. Another sequence in the bucket's state shows that a release
// which knows nothing of the tree has changed the bucket since.
type tree struct {
	seq uint64
	shownSum
}

func appendTree(dst []byte, t *tree) []byte {
	return appendShown(binary.BigEndian.AppendUint64(dst, t.seq), &t.shownSum)
}

func decodeTree(b []byte) (t tree, err error) {
	if len(b) < 8 {
		return t, errShown
	}
	t.seq = binary.BigEndian.Uint64(b)
	t.shownSum, err = decodeShown(b[8:])
	return t, err
}

// Below a bucket's number a row of the tree is the root, a leaf with the key that
// ends it, or the last leaf.
const (
	treeRoot = 0
	treeLeaf = 1
	treeLast = 2
)

func rootKey(dst []byte, number uint64) []byte {
	return append(below(dst, rowTree, number), treeRoot)
}

// leafKey is the row of the leaf that ends with a key.
func leafKey(dst []byte, number uint64, end []byte) []byte {
	return append(append(below(dst, rowTree, number), treeLeaf), end...)
}

func lastLeafKey(dst []byte, number uint64) []byte {
	return append(below(dst, rowTree, number), treeLast)
}

// leaf is a leaf as it was found. It ends with the key end, or has no end.
type leaf struct {
	last bool
	end  []byte // valid until the iterator moves
	shownSum
}

// holds reports whether a key that is not below the leaf lies in it.
func (l *leaf) holds(key []byte) bool { return l.last || string(key) <= string(l.end) }

// leaves walks the leaves of a bucket.
type leaves struct {
	it     *pebble.Iterator
	number uint64
	key    []byte // scratch
}

// newLeaves opens a walk; the caller closes it.
func newLeaves(rows pebble.Reader, number uint64) (*leaves, error) {
	it, err := rows.NewIter(&pebble.IterOptions{
		LowerBound: leafKey(nil, number, nil), UpperBound: successor(lastLeafKey(nil, number))})
	if err != nil {
		return nil, err
	}
	return &leaves{it: it, number: number}, nil
}

func (w *leaves) close() error { return errors.Join(w.it.Error(), w.it.Close()) }

// seek finds the leaf that a key lies in. A bucket without leaves has one without
// keys.
func (w *leaves) seek(key []byte) (leaf, error) {
	w.key = leafKey(w.key[:0], w.number, key)
	return w.found(w.it.SeekGE(w.key))
}

// next finds the leaf behind the one that was found last.
func (w *leaves) next() (leaf, error) { return w.found(w.it.Next()) }

func (w *leaves) found(valid bool) (l leaf, err error) {
	if !valid {
		return leaf{last: true}, w.it.Error()
	}
	value, err := w.it.ValueAndErr()
	if err != nil {
		return l, err
	}
	if l.shownSum, err = decodeShown(value); err != nil {
		return l, err
	}
	key := w.it.Key()[prefixLen:]
	l.last = key[0] == treeLast
	l.end = key[1:]
	return l, nil
}

// shownReader sums up what keys show, from their rows.
type shownReader struct {
	rows   pebble.Reader
	number uint64
	hashes *hashes
}

// unit is the sum of a version or a delete marker with what belongs to it.
func (s *shownReader) unit(k []byte, m keyMeta, r *pb.Record) (sum setSum, err error) {
	sum = s.hashes.record(r)
	attributes, err := readAttributes(s.rows, s.number, k, m, r.GetDot())
	if err != nil {
		return sum, err
	}
	for _, a := range attributes {
		sum.add(s.hashes.beside(a))
	}
	if !HasID(r) {
		return sum, nil
	}
	reg, err := readRegister(s.rows, s.number, k, m, r.GetDot())
	if err == nil && reg.GetRevoked() {
		sum.add(s.hashes.beside(reg))
	}
	return sum, err
}

// row sums up one key by its row.
func (s *shownReader) row(key, value []byte) (out shownSum, err error) {
	m, head, err := decodeHead(value)
	if err != nil || head == nil || !Visible(head) {
		return out, err
	}
	if out.heads, err = s.unit(key, m, head); err != nil {
		return out, err
	}
	out.keys, out.versions, out.all = 1, 1, out.heads
	one := func(r *pb.Record) (bool, error) {
		sum, err := s.unit(key, m, r)
		out.versions++
		out.all.add(sum)
		return true, err
	}
	if m.older > 0 && !nullLane(head) {
		nulls, err := readNulls(s.rows, s.number, key, m, head)
		if err != nil {
			return out, err
		}
		if Visible(nulls[0]) {
			if _, err := one(nulls[0]); err != nil {
				return out, err
			}
		}
	}
	return out, scanOwn(s.rows, s.number, key, m, head, one)
}

// settings sums up the settings of the bucket.
func (s *shownReader) settings() (out shownSum, err error) {
	fields, err := readFields(s.rows, s.number)
	for _, f := range fields {
		out.all.add(s.hashes.beside(f))
	}
	out.heads = out.all
	return out, err
}

// span calls fn with every key from lower (inclusive) to upper (exclusive, nil for
// no bound) and its sum, until fn returns false.
func (s *shownReader) span(lower, upper []byte, fn func(key []byte, sum *shownSum) (bool, error)) error {
	_, bound := bounds(rowHead, s.number)
	if upper != nil {
		bound = headKey(nil, s.number, upper)
	}
	from := headKey(nil, s.number, lower)
	if string(from) >= string(bound) {
		return nil
	}
	return scan(s.rows, from, bound, func(key, value []byte) (bool, error) {
		key = key[prefixLen:]
		sum, err := s.row(key, value)
		if err != nil {
			return false, err
		}
		return fn(key, &sum)
	})
}

// sum adds up the keys from lower (inclusive) to upper (exclusive, nil for no
// bound).
func (s *shownReader) sum(lower, upper []byte) (out shownSum, err error) {
	err = s.span(lower, upper, func(_ []byte, sum *shownSum) (bool, error) {
		out.add(sum)
		return true, nil
	})
	return out, err
}
