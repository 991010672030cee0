package testenv

import (
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	objsync "edgefog.dev/isgw/sync"
)

// edit changes settings of a link by a plan, as the commands do.
func (e *Env) edit(s *Site, edit *adminpb.PlanEditService) {
	e.t.Helper()
	plan, err := s.Admin.Plans.Plan(e.Context(), &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit}})
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := s.Admin.Plans.Apply(e.Context(), &adminpb.ApplyRequest{Plan: plan}); err != nil {
		e.t.Fatal(err)
	}
}

// stands waits until a link is in a state at a site.
func (e *Env) stands(s *Site, link string, state adminpb.ServiceState) *adminpb.ServiceStatus {
	e.t.Helper()
	var st *adminpb.ServiceStatus
	e.Eventually(fmt.Sprintf("%s at %s is %v", link, s.Name, state), func() bool {
		st = s.Status(link).GetStatus()
		return st.GetState() == state
	})
	return st
}

// has waits until a site has a key.
func (e *Env) has(s *Site, key string) {
	e.t.Helper()
	e.Eventually(key+" is at "+s.Name, func() bool {
		_, err := s.Get("Hawaii/Cola", "bk1", key)
		return err == nil
	})
}

// TestEverySettingOfARunningLink changes the settings of a link between two nodes one
// after the other while it is written to at both: each takes effect, and in the end
// nothing was lost.
func TestEverySettingOfARunningLink(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced() // b has the bucket
	const link = "hawaii"
	n := 0
	write := func() (atA, atB string) {
		n++
		atA, atB = fmt.Sprintf("%02d-of-a", n), fmt.Sprintf("%02d-of-b", n)
		e.mustPut(a, atA, randomBytes(uint64(n), 50<<10))
		e.mustPut(b, atB, randomBytes(uint64(n)+100, 50<<10))
		return atA, atB
	}
	write()
	l.WaitSynced()

	// Only out of a.
	e.edit(a, &adminpb.PlanEditService{Name: link, Direction: new("send")})
	e.Eventually("each direction says how it stands", func() bool {
		return a.Status(link).GetStatus().GetReceive().GetState() == "off" && b.Status(link).GetStatus().GetSend().GetState() == "off"
	})
	ofA, ofB := write()
	e.has(b, ofA)
	e.stands(b, link, adminpb.ServiceState_SERVICE_STATE_SYNCED)
	e.mustLack(a, ofB)
	if st := b.Status(link).GetStatus(); !strings.Contains(st.GetSend().GetCause(), "direction at alpha is send") {
		t.Errorf("what b sends stands so: %v", st.GetSend())
	}
	e.edit(a, &adminpb.PlanEditService{Name: link, Direction: new("send+receive")})
	e.has(a, ofB)

	// Once, until somebody asks for it again.
	e.edit(b, &adminpb.PlanEditService{Name: link, Replication: new("initial")})
	e.stands(a, link, adminpb.ServiceState_SERVICE_STATE_COPIED)
	e.stands(b, link, adminpb.ServiceState_SERVICE_STATE_COPIED)
	ofA, ofB = write()
	if _, err := a.Admin.Resyncs.Start(e.Context(), link, bucketPath); err != nil {
		t.Fatal(err)
	}
	e.has(b, ofA)
	e.has(a, ofB)
	e.edit(b, &adminpb.PlanEditService{Name: link, Replication: new("initial+continuous")})
	ofA, _ = write()
	e.has(b, ofA)

	counted := map[string]float64{}
	goesOn := func(after any) {
		t.Helper()
		for name, n := range a.metrics(link) {
			if !strings.Contains(name, "_total") {
				continue
			}
			if n < counted[name] {
				t.Errorf("%s went back from %v to %v after %v", name, counted[name], n, after)
			}
			counted[name] = n
		}
	}
	goesOn("the start")

	// What needs other connections.
	for _, edit := range []*adminpb.PlanEditService{
		{Name: link, Connections: new(uint32(2))},
		{Name: link, Settings: &adminpb.LinkSettings{ChunkCache: new(uint64(8 << 20))}},
		{Name: link, Settings: &adminpb.LinkSettings{Profile: new("embedded")}},
		{Name: link, Settings: &adminpb.LinkSettings{SendLimit: new("1MiB/s")}},
		{Name: link, LagTargetSeconds: new(7.0)},
	} {
		write()
		e.edit(a, edit)
		goesOn(edit)
		write()
		e.edit(b, edit)
		ofA, ofB = write()
		e.has(b, ofA)
		e.has(a, ofB)
		goesOn(edit)
	}
	for _, on := range []bool{false, true} {
		if _, err := a.Admin.Services.SetEnabled(e.Context(), link, on); err != nil {
			t.Fatal(err)
		}
		if !on {
			e.stands(a, link, adminpb.ServiceState_SERVICE_STATE_DISABLED)
		}
		goesOn(fmt.Sprint("enabled ", on))
	}

	// Parts of the bucket, with deletions held back.
	if _, err := a.Admin.Services.Serve(e.Context(), link, bucketPath+",exclude=private/,deletes=keep"); err != nil {
		t.Fatal(err)
	}
	e.mustPut(a, "private/key", []byte("stays"))
	ofA, _ = write()
	e.has(b, ofA)
	e.mustDelete(a, ofA)
	ofA, _ = write()
	e.has(b, ofA)
	e.mustLack(b, "private/key")
	e.mustHave(b, fmt.Sprintf("%02d-of-a", n-1), randomBytes(uint64(n-1), 50<<10))
	if _, err := a.Admin.Services.Serve(e.Context(), link, bucketPath); err != nil {
		t.Fatal(err)
	}
	e.has(b, "private/key")

	l.WaitSynced()
	for i := 1; i <= n; i++ {
		ofA, ofB := fmt.Sprintf("%02d-of-a", i), fmt.Sprintf("%02d-of-b", i)
		e.mustHave(a, ofB, randomBytes(uint64(i)+100, 50<<10))
		e.mustHave(b, ofB, randomBytes(uint64(i)+100, 50<<10))
		if i != n-1 { // that one was deleted
			e.mustHave(a, ofA, randomBytes(uint64(i), 50<<10))
			e.mustHave(b, ofA, randomBytes(uint64(i), 50<<10))
		}
	}
	e.mustLack(b, fmt.Sprintf("%02d-of-a", n-1)) // the deletion travels now
}

// TestBoundsOfARunningLink: how many connections a link has, and how much it asks for
// at once, is as its settings say as soon as they are changed.
func TestBoundsOfARunningLink(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced()
	const link = "hawaii"
	n := 0
	// carry brings a large object to b and returns how many connections b had open
	// meanwhile, and how many bytes under way.
	carry := func(edit *adminpb.PlanEditService) (connections uint32, inFlight int64) {
		t.Helper()
		for _, s := range l.Sites {
			e.edit(s, edit)
		}
		l.WaitSynced()
		n++
		key := fmt.Sprint("large-", n)
		e.mustPut(a, key, randomBytes(uint64(n), 8<<20))
		e.Eventually(key+" is at beta", func() bool {
			st := b.Status(link).GetStatus()
			connections, inFlight = max(connections, st.GetConnections()), max(inFlight, int64(st.GetInFlightBytes()))
			_, err := b.Get("Hawaii/Cola", "bk1", key)
			return err == nil
		})
		t.Logf("%v: %d connections, %d bytes under way", edit, connections, inFlight)
		return connections, inFlight
	}
	l.Slow(2000) // KB a second for each connection
	many, _ := carry(&adminpb.PlanEditService{Name: link, Connections: new(uint32(24))})
	// Beside those for content, a site has five connections at most.
	const two = 2 * (5 + 2)
	if many <= two {
		t.Errorf("%d connections of 24 for content in each direction are open", many)
	}
	few, much := carry(&adminpb.PlanEditService{Name: link, Connections: new(uint32(2))})
	if few > two {
		t.Errorf("with two for content in each direction %d connections are open", few)
	}
	const cache = 8 << 20
	bounds := objsync.BoundsFor(false, cache, 2)
	most := bounds.Window + bounds.Line
	if much <= most {
		t.Errorf("%d bytes were under way at most, which %d bytes of cache allow too", much, cache)
	}
	if _, little := carry(&adminpb.PlanEditService{Name: link, Settings: &adminpb.LinkSettings{ChunkCache: new(uint64(cache))}}); little > most || little == 0 {
		t.Errorf("with a cache of %d bytes %d are under way, %d at most are to be", cache, little, most)
	}
}
