package catalog

import "testing"

// TestSizes: the sums are those of the buckets' states, and a bucket that was
// deleted has none.
func TestSizes(t *testing.T) {
	s := testSite(t, 1).makeBucket(1)
	const other = "Hawaii/Cola/bk2"
	s.must(1, bucketObj(other, 1, 2))
	s.put(1, "a", "four")
	s.put(2, "b", "five!")
	for path, want := range map[string][2]uint64{testPath: {2, 9}, other: {0, 0}} {
		state, err := s.cat.Bucket(path)
		if err != nil {
			t.Fatal(err)
		}
		objects, bytes, ok := s.cat.Size(path)
		if !ok || objects != want[0] || bytes != want[1] || objects != state.GetObjects() || bytes != state.GetBytes() {
			t.Errorf("%s has %d objects, %d bytes, %v; want %v", path, objects, bytes, ok, want)
		}
	}
	if objects, bytes := s.cat.TotalSize(); objects != 2 || bytes != 9 {
		t.Errorf("together %d objects, %d bytes", objects, bytes)
	}
	if _, _, ok := s.cat.Size("Hawaii/Cola/none"); ok {
		t.Error("a bucket that is not there has a size")
	}
}
