package objsync

import (
	"fmt"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// stepKeys does what users do.
func (w *world) stepKeys(s *simSite, key string) {
	content := random(w.rng.Uint64N(40), w.rng.IntN(60_000))
	p := w.rng.IntN(100)
	if !s.up() {
		return
	}
	if _, err := s.cat.Bucket(bk1); err != nil {
		return
	}
	switch {
	case w.versioned && p < 35:
		w.stepVersions(s, key)
	case p < 80:
		s.write(key, content)
	default:
		s.remove(key)
	}
	if w.rng.IntN(3) == 0 {
		s.power.users.Wait() // who waits for one thing before the next
	}
}

// stepVersions does one thing with versions, tags, locks and settings.
func (w *world) stepVersions(s *simSite, key string) {
	cmd := &raftfsmpb.Command{}
	if w.rng.IntN(3) == 0 {
		cmd.Command = &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: w.setting()}
		s.use(nil, cmd)
		return
	}
	all := s.versionsOf(bk1, key)
	if len(all) == 0 {
		s.write(key, random(w.rng.Uint64N(40), w.rng.IntN(60_000)))
		return
	}
	v := all[w.rng.IntN(len(all))]
	if w.rng.IntN(2) == 0 {
		cmd.Command = &raftfsmpb.Command_Purge{Purge: &catalogpb.Purge{
			Bucket: bk1, Key: []byte(key), Target: targetOf(v.Record), Bypass: w.rng.IntN(2) == 0,
		}}
	} else {
		cmd.Command = &raftfsmpb.Command_SetAttribute{SetAttribute: w.attribute(s, key, v)}
	}
	s.use(nil, cmd)
}

func (w *world) setting() *catalogpb.SetBucketAttribute {
	out := &catalogpb.SetBucketAttribute{Bucket: bk1, Field: catalog.FieldVersioning, Value: &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}}
	switch n := w.rng.IntN(6); {
	case n == 0:
		out.Value.Versioning = catalogpb.Versioning_VERSIONING_SUSPENDED
	case n == 1:
		out.Field, out.Value = catalog.FieldTags, &catalogpb.Value{Tags: map[string]string{"n": fmt.Sprint(w.rng.IntN(100))}}
	case n == 2:
		out.Field, out.Value = catalog.FieldCORS, &catalogpb.Value{Cors: fmt.Append(nil, w.rng.IntN(100))}
	case n == 3 && w.locks:
		out.Field, out.Value = catalog.FieldLock, &catalogpb.Value{Lock: &catalogpb.DefaultLock{Enabled: true}}
	}
	return out
}

func (w *world) attribute(s *simSite, key string, v *catalog.Version) *catalogpb.SetAttribute {
	out := &catalogpb.SetAttribute{
		Bucket: bk1, Key: []byte(key), Target: targetOf(v.Record), Field: catalog.FieldTags,
		Value: &catalogpb.Value{Tags: map[string]string{"n": fmt.Sprint(w.rng.IntN(100))}}, Bypass: w.rng.IntN(2) == 0,
	}
	switch w.rng.IntN(3) {
	case 0:
		out.Field, out.Value = catalog.FieldHold, &catalogpb.Value{Hold: w.rng.IntN(2) == 0}
	case 1:
		out.Field, out.Value = catalog.FieldRetention, &catalogpb.Value{
			Mode:  catalogpb.RetentionMode(1 + w.rng.IntN(2)),
			Until: s.wall() + int64(w.rng.IntN(20_000))*int64(time.Millisecond),
		}
	}
	return out
}
