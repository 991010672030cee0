package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// plus adds two short sums.
func plus(a, b Sum) (out Sum) {
	lo, carry := bits.Add64(binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(b[:]), 0)
	hi, _ := bits.Add64(binary.LittleEndian.Uint64(a[8:]), binary.LittleEndian.Uint64(b[8:]), carry)
	binary.LittleEndian.PutUint64(out[:], lo)
	binary.LittleEndian.PutUint64(out[8:], hi)
	return out
}

// sums lists what every key of a site shows, one by one.
func (s *site) sums(r KeyRange) []KeySum {
	s.t.Helper()
	var out []KeySum
	for {
		page, next, err := s.cat.KeySums(testPath, r, 3)
		if err != nil {
			s.t.Fatalf("list sums: %v", err)
		}
		out = append(out, page...)
		if next == nil {
			return out
		}
		r.From = next
	}
}

// sum sums up one range of a site.
func (s *site) sum(r KeyRange) RangeSum {
	s.t.Helper()
	got, err := s.cat.Sums(testPath, []KeyRange{r})
	if err != nil {
		s.t.Fatalf("sum range: %v", err)
	}
	return got.Ranges[0]
}

// sameSums fails unless the keys of a site show the same as those of the first,
// by their sums, and the sum of the whole is that of the keys.
func (m *mesh) sameSums(i int) {
	sparse := func(s *site) bool { return s.state().GetSeen().GetSparse() }
	either := sparse(m.sites[0]) || sparse(m.sites[i])
	byKey := func(s *site) map[string]KeySum {
		out := make(map[string]KeySum)
		var whole KeySum
		for _, k := range s.sums(KeyRange{}) {
			whole.Heads, whole.All = plus(whole.Heads, k.Heads), plus(whole.All, k.All)
			if either {
				k.All = Sum{}
			}
			out[string(k.Key)] = k
		}
		if got := s.sum(KeyRange{}); got.Heads != whole.Heads || got.All != whole.All {
			m.fail("site %d: the sum of the bucket is %x, that of its keys %x", i, got, whole)
		}
		return out
	}
	a, b := byKey(m.sites[0]), byKey(m.sites[i])
	keys := []string{""}
	for key := range meshKeys {
		keys = append(keys, key)
	}
	for _, key := range keys {
		if (a[key].Heads != b[key].Heads || a[key].All != b[key].All) && !m.unsettled(key) {
			m.fail("sites 0 and %d do not show the same of %q: %x, %x", i, key, a[key], b[key])
		}
	}
}

// treeKeys are keys for tests of the tree: a third of them end leaves.
func treeKeys(n int) []string {
	var ends, others []string
	for i := 0; len(ends) < n/3 || len(others) < n-n/3; i++ {
		key := fmt.Sprintf("dir%d/%05d", i%3, i)
		if endsLeaf([]byte(key)) {
			ends = append(ends, key)
		} else if i%40 == 0 {
			others = append(others, key)
		}
	}
	keys := append(ends[:n/3], others[:n-n/3]...)
	slices.Sort(keys)
	return keys
}

// TestTreeShape pins which keys end a leaf: the rows of a site depend on it.
func TestTreeShape(t *testing.T) {
	var got []string
	for i := range 2000 {
		if key := fmt.Sprintf("photo-%06d.jpg", i); endsLeaf([]byte(key)) {
			got = append(got, key[6:12])
		}
	}
	want := []string{
		"000098", "000112", "000146", "000250", "000319", "000353", "000358", "000373", "000417",
		"000465", "000624", "000665", "000798", "000864", "000871", "000896", "000913", "000927",
		"000965", "001044", "001292", "001469", "001496", "001720", "001764", "001899", "001968",
	}
	if !slices.Equal(got, want) {
		t.Errorf("leaves end with %q, want %q", got, want)
	}
}

// TestTree makes buckets of keys many of which end leaves, in batches of all sizes,
// and compares the sums of all kinds of ranges with those of the single keys.
// Check, which every site ends with, compares the leaves with the keys.
func TestTree(t *testing.T) {
	keys := treeKeys(45)
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(t, 1)
		defer s.close()
		s.makeBucket(uint32(rapid.IntRange(0, 2).Draw(t, "versions")))
		now := int64(10)
		if rapid.Bool().Draw(t, "versioned") {
			s.must(now, &pb.SetBucketAttribute{Bucket: testPath, Field: FieldVersioning, Value: &pb.Value{Versioning: pb.Versioning_VERSIONING_ENABLED}})
		}
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			var steps []step
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				now++
				key := rapid.SampledFrom(keys).Draw(t, "key")
				switch rapid.IntRange(0, 9).Draw(t, "what") {
				case 0, 1:
					steps = append(steps, step{now: now, cmd: delCmd(key)})
				case 2:
					steps = append(steps, step{now: now, cmd: &pb.SetAttribute{Bucket: testPath, Key: []byte(key), Latest: true, Field: FieldTags,
						Value: &pb.Value{Tags: map[string]string{"n": fmt.Sprint(now)}}}})
				case 3:
					purge := &pb.Purge{Bucket: testPath, Key: []byte(key)}
					if r := s.head(key); r != nil && HasID(r) {
						purge.Target = r.GetDot()
					}
					steps = append(steps, step{now: now, cmd: purge})
				case 4:
					steps = append(steps, step{now: now, cmd: &pb.Trim{Bucket: testPath, Before: now, Horizon: now, Limit: 50}})
				default:
					steps = append(steps, step{now: now, cmd: putCmd(key, fmt.Sprint(now))})
				}
			}
			s.run(steps...)
		}
		s.check()
		all := s.sums(KeyRange{})
		for range 20 {
			a, b := rapid.SampledFrom(keys).Draw(t, "from"), rapid.SampledFrom(keys).Draw(t, "to")
			r := KeyRange{From: []byte(a)[:rapid.IntRange(0, len(a)).Draw(t, "cut")], To: append([]byte(b), 0)}
			if rapid.Bool().Draw(t, "behind") {
				r.From = append([]byte(a), 0)
			}
			if rapid.IntRange(0, 3).Draw(t, "open") == 0 {
				r.To = nil
			}
			if r.check() != nil {
				continue
			}
			var want RangeSum
			for _, k := range all {
				if bytes.Compare(k.Key, r.From) >= 0 && (r.To == nil || bytes.Compare(k.Key, r.To) < 0) {
					want.Heads, want.All = plus(want.Heads, k.Heads), plus(want.All, k.All)
					if len(k.Key) > 0 {
						want.Keys++
						records, err := s.cat.Shown(testPath, k.Key)
						if err != nil {
							t.Fatal(err)
						}
						want.Versions += uint64(len(records))
					}
				}
			}
			if got := s.sum(r); got != want {
				t.Fatalf("keys from %q to %q: %+v, want %+v", r.From, r.To, got, want)
			}
			s.parts(r, rapid.IntRange(1, 5).Draw(t, "parts"))
		}
		again := s.replay(rapid.IntRange(1, 30).Draw(t, "per batch"))
		defer again.close()
		if got, want := fmt.Sprint(treeRows(again)), fmt.Sprint(treeRows(s)); got != want {
			t.Fatalf("replayed in other batches, the tree is another one:\n%s\n%s", got, want)
		}
	})
}

// parts fails unless the parts of a range follow each other, are not too many, and
// have the sum of the range.
func (s *site) parts(r KeyRange, most int) {
	s.t.Helper()
	parts, err := s.cat.PartRange(testPath, r, most)
	if err != nil {
		s.t.Fatalf("part range: %v", err)
	}
	if len(parts) == 0 || len(parts) > 2*most {
		s.t.Fatalf("%d parts, want at most %d", len(parts), 2*most)
	}
	at, sum := r.From, RangeSum{}
	for i, p := range parts {
		if !bytes.Equal(p.From, at) || (p.To == nil) != (r.To == nil && i == len(parts)-1) {
			s.t.Fatalf("part %d of %q to %q is from %q to %q, after %q", i, r.From, r.To, p.From, p.To, at)
		}
		sum.Keys += p.Keys
		sum.Versions += p.Versions
		sum.Heads, sum.All = plus(sum.Heads, p.Heads), plus(sum.All, p.All)
		at = p.To
		if got := s.sum(p.KeyRange); got != p.RangeSum {
			s.t.Fatalf("part %q to %q: %+v, summed up again %+v", p.From, p.To, p.RangeSum, got)
		}
	}
	if want := s.sum(r); sum != want || !bytes.Equal(at, r.To) {
		s.t.Fatalf("parts of %q to %q end at %q with %+v, want %+v", r.From, r.To, at, sum, want)
	}
}

func treeRows(s *site) map[string]string {
	rows := s.rows()
	for key := range rows {
		if key[0] != rowTree {
			delete(rows, key)
		}
	}
	return rows
}

// TestTreeUpgrade opens catalogs of a release that knew nothing of the tree: without
// one, and with one that was left behind when the release went back for a while.
func TestTreeUpgrade(t *testing.T) {
	s := testSite(t, 1).makeBucket(3)
	keys := treeKeys(60)
	for i, key := range keys {
		s.put(int64(i), key, key)
	}
	s.del(100, keys[3])
	s.must(101, &pb.SetAttribute{Bucket: testPath, Key: []byte(keys[4]), Latest: true, Field: FieldTags, Value: &pb.Value{Tags: map[string]string{"a": "b"}}})
	want := treeRows(s)
	if len(want) < 20 {
		t.Fatalf("%d rows, too few leaves", len(want))
	}
	open := func(what string) {
		t.Helper()
		cat, err := New(s.db)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		cat.SetSelf(s.id, s.epoch, s.epoch)
		s.cat = cat
		if got := treeRows(s); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the tree is\n%q, want\n%q", what, got, want)
		}
		s.check()
	}
	number := s.state().GetNumber()
	lower, upper := bounds(rowTree, number)
	if err := s.db.DeleteRange(lower, upper, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	open("without a tree")

	behind := tree{seq: s.state().GetSeq() - 1}
	for _, row := range []struct{ key, value []byte }{
		{rootKey(nil, number), appendTree(nil, &behind)},
		{leafKey(nil, number, []byte("dir0/none")), appendShown(nil, &shownSum{keys: 7})},
		{lastLeafKey(nil, number), []byte("damaged")},
	} {
		if err := s.db.Set(row.key, row.value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	open("with one that is behind")
	if err := s.db.Set(rootKey(nil, number), []byte("damaged"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	open("with a damaged root")
}

// TestTreeChecked makes sure that a leaf which is wrong is found.
func TestTreeChecked(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	for i, key := range treeKeys(30) {
		s.put(int64(i), key, key)
	}
	for row, value := range treeRows(s) {
		bad := []byte(value)
		bad[len(bad)-1] ^= 1
		if err := s.db.Set([]byte(row), bad, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if err := s.cat.Check(t.Context(), testPath); err == nil {
			t.Errorf("row %q can be anything", row)
		}
		if err := s.db.Set([]byte(row), []byte(value), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	s.check()
}

// TestScanThese reads some keys of a bucket, one of which is not there, and the
// settings.
func TestScanThese(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	s.must(1, &pb.SetBucketAttribute{Bucket: testPath, Field: FieldVersioning, Value: &pb.Value{Versioning: pb.Versioning_VERSIONING_ENABLED}})
	for i, key := range []string{"a", "b", "b", "c", "d"} {
		s.put(int64(i+2), key, fmt.Sprint(i))
	}
	page, err := s.cat.ScanThese(testPath, [][]byte{{}, []byte("b"), []byte("bb"), []byte("d")})
	if err != nil || !page.Done {
		t.Fatal(page, err)
	}
	var got []string
	for _, r := range page.Records {
		got = append(got, string(r.GetKey())+":"+r.GetEtag()+r.GetField())
	}
	if want := []string{":versioning", "b:2", "b:1", "d:4"}; !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if _, err := s.cat.ScanThese(testPath, [][]byte{[]byte("b"), []byte("a")}); err == nil {
		t.Error("keys out of order are taken")
	}
}

// FuzzShown reads rows of the tree that can be anything.
func FuzzShown(f *testing.F) {
	f.Add(appendTree(nil, &tree{seq: 9, shownSum: shownSum{keys: 1, versions: 2, heads: setSum{1}, all: setSum{2}}}))
	f.Add(appendTree(nil, &tree{seq: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeTree(b)
		if err != nil {
			return
		}
		again, err := decodeTree(appendTree(nil, &got))
		if err != nil || again != got {
			t.Fatalf("%+v came back as %+v: %v", got, again, err)
		}
	})
}
