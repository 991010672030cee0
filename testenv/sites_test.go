package testenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

const bucketPath = "Hawaii/Cola/bk1"

// twoSites are linked sites; only the first has the bucket at first, as in the
// walk-through of the EdgeFS document.
func twoSites(t *testing.T, o SiteOptions) (*Env, *Site, *Site, *Link) {
	t.Helper()
	e := New(t)
	a, b := e.Start("alpha", o), e.Start("beta", o)
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	return e, a, b, e.Link("hawaii", a, b, bucketPath)
}

func (e *Env) mustPut(s *Site, key string, content []byte) {
	e.t.Helper()
	if err := s.Put("Hawaii/Cola", "bk1", key, content); err != nil {
		e.t.Fatalf("put %s at %s: %v", key, s.Name, err)
	}
}

func (e *Env) mustHave(s *Site, key string, content []byte) {
	e.t.Helper()
	got, err := s.Get("Hawaii/Cola", "bk1", key)
	if err != nil {
		e.t.Fatalf("get %s at %s: %v", key, s.Name, err)
	}
	if !bytes.Equal(got, content) {
		e.t.Fatalf("get %s at %s: %d bytes that are not the %d expected", key, s.Name, len(got), len(content))
	}
}

func (e *Env) mustLack(s *Site, key string) {
	e.t.Helper()
	if _, err := s.Get("Hawaii/Cola", "bk1", key); minio.ToErrorResponse(err).Code != "NoSuchKey" {
		e.t.Fatalf("get %s at %s: %v, want NoSuchKey", key, s.Name, err)
	}
}

func (e *Env) mustDelete(s *Site, key string) {
	e.t.Helper()
	if err := s.S3("Hawaii/Cola").RemoveObject(e.Context(), "bk1", key, minio.RemoveObjectOptions{}); err != nil {
		e.t.Fatalf("delete %s at %s: %v", key, s.Name, err)
	}
}

// waitWithoutLag waits until both sites show a lag of zero in both directions. What a
// site applies lengthens its own log, of which the other one is told a moment later
// that there is nothing in it for it.
func (l *Link) waitWithoutLag() {
	l.env.t.Helper()
	for _, s := range l.Sites {
		l.env.Eventually(s.Name+" shows no lag", func() bool {
			st := s.Status(l.Name).GetStatus()
			send, receive := st.GetSend().GetBacklog(), st.GetReceive().GetBacklog()
			return send != nil && send.LagSeconds != nil && send.GetLagSeconds() == 0 &&
				receive != nil && receive.LagSeconds != nil && receive.GetLagSeconds() == 0
		})
	}
}

func TestBothDirections(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	large := randomBytes(1, 9<<20)
	e.mustPut(a, "small", []byte("hello"))
	e.mustPut(a, "large", large)
	e.mustPut(a, "empty", nil)
	e.mustPut(a, "removed", []byte("x"))
	l.WaitSynced()
	e.mustHave(b, "small", []byte("hello"))
	e.mustHave(b, "large", large)
	e.mustHave(b, "empty", nil)

	e.mustPut(b, "from beta", []byte("aloha"))
	e.mustPut(b, "small", []byte("hello again"))
	e.mustDelete(b, "removed")
	l.WaitSynced()
	e.mustHave(a, "from beta", []byte("aloha"))
	e.mustHave(a, "small", []byte("hello again"))
	e.mustLack(a, "removed")

	// The settings of the bucket that the link made are the receiving side's.
	path, err := b.Admin.Paths.Get(e.Context(), &adminpb.GetPathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath})
	if err != nil {
		t.Fatal(err)
	}
	if path.GetCreatedBy() != "link hawaii" {
		t.Errorf("bucket at beta was created by %q", path.GetCreatedBy())
	}
}

// TestNoEcho shows that an idle link sends no versions, and that what came over
// it does not go back.
func TestNoEcho(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	for i := range 50 {
		e.mustPut(a, fmt.Sprintf("key-%d", i), randomBytes(uint64(i), 1000))
	}
	l.WaitSynced()
	before := a.Status("hawaii").GetStatus()
	if got := before.GetReceive().GetVersions(); got != 0 {
		t.Errorf("alpha received %d versions of its own", got)
	}
	beta := b.Status("hawaii").GetStatus()
	if got := beta.GetReceive().GetVersions(); got != 50 {
		t.Errorf("beta received %d versions, want 50", got)
	}
	// Three heartbeats later nothing but heartbeats has crossed.
	at := time.Now()
	e.Eventually("three heartbeats later", func() bool { return time.Since(at) > 3*time.Second })
	after := b.Status("hawaii").GetStatus()
	if after.GetReceive().GetVersions() != 50 || after.GetSend().GetVersions() != beta.GetSend().GetVersions() {
		t.Errorf("an idle link moved versions: %v", after)
	}
	l.waitWithoutLag()
}

func TestMetricsAreTheStatus(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	l.WaitSynced() // what follows comes by the log, which tells when it was committed
	e.mustPut(a, "key", randomBytes(1, 100_000))
	l.WaitSynced()
	status := b.Status("hawaii").GetStatus()
	if in := status.GetReceive(); in.LatencySeconds == nil || in.ProcessingDelaySeconds == nil || in.GetRequests() == 0 {
		t.Errorf("latency, processing delay or requests are not known: %v", in)
	}
	resp, err := http.Get("http://" + b.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`isgw_link_state{peer="alpha",service="hawaii",state="synced"} 1`,
		`isgw_link_lag_seconds{direction="receive",peer="alpha",service="hawaii"} 0`,
		fmt.Sprintf(`isgw_link_versions_total{direction="receive",peer="alpha",service="hawaii"} %d`, status.GetReceive().GetVersions()),
		fmt.Sprintf(`isgw_link_chunks_total{direction="receive",peer="alpha",service="hawaii"} %d`, status.GetReceive().GetChunks()),
		fmt.Sprintf(`isgw_objects{bucket="%s"} 1`, bucketPath),
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, secret := range []string{a.Key("Hawaii/Cola").GetSecretKey()} {
		if strings.Contains(string(text)+a.Log()+b.Log(), secret) {
			t.Error("a secret is in the metrics or the log")
		}
	}
}

// TestCutIsSaidAndHealed shows that a link that is down says why, and reconnects
// by itself.
func TestCutIsSaidAndHealed(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "before", []byte("1"))
	l.WaitSynced()
	l.Cut()
	e.Eventually("beta says that and why the link is down", func() bool {
		st := b.Status("hawaii").GetStatus()
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_DOWN && strings.Contains(st.GetCause(), "refused")
	})
	e.mustPut(a, "during", []byte("2"))
	e.Eventually("alpha counts what is behind", func() bool {
		backlog := a.Status("hawaii").GetStatus().GetSend().GetBacklog()
		return backlog.GetVersions() == 1 && backlog.GetLagSeconds() > 0 && backlog.GetOldestKey() == "during"
	})
	l.Restore()
	l.WaitSynced()
	e.mustHave(b, "during", []byte("2"))
}

func TestDeleteAgainstWrite(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	for _, key := range []string{"deleted at alpha", "deleted at beta", "written at both"} {
		e.mustPut(a, key, []byte("first"))
	}
	l.WaitSynced()
	l.Cut()
	e.mustDelete(a, "deleted at alpha")
	e.mustPut(b, "deleted at alpha", []byte("one edit"))
	e.mustPut(b, "deleted at alpha", []byte("a later edit wins over the deletion"))
	e.mustDelete(b, "deleted at beta")
	e.mustPut(a, "written at both", []byte("at alpha"))
	e.mustPut(b, "written at both", []byte("at beta"))
	l.Restore()
	l.WaitSynced()
	for _, s := range l.Sites {
		e.mustHave(s, "deleted at alpha", []byte("a later edit wins over the deletion"))
		e.mustLack(s, "deleted at beta")
	}
	// Which of two equal claims wins does not matter; that both agree is
	// checked when the test ends.
}

func TestBucketDeletedAndCreatedAgain(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	for i := range 20 {
		e.mustPut(a, fmt.Sprintf("old-%d", i), []byte("old"))
	}
	l.WaitSynced()
	l.Cut()
	e.mustPut(b, "written during", []byte("stays"))
	for i := range 20 {
		e.mustDelete(a, fmt.Sprintf("old-%d", i))
	}
	bucket := &adminpb.DeletePathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath}
	if err := a.Admin.Paths.Delete(e.Context(), bucket); err != nil {
		t.Fatalf("delete bucket: %v", err)
	}
	a.Create(bucketPath)
	e.mustPut(a, "new", []byte("new"))
	l.Restore()
	l.WaitSynced()
	for _, s := range l.Sites {
		e.mustHave(s, "new", []byte("new"))
		e.mustHave(s, "written during", []byte("stays"))
		for i := range 20 {
			e.mustLack(s, fmt.Sprintf("old-%d", i))
		}
	}
}

// TestAwayWhileLogWasTrimmed cuts the link until the deletions are no longer in
// the log, nor the tombstones in the catalog.
func TestAwayWhileLogWasTrimmed(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{LogKeep: time.Second})
	for i := range 20 {
		e.mustPut(a, fmt.Sprintf("gone-%d", i), []byte("gone"))
	}
	e.mustPut(a, "kept", []byte("kept"))
	l.WaitSynced()
	l.Cut()
	for i := range 20 {
		e.mustDelete(a, fmt.Sprintf("gone-%d", i))
	}
	e.mustPut(b, "written at beta", []byte("b"))
	// A look stops the node, which trims while it runs, ten times a second, once it has
	// waited in vain for the other site to say that it is intact.
	looked := time.Now()
	e.Eventually("the tombstones are trimmed at alpha", func() bool {
		if time.Since(looked) < 4*time.Second {
			return false
		}
		done := a.trimmed(bucketPath)
		looked = time.Now()
		return done
	})
	l.Restore()
	l.WaitSynced()
	for _, s := range l.Sites {
		e.mustHave(s, "kept", []byte("kept"))
		e.mustHave(s, "written at beta", []byte("b"))
		for i := range 20 {
			e.mustLack(s, fmt.Sprintf("gone-%d", i))
		}
	}
}

// trimmed looks into the data of a site, whose node it stops meanwhile, and says
// whether the log of a bucket has nothing left.
func (s *Site) trimmed(bucket string) bool {
	t := s.env.t
	t.Helper()
	s.Stop()
	defer s.Resume()
	o, err := openOffline(s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.close(); err != nil {
			t.Error(err)
		}
	}()
	state, err := o.replica.Catalog().Bucket(bucket)
	if err != nil {
		t.Fatal(err)
	}
	return state.GetTrimmed() == state.GetSeq()
}

// TestWaitsForPairing makes services before the sites are paired, and on one
// side without a remote: the other side has to dial for both.
func TestWaitsForPairing(t *testing.T) {
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{}), e.Start("beta", SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	ctx := context.Background()
	for s, remote := range map[*Site]string{a: "", b: "ccow://" + a.options.Link} {
		if _, err := s.Admin.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii", Remote: remote}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Admin.Services.Serve(ctx, "hawaii", "Hawaii/Cola"); err != nil {
			t.Fatal(err)
		}
		st := s.Status("hawaii").GetStatus()
		if st.GetState() != adminpb.ServiceState_SERVICE_STATE_UNPAIRED || st.GetNextStep() == "" {
			t.Errorf("before pairing, at %s: %v", s.Name, st)
		}
	}
	e.pair(a, b, a.options.Link)
	l := &Link{Name: "hawaii", Sites: [2]*Site{a, b}, Buckets: []string{"Hawaii/Cola"}, env: e}
	e.mustPut(a, "key", []byte("value"))
	l.WaitSynced()
	e.mustHave(b, "key", []byte("value"))
	e.mustPut(b, "back", []byte("value"))
	l.WaitSynced()
	e.mustHave(a, "back", []byte("value"))
}
