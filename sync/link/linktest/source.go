package linktest

import (
	"context"
	"sync/atomic"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Source is a link.Source made of functions. A function that is not set is
// refused with link.CodeInvalid. Running counts the calls under way.
type Source struct {
	OnHello    func(context.Context, *linkpb.Hello) (*linkpb.Hello, error)
	OnServed   func(context.Context) (*linkpb.Served, error)
	OnChanges  func(context.Context, *linkpb.ChangesRequest, func(*linkpb.ChangeBatch) error) error
	OnScan     func(context.Context, *linkpb.ScanRequest) (*linkpb.ScanPage, error)
	OnFetch    func(context.Context, *linkpb.FetchRequest, func(*linkpb.ChunkHeader, []byte) error) error
	OnDigest   func(context.Context, *linkpb.DigestRequest) (*linkpb.DigestReply, error)
	OnRecords  func(context.Context, *linkpb.RecordsRequest) (*linkpb.ScanPage, error)
	OnProgress func(context.Context, *linkpb.Progress) (*linkpb.ProgressReply, error)

	running atomic.Int64
}

var _ link.Source = (*Source)(nil)

// Running is the number of calls that have not returned.
func (s *Source) Running() int { return int(s.running.Load()) }

func (s *Source) enter() func() {
	s.running.Add(1)
	return func() { s.running.Add(-1) }
}

func unset() error { return link.Refuse(link.CodeInvalid, "this test's source has no such function") }

// Hello implements link.Source.
func (s *Source) Hello(ctx context.Context, h *linkpb.Hello) (*linkpb.Hello, error) {
	defer s.enter()()
	if s.OnHello == nil {
		return nil, unset()
	}
	return s.OnHello(ctx, h)
}

// Served implements link.Source.
func (s *Source) Served(ctx context.Context) (*linkpb.Served, error) {
	defer s.enter()()
	if s.OnServed == nil {
		return nil, unset()
	}
	return s.OnServed(ctx)
}

// Changes implements link.Source.
func (s *Source) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	defer s.enter()()
	if s.OnChanges == nil {
		return unset()
	}
	return s.OnChanges(ctx, req, fn)
}

// Scan implements link.Source.
func (s *Source) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	defer s.enter()()
	if s.OnScan == nil {
		return nil, unset()
	}
	return s.OnScan(ctx, req)
}

// Digest implements link.Source.
func (s *Source) Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
	defer s.enter()()
	if s.OnDigest == nil {
		return nil, unset()
	}
	return s.OnDigest(ctx, req)
}

// Records implements link.Source.
func (s *Source) Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	defer s.enter()()
	if s.OnRecords == nil {
		return nil, unset()
	}
	return s.OnRecords(ctx, req)
}

// Fetch implements link.Source.
func (s *Source) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	defer s.enter()()
	if s.OnFetch == nil {
		return unset()
	}
	return s.OnFetch(ctx, req, fn)
}

// Progress implements link.Source.
func (s *Source) Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
	defer s.enter()()
	if s.OnProgress == nil {
		return nil, unset()
	}
	return s.OnProgress(ctx, p)
}
