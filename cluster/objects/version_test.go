package objects_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// keepVersions has the bucket keep versions, with object lock.
func (s *site) keepVersions(t testing.TB) {
	t.Helper()
	if err := errors.Join(s.SetVersioning(t.Context(), bk1, catalogpb.Versioning_VERSIONING_ENABLED),
		s.SetDefaultLock(t.Context(), bk1, &catalogpb.DefaultLock{Enabled: true})); err != nil {
		t.Fatal(err)
	}
}

func named(t testing.TB, id string) objects.Which {
	t.Helper()
	w, err := objects.ParseVersionID(id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestVersion names versions: those that are there, that never were, that are delete
// markers, and that were removed for good.
func TestVersion(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	old := s.put(t, "old", []byte("x"))
	if objects.IsMarker(old) || s.Versioned(bk1) || catalog.VersionID(old) != "null" {
		t.Errorf("before versions are kept: %v", old)
	}
	if rec, err := s.Delete(t.Context(), bk1, "old", objects.Conditions{}); err != nil || objects.IsMarker(rec) {
		t.Errorf("a plain deletion made a delete marker: %v, %v", rec, err)
	}
	if v, err := s.Version(t.Context(), bk1, "old", objects.Which{Null: true}); !errors.Is(err, objects.ErrNoVersion) || v != nil {
		t.Errorf("a plain deletion is the version %v, error %v", v, err)
	}
	s.keepVersions(t)
	v1, v2 := catalog.VersionID(s.put(t, "k", []byte("1"))), catalog.VersionID(s.put(t, "k", []byte("2")))
	d, err := s.DeleteVersion(t.Context(), bk1, objects.Deletion{Key: "k"})
	if err != nil || !d.Marker || !objects.IsMarker(d.Record) {
		t.Fatalf("deleted %v, error %v", d, err)
	}
	marker := catalog.VersionID(d.Record)
	absent := named(t, v1).Dot
	absent.Seq += 1000
	for _, c := range []struct {
		what   string
		key    string
		which  objects.Which
		want   error
		marker bool // is returned beside the error
	}{
		{"the first", "k", named(t, v1), nil, false},
		{"the second", "k", named(t, v2), nil, false},
		{"the latest", "k", objects.Which{}, objects.ErrNoKey, true},
		{"the marker", "k", named(t, marker), objects.ErrDeleteMarker, true},
		{"the null version", "k", objects.Which{Null: true}, objects.ErrNoVersion, false},
		{"one that never was", "k", objects.Which{Dot: absent}, objects.ErrNoVersion, false},
		{"another key's", "other", named(t, v1), objects.ErrNoVersion, false},
		{"of no key", "other", objects.Which{}, objects.ErrNoKey, false},
		{"of a key that cannot be", "", objects.Which{}, objects.ErrInvalidKey, false},
	} {
		v, err := s.Version(t.Context(), bk1, c.key, c.which)
		if !errors.Is(err, c.want) || err == nil && v.Record.GetEtag() == "" || err != nil && (v != nil) != c.marker {
			t.Errorf("%s: %v, error %v; want %v", c.what, v, err, c.want)
		}
	}
	if _, err := s.Version(t.Context(), "Hawaii/Cola/none", "k", objects.Which{}); !errors.Is(err, objects.ErrNoBucket) {
		t.Errorf("no bucket: %v", err)
	}
	if _, err := objects.ParseVersionID("x"); !errors.Is(err, objects.ErrVersionID) {
		t.Errorf("an ID that is none: %v", err)
	}
	// Removing the marker brings the key back; removing it again is no error.
	for range 2 {
		if d, err := s.DeleteVersion(t.Context(), bk1, objects.Deletion{Key: "k", Version: named(t, marker)}); err != nil {
			t.Fatalf("removed %v, error %v", d, err)
		}
	}
	if v, err := s.Version(t.Context(), bk1, "k", objects.Which{}); err != nil || catalog.VersionID(v.Record) != v2 {
		t.Errorf("after the marker was removed: %v, error %v", v, err)
	}
	size := uint64(7)
	if _, err := s.DeleteVersion(t.Context(), bk1, objects.Deletion{Key: "k", Version: named(t, v2), Conditions: objects.Conditions{Size: &size}}); !errors.Is(err, objects.ErrPrecondition) {
		t.Errorf("a size that it does not have: %v", err)
	}
	page, err := s.ListVersions(t.Context(), bk1, catalog.ListVersionsOptions{Prefix: []byte("k")})
	if err != nil || len(page.Items) != 2 || catalog.VersionID(page.Items[0].Version.Record) != v2 || !page.Items[0].Version.Latest {
		t.Errorf("listed %+v, error %v", page, err)
	}
}

// TestLocksAndTags sets what versions carry beside their content.
func TestLocksAndTags(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	put := func(lock *catalogpb.Lock) (*catalogpb.Record, error) {
		return s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "k", Body: bytes.NewReader(nil), Size: 0, Lock: lock, Tags: map[string]string{"a": "b"}})
	}
	hold := &catalogpb.Lock{Hold: true}
	if _, err := put(hold); !errors.Is(err, objects.ErrNoLock) {
		t.Errorf("a lock where there are none: %v", err)
	}
	if err := s.SetHold(t.Context(), bk1, "k", objects.Which{}, true); !errors.Is(err, objects.ErrNoLock) {
		t.Errorf("a hold where there are none: %v", err)
	}
	s.keepVersions(t)
	rec, err := put(hold)
	if err != nil {
		t.Fatal(err)
	}
	which := named(t, catalog.VersionID(rec))
	view := func() *catalog.Version {
		t.Helper()
		v, err := s.Version(t.Context(), bk1, "k", which)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := view(); !v.Lock.Hold || !maps.Equal(v.Tags, map[string]string{"a": "b"}) {
		t.Errorf("written with %v, tags %v", v.Lock, v.Tags)
	}
	remove := func(bypass bool) error {
		_, err := s.DeleteVersion(t.Context(), bk1, objects.Deletion{Key: "k", Version: which, Bypass: bypass})
		return err
	}
	if err := remove(true); !errors.Is(err, objects.ErrLocked) {
		t.Errorf("removed under a hold: %v", err)
	}
	until := time.Now().Add(time.Hour)
	if err := errors.Join(s.SetHold(t.Context(), bk1, "k", which, false),
		s.SetRetention(t.Context(), bk1, "k", which, catalogpb.RetentionMode_RETENTION_GOVERNANCE, until, false),
		s.SetTags(t.Context(), bk1, "k", which, map[string]string{"c": "d"})); err != nil {
		t.Fatal(err)
	}
	if v := view(); v.Lock.Hold || v.Lock.Until != until.UnixNano() || !maps.Equal(v.Tags, map[string]string{"c": "d"}) {
		t.Errorf("set to %v, tags %v", v.Lock, v.Tags)
	}
	if err := remove(false); !errors.Is(err, objects.ErrLocked) {
		t.Errorf("removed under governance: %v", err)
	}
	if err := s.SetRetention(t.Context(), bk1, "k", which, catalogpb.RetentionMode_RETENTION_NONE, time.Time{}, false); !errors.Is(err, objects.ErrLocked) {
		t.Errorf("retention ended without a bypass: %v", err)
	}
	if err := s.SetTags(t.Context(), bk1, "none", objects.Which{}, nil); !errors.Is(err, objects.ErrNoKey) {
		t.Errorf("tags of nothing: %v", err)
	}
	if err := remove(true); err != nil {
		t.Errorf("removed with a bypass: %v", err)
	}
	if err := s.SetTags(t.Context(), bk1, "k", which, nil); !errors.Is(err, objects.ErrNoVersion) {
		t.Errorf("tags of what was removed: %v", err)
	}
	if err := s.SetVersioning(t.Context(), bk1, catalogpb.Versioning_VERSIONING_SUSPENDED); !errors.Is(err, objects.ErrInvalid) {
		t.Errorf("suspended under locks: %v", err)
	}
}

// TestQuota refuses what would exceed the quota, and changes nothing.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	s.config(t, &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Bucket{Path: bk1, Incarnation: bytes.Repeat([]byte{7}, 16), Quota: 10})}})
	s.put(t, "k", []byte("1234567"))
	if _, err := s.Put(t.Context(), objects.PutRequest{Bucket: bk1, Key: "l", Body: strings.NewReader("1234"), Size: 4}); !errors.Is(err, objects.ErrQuota) {
		t.Errorf("11 bytes of 10: %v", err)
	}
	up, list := s.upload(t, "parts", []byte("1234"))
	if _, err := s.CompleteUpload(t.Context(), objects.CompleteRequest{Bucket: bk1, Key: "parts", Upload: up.GetId(), Parts: list, Size: -1}); !errors.Is(err, objects.ErrQuota) {
		t.Errorf("11 bytes of 10, in parts: %v", err)
	}
	s.put(t, "l", []byte("123"))
	if _, err := s.Delete(t.Context(), bk1, "k", objects.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), objects.CompleteRequest{Bucket: bk1, Key: "parts", Upload: up.GetId(), Parts: list, Size: -1}); err != nil {
		t.Errorf("after a deletion made room: %v", err)
	}
}
