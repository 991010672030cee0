package ccow

import (
	"iter"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

// Lists that grow with the number of buckets are sent in several messages, and so is a
// page of one key with a long history.
const (
	// partSize is about the size of one of them.
	partSize = 512 << 10
	// maxBuckets bounds the buckets of one link.
	maxBuckets = 1 << 18
	// maxRequest bounds a request of several messages.
	maxRequest = 64 << 20
)

// inParts cuts a list so that each part has about partSize bytes as a message. An
// empty list is one empty part.
func inParts[T any](list []T, size func(T) int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		from, have := 0, 0
		for i, item := range list {
			n := size(item)
			if have > 0 && have+n > partSize {
				if !yield(list[from:i:i]) {
					return
				}
				from, have = i, 0
			}
			have += n
		}
		yield(list[from:])
	}
}

// pageParts cuts a page: the first part has all of it but the records that are in the
// others.
func pageParts(p *linkpb.ScanPage) iter.Seq[*linkpb.ScanPage] {
	return func(yield func(*linkpb.ScanPage) bool) {
		out := &linkpb.ScanPage{Incarnation: p.GetIncarnation(), Epoch: p.GetEpoch(), Seq: p.GetSeq(), Seen: p.GetSeen(),
			NextKey: p.GetNextKey(), Done: p.GetDone(), Nodes: p.GetNodes()}
		for part := range inParts(p.GetRecords(), sizeOf[*catalogpb.Record]) {
			if out.Records = part; !yield(out) {
				return
			}
			out = new(linkpb.ScanPage)
		}
	}
}

func sizeOf[M proto.Message](m M) int { return proto.Size(m) }

// mergeParts reads the messages of a request of n bytes into m: one, or with many
// as many as there are.
func mergeParts(frames *frameReader, n int64, m proto.Message, many bool) error {
	for first := true; first || many && n > 0; first = false {
		kind, payload, err := frames.next()
		if err != nil {
			return err
		}
		if kind != frameMessage {
			return protocolErrorf("a request with a frame of kind %d", kind)
		}
		part := m
		if !first {
			part = m.ProtoReflect().New().Interface()
		}
		if err := decode(payload, part); err != nil {
			return err
		}
		if !first {
			proto.Merge(m, part)
		}
		if c, ok := m.(*linkpb.ChangesRequest); ok && len(c.GetCursors()) > maxBuckets {
			return protocolErrorf("a request for the changes of more than %d buckets", maxBuckets)
		}
		n -= int64(frameHeader + len(payload))
	}
	return nil
}
