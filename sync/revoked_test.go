package objsync

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// late is a source whose fetches of what one site has written wait.
type late struct {
	link.Source
	origin state.SiteID
	open   chan struct{}
}

func (s *late) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	for _, w := range req.GetWants() {
		if keyOf(w.GetDot()).origin == s.origin {
			select {
			case <-s.open:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return s.Source.Fetch(ctx, req, fn)
}

// TestRevokedWhileOnItsWay has a site fetch a version from a second one, where it is purged
// without knowledge of the hold that a third one has put on it. The third revokes that, and
// the version comes by the second's log again, under the name that it had.
func TestRevokedWhileOnItsWay(t *testing.T) {
	for _, c := range []struct {
		name    string
		pending bool // it is in the pending table by then
		gone    bool // the second site has said that it is gone
	}{
		{"being fetched", false, false},
		{"pending", true, false},
		{"gone", false, true},
		{"gone and pending", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { revokedOnItsWay(t, c.pending, c.gone) })
		})
	}
}

func revokedOnItsWay(t *testing.T, pending, gone bool) {
	first, second, third := newTestSite(t, 1), newTestSite(t, 2), newTestSite(t, 3)
	sites := []*testSite{first, second, third}
	for _, s := range sites {
		s.unbounded = true
	}
	first.ensureBucket(bk1)
	ab, ba := connect(t, first, second, nil, bk1)
	bc, cb := connect(t, second, third, nil, bk1)
	halves := []*half{ab, ba, bc, cb}
	fetches := &late{Source: cb.wire, origin: first.id, open: make(chan struct{})}
	blocker := &late{Source: fetches, origin: second.id, open: make(chan struct{})}
	cb.opts.Source = blocker
	for _, h := range halves {
		h.start()
	}
	defer func() {
		for _, h := range halves {
			h.halt()
		}
		for _, s := range sites {
			s.close()
		}
	}()
	first.try(setting(catalog.FieldVersioning, &catalogpb.Value{Versioning: catalogpb.Versioning_VERSIONING_ENABLED}))
	first.try(setting(catalog.FieldLock, &catalogpb.Value{Lock: &catalogpb.DefaultLock{Enabled: true}}))
	synced(t, time.Minute, halves...)

	second.put(bk1, "blocks", random(2, 3000)) // the cursor of the third site
	pause(100 * time.Millisecond)
	v := first.put(bk1, "k", random(1, 3000))
	until(t, time.Minute, "the second site to have it", func() bool { _, ok := second.listing(bk1)["k"]; return ok })
	if pending {
		until(t, time.Minute, "it to be pending", func() bool { return reasonOf(cb, "k") != nil })
	} else {
		pause(100 * time.Millisecond)
	}
	ab.wire.cut()
	ba.wire.cut()
	first.try(attribute("k", v.GetDot(), catalog.FieldHold, &catalogpb.Value{Hold: true}))
	second.try(purge("k", v.GetDot()))
	pause(100 * time.Millisecond)
	if gone {
		close(fetches.open)
		pause(100 * time.Millisecond)
	}
	ab.wire.mend()
	ba.wire.mend()
	ab.engine.Kick()
	ba.engine.Kick()
	until(t, time.Minute, "the second site to have it again", func() bool { _, ok := second.listing(bk1)["k"]; return ok })
	pause(500 * time.Millisecond)
	if !gone {
		close(fetches.open)
	}
	pause(500 * time.Millisecond)
	close(blocker.open)
	synced(t, time.Minute, halves...)
	sameVersions(t, bk1, sites...)
	if len(third.shown(bk1)) != 2 {
		t.Errorf("the third site shows %v", third.shown(bk1))
	}
}
