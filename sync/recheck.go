package objsync

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
)

// awaitedEvery is how often it is looked whether other links have brought what a
// bucket's cursor awaits.
const awaitedEvery = time.Second

// reviewAwaited looks whether another link has brought what was pending there when this
// one scanned: the catalog marks the cursor then, and the bucket is compared once more.
func (s *session) reviewAwaited(b *bucket, now time.Time) {
	if len(b.cursor.GetAwaited().GetUpto()) == 0 || b.cursor.GetRecheck() || now.Sub(b.awaited) < awaitedEvery {
		return
	}
	b.awaited = now
	s.do(func(context.Context) func() {
		stored, err := s.o.Catalog.Cursor(b.path, s.o.Peer)
		return func() {
			if err != nil || !stored.GetRecheck() || b.closed {
				return
			}
			c := proto.CloneOf(b.cursor) // which is part of commands under way
			c.Recheck = true
			b.cursor = c
			s.mark(b)
		}
	})
}
