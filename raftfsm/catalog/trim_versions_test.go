package catalog

import (
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// beside counts the registers and attributes of key k at a site.
func (s *site) beside() (registers, attributes int) {
	s.t.Helper()
	m, _, _, err := readHead(s.db, 1, []byte("k"))
	if err != nil {
		s.t.Fatalf("read key: %v", err)
	}
	return m.registers, m.attributes
}

// TestTrimVersions: what lies beside versions goes when its work is done, and not
// before, however old its log entry is.
func TestTrimVersions(t *testing.T) {
	peer := &site{id: siteID(2)}
	now := int64(1 << 40)
	trim := func(s *site) {
		t.Helper()
		now++
		s.must(now, &pb.Trim{Bucket: testPath, Before: now, Horizon: now})
		s.check()
	}
	v := own(1, dot(2, 1, 1))
	purge, revoked, tags := purgeOf(v, 2, dot(2, 1, 2), false), purgeOf(v, 3, dot(2, 1, 4), true), tagsOf(v, 1, dot(2, 1, 3))
	seen := func(s *site, upTo uint64) {
		t.Helper()
		in := &pb.Ingest{Bucket: testPath, Peer: peer.id.Bytes(), Cursor: at(upTo), Seen: vector(dot(2, 1, upTo))}
		if c, err := s.cat.Cursor(testPath, peer.id); err == nil {
			in.Expect = c
		}
		s.must(1000, in)
	}

	t.Run("a purge of a version that is still coming", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0)
		take(s, peer, []*pb.Record{v})
		take(s, peer, nil, purge)
		seen(s, 3)
		trim(s)
		if registers, _ := s.beside(); registers != 1 {
			t.Fatal("the purge is gone before its version came")
		}
		take(s, peer, nil, v)
		s.lists()
		trim(s)
		if registers, _ := s.beside(); registers != 0 {
			t.Fatal("the purge stays although its work is done")
		}
		take(s, peer, nil, v) // it was seen
		s.lists()
	})
	t.Run("an attribute of a version that is still coming", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0)
		take(s, peer, nil, tags)
		trim(s)
		if _, attributes := s.beside(); attributes != 1 {
			t.Fatal("the attribute is gone before its version came")
		}
		seen(s, 1) // the version was dropped at the peer, and is not coming
		trim(s)
		if _, attributes := s.beside(); attributes != 0 {
			t.Fatal("the attribute stays although its version is not coming")
		}
	})
	t.Run("an attribute of a version that is here", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0)
		take(s, peer, nil, v, tags)
		trim(s)
		if _, attributes := s.beside(); attributes != 1 {
			t.Fatal("the attribute of a version that is kept is gone")
		}
	})
	t.Run("a revocation", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0)
		take(s, peer, nil, v, purge, revoked)
		seen(s, 9)
		trim(s)
		if registers, _ := s.beside(); registers != 1 {
			t.Fatal("the revocation is gone before its version is back")
		}
		take(s, peer, nil, v)
		s.lists("k:*")
		trim(s)
		trim(s)
		if registers, _ := s.beside(); registers != 1 {
			t.Fatal("the revocation does not stay with its version")
		}
	})
	t.Run("a delete marker", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0).versioning(enabled)
		s.del(1, "k")
		s.versioning(suspended)
		s.del(1, "l")
		trim(s)
		trim(s)
		s.lists("k:-*", "l:-~*")
	})
	t.Run("the purge of a null version", func(t *testing.T) {
		s := testSite(t, 1).makeBucket(0).versioning(suspended)
		s.put(1, "k", "x")
		s.must(2, purgeCmd("k", nil))
		trim(s)
		if st := s.state(); st.GetGenerationFloor() == 0 {
			t.Fatalf("a write of the key would not be above what was purged: %v", st)
		}
		if rows := s.rows(); rows[string(headKey(nil, 1, []byte("k")))] != "" {
			t.Fatal("the purge stays although its work is done")
		}
	})
}
