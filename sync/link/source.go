package link

import (
	"context"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// MaxMessage bounds a message. A sender that has more says it in several.
const MaxMessage = 4 << 20

// Source is what a sender offers to one peer over one link. Every method may
// be called by any number of goroutines at once and returns soon after its
// context ends. The error is a *Refused when the sender does not serve the
// request, a *Fault when the way to the sender failed, the context's error, or,
// from a method with a callback, the callback's error as it was.
//
// Messages passed in are not changed and not kept. Messages returned, and those
// given to Changes' callback, belong to the caller.
type Source interface {
	// Hello tells the sender who asks and returns what the sender says of
	// itself. It may be repeated at any time.
	Hello(ctx context.Context, hello *linkpb.Hello) (*linkpb.Hello, error)

	// Served lists the buckets that the sender lets out over this link.
	Served(ctx context.Context) (*linkpb.Served, error)

	// Changes calls fn with the runs of the buckets' logs after the request's
	// cursors as they are committed, and with heartbeats in between, until the
	// context ends or something fails; it never returns nil. The calls are made
	// one after the other. While fn does not return the sender is held back.
	Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error

	// Scan returns one page of a bucket's records in the order of their keys. A page
	// whose one key is more than a message holds is refused with CodeLarge, unless the
	// request allows so much.
	Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error)

	// Digest sums up what ranges of a bucket's keys show, or lists those keys. A
	// sender without the feature FeatureDigest refuses with CodeVersion.
	Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error)

	// Records returns the records of some keys of a bucket, as Scan gives them. A
	// sender without the feature FeatureDigest refuses with CodeVersion.
	Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error)

	// Fetch calls fn with the chunks asked for, in the order of the request,
	// and returns nil after the last one. The header and the body are valid
	// only during the call. The body is as long as the header says and no
	// longer than chunks.MaxRaw; it is not verified in any other way.
	Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(header *linkpb.ChunkHeader, body []byte) error) error

	// Progress tells the sender how far the receiver has come.
	Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error)
}

// Prepare tells a Source that much is about to be fetched from it, so that it can
// open its connections meanwhile. It returns at once; a Source that has nothing to
// prepare does nothing.
func Prepare(s Source) {
	if p, ok := s.(interface{ Prepare() }); ok {
		p.Prepare()
	}
}
