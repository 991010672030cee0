package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// versioning sets the bucket's versioning.
func (s *site) versioning(v pb.Versioning) *site {
	s.t.Helper()
	s.must(1, &pb.SetBucketAttribute{Bucket: testPath, Field: FieldVersioning, Value: &pb.Value{Versioning: v}})
	return s
}

// locking enables object lock, and versioning with it.
func (s *site) locking(l *pb.DefaultLock) *site {
	s.t.Helper()
	s.versioning(pb.Versioning_VERSIONING_ENABLED)
	l.Enabled = true
	s.must(1, &pb.SetBucketAttribute{Bucket: testPath, Field: FieldLock, Value: &pb.Value{Lock: l}})
	return s
}

const (
	enabled   = pb.Versioning_VERSIONING_ENABLED
	suspended = pb.Versioning_VERSIONING_SUSPENDED
)

func purgeCmd(key string, target *pb.Dot) *pb.Purge {
	return &pb.Purge{Bucket: testPath, Key: []byte(key), Target: target}
}

// listed is what a listing of versions shows: "key:etag" or "key:-" for a delete
// marker, with * for the latest and ~ for a null version, and prefixes.
func (s *site) listed(o ListVersionsOptions) []string {
	s.t.Helper()
	page, err := s.cat.ListVersions(testPath, o)
	if err != nil {
		s.t.Fatalf("list versions: %v", err)
	}
	return showVersions(page)
}

func showVersions(page *VersionsPage) []string {
	var out []string
	for _, item := range page.Items {
		if item.CommonPrefix != nil {
			out = append(out, string(item.CommonPrefix)+"...")
			continue
		}
		r := item.Version.Record
		show := string(r.GetKey()) + ":" + r.GetEtag()
		if !Live(r) {
			show += "-"
		}
		if !HasID(r) {
			show += "~"
		}
		if item.Version.Latest {
			show += "*"
		}
		out = append(out, show)
	}
	return out
}

func (s *site) lists(want ...string) {
	s.t.Helper()
	if got := s.listed(ListVersionsOptions{}); !slices.Equal(got, want) {
		s.t.Fatalf("listed %q, want %q", got, want)
	}
	s.check()
}

// TestVersionStates follows a key through the states of versioning, as S3 has them.
func TestVersionStates(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	s.put(1, "k", "zero")
	s.lists("k:zero~*")
	s.versioning(enabled)
	one := s.put(2, "k", "one")
	s.lists("k:one*", "k:zero~")
	marker := s.del(3, "k")
	s.lists("k:-*", "k:one", "k:zero~")
	if Live(s.head("k")) || s.state().GetObjects() != 0 {
		t.Fatalf("a delete marker does not hide the key: %v", s.state())
	}
	s.versioning(suspended)
	s.put(4, "k", "four")
	s.lists("k:four~*", "k:-", "k:one")
	s.put(5, "k", "five")
	s.lists("k:five~*", "k:-", "k:one")
	s.del(6, "k")
	s.lists("k:-~*", "k:-", "k:one")
	s.versioning(enabled)
	s.put(7, "k", "seven")
	s.lists("k:seven*", "k:-~", "k:-", "k:one")

	res := s.must(8, purgeCmd("k", marker.GetDot()))
	if !res.GetRemoved() || !res.GetMarker() {
		t.Fatalf("purge of a marker: %v", res)
	}
	res = s.must(8, purgeCmd("k", nil))
	if !res.GetRemoved() || !res.GetMarker() {
		t.Fatalf("purge of the null marker: %v", res)
	}
	s.lists("k:seven*", "k:one")
	if res := s.must(9, purgeCmd("k", nil)); res.GetRemoved() || res.GetRecord() != nil {
		t.Fatalf("purge of nothing: %v", res)
	}
	s.must(9, purgeCmd("k", s.head("k").GetDot()))
	s.lists("k:one*")
	if got := s.body("k"); got != "one" {
		t.Fatalf("the head is %q", got)
	}
	if st := s.state(); st.GetStored() != 3 || st.GetBytes() != 3 || st.GetVersioned() != 1 {
		t.Fatalf("state: %v", st)
	}
	if again := s.must(9, purgeCmd("k", marker.GetDot())); again.GetRemoved() {
		t.Fatalf("purge of what was purged: %v", again)
	}
	s.must(9, purgeCmd("k", one.GetDot()))
	s.lists()
	if _, err := s.cat.Head(testPath, []byte("k")); !errors.Is(err, ErrNoKey) {
		t.Fatalf("head of a purged key: %v", err)
	}
	if st := s.state(); st.GetStored() != 0 || st.GetVersioned() != 0 {
		t.Fatalf("state: %v", st)
	}
	next := s.put(1, "k", "next")
	if next.GetGeneration() <= 7 {
		t.Fatalf("a write after purges has generation %d", next.GetGeneration())
	}
	s.lists("k:next*")
}

// TestMarkerOfNothing: where versions are kept, deleting makes a delete marker
// even of a key that has none.
func TestMarkerOfNothing(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	if s.del(1, "k") != nil {
		t.Fatal("a deletion of nothing without versioning made a record")
	}
	s.versioning(enabled)
	s.del(2, "k")
	s.del(3, "k")
	s.versioning(suspended)
	s.del(4, "l")
	s.del(5, "l")
	s.lists("k:-*", "k:-", "l:-~*")
	res := s.run(step{now: 6, cmd: bucketObj(testPath, 0, 1), remove: true})[0]
	if res.GetCode() != raftfsmpb.Code_NOT_EMPTY {
		t.Fatalf("deleting a bucket of delete markers: %v", res)
	}
}

func TestPurgeConditions(t *testing.T) {
	s := testSite(t, 1).makeBucket(0).versioning(enabled)
	rec := s.put(5_500_000_000, "k", "tag")
	other := proto.Int64(4_000_000_000)
	for name, c := range map[string]*pb.Conditions{
		"etag":     {IfMatch: "other"},
		"modified": {IfModified: other},
		"size":     {IfSize: proto.Uint64(4)},
	} {
		cmd := purgeCmd("k", rec.GetDot())
		cmd.Conditions = c
		if res := s.refused(raftfsmpb.Code_CONFLICT, 6, cmd); !proto.Equal(res.GetRecord(), rec) {
			t.Errorf("%s: the version is not in the result: %v", name, res)
		}
		cmd.Target = dot(9, 1, 1)
		if res := s.refused(raftfsmpb.Code_CONFLICT, 6, cmd); res.GetRecord() != nil {
			t.Errorf("%s, of no version: %v", name, res)
		}
	}
	cmd := purgeCmd("k", rec.GetDot())
	cmd.Conditions = &pb.Conditions{IfMatch: "tag", IfModified: proto.Int64(5_000_000_000), IfSize: proto.Uint64(3)}
	if res := s.must(6, cmd); !res.GetRemoved() || res.GetMarker() {
		t.Fatalf("purge: %v", res)
	}
	s.lists()
}

// TestBoundedVersions: a number of versions that somebody set holds for those with
// an id too, but not for the null version.
func TestBoundedVersions(t *testing.T) {
	s := testSite(t, 1).makeBucket(2)
	s.put(1, "k", "zero")
	if s.seen().GetSparse() {
		t.Fatal("a bucket that dropped nothing says that it did")
	}
	s.versioning(enabled)
	for i := range 4 {
		s.put(int64(2+i), "k", fmt.Sprint(i))
	}
	s.lists("k:3*", "k:2", "k:zero~")
	if !s.seen().GetSparse() {
		t.Fatal("a bucket that dropped versions does not say so")
	}
	old := content(1, 1, dot(2, 1, 1))
	old.Versioning = enabled
	if v, _, err := s.cat.Decide(testPath, []*pb.Record{old}); err != nil || v[0] != Superseded {
		t.Fatalf("an older version than are kept: %v %v", v, err)
	}
	s.must(9, bucketObj(testPath, 0, 1)) // the default again
	s.put(10, "k", "more")
	s.lists("k:more*", "k:3", "k:2", "k:zero~")
}

func TestListVersions(t *testing.T) {
	s := testSite(t, 1).makeBucket(0)
	s.put(1, "a", "null")
	s.versioning(enabled)
	for i := range 3 {
		s.put(int64(2+i), "a", fmt.Sprint("a", i))
		s.put(int64(2+i), "d/x", fmt.Sprint("x", i))
		s.put(int64(2+i), "d/y", fmt.Sprint("y", i))
	}
	s.del(9, "e")
	s.put(9, "a\x00b", "zero")
	all := []string{"a:a2*", "a:a1", "a:a0", "a:null~", "a\x00b:zero*", "d/x:x2*", "d/x:x1", "d/x:x0", "d/y:y2*", "d/y:y1", "d/y:y0", "e:-*"}
	s.lists(all...)
	for _, c := range []struct {
		name string
		o    ListVersionsOptions
		want []string
	}{
		{"delimiter", ListVersionsOptions{Delimiter: []byte("/")}, append(slices.Clone(all[:5]), "d/...", "e:-*")},
		{"prefix", ListVersionsOptions{Prefix: []byte("d/x")}, all[5:8]},
		{"after a key", ListVersionsOptions{AfterKey: []byte("d/x")}, all[8:]},
		{"after a prefix", ListVersionsOptions{Delimiter: []byte("/"), AfterKey: []byte("d/")}, all[11:]},
		{"after the null version", ListVersionsOptions{AfterKey: []byte("a"), AfterNull: true}, all[4:]},
		{"after a version that never was", ListVersionsOptions{AfterKey: []byte("a"), AfterVersion: dot(9, 1, 9)}, all},
		{"after a version of a key that never was", ListVersionsOptions{AfterKey: []byte("b"), AfterVersion: dot(9, 1, 9)}, all[5:]},
	} {
		if got := s.listed(c.o); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	// Pages of every size give the same, also when what a page ended with is purged.
	for limit := 1; limit < len(all)+1; limit++ {
		var got []string
		o := ListVersionsOptions{Limit: limit}
		for n := 0; ; n++ {
			page, err := s.cat.ListVersions(testPath, o)
			if err != nil || len(page.Items) > limit || n > len(all)+1 {
				t.Fatalf("page %d of %d: %v %v", n, limit, page, err)
			}
			got = append(got, showVersions(page)...)
			if !page.Truncated {
				break
			}
			o.AfterKey, o.AfterVersion, o.AfterNull = page.NextKey, page.NextVersion, page.NextNull
		}
		if !slices.Equal(got, all) {
			t.Fatalf("pages of %d: %q", limit, got)
		}
	}
	page, err := s.cat.ListVersions(testPath, ListVersionsOptions{Limit: 2})
	if err != nil || page.NextVersion == nil {
		t.Fatalf("first page: %v %v", page, err)
	}
	s.must(10, purgeCmd("a", page.NextVersion))
	o := ListVersionsOptions{AfterKey: page.NextKey, AfterVersion: page.NextVersion}
	if got := s.listed(o); !slices.Equal(got, all[2:]) {
		t.Fatalf("after a version that was purged: %q", got)
	}
}

// TestListManyVersions: the versions of one key do not make the listing of another
// dearer, and a page ends among them.
func TestListManyVersions(t *testing.T) {
	s := testSite(t, 1).makeBucket(0).versioning(enabled)
	var steps []step
	for i := range 3000 {
		steps = append(steps, step{now: int64(i), cmd: putCmd("k", fmt.Sprintf("%04d", i))})
	}
	s.run(append(steps, step{now: 1, cmd: putCmd("l", "x")})...)
	seen := 0
	for o := (ListVersionsOptions{}); ; {
		page, err := s.cat.ListVersions(testPath, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if r := item.Version.Record; string(r.GetKey()) == "k" {
				if want := fmt.Sprintf("%04d", 2999-seen); r.GetEtag() != want {
					t.Fatalf("version %d is %s", seen, r.GetEtag())
				}
				seen++
			}
		}
		if !page.Truncated {
			break
		}
		o = ListVersionsOptions{AfterKey: page.NextKey, AfterVersion: page.NextVersion}
	}
	if page, err := s.cat.List(testPath, ListOptions{}); err != nil || len(page.Items) != 2 || seen != 3000 {
		t.Fatalf("%d versions; %v %v", seen, page, err)
	}
}

func TestVersionID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := dot(rapid.ByteRange(0, 255).Draw(t, "origin"), rapid.Uint32().Draw(t, "epoch"), rapid.Uint64Min(1).Draw(t, "seq"))
		id := VersionID(&pb.Record{Dot: d, Versioning: enabled})
		got, null, err := ParseVersionID(id)
		if err != nil || null || CompareDots(got, d) != 0 || len(id) != 45 || strings.ToLower(id) != id {
			t.Fatalf("%v: %q %v %v %v", d, id, got, null, err)
		}
		other := []byte(id)
		other[rapid.IntRange(0, len(id)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		if got, null, err := ParseVersionID(string(other)); err == nil && (null || VersionID(&pb.Record{Dot: got, Versioning: enabled}) != string(other)) {
			t.Fatalf("%q is read as %v", other, got)
		}
	})
	for _, v := range []pb.Versioning{pb.Versioning_VERSIONING_NEVER, suspended} {
		if id := VersionID(&pb.Record{Dot: dot(1, 1, 1), Versioning: v}); id != NullVersion {
			t.Errorf("%v: %q", v, id)
		}
	}
	if d, null, err := ParseVersionID(NullVersion); d != nil || !null || err != nil {
		t.Errorf("null: %v %v %v", d, null, err)
	}
}

func FuzzParseVersionID(f *testing.F) {
	f.Add(NullVersion)
	f.Add(VersionID(&pb.Record{Dot: dot(1, 2, 3), Versioning: enabled}))
	f.Add("")
	f.Add(strings.Repeat("v", 45))
	f.Fuzz(func(t *testing.T, id string) {
		d, null, err := ParseVersionID(id)
		if err != nil {
			return
		}
		if null != (d == nil) || null && id != NullVersion || !null && VersionID(&pb.Record{Dot: d, Versioning: enabled}) != id {
			t.Fatalf("%q is read as %v, null %v", id, d, null)
		}
	})
}

// FuzzRows reads rows that are damaged: none panics, and what is read is written
// the same.
func FuzzRows(f *testing.F) {
	head, err := appendHead(nil, keyMeta{older: 3, own: 2, floor: 9}, content(1, 1, dot(1, 1, 1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add(appendDotRow(nil, 7, content(1, 1, dot(1, 1, 1))))
	f.Add(appendDotRow(nil, 7, &pb.Record{Key: []byte("k"), Kind: pb.RecordKind_RECORD_ATTRIBUTE, Dot: dot(1, 1, 1), Target: dot(1, 1, 2)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, body, err := decodeMeta(raw); err == nil && len(body) > 0 {
			if again, err := appendHead(nil, m, &pb.Record{}); err != nil || len(again) > len(raw) {
				t.Fatalf("%x is read as %+v, and written as %x, %v", raw, m, again, err)
			}
		}
		if d, err := decodeDotRow(raw); err == nil && !bytes.HasSuffix(raw, d.key) {
			t.Fatalf("%x is read as %+v", raw, d)
		}
	})
}

// TestDeletionBesideVersions: what a site deletes in the null lane does not touch versions
// with an id, whichever comes first.
func TestDeletionBesideVersions(t *testing.T) {
	a, b := testSite(t, 1).makeBucket(0), testSite(t, 2).makeBucket(0)
	null := a.put(1, "k", "null")
	take(b, a, nil, null)
	tomb := b.del(5, "k") // b does not know of versioning
	a.versioning(enabled)
	one := a.put(2, "k", "one")
	take(a, b, nil, tomb)
	take(b, a, nil, one)
	for _, s := range []*site{a, b} {
		s.lists("k:one*")
	}
	// Once b has a version, a deletion has to hide it, with the setting or without.
	b.del(9, "k")
	b.lists("k:-~*", "k:one")
}
