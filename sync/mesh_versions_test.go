package objsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// TestMeshVersionsConverge is TestMeshConverges in a bucket that gets versioning,
// tags, purges, settings and, with some seeds, object lock: all sites end with the
// same versions and delete markers under the same ids, with the same attributes.
func TestMeshVersionsConverge(t *testing.T) {
	for _, seed := range meshSeeds(t, 1, 2, 3, 4, 5, 6, 7, 8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runMesh(t, seed, true) })
		})
	}
}

// stepVersions does one thing with versions to one site.
func (m *mesh) stepVersions(s *testSite, key string) {
	all := s.versionsOf(bk1, key)
	var v *catalog.Version
	if len(all) > 0 {
		v = all[m.rng.IntN(len(all))]
	}
	switch p := m.rng.IntN(100); {
	case p < 20:
		m.setting(s)
	case v == nil:
		s.put(bk1, key, random(m.rng.Uint64N(40), m.rng.IntN(60_000)))
	case p < 50:
		s.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: &catalogpb.Purge{
			Bucket: bk1, Key: []byte(key), Target: targetOf(v.Record), Bypass: m.rng.IntN(2) == 0,
		}}})
	default:
		m.attribute(s, key, v)
	}
}

// setting changes a setting of the bucket.
func (m *mesh) setting(s *testSite) {
	cmd := &catalogpb.SetBucketAttribute{Bucket: bk1, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}}
	switch n := m.rng.IntN(6); {
	case n == 0:
		cmd.Value.Versioning = catalogpb.Versioning_VERSIONING_SUSPENDED
	case n == 1:
		cmd.Field, cmd.Value = catalog.FieldTags, &catalogpb.Value{Tags: map[string]string{"n": fmt.Sprint(m.rng.IntN(100))}}
	case n == 2:
		cmd.Field, cmd.Value = catalog.FieldCORS, &catalogpb.Value{Cors: fmt.Append(nil, m.rng.IntN(100))}
	case n == 3 && m.locks:
		cmd.Field, cmd.Value = catalog.FieldLock, &catalogpb.Value{Lock: &catalogpb.DefaultLock{Enabled: true}}
	}
	s.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: cmd}})
}

// attribute changes what a version carries. Where there is object lock that may be
// a hold, or a retention for a time that passes during the test.
func (m *mesh) attribute(s *testSite, key string, v *catalog.Version) {
	cmd := &catalogpb.SetAttribute{
		Bucket: bk1, Key: []byte(key), Target: targetOf(v.Record), Field: catalog.FieldTags,
		Value: &catalogpb.Value{Tags: map[string]string{"n": fmt.Sprint(m.rng.IntN(100))}}, Bypass: m.rng.IntN(2) == 0,
	}
	switch m.rng.IntN(3) {
	case 0:
		cmd.Field, cmd.Value = catalog.FieldHold, &catalogpb.Value{Hold: m.rng.IntN(2) == 0}
	case 1:
		cmd.Field, cmd.Value = catalog.FieldRetention, &catalogpb.Value{
			Mode:  catalogpb.RetentionMode(1 + m.rng.IntN(2)),
			Until: time.Now().Add(time.Duration(m.rng.IntN(20_000)) * time.Millisecond).UnixNano(),
		}
	}
	s.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: cmd}})
}

// try proposes what a rule may forbid.
func (s *testSite) try(cmd *raftfsmpb.Command) {
	s.t.Helper()
	res, err := s.propose(context.Background(), cmd)
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	if code := res.GetCode(); code != raftfsmpb.Code_OK && res.GetMessage() == "" {
		s.t.Errorf("%s: refused without a word: %v", s.name, code)
	}
}

// targetOf names a version as S3 does: nil is the null version.
func targetOf(r *catalogpb.Record) *catalogpb.Dot {
	if catalog.HasID(r) {
		return r.GetDot()
	}
	return nil
}

// versionsOf returns what S3 shows of a key, with attributes; of all keys for "".
func (s *testSite) versionsOf(path, key string) []*catalog.Version {
	s.t.Helper()
	var out []*catalog.Version
	o := catalog.ListVersionsOptions{Prefix: []byte(key)}
	for {
		page, err := s.cat.ListVersions(path, o)
		if err != nil {
			s.t.Fatalf("%s: list versions: %v", s.name, err)
		}
		for _, item := range page.Items {
			r := item.Version.Record
			if key != "" && string(r.GetKey()) != key {
				continue
			}
			v, err := s.cat.Version(path, r.GetKey(), targetOf(r))
			if errors.Is(err, catalog.ErrNoKey) {
				continue // an engine was faster
			}
			if err != nil {
				s.t.Fatalf("%s: version %s of %s is listed, but: %v", s.name, catalog.VersionID(r), r.GetKey(), err)
			}
			out = append(out, v)
		}
		if !page.Truncated {
			return out
		}
		o.AfterKey, o.AfterVersion, o.AfterNull = page.NextKey, page.NextVersion, page.NextNull
	}
}

// shown is all that S3 shows of the versions of a bucket, in words, by key and id.
func (s *testSite) shown(path string) map[string]string {
	out := make(map[string]string)
	for _, v := range s.versionsOf(path, "") {
		var tags []string
		for _, k := range slices.Sorted(maps.Keys(v.Tags)) {
			tags = append(tags, k+"="+v.Tags[k])
		}
		id := catalog.VersionID(v.Record)
		out[fmt.Sprintf("%s?versionId=%s", v.Record.GetKey(), id)] = fmt.Sprintf("%v %s etag %s latest %v tags %v lock %+v", v.Record.GetKind(), keyOf(v.Record.GetDot()), v.Record.GetEtag(), v.Latest, tags, v.Lock)
	}
	return out
}

// sameVersions checks that sites show the same versions, each with its content, and
// the same settings of the bucket.
func sameVersions(t *testing.T, path string, sites ...*testSite) {
	t.Helper()
	want := sites[0].shown(path)
	settings, err := sites[0].cat.BucketAttributes(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		got := s.shown(path)
		for k := range maps.Keys(want) {
			if got[k] != want[k] {
				t.Errorf("%s: %s has %q and %s has %q", k, sites[0].name, want[k], s.name, got[k])
			}
		}
		for k := range maps.Keys(got) {
			if _, ok := want[k]; !ok {
				t.Errorf("%s: only %s has it, %q", k, s.name, got[k])
			}
		}
		here, err := s.cat.BucketAttributes(path)
		if err != nil {
			t.Fatal(err)
		}
		if here.Versioning != settings.Versioning || !maps.Equal(here.Tags, settings.Tags) ||
			!bytes.Equal(here.CORS, settings.CORS) || !proto.Equal(here.Lock, settings.Lock) {
			t.Errorf("settings: %s has %+v and %s has %+v", sites[0].name, settings, s.name, here)
		}
		s.wholeBucket(path)
	}
}

// wholeBucket checks that every version that is shown has its content.
func (s *testSite) wholeBucket(path string) {
	s.t.Helper()
	for _, v := range s.versionsOf(path, "") {
		if err := s.whole(v.Record); err != nil {
			s.t.Errorf("%s: version %s of %s is shown without its content: %v", s.name, catalog.VersionID(v.Record), v.Record.GetKey(), err)
		}
	}
	if err := s.cat.Check(context.Background(), path); err != nil {
		s.t.Errorf("%s: %v", s.name, err)
	}
}

// whole checks that the content of a version can be read.
func (s *testSite) whole(r *catalogpb.Record) error {
	ref, err := rootOf(r)
	if err != nil || ref.IsEmpty() {
		return err
	}
	ctx := context.Background()
	var content []byte
	var buf chunks.Buffer
	err = manifest.Leaves(ctx, s.chunks.Get, ref, 0, ref.Size, func(l manifest.Leaf) error {
		if err := s.chunks.Get(ctx, l.ID, &buf); err != nil {
			return err
		}
		content = append(content, buf.Raw...)
		return nil
	})
	if err == nil && fmt.Sprintf("%x", chunks.Sum(content)) != r.GetEtag() {
		err = errors.New("it is another content")
	}
	return err
}
