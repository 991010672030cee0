package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// ask returns the status and text of a path of the metrics endpoint.
func ask(t *testing.T, n *Node, path string) (int, string) {
	t.Helper()
	res, err := http.Get("http://" + n.metricsAddress + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// TestProbes follows a node from its first start over init to a restart.
func TestProbes(t *testing.T) {
	opts := Options{Dir: t.TempDir(), Site: "alpha", Node: "alpha-1", S3: None, Link: None, Admin: None, Metrics: "127.0.0.1:0", disk: roomy}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want := func(n *Node, when, path string, status int, words string) {
		t.Helper()
		if got, text := ask(t, n, path); got != status || !strings.Contains(text, words) {
			t.Errorf("%s: %s answers %d %q, want %d with %q", when, path, got, text, status, words)
		}
	}
	n, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	want(n, "fresh", "/healthz", 200, "ok\n")
	want(n, "fresh", "/readyz", 503, "run isgwctl system init")
	want(n, "fresh", "/metrics", 200, "isgw_initialised 0\n")
	want(n, "fresh", "/metrics", 200, `isgw_build_info{goversion="go1.`)

	c, err := admin.Dial("unix:" + n.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.System.Init(ctx, &adminpb.InitRequest{}); err != nil {
		t.Fatal(err)
	}
	want(n, "initialised", "/healthz", 200, "ok\n")
	want(n, "initialised", "/readyz", 200, "ok\n")
	for _, line := range []string{"isgw_initialised 1\n", "isgw_healthy 1\n", "isgw_raft_quorum 1\n", "isgw_disk_free_bytes ", "isgw_disk_capacity_bytes "} {
		want(n, "initialised", "/metrics", 200, line)
	}
	if _, err := c.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}); err != nil {
		t.Fatal(err)
	}
	want(n, "with a link that is not paired", "/metrics", 200, "isgw_healthy 0\n")
	want(n, "with a link that is not paired", "/readyz", 200, "ok\n")
	want(n, "with a link that is not paired", "/metrics", 200, `isgw_link_lag_target_seconds{peer="",service="hawaii"} 30`)
	c.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Alive(); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("a closed node says %v", err)
	}

	if n, err = Start(ctx, opts); err != nil {
		t.Fatal(err)
	}
	want(n, "again", "/readyz", 200, "ok\n")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestProbesAreBounded has probes that hang, as those of a stuck node do.
func TestProbesAreBounded(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	handler := probe(func() error {
		entered <- struct{}{}
		<-release
		return errors.New("stuck")
	})
	answers := make(chan *httptest.ResponseRecorder)
	serve := func() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
		answers <- w
	}
	for range maxProbes {
		go serve()
		<-entered
	}
	go serve()
	if w := <-answers; w.Code != 503 || !strings.Contains(w.Body.String(), "have not been answered") {
		t.Errorf("one too many: %d %q", w.Code, w.Body)
	}
	close(release)
	for range maxProbes {
		if w := <-answers; w.Code != 503 || w.Body.String() != "stuck\n" {
			t.Errorf("a probe that hung: %d %q", w.Code, w.Body)
		}
	}
}

// TestFullDisk: an operator is told before writes are refused, and that the disk has
// room again.
func TestFullDisk(t *testing.T) {
	var free atomic.Uint64
	free.Store(4 << 30)
	_, c := startNode(t, func(o *Options) { o.disk = func(string) (uint64, uint64) { return 100 << 30, free.Load() } })
	st, err := c.System.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := st.GetProblems(); len(p) != 1 || !strings.Contains(p[0].GetWhat(), "has less than 5 % free") || st.GetState() != adminpb.NodeState_NODE_STATE_DEGRADED ||
		st.GetStorage().GetDiskFree() != 4<<30 || st.GetStorage().GetDiskCapacity() != 100<<30 {
		t.Errorf("a full disk: %v, %v, %v", st.GetState(), p, st.GetStorage())
	}
	free.Store(5 << 30)
	if st, err = c.System.Status(t.Context()); err != nil || len(st.GetProblems()) != 0 || st.GetState() != adminpb.NodeState_NODE_STATE_ONLINE {
		t.Errorf("a disk with room: %v, %v, %v", st.GetState(), st.GetProblems(), err)
	}
}

// TestStartOnFullDisk: a node that could not write out what it has in memory says so,
// and does not begin.
func TestStartOnFullDisk(t *testing.T) {
	n, _ := startNode(t, func(o *Options) { o.disk = roomy })
	opts := n.opts
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	opts.disk = func(string) (uint64, uint64) { return 1 << 40, openBytes - 1 }
	if n, err := Start(t.Context(), opts); err == nil {
		t.Error("the node started: ", n.Close())
	} else if !strings.Contains(err.Error(), "63 MiB are free on the disk of "+opts.Dir) {
		t.Error(err)
	}
	opts.disk = roomy
	n, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiskOf asks of a directory that is there, and of one that is not.
func TestDiskOf(t *testing.T) {
	if capacity, free := diskOf(t.TempDir()); capacity == 0 || free > capacity {
		t.Errorf("%d bytes, %d free", capacity, free)
	}
	if capacity, free := diskOf("/not/there"); capacity != 0 || free != 0 {
		t.Errorf("a directory that is not there has %d bytes, %d free", capacity, free)
	}
}
