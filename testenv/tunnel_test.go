package testenv

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"github.com/minio/minio-go/v7"
)

// editLink changes settings of a link at one site, by a plan.
func (e *Env) editLink(s *Site, name string, settings *adminpb.LinkSettings) {
	e.t.Helper()
	plan, err := s.Admin.Plans.Plan(e.Context(), &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{
		EditService: &adminpb.PlanEditService{Name: name, Settings: settings},
	}})
	if err != nil {
		e.t.Fatalf("plan to edit link %s at %s: %v", name, s.Name, err)
	}
	if _, err := s.Admin.Plans.Apply(e.Context(), &adminpb.ApplyRequest{Plan: plan}); err != nil {
		e.t.Fatalf("edit link %s at %s: %v", name, s.Name, err)
	}
}

// TestTunnel turns the tunnel of a link on, at one site and then at both, gives the
// link an address of its own and takes everything back, while both sites are
// written to: no version is lost, and content crosses in every state in which both
// sites agree.
func TestTunnel(t *testing.T) {
	t.Parallel()
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i, s := range l.Sites {
		client := s.S3("Hawaii/Cola")
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				content := bytes.NewReader(randomBytes(uint64(2*n+i), 20_000))
				if _, err := client.PutObject(e.Context(), "bk1", fmt.Sprintf("%s/%04d", s.Name, n), content, content.Size(), minio.PutObjectOptions{}); err != nil {
					t.Errorf("a write at %s: %v", s.Name, err)
					return
				}
			}
		})
	}
	defer func() {
		close(stop)
		writers.Wait()
		l.WaitSynced()
	}()
	crosses := func(state string) {
		t.Helper()
		for i, s := range l.Sites {
			key, content := state+"-from-"+s.Name, randomBytes(uint64(len(state)), 300_000)
			e.mustPut(s, key, content)
			other := l.Sites[1-i]
			e.Eventually(key+" is at "+other.Name, func() bool {
				got, err := other.Get("Hawaii/Cola", "bk1", key)
				return err == nil && bytes.Equal(got, content)
			})
		}
	}
	on, off := true, false
	crosses("plain")
	e.editLink(b, l.Name, &adminpb.LinkSettings{Tunnel: &on})
	e.Eventually("alpha is refused", func() bool {
		st := a.Status(l.Name).GetStatus()
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_REFUSED && strings.Contains(st.GetCause(), "inside an SSH tunnel only")
	})
	e.editLink(a, l.Name, &adminpb.LinkSettings{Tunnel: &on})
	crosses("tunnel")
	// Alpha reaches beta at an address of the link, past the proxy.
	local := freeAddress(t)
	e.editLink(b, l.Name, &adminpb.LinkSettings{Local: &local})
	remote := "ccow://" + local
	plan, err := a.Admin.Plans.Plan(e.Context(), &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{
		EditService: &adminpb.PlanEditService{Name: l.Name, Remote: &remote},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admin.Plans.Apply(e.Context(), &adminpb.ApplyRequest{Plan: plan}); err != nil {
		t.Fatal(err)
	}
	crosses("local")
	for _, s := range l.Sites {
		e.editLink(s, l.Name, &adminpb.LinkSettings{Tunnel: &off})
	}
	crosses("plain-again")
}
