package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

// movingConsole is a site with links of which one changes with each look.
type movingConsole struct{ looks atomic.Uint64 }

func (c *movingConsole) Snapshot(context.Context) (*adminpb.ConsoleSnapshot, error) {
	n := c.looks.Add(1)
	s := &adminpb.ConsoleSnapshot{Revision: n, Alerts: []*adminpb.Alert{{Key: "a"}}}
	for i := range 10 {
		l := &adminpb.ConsoleLink{Name: fmt.Sprintf("link-%d", i), Content: 1, SparkOut: []*adminpb.SparkPoint{{}}}
		if i == 5 {
			l.Content, l.Errors = n, n
		}
		s.Links = append(s.Links, l)
	}
	return s, nil
}

func (c *movingConsole) History(context.Context, *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	return nil, Errorf(CodeUnsupported, "nothing is remembered")
}

// TestWatchTellsWhatChanged looks at what crosses the connection: a watcher that
// asks for changes is told all once and then the link that changed; one that
// does not, as older ones, all each time. The client gives whole snapshots.
func TestWatchTellsWhatChanged(t *testing.T) {
	options := newNode().options()
	options.Console = &movingConsole{}
	socket, _ := serve(t, options)
	raw := adminpbconnect.NewConsoleClient(&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}, "http://node")
	for _, changes := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := raw.Watch(ctx, connect.NewRequest(&adminpb.WatchConsoleRequest{IntervalMillis: 100, Changes: changes}))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			s := stream.Msg()
			partial := changes && i > 0
			links, kept := 10, 0
			if partial {
				links, kept = 1, 1
			}
			if s.GetPartial() != partial || len(s.GetLinks()) != links || len(s.GetKept()) != kept || s.GetCaller().GetRole() != "site-admin" {
				t.Errorf("changes %v, message %d: partial %v, %d links, kept %v", changes, i, s.GetPartial(), len(s.GetLinks()), s.GetKept())
			}
			if partial && (s.GetLinks()[0].GetName() != "link-5" || !s.GetLinks()[0].GetSparksKept()) {
				t.Errorf("the link that changed is told as %v", s.GetLinks()[0])
			}
		}
		cancel()
		stream.Close()
	}

	c := dial(t, socket)
	var last *adminpb.ConsoleSnapshot
	seen := 0
	err := c.Console.Watch(t.Context(), minWatch, 0, func(s *adminpb.ConsoleSnapshot) error {
		if s.GetPartial() || len(s.GetLinks()) != 10 || len(s.GetAlerts()) != 1 || len(s.GetLinks()[5].GetSparkOut()) != 1 || s.GetLinks()[5].GetErrors() != s.GetRevision() {
			t.Errorf("the client gives %v", s)
		}
		if last != nil && (s.GetLinks()[0] != last.GetLinks()[0] || proto.Equal(s.GetLinks()[5], last.GetLinks()[5])) {
			t.Error("what did not change is not shared with the snapshot before, or what changed is")
		}
		last = s
		if seen++; seen == 3 {
			return errEnough
		}
		return nil
	})
	if err != errEnough {
		t.Error(err)
	}
}

var errEnough = Errorf(CodeInterrupted, "enough")
