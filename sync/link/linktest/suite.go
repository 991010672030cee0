package linktest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Patience bounds every wait of the suite for something that must happen.
const Patience = 60 * time.Second

// Connect puts the transport under test around a source. What it starts ends
// with the test; the Source that it returns is used by several goroutines.
type Connect func(t *testing.T, src link.Source) link.Source

// Run holds a transport to the contract of link.Source.
func Run(t *testing.T, connect Connect) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Connect)
	}{
		{"Calls", testCalls},
		{"Hello", testHello},
		{"Refusals", testRefusals},
		{"Failures", testFailures},
		{"LargeMessages", testLargeMessages},
		{"LongLists", testLongLists},
		{"CancelledCalls", testCancelledCalls},
		{"ChangesAreImmediate", testChangesImmediate},
		{"ChangesEnd", testChangesEnd},
		{"ChangesBackPressure", testChangesBackPressure},
		{"FetchExact", testFetchExact},
		{"FetchFailsMidway", testFetchFailsMidway},
		{"FetchBackPressure", testFetchBackPressure},
		{"FetchEnds", testFetchEnds},
		{"Interleaved", testInterleaved},
		{"ManyAtOnce", testManyAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, connect) })
	}
}

// WaitFor polls until cond holds, and fails the test when it does not.
func WaitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("waited %v in vain for: %s", Patience, what)
		}
	}
}

// patient is a context that ends when something hangs.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// wantRefused checks that err is a refusal with a code and a part of its message.
func wantRefused(t *testing.T, err error, code link.Code, part string) {
	t.Helper()
	r, ok := errors.AsType[*link.Refused](err)
	if !ok {
		t.Fatalf("the error is %v (%T), not a refusal", err, err)
	}
	if r.Code != code || !strings.Contains(r.Message, part) {
		t.Fatalf("refused with %q %q, want %q and %q", r.Code, r.Message, code, part)
	}
}

// everyCall makes each kind of call and gives its error by name.
func everyCall(ctx context.Context, s link.Source) map[string]error {
	out := make(map[string]error)
	_, out["hello"] = s.Hello(ctx, &linkpb.Hello{})
	_, out["served"] = s.Served(ctx)
	out["changes"] = s.Changes(ctx, &linkpb.ChangesRequest{}, func(*linkpb.ChangeBatch) error { return nil })
	_, out["scan"] = s.Scan(ctx, &linkpb.ScanRequest{})
	out["fetch"] = s.Fetch(ctx, &linkpb.FetchRequest{}, func(*linkpb.ChunkHeader, []byte) error { return nil })
	_, out["digest"] = s.Digest(ctx, &linkpb.DigestRequest{})
	_, out["records"] = s.Records(ctx, &linkpb.RecordsRequest{})
	_, out["progress"] = s.Progress(ctx, &linkpb.Progress{})
	return out
}

// failing is a source whose every call fails with what failure gives.
func failing(failure func() error) *Source {
	return &Source{
		OnHello:  func(context.Context, *linkpb.Hello) (*linkpb.Hello, error) { return nil, failure() },
		OnServed: func(context.Context) (*linkpb.Served, error) { return nil, failure() },
		OnChanges: func(context.Context, *linkpb.ChangesRequest, func(*linkpb.ChangeBatch) error) error {
			return failure()
		},
		OnScan: func(context.Context, *linkpb.ScanRequest) (*linkpb.ScanPage, error) { return nil, failure() },
		OnFetch: func(context.Context, *linkpb.FetchRequest, func(*linkpb.ChunkHeader, []byte) error) error {
			return failure()
		},
		OnDigest:   func(context.Context, *linkpb.DigestRequest) (*linkpb.DigestReply, error) { return nil, failure() },
		OnRecords:  func(context.Context, *linkpb.RecordsRequest) (*linkpb.ScanPage, error) { return nil, failure() },
		OnProgress: func(context.Context, *linkpb.Progress) (*linkpb.ProgressReply, error) { return nil, failure() },
	}
}
