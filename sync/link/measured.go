package link

import (
	"context"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// Measured counts the requests of a Source and times the short ones. It may be
// used by any number of goroutines at once.
type Measured struct {
	Source
	clock    func() time.Time
	requests atomic.Uint64
	latency  atomic.Int64 // moving average in nanoseconds; 0: none yet
}

// Measure wraps a Source; clock is time.Now when it is nil.
func Measure(source Source, clock func() time.Time) *Measured {
	if clock == nil {
		clock = time.Now
	}
	return &Measured{Source: source, clock: clock}
}

// Requests returns the number of requests so far.
func (m *Measured) Requests() uint64 { return m.requests.Load() }

// Latency returns the moving average of the time that a short request takes,
// from the call to its answer, and false when there was none yet.
func (m *Measured) Latency() (time.Duration, bool) {
	l := time.Duration(m.latency.Load())
	return l, l > 0
}

// timed counts a short request and, when it succeeded, takes its time.
func (m *Measured) timed(request func() error) error {
	m.requests.Add(1)
	began := m.clock()
	if err := request(); err != nil {
		return err
	}
	took := max(int64(m.clock().Sub(began)), 1)
	for {
		old := m.latency.Load()
		average := took
		if old > 0 {
			const weight = 5 // of the samples before
			average = max((old*weight+took)/(weight+1), 1)
		}
		if m.latency.CompareAndSwap(old, average) {
			return nil
		}
	}
}

// Served implements Source.
func (m *Measured) Served(ctx context.Context) (res *linkpb.Served, err error) {
	err = m.timed(func() error { res, err = m.Source.Served(ctx); return err })
	return res, err
}

// Progress implements Source.
func (m *Measured) Progress(ctx context.Context, req *linkpb.Progress) (res *linkpb.ProgressReply, err error) {
	err = m.timed(func() error { res, err = m.Source.Progress(ctx, req); return err })
	return res, err
}

// Hello implements Source. It may have to connect, so its time says nothing.
func (m *Measured) Hello(ctx context.Context, req *linkpb.Hello) (*linkpb.Hello, error) {
	m.requests.Add(1)
	return m.Source.Hello(ctx, req)
}

// Changes implements Source.
func (m *Measured) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	m.requests.Add(1)
	return m.Source.Changes(ctx, req, fn)
}

// Scan implements Source.
func (m *Measured) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	m.requests.Add(1)
	return m.Source.Scan(ctx, req)
}

// Digest implements Source.
func (m *Measured) Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
	m.requests.Add(1)
	return m.Source.Digest(ctx, req)
}

// Records implements Source.
func (m *Measured) Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	m.requests.Add(1)
	return m.Source.Records(ctx, req)
}

// Fetch implements Source.
func (m *Measured) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	m.requests.Add(1)
	return m.Source.Fetch(ctx, req, fn)
}

// Prepare passes on what the function Prepare says.
func (m *Measured) Prepare() { Prepare(m.Source) }
