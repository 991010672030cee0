package objsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// This file is about keys with a history of more records than a message holds. A page
// gives whole keys, because what is missing here is judged key by key. So such a key is
// a page of its own that travels in several messages. It is asked for only after a page
// was refused because of it, and one at a time: while its records wait for their content,
// less content is asked for.

// mostKey bounds the records of one key in bytes, whatever memory there is.
const mostKey = 32 << 20

// longKey is how many bytes of records one key may have, which wait beside the queue in
// the place of content.
func longKey(window, line, queue int64) int64 {
	return max(link.MaxMessage, min(mostKey, queue+line+window-leastWindow))
}

// LongKey bounds the records of one key that crosses a link by a page, in bytes.
func (b Bounds) LongKey() int64 { return longKey(b.Window, b.Line, b.Queue) }

// isLarge reports whether a page was refused because of a key that is larger than what
// was allowed.
func isLarge(err error) bool {
	r, ok := errors.AsType[*link.Refused](err)
	return ok && r.Code == link.CodeLarge
}

// errAnotherLong says that a key has to wait because it is a long one.
var errAnotherLong = errors.New("another key with a long history is being taken")

// longGate lets one long key through at a time.
type longGate chan struct{}

func newLongGate() longGate { return make(longGate, 1) }

// askPage asks for a page, and if one key makes it large, asks again for most bytes. Of
// such a page done is set: it is to be called, once or more, when its records are not in
// memory any more.
func (g longGate) askPage(ctx context.Context, most int64, wait bool, ask func(most uint32) (*linkpb.ScanPage, error)) (page *linkpb.ScanPage, done func(), err error) {
	if page, err = ask(0); !isLarge(err) {
		return page, nil, err
	}
	select {
	case g <- struct{}{}:
	default:
		if !wait {
			return nil, nil, errAnotherLong
		}
		select {
		case g <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	done = sync.OnceFunc(func() { <-g })
	if page, err = ask(uint32(most)); err != nil {
		done()
		return nil, nil, err
	}
	return page, done, nil
}

// askPage is that of the session: what another bucket takes of the kind is not waited for.
func (s *session) askPage(ctx context.Context, ask func(most uint32) (*linkpb.ScanPage, error)) (*linkpb.ScanPage, func(), error) {
	return s.long.askPage(ctx, longKey(s.o.Window, s.o.Line, s.o.Queue), false, ask)
}

// waiting is the size of the records in the lanes of all buckets, but those of a long key.
func (s *session) waiting() int64 { return s.queued - s.longBytes }

// room is what may be asked for of content: less while a long key takes more than the
// queue.
func (s *session) room() (window, line int64) {
	over := max(0, s.queued-s.o.Queue)
	line = max(0, s.o.Line-over)
	return max(leastWindow, s.o.Window-(over-(s.o.Line-line))), line
}

// queueLong notes that the records which were put into the scan lane of a bucket last are
// those of a long key.
func (s *session) queueLong(b *bucket, records []incoming, done func()) {
	if done == nil {
		return
	}
	for i := range records {
		s.longBytes += int64(records[i].size)
	}
	b.scan.then(func() {
		s.longBytes = 0 // there is but one
		done()
	})
}

// Pauses before what was set aside is asked for again.
const againLarge = time.Minute

// setAside takes errors of reading pages that are about one bucket: it waits, with the
// cause, and the others go on. It reports whether err is one.
func (s *session) setAside(b *bucket, err error) bool {
	refused, _ := errors.AsType[*link.Refused](err)
	cause, pause := "", againSoon
	switch {
	case errors.Is(err, errAnotherLong):
	case refused == nil:
		return false
	case refused.Code == link.CodeLarge:
		cause, pause = refused.Message, againLarge
	case refused.Code == link.CodeInternal:
		// Whatever it is, it need not stop what is well.
		s.e.count.RemoteErrors++
		cause, pause = fmt.Sprintf("%s cannot give its keys: %s", s.o.PeerName, refused.Message), againLater
	default:
		return false
	}
	if cause != "" && cause != b.aside {
		s.log.Warn("link: bucket is set aside", "bucket", b.path, "cause", cause)
	}
	b.aside, b.again = cause, s.o.Clock().Add(pause)
	if !b.live {
		b.waiting = err.Error()
		if cause != "" {
			b.waiting = cause
		}
	}
	return true
}

// longest is how many bytes of records a page of one key may have for a request.
func (l *Local) longest(most uint32) int {
	return max(l.o.message, int(min(int64(most), l.o.LongKey)))
}

// tooLong refuses a page because of a key.
func (l *Local) tooLong(path string, long *catalog.LongKey, most uint32) error {
	name := long.Key[:min(len(long.Key), 200)]
	if most == 0 {
		return link.Refuse(link.CodeLarge, "the history of key %q of bucket %s at %s has more than the %d bytes that fit into a message", name, path, l.o.Name, long.Most)
	}
	return link.Refuse(link.CodeLarge, "the history of key %q of bucket %s at %s has more than the %d bytes that this link takes of one key: remove versions of it, or give the link a larger chunk cache at both sites", name, path, l.o.Name, long.Most)
}
