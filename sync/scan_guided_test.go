package objsync

import (
	"fmt"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestScanReadsWhatDiffers lets a site be away for longer than the log is kept: what
// it reads then are the keys that differ, and what was deleted meanwhile goes.
func TestScanReadsWhatDiffers(t *testing.T) {
	pair(t, nil, func(t *testing.T, x, y *half) {
		const keys = 3000
		x.site.makeBucket(bk1, 1)
		x.start()
		y.start()
		for i := range keys {
			x.site.put(bk1, fmt.Sprintf("k%04d", i), []byte(fmt.Sprint(i)))
		}
		synced(t, 5*time.Minute, x, y)
		x.halt()
		y.halt()
		for i := range 5 {
			x.site.put(bk1, fmt.Sprintf("k%04d", i*500), []byte("changed"))
			x.site.del(bk1, fmt.Sprintf("k%04d", i*500+7))
		}
		x.site.put(bk1, "new", []byte("new"))
		y.site.put(bk1, "here", []byte("written meanwhile"))
		pause(time.Hour)
		x.site.trim(bk1, time.Now())
		y.wire.mu.Lock()
		y.wire.compared, y.wire.compares, y.wire.scanned = 0, 0, 0
		y.wire.mu.Unlock()
		x.start()
		y.start()
		synced(t, 5*time.Minute, x, y)
		sameHeads(t, bk1, x.site, y.site)
		if got := len(y.site.listing(bk1)); got != keys-5+2 {
			t.Errorf("%d keys, want %d", got, keys-5+2)
		}
		y.wire.mu.Lock()
		defer y.wire.mu.Unlock()
		if y.wire.scanned != 0 || y.wire.compares > 12 || y.wire.compared > 64<<10 {
			t.Errorf("%d records in pages, %d requests with %d bytes", y.wire.scanned, y.wire.compares, y.wire.compared)
		}
		t.Logf("%d requests with %d bytes", y.wire.compares, y.wire.compared)
	})
}

// TestGuides says of which cursors a scan reads only what differs.
func TestGuides(t *testing.T) {
	life := []byte("life")
	there := &linkpb.ServedBucket{Epoch: 1, Incarnation: life, Seq: 100, Objects: 1000}
	cursor := func(change func(*catalogpb.Cursor)) *catalogpb.Cursor {
		c := &catalogpb.Cursor{Epoch: 1, Incarnation: life, Seq: 50, InitialDone: true}
		change(c)
		return c
	}
	for _, c := range []struct {
		name    string
		cursor  *catalogpb.Cursor
		objects uint64
		want    bool
	}{
		{"copied and followed", cursor(func(*catalogpb.Cursor) {}), 1000, true},
		{"copied once", cursor(func(c *catalogpb.Cursor) { c.InitialDone, c.Part = false, partOnce }), 1000, true},
		{"a part of it copied once", cursor(func(c *catalogpb.Cursor) { c.InitialDone, c.Part = false, partOnce+"scope" }), 1000, false},
		{"only what changed since", cursor(func(c *catalogpb.Cursor) { c.InitialDone, c.Part = false, partSince }), 1000, false},
		{"a guided scan goes on", cursor(func(c *catalogpb.Cursor) { c.InitialDone, c.Scan = false, &catalogpb.Scan{} }), 1000, true},
		{"never copied", nil, 1000, false},
		{"another life", cursor(func(c *catalogpb.Cursor) { c.Incarnation = []byte("other") }), 1000, false},
		{"the sender was restored", cursor(func(c *catalogpb.Cursor) { c.Epoch = 2 }), 1000, false},
		{"its log is shorter", cursor(func(c *catalogpb.Cursor) { c.Seq = 101 }), 1000, false},
		{"little of it is here", cursor(func(*catalogpb.Cursor) {}), 400, false},
		{"nothing of it is here", cursor(func(*catalogpb.Cursor) {}), 0, false},
	} {
		if got := guides(c.cursor, there, c.objects); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAdmitsRange(t *testing.T) {
	r := func(from, to string) catalog.KeyRange {
		if to == "" {
			return catalog.KeyRange{From: []byte(from)}
		}
		return catalog.KeyRange{From: []byte(from), To: []byte(to)}
	}
	part := Filter{Include: []string{"a/", "b/"}, Exclude: []string{"a/x"}}
	for _, c := range []struct {
		f    Filter
		r    catalog.KeyRange
		want bool
	}{
		{Filter{}, r("", ""), true},
		{Filter{KeepDeletes: true}, r("", ""), true},
		{part, r("", ""), false},
		{part, r("b/", "b0"), true},
		{part, r("b/", "c"), false},
		{part, r("b/c", "b/d"), true},
		{part, r("a/", "a0"), false},
		{part, r("a/a", "a/b"), true},
		{part, r("a/x1", "a/x2"), false},
		{part, r("a/y", "a0"), true},
		{Filter{Exclude: []string{"m"}}, r("n", ""), true},
		{Filter{Exclude: []string{"m"}}, r("", "m"), true},
		{Filter{Exclude: []string{"m"}}, r("", "ma"), false},
	} {
		if got := c.f.admitsRange(c.r); got != c.want {
			t.Errorf("%+v of %q to %q: %v", c.f, c.r.From, c.r.To, got)
		}
	}
}
