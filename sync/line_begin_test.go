package objsync

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/sync/link/linktest"
)

// TestLongLineBegins counts the round trips from the first packet of a link to the
// first content of a large object at the receiver: TCP, TLS, the greeting with the
// list of buckets, the first page with the upper manifest nodes, and the chunks.
func TestLongLineBegins(t *testing.T) {
	const size, first, most = 64 << 20, 512 << 10, 5
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{10}).Read(content)
	synctest.Test(t, func(t *testing.T) {
		var at time.Duration
		overLine(t, lineRate, func(s *testSite) { s.put(bk1, "large", content) }, func(now time.Duration, line *linktest.Line, _ *Engine) bool {
			at = now
			_, n := line.Passed()
			return n >= first
		})
		trips := float64(at) / float64(2*lineDelay)
		t.Logf("the first %d KiB came after %s, which are %.1f round trips", first>>10, at, trips)
		// Half a round trip for what this site's raft log and disk take, which is more
		// here than on any real one.
		if trips > most+0.5 {
			t.Errorf("%.1f round trips until the first content, more than %d", trips, most)
		}
	})
}
