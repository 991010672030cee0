package catalog

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// playVersions does something with versions at a site.
func (m *mesh) playVersions(i, what int, key string) {
	s := m.sites[i]
	switch what {
	case 20:
		m.setting(i)
	case 21, 22, 23:
		m.attribute(i, key)
	default:
		m.purge(i, key)
	}
	if m.tick%8 == 0 {
		s.check()
	}
}

// prepare lets all sites know of versioning, and of object lock, from the start.
func (m *mesh) prepare() {
	set := func(field string, v *pb.Value) {
		m.sites[0].must(m.now(0), &pb.SetBucketAttribute{Bucket: testPath, Field: field, Value: v})
	}
	set(FieldVersioning, &pb.Value{Versioning: pb.Versioning_VERSIONING_ENABLED})
	if m.locks {
		set(FieldLock, &pb.Value{Lock: &pb.DefaultLock{Enabled: true}})
	}
	m.drain()
}

// setting changes a setting of the bucket at a site.
func (m *mesh) setting(i int) {
	s := m.sites[i]
	cmd := &pb.SetBucketAttribute{Bucket: testPath, Field: FieldVersioning, Value: &pb.Value{Versioning: pb.Versioning_VERSIONING_ENABLED}}
	switch n := rapid.IntRange(0, 5).Draw(m.T, "setting"); {
	case n == 0 && !s.state().GetLock().GetEnabled():
		cmd.Value.Versioning = pb.Versioning_VERSIONING_SUSPENDED
	case n == 1:
		cmd.Field, cmd.Value = FieldTags, &pb.Value{Tags: map[string]string{"at": fmt.Sprint(m.tick)}}
	case n == 2:
		cmd.Field, cmd.Value = FieldCORS, &pb.Value{Cors: fmt.Append(nil, m.tick)}
	case n == 3 && m.locks && s.state().GetVersioning() == pb.Versioning_VERSIONING_ENABLED:
		cmd.Field, cmd.Value = FieldLock, &pb.Value{Lock: &pb.DefaultLock{Enabled: true}}
	}
	rec := s.must(m.now(i), cmd).GetRecord()
	m.note("%d sets %s to %v", i, describe(rec), rec.GetValue())
}

// pick chooses a version or a delete marker of a key, nil if there is none.
func (m *mesh) pick(s *site, key string) *Version {
	all := m.versions(s, key)
	if len(all) == 0 {
		return nil
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(m.T, "version")]
}

// versions returns what S3 shows of a key at a site, with attributes.
func (m *mesh) versions(s *site, key string) []*Version {
	page, err := s.cat.ListVersions(testPath, ListVersionsOptions{Prefix: []byte(key)})
	if err != nil {
		m.Fatalf("list versions: %v", err)
	}
	var out []*Version
	for _, item := range page.Items {
		v, err := s.cat.Version(testPath, []byte(key), targetOf(item.Version.Record))
		if err != nil {
			m.Fatalf("version %s is listed, but: %v", describe(item.Version.Record), err)
		}
		if v.Latest != item.Version.Latest || !sameDot(v.Record, item.Version.Record.GetDot()) {
			m.fail("%s is listed as %s", describe(v.Record), describe(item.Version.Record))
		}
		out = append(out, v)
	}
	return out
}

// targetOf names a version as S3 does: nil is the null version.
func targetOf(r *pb.Record) *pb.Dot {
	if HasID(r) {
		return r.GetDot()
	}
	return nil
}

// null is what a site shows as the null version of a key, nil if nothing.
func (m *mesh) null(s *site, key string) *pb.Record {
	v, err := s.cat.Version(testPath, []byte(key), nil)
	if errors.Is(err, ErrNoKey) {
		return nil
	}
	if err != nil {
		m.Fatalf("null version: %v", err)
	}
	return v.Record
}

// attribute sets an attribute of some version at a site.
func (m *mesh) attribute(i int, key string) {
	s := m.sites[i]
	v := m.pick(s, key)
	if v == nil || !Live(v.Record) {
		return
	}
	now := m.now(i)
	cmd := &pb.SetAttribute{Bucket: testPath, Key: []byte(key), Target: targetOf(v.Record), Field: FieldTags,
		Value: &pb.Value{Tags: map[string]string{"at": fmt.Sprint(m.tick)}}}
	if s.state().GetLock().GetEnabled() {
		switch rapid.IntRange(0, 4).Draw(m.T, "field") {
		case 1, 2, 3:
			cmd.Field, cmd.Value = FieldHold, &pb.Value{Hold: rapid.IntRange(0, 2).Draw(m.T, "on") > 0}
		case 4:
			cmd.Field, cmd.Value = FieldRetention, &pb.Value{Mode: pb.RetentionMode(rapid.IntRange(1, 2).Draw(m.T, "mode")),
				Until: now + rapid.Int64Range(1, 400).Draw(m.T, "for")}
			cmd.Bypass = rapid.Bool().Draw(m.T, "bypass")
		}
	}
	res := s.do(now, cmd)
	if c := res.GetCode(); c != raftfsmpb.Code_OK && (c != raftfsmpb.Code_LOCKED || cmd.Field != FieldRetention) {
		m.fail("set attribute: %v %s", c, res.GetMessage())
	}
	m.note("%d sets %s to %v: %v", i, describe(res.GetRecord()), cmd.Value, res.GetCode())
}

// purge removes some version at a site.
func (m *mesh) purge(i int, key string) {
	s := m.sites[i]
	v := m.pick(s, key)
	if v == nil {
		return
	}
	cmd := &pb.Purge{Bucket: testPath, Key: []byte(key), Target: targetOf(v.Record), Bypass: rapid.Bool().Draw(m.T, "bypass")}
	now := m.now(i)
	res := s.do(now, cmd)
	want := raftfsmpb.Code_OK
	if v.Lock.Forbids(now, cmd.Bypass) != "" {
		want = raftfsmpb.Code_LOCKED
	}
	if res.GetCode() != want || want == raftfsmpb.Code_OK && (!res.GetRemoved() || res.GetMarker() == Live(v.Record)) {
		m.fail("purge of %s: %v %s, want %v", describe(v.Record), res.GetCode(), res.GetMessage(), want)
	}
	m.note("%d purges %s: %s", i, describe(v.Record), describe(res.GetRecord()))
	switch rec := res.GetRecord(); {
	case rec == nil:
	case nullLane(rec):
		m.wrote = append(m.wrote, rec)
	default:
		m.purged[idOf(v.Record.GetDot())] = rec
	}
}

// sameVersions fails unless a site shows the same as the first one. One that keeps
// a bounded number of versions may show fewer, and what it has dropped with a
// version, its tags and a retention that is over, it does not pass on.
func (m *mesh) sameVersions(i int) {
	settings := func(s *site) string {
		a, err := s.cat.BucketAttributes(testPath)
		if err != nil {
			m.Fatalf("settings: %v", err)
		}
		return fmt.Sprintf("%v %v %q %v", a.Versioning, a.Tags, a.CORS, a.Lock.GetEnabled())
	}
	if a, b := settings(m.sites[0]), settings(m.sites[i]); a != b {
		m.fail("sites 0 and %d have different settings: %s, %s", i, a, b)
	}
	exact := !m.versioned || slices.Max(m.bounds) == 0
	for key := range meshKeys {
		show := func(s *site) map[dotID]string {
			out := make(map[dotID]string)
			for _, v := range m.versions(s, key) {
				show := fmt.Sprintf("%s hold %v", describe(v.Record), v.Lock.Hold)
				if exact {
					show += fmt.Sprintf(" latest %v tags %v lock %v", v.Latest, v.Tags, v.Lock)
				}
				out[idOf(v.Record.GetDot())] = show
			}
			return out
		}
		a, b := show(m.sites[0]), show(m.sites[i])
		if !exact {
			for _, side := range []map[dotID]string{a, b} {
				maps.DeleteFunc(side, func(d dotID, _ string) bool { return a[d] == "" || b[d] == "" })
			}
		}
		if !maps.Equal(a, b) && !m.unsettled(key) {
			m.fail("sites 0 and %d show different versions of %s:\n%v\n%v", i, key, a, b)
		}
	}
}

// nothingLost fails unless every version with an id that nobody purged is there,
// and, where there are no locks, none that somebody did.
func (m *mesh) nothingLost() {
	here := make(map[dotID]bool)
	for key := range meshKeys {
		for _, v := range m.versions(m.sites[0], key) {
			here[idOf(v.Record.GetDot())] = true
		}
	}
	for _, rec := range m.wrote {
		if !HasID(rec) {
			continue
		}
		purge := m.purged[idOf(rec.GetDot())]
		switch kept := here[idOf(rec.GetDot())]; {
		case purge == nil && !kept:
			m.fail("%s is lost, although nobody purged it", describe(rec))
		case purge != nil && kept && !m.locks:
			m.fail("%s is back, although %s purged it", describe(rec), describe(purge))
		}
	}
}

// TestVersionsMesh is TestMesh for buckets with versions: sites that differ in what
// they know of versioning, that purge, lock and tag versions, and that keep all of
// them or some.
func TestVersionsMesh(t *testing.T) {
	rounds := 8
	if os.Getenv("ISGW_LONG") != "" {
		rounds = 300
	}
	for range rounds { // of as many runs as -rapid.checks says
		if !t.Run("round", func(t *testing.T) { rapid.Check(t, playVersionsMesh) }) {
			return
		}
	}
}

func playVersionsMesh(t *rapid.T) {
	trims := rapid.Bool().Draw(t, "trims")
	bucketsGo := trims && rapid.Bool().Draw(t, "buckets go")
	restores := trims && !bucketsGo && rapid.Bool().Draw(t, "restores")
	m := newMesh(t, rapid.SampledFrom([]int{0, 0, 0, 2, 3}).Draw(t, "versions at most"))
	defer m.close()
	m.versioned, m.locks = true, rapid.Bool().Draw(t, "locks")
	if rapid.IntRange(0, 3).Draw(t, "prepared") > 0 {
		m.prepare()
	}
	m.run(t, trims, bucketsGo, restores)
}
