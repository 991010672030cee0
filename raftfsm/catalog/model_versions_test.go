package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// s3Model is what S3 says that one site's bucket holds after local commands. It
// leans on none of the rules.
type s3Model struct {
	versioning pb.Versioning
	lock       bool
	bound      int // versions with an id that are kept of a key; 0 for no bound
	keys       map[string][]*s3Version
	quota      uint64
}

// s3Version is a version, latest first in its key.
type s3Version struct {
	rec   *pb.Record
	null  bool
	plain bool // not shown: a deletion where versioning never was
	live  bool
	tags  map[string]string
	lock  Lock
}

func (m *s3Model) stored() (sum uint64) {
	for _, all := range m.keys {
		for _, v := range all {
			sum += v.rec.GetRoot().GetSize()
		}
	}
	return sum
}

// head is the latest of a key that is shown, nil if there is none.
func (m *s3Model) head(key string) *s3Version {
	for _, v := range m.keys[key] {
		if !v.plain {
			return v
		}
	}
	return nil
}

func (m *s3Model) find(key string, target *pb.Dot) *s3Version {
	for _, v := range m.keys[key] {
		if !v.plain && (target == nil && v.null || target != nil && !v.null && sameDot(v.rec, target)) {
			return v
		}
	}
	return nil
}

// write says what a write does, and does it once its record is known.
func (m *s3Model) write(key string, live bool, size uint64, now int64) (raftfsmpb.Code, func(*pb.Record)) {
	null := m.versioning != enabled
	was := m.find(key, nil)
	if head := m.head(key); !live && m.versioning == pb.Versioning_VERSIONING_NEVER && (head == nil || !head.live) {
		return raftfsmpb.Code_OK, nil
	}
	if null && was != nil && was.live && was.lock.Forbids(now, false) != "" {
		return raftfsmpb.Code_LOCKED, nil
	}
	freed := uint64(0)
	if null && was != nil {
		freed = was.rec.GetRoot().GetSize()
	}
	if m.quota > 0 && size > freed && m.stored()-freed+size > m.quota {
		return raftfsmpb.Code_QUOTA, nil
	}
	return raftfsmpb.Code_OK, func(r *pb.Record) {
		if null {
			m.remove(key, was)
			m.keys[key] = slices.DeleteFunc(m.keys[key], func(v *s3Version) bool { return v.plain })
		}
		v := &s3Version{rec: r, null: null, live: live, tags: map[string]string{}}
		v.plain = !live && m.versioning == pb.Versioning_VERSIONING_NEVER
		m.keys[key] = append([]*s3Version{v}, m.keys[key]...)
		m.drop(key, now)
	}
}

// drop carries out the bound, after a write.
func (m *s3Model) drop(key string, now int64) {
	if m.bound == 0 || m.versioning != enabled {
		return
	}
	n := 0
	m.keys[key] = slices.DeleteFunc(m.keys[key], func(v *s3Version) bool {
		if v.null {
			return false
		}
		n++
		return n > m.bound && v.lock.Forbids(now, false) == ""
	})
}

func (m *s3Model) remove(key string, v *s3Version) {
	m.keys[key] = slices.DeleteFunc(m.keys[key], func(o *s3Version) bool { return o == v })
}

// compare fails when the site does not show what the model holds.
func (m *s3Model) compare(t *rapid.T, s *site) {
	s.check()
	var live, size uint64
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		head := m.head(key)
		got, err := s.cat.View(testPath, []byte(key))
		if head == nil {
			if err == nil && Visible(got.Record) || err != nil && !errors.Is(err, ErrNoKey) {
				t.Fatalf("key %q: %+v %v", key, got, err)
			}
			continue
		}
		if err != nil || !got.Latest || !sameDot(got.Record, head.rec.GetDot()) {
			t.Fatalf("head of %q: %+v %v, want %v", key, got, err, head.rec)
		}
		if head.live {
			live++
			size += head.rec.GetRoot().GetSize()
		}
		page, err := s.cat.ListVersions(testPath, ListVersionsOptions{Prefix: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		var shown []*s3Version
		for _, v := range m.keys[key] {
			if !v.plain {
				shown = append(shown, v)
			}
		}
		if len(page.Items) != len(shown) {
			t.Fatalf("versions of %q: %q, want %d", key, showVersions(page), len(shown))
		}
		for i, v := range shown {
			one, err := s.cat.Version(testPath, []byte(key), targetOf(page.Items[i].Version.Record))
			if err != nil || !sameDot(one.Record, v.rec.GetDot()) || HasID(one.Record) == v.null || Live(one.Record) != v.live ||
				one.Latest != (v == head) || !maps.Equal(one.Tags, v.tags) || one.Lock != v.lock {
				t.Fatalf("version %d of %q: %+v %v, want %+v", i, key, one, err, v)
			}
		}
	}
	if st := s.state(); st.GetStored() != m.stored() || st.GetObjects() != live || st.GetBytes() != size {
		t.Fatalf("state %v, want %d stored, %d objects of %d", st, m.stored(), live, size)
	}
}

// TestVersionsModel runs random local commands in a bucket with versions against
// what S3 says, and then again in batches of other sizes: the state must be the
// same, row by row.
func TestVersionsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(t, 1)
		defer s.close()
		m := &s3Model{keys: map[string][]*s3Version{}, bound: rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "bound")}
		m.quota = rapid.SampledFrom([]uint64{0, 12}).Draw(t, "quota")
		obj := bucketObj(testPath, uint32(m.bound), 1)
		obj.Quota = m.quota
		s.must(1, obj)
		now := int64(1000)
		keys := rapid.SampledFrom([]string{"a;", "b;"})
		pick := func(t *rapid.T, key string) *s3Version {
			if all := m.keys[key]; len(all) > 0 {
				return all[rapid.IntRange(0, len(all)-1).Draw(t, "version")]
			}
			return nil
		}
		hidden := m.bound > 1 // null versions would be kept that are not shown
		expect := func(res *raftfsmpb.Result, code raftfsmpb.Code) {
			if res.GetCode() != code {
				t.Fatalf("%v %q, want %v", res.GetCode(), res.GetMessage(), code)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				now += rapid.Int64Range(0, 10).Draw(t, "tick")
				if hidden && m.versioning != enabled {
					return
				}
				key := keys.Draw(t, "key")
				w := putCmd(key, "x")
				w.Record.Root.Size = rapid.Uint64Range(0, 4).Draw(t, "size")
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					w = delCmd(key)
				}
				code, done := m.write(key, Live(w.GetRecord()), w.GetRecord().GetRoot().GetSize(), now)
				res := s.do(now, w)
				expect(res, code)
				if (done != nil) != (code == raftfsmpb.Code_OK && res.GetRecord() != nil) {
					t.Fatalf("result %v", res)
				}
				if done != nil {
					done(res.GetRecord())
				}
			},
			"setting": func(t *rapid.T) {
				v := rapid.SampledFrom([]pb.Versioning{enabled, enabled, suspended}).Draw(t, "versioning")
				if v == suspended && m.lock {
					expect(s.do(now, settingCmd(FieldVersioning, &pb.Value{Versioning: v})), raftfsmpb.Code_INVALID)
					return
				}
				s.versioning(v)
				m.versioning = v
				if v == enabled && rapid.IntRange(0, 3).Draw(t, "lock") == 0 {
					s.must(now, settingCmd(FieldLock, &pb.Value{Lock: &pb.DefaultLock{Enabled: true}}))
					m.lock = true
				}
			},
			"purge": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				v := pick(t, key)
				if v == nil || v.plain || m.versioning == pb.Versioning_VERSIONING_NEVER {
					return
				}
				cmd := purgeCmd(key, targetOf(v.rec))
				cmd.Bypass = rapid.Bool().Draw(t, "bypass")
				if v.lock.Forbids(now, cmd.Bypass) != "" {
					expect(s.do(now, cmd), raftfsmpb.Code_LOCKED)
					return
				}
				res := s.must(now, cmd)
				if !res.GetRemoved() || res.GetMarker() == v.live {
					t.Fatalf("purge of %+v: %v", v, res)
				}
				m.remove(key, v)
			},
			"attribute": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				v := pick(t, key)
				if v == nil || v.plain || !v.live {
					return
				}
				cmd := attrCmd(key, targetOf(v.rec), FieldTags, &pb.Value{Tags: map[string]string{"n": fmt.Sprint(now)}})
				cmd.Bypass = rapid.Bool().Draw(t, "bypass")
				until := now + rapid.Int64Range(1, 30).Draw(t, "for")
				mode := rapid.SampledFrom([]pb.RetentionMode{governance, compliance}).Draw(t, "mode")
				code := raftfsmpb.Code_OK
				next := *v
				switch rapid.IntRange(0, 3).Draw(t, "field") {
				case 0:
					next.tags = cmd.Value.Tags
				case 1:
					next.lock.Hold = rapid.Bool().Draw(t, "hold")
					cmd.Field, cmd.Value = FieldHold, &pb.Value{Hold: next.lock.Hold}
				default:
					cmd.Field, cmd.Value = FieldRetention, &pb.Value{Mode: mode, Until: until}
					next.lock.Mode, next.lock.Until = mode, until
					if v.lock.Weakens(mode, until, now, cmd.Bypass) != "" {
						code = raftfsmpb.Code_LOCKED
					}
				}
				if cmd.Field != FieldTags && !m.lock {
					code = raftfsmpb.Code_INVALID
				}
				expect(s.do(now, cmd), code)
				if code == raftfsmpb.Code_OK {
					*v = next
				}
			},
			"trim": func(t *rapid.T) {
				s.must(now, &pb.Trim{Bucket: testPath, Before: now + 1000, Horizon: now + 1000, Limit: rapid.Uint32Range(1, 20).Draw(t, "limit")})
			},
			"": func(t *rapid.T) {
				m.compare(t, s)
			},
		})
		for _, per := range []int{1, rapid.IntRange(2, 9).Draw(t, "batch"), 1 << 20} {
			r := s.replay(per)
			if !bytes.Equal(r.cat.Digest(), s.cat.Digest()) {
				t.Fatalf("replayed in batches of %d, the digest differs", per)
			}
			if !maps.Equal(r.rows(), s.rows()) {
				t.Fatalf("replayed in batches of %d, the rows differ", per)
			}
			r.close()
		}
		if head, err := s.cat.ScanKeys(testPath, nil, 0); err != nil || !proto.Equal(head.Seen, s.seen()) {
			t.Fatalf("scan: %v", err)
		}
	})
}
