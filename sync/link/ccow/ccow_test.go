package ccow

import (
	"testing"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// TestConformance runs the suite through loopback with the asking side dialling.
func TestConformance(t *testing.T) {
	t.Parallel()
	linktest.Run(t, func(t *testing.T, src link.Source) link.Source {
		near, far := twoSites(t, nil)
		far.serve("hawaii", src)
		return client(t, near, far, nil)
	})
}

// TestConformanceReversed runs it with the answering side dialling.
func TestConformanceReversed(t *testing.T) {
	t.Parallel()
	linktest.Run(t, func(t *testing.T, src link.Source) link.Source {
		near, far := twoSites(t, nil)
		far.serve("hawaii", src)
		near.serve("hawaii", greeter())
		asking := client(t, near, far, func(o *DialOptions) { o.Address = "" })
		// The far side greets over its own connections, learns what is
		// wanted, and dials that.
		if _, err := client(t, far, near, nil).Hello(background(t), &linkpb.Hello{}); err != nil {
			t.Fatal(err)
		}
		return asking
	})
}
