package cluster

import (
	"context"
	"io"
	"net/http"
	"testing"
)

func TestLoopbackOnly(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:6060": true, "127.8.9.10:0": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "10.0.0.1:6060": false, "node-1:6060": false, "6060": false,
	} {
		if err := loopbackOnly(addr); (err == nil) != ok {
			t.Errorf("%s: %v, want accepted %v", addr, err, ok)
		}
	}
}

// TestDebugServesProfiles starts a node with the debug listener and one without.
func TestDebugServesProfiles(t *testing.T) {
	ctx := context.Background()
	start := func(debug string) *Node {
		n, err := Start(ctx, Options{Dir: t.TempDir(), Site: "alpha", S3: None, Link: None, Admin: None, Metrics: None, Debug: debug})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		return n
	}
	if n := start(""); n.DebugAddress() != "" {
		t.Errorf("a node that was told nothing serves profiles at %s", n.DebugAddress())
	}
	n := start("127.0.0.1:0")
	res, err := http.Get("http://" + n.DebugAddress() + "/debug/pprof/heap?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("heap profile: %d, %d bytes, %v", res.StatusCode, len(body), err)
	}
}
