package ccow

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"edgefog.dev/isgw/sync/link/linktest"
)

// longPage is a page of a key of more bytes than a message holds.
func longPage(t *testing.T, size int) *linkpb.ScanPage {
	t.Helper()
	page := &linkpb.ScanPage{Incarnation: bytes.Repeat([]byte{7}, 16), Epoch: 3, Seq: 9, Seen: &catalogpb.Vector{Upto: []*catalogpb.Dot{dot(9)}},
		NextKey: []byte("m"), Nodes: []*linkpb.PageNode{{Id: bytes.Repeat([]byte{8}, 32), Data: []byte("a node")}}}
	for i := 1; size > 0; i++ {
		r := &catalogpb.Record{Key: []byte("long"), Dot: dot(i), Metadata: map[string]string{"note": fmt.Sprintf("%04000d", i)}}
		page.Records = append(page.Records, r)
		size -= proto.Size(r)
	}
	return page
}

// TestLongPage sends a page that does not fit into a message: in as many as it takes when
// that is allowed, and otherwise it is refused, and the sender's log says why.
func TestLongPage(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	pages := map[uint32]*linkpb.ScanPage{0: longPage(t, MaxMessage), 1: longPage(t, MaxMessage/2), 32 << 20: longPage(t, 3*MaxMessage)}
	far.serve("hawaii", &linktest.Source{
		OnScan: func(_ context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
			return pages[req.GetMost()], nil
		},
		OnRecords: func(_ context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
			return pages[req.GetMost()], nil
		},
	})
	c := client(t, near, far, nil)
	for most, want := range pages {
		for name, ask := range map[string]func() (*linkpb.ScanPage, error){
			"scan":    func() (*linkpb.ScanPage, error) { return c.Scan(background(t), &linkpb.ScanRequest{Most: most}) },
			"records": func() (*linkpb.ScanPage, error) { return c.Records(background(t), &linkpb.RecordsRequest{Most: most}) },
		} {
			got, err := ask()
			if most == 0 {
				wantRefused(t, err, link.CodeInternal, "its log says how")
				if !far.log.has("encode ScanPage") || !far.log.has("request=/isgw/v1/"+name) {
					t.Errorf("%s: the sender's log does not say how", name)
				}
				continue
			}
			if err != nil || !proto.Equal(got, want) {
				t.Errorf("%s of up to %d bytes: %d records of %d, %v", name, most, len(got.GetRecords()), len(want.GetRecords()), err)
			}
		}
	}
	if n := far.ep.Connections(near.id.Site(), "hawaii"); n != 1 {
		t.Errorf("%d connections are open: some were lost", n)
	}
}

// TestLongPageOneAtATime asks for several long pages of a link at once: the sender has but
// one of them in memory.
func TestLongPageOneAtATime(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	page := longPage(t, 2*MaxMessage)
	begun := make(chan struct{})
	far.serve("hawaii", &linktest.Source{OnScan: func(context.Context, *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
		select { // each has time to meet another one
		case begun <- struct{}{}:
		case <-begun:
			t.Error("two are read at once")
		case <-time.After(100 * time.Millisecond):
		}
		return page, nil
	}})
	c := client(t, near, far, nil)
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			_, err := c.Scan(background(t), &linkpb.ScanRequest{Most: 32 << 20})
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestPageBeyondWhatWasAllowed drops the connection when a page has no end.
func TestPageBeyondWhatWasAllowed(t *testing.T) {
	t.Parallel()
	near, far := twoSites(t, nil)
	part, err := appendMessage(nil, frameMessage, longPage(t, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	address := rawServer(t, far, func(conn rawConn) {
		if _, err := conn.Write([]byte(okHead + "Content-Length: 1000000000\r\n\r\n")); err != nil {
			return
		}
		for range 100 {
			if _, err := conn.Write(part); err != nil {
				return
			}
		}
		t.Error("all of it was read")
	})
	c := client(t, near, far, func(o *DialOptions) { o.Address = address })
	_, err = c.Scan(background(t), &linkpb.ScanRequest{Most: 4 << 20})
	wantFault(t, err, link.FaultProtocol, "more than the 4194304 bytes that were allowed")
}
