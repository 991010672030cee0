package objsync

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

func setting(field string, v *catalogpb.Value) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_SetBucketAttribute{SetBucketAttribute: &catalogpb.SetBucketAttribute{Bucket: bk1, Field: field, Value: v}}}
}

func attribute(key string, target *catalogpb.Dot, field string, v *catalogpb.Value) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_SetAttribute{SetAttribute: &catalogpb.SetAttribute{Bucket: bk1, Key: []byte(key), Target: target, Field: field, Value: v}}}
}

func purge(key string, target *catalogpb.Dot) *raftfsmpb.Command {
	return &raftfsmpb.Command{Command: &raftfsmpb.Command_Purge{Purge: &catalogpb.Purge{Bucket: bk1, Key: []byte(key), Target: target}}}
}

// twoLinked runs f with two sites, of which the first has the bucket; nothing runs
// yet.
func twoLinked(t *testing.T, f func(t *testing.T, a, b *testSite, x, y *half)) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTestSite(t, 1), newTestSite(t, 2)
		a.unbounded, b.unbounded = true, true
		a.ensureBucket(bk1)
		x, y := connect(t, a, b, nil, bk1)
		defer func() {
			x.halt()
			y.halt()
			a.close()
			b.close()
		}()
		f(t, a, b, x, y)
	})
}

// TestVersionsCopied makes a history, with delete markers, purges, tags and locks,
// before the link is there and after, and finds it whole at the other site.
func TestVersionsCopied(t *testing.T) {
	twoLinked(t, func(t *testing.T, a, b *testSite, x, y *half) {
		history := func(key string) {
			a.put(bk1, key, []byte("before versioning"))
			a.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
			a.try(setting(catalog.FieldLock, &catalogpb.Value{Lock: &catalogpb.DefaultLock{Enabled: true}}))
			a.try(setting(catalog.FieldTags, &catalogpb.Value{Tags: map[string]string{"for": key}}))
			var made []*catalogpb.Record
			for i := range 6 {
				made = append(made, a.put(bk1, key, random(uint64(i), 50_000+i)))
			}
			a.try(attribute(key, made[0].GetDot(), catalog.FieldTags, &catalogpb.Value{Tags: map[string]string{"n": "0"}}))
			a.try(attribute(key, made[1].GetDot(), catalog.FieldHold, &catalogpb.Value{Hold: true}))
			a.try(attribute(key, made[2].GetDot(), catalog.FieldRetention, &catalogpb.Value{
				Mode: catalogpb.RetentionMode_RETENTION_GOVERNANCE, Until: time.Now().Add(time.Hour).UnixNano(),
			}))
			a.try(purge(key, made[3].GetDot()))
			a.try(purge(key, made[1].GetDot())) // forbidden
			a.del(bk1, key)
			if n := len(a.versionsOf(bk1, key)); n != 7 {
				t.Fatalf("%d versions and delete markers instead of 7", n)
			}
		}
		history("before")
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		sameVersions(t, bk1, a, b)
		history("after")
		synced(t, time.Minute, x, y)
		sameVersions(t, bk1, a, b)
		if offered := x.wire.offers(); offered > 6 {
			// Only the settings go back to where they came from, each time they are made
			// unless they are replaced before.
			t.Errorf("%d records were offered to the site that wrote them", offered)
		}

		// What is purged there goes here too, also when it is not the latest.
		v := b.versionsOf(bk1, "before")[2]
		b.try(purge("before", targetOf(v.Record)))
		synced(t, time.Minute, x, y)
		sameVersions(t, bk1, a, b)
		if n := len(a.versionsOf(bk1, "before")); n != 6 {
			t.Errorf("%d versions after a purge at the other site instead of 6", n)
		}
	})
}

// TestPurgeWhileFetched purges a version while its content is on its way: it does
// not show up when that has come.
func TestPurgeWhileFetched(t *testing.T) {
	twoLinked(t, func(t *testing.T, a, b *testSite, x, y *half) {
		a.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
		y.start()
		until(t, time.Minute, "in sync", func() bool { return y.engine.Status().State == StateInSync })
		held := make(chan struct{})
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-held:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		rec := a.put(bk1, "k", random(1, 400_000))
		until(t, time.Minute, "a fetch under way", func() bool { return y.engine.Status().InFlight > 0 })
		a.try(purge("k", rec.GetDot()))
		pause(time.Second)
		close(held)
		until(t, time.Minute, "in sync", func() bool { return y.engine.Status().State == StateInSync })
		if all := b.versionsOf(bk1, "k"); len(all) != 0 {
			t.Errorf("a purged version is shown: %v", all[0].Record)
		}
		sameVersions(t, bk1, a, b)
	})
}

// TestDeletedWhileFetched deletes an object while its content is on its way: that is
// not waited for, and the deletion does not go back to where it comes from.
func TestDeletedWhileFetched(t *testing.T) {
	twoLinked(t, func(t *testing.T, a, b *testSite, x, y *half) {
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			<-ctx.Done() // it never comes
			return ctx.Err()
		}
		a.put(bk1, "k", random(1, 400_000))
		until(t, time.Minute, "a fetch under way", func() bool { return y.engine.Status().InFlight > 0 })
		a.del(bk1, "k")
		synced(t, 10*time.Second, x, y)
		sameVersions(t, bk1, a, b)
		if n := x.wire.offers(); n != 0 {
			t.Errorf("%d records were offered to the site that wrote them", n)
		}
	})
}

// TestForgottenPurgeEndsFetch has a site that covers a purge, as after a scan of a
// third site that had forgotten it, and is fetching the version when the purge is
// offered: nothing else would hold the purge against the version.
func TestForgottenPurgeEndsFetch(t *testing.T) {
	twoLinked(t, func(t *testing.T, a, b *testSite, x, y *half) {
		c := newTestSite(t, 3)
		defer c.close()
		a.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
		fromC, _ := connect(t, a, c, nil, bk1)
		c.ensureBucket(bk1)
		c.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))

		// b has a bucket, and heard from a fourth site that it has seen all of a's.
		b.ensureBucket(bk1)
		fourth := state.SiteID{0: 0x51, 15: 4}
		b.try(&raftfsmpb.Command{Command: &raftfsmpb.Command_Ingest{Ingest: &catalogpb.Ingest{
			Bucket: bk1, Peer: fourth.Bytes(), Cursor: &catalogpb.Cursor{Epoch: 1, Incarnation: []byte("fourth"), Seq: 1, InitialDone: true},
			Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{{Origin: a.id.Bytes(), Epoch: 1, Seq: 1000}}},
		}}})
		held := make(chan struct{})
		y.wire.gate = func(ctx context.Context, _ *linkpb.ChunkHeader) error {
			select {
			case <-held:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		fromC.start()
		defer fromC.halt()
		y.start()
		rec := c.put(bk1, "k", random(1, 20_000)) // one chunk: its sender never has to say that it is gone
		until(t, time.Minute, "a fetch under way", func() bool { return y.engine.Status().InFlight > 0 })
		fromC.halt()
		a.try(purge("k", rec.GetDot()))
		pause(time.Second)
		close(held)
		until(t, time.Minute, "in sync", func() bool { return y.engine.Status().State == StateInSync })
		if all := b.versionsOf(bk1, "k"); len(all) != 0 {
			t.Errorf("a purged version is shown: %v", all[0].Record)
		}
		if n := len(a.versionsOf(bk1, "k")); n != 0 {
			t.Errorf("%d versions at the site that purged the only one", n)
		}
	})
}

// TestPurgedWhileAway purges versions while the other site is away for so long that
// the purges are forgotten: it infers them when it comes back.
func TestPurgedWhileAway(t *testing.T) {
	twoLinked(t, func(t *testing.T, a, b *testSite, x, y *half) {
		a.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
		var made []*catalogpb.Record
		for i := range 4 {
			made = append(made, a.put(bk1, "k", fmt.Append(nil, "version ", i)))
		}
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		x.halt()
		y.halt()
		a.try(purge("k", made[1].GetDot()))
		a.try(purge("k", made[3].GetDot()))
		pause(time.Minute)
		a.trim(bk1, time.Now())
		a.put(bk1, "other", []byte("x"))
		x.start()
		y.start()
		synced(t, time.Minute, x, y)
		sameVersions(t, bk1, a, b)
		if n := len(b.versionsOf(bk1, "k")); n != 2 {
			t.Errorf("%d versions are left instead of 2", n)
		}
	})
}

func TestCheckPageSettings(t *testing.T) {
	page := &linkpb.ScanPage{Done: true}
	for _, key := range []string{"", "", "a", "a", "b"} {
		page.Records = append(page.Records, &catalogpb.Record{Key: []byte(key)})
	}
	if keys, err := checkPage(page, nil); err != nil || keys != 2 {
		t.Errorf("%d keys, %v", keys, err)
	}
	if _, err := checkPage(page, []byte("a")); err == nil {
		t.Error("settings in a page that begins at a key")
	}
}
