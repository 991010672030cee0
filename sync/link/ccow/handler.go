package ccow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

// connKey finds the connection of a request in its context.
type connKey struct{}

// serveHTTP answers one request of a peer. Who that is comes from the
// connection's handshake alone.
func (e *Endpoint) serveHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || !e.enter() {
		w.Header().Set("Connection", "close")
		http.Error(w, "the link endpoint is closing", http.StatusServiceUnavailable)
		return
	}
	defer e.leave()
	err := e.serveRequest(w, r, c)
	if err == nil {
		return
	}
	// What fails here cannot be told to the peer any more.
	log := e.o.Logger.With("peer", c.peer.SiteName, "service", c.service, "request", r.URL.Path)
	if isProtocol(err) || errors.Is(err, errFrame) {
		log.Warn("connection of peer dropped", "reason", err)
	} else {
		log.Debug("request of peer ended", "reason", err)
	}
	c.Close()
}

// serveRequest answers one request. Refusals are answers; a returned error
// means that the connection is of no more use.
func (e *Endpoint) serveRequest(w http.ResponseWriter, r *http.Request, c *conn) error {
	call, known := calls[r.URL.Path]
	if !known || r.Method != http.MethodPost {
		// A newer peer may ask for what this version does not know.
		return writeRefusal(w, c, link.Refuse(link.CodeVersion, "site %s does not know the request %s", e.o.SiteName, oneLine(r.URL.Path, 100)))
	}
	req := call.request()
	if err := e.readRequest(w, r, req, call.parts); err != nil {
		if isProtocol(err) || errors.Is(err, errFrame) {
			w.Header().Set("Connection", "close")
			return errors.Join(err, writeRefusal(w, c, err))
		}
		return fmt.Errorf("read request: %w", err)
	}
	src, err := e.o.Resolve(c.peer.Site, c.service)
	if err != nil {
		return writeRefusal(w, c, err)
	}
	if call.stream != nil {
		return e.serveStream(w, r, c, call, src, req)
	}
	if mayHaveParts(req) { // and so be much, until it is sent
		leave, err := pass(r.Context(), gate(e, e.longs, poolKey{c.peer.Site, c.service}, 1))
		if err != nil {
			return fmt.Errorf("wait to give a long key: %w", err)
		}
		defer leave()
	}
	out, err := call.ask(e, r.Context(), c, src, req)
	if page, ok := out.(*linkpb.ScanPage); ok && err == nil && mayHaveParts(req) && proto.Size(page) > MaxMessage {
		call.stream = func(_ context.Context, _ link.Source, _ proto.Message, add addFunc) error {
			for part := range pageParts(page) {
				if err := add(part, nil); err != nil {
					return err
				}
			}
			return nil
		}
		return e.serveStream(w, r, c, call, src, req)
	}
	b := getBuffer()
	defer putBuffer(b)
	if err == nil {
		*b, err = appendAnswer(*b, out)
	}
	if err == nil {
		return sendAnswer(w, c, *b)
	}
	e.logFailure(r, c, err)
	return writeRefusal(w, c, err)
}

// mayHaveParts reports whether a request allows an answer of several messages.
func mayHaveParts(req proto.Message) bool {
	r, ok := req.(interface{ GetMost() uint32 })
	return ok && r.GetMost() > 0
}

// call is one kind of request: ask answers with one message, stream with many.
type call struct {
	request func() proto.Message
	ask     func(e *Endpoint, ctx context.Context, c *conn, src link.Source, req proto.Message) (proto.Message, error)
	stream  func(ctx context.Context, src link.Source, req proto.Message, add addFunc) error
	alive   bool // the stream has keep-alives
	parts   bool // the request may be several messages, which are merged
}

type addFunc func(m proto.Message, body []byte) error

var calls = map[string]call{
	pathHello: {
		request: func() proto.Message { return new(linkpb.Hello) },
		ask: func(e *Endpoint, ctx context.Context, c *conn, src link.Source, req proto.Message) (proto.Message, error) {
			return e.hello(ctx, c, src, req.(*linkpb.Hello))
		},
	},
	pathServed: {
		request: func() proto.Message { return new(linkpb.Opening) }, // no fields are defined
		stream: func(ctx context.Context, src link.Source, _ proto.Message, add addFunc) error {
			list, err := src.Served(ctx)
			if err != nil {
				return err
			}
			settings := list.GetSettings()
			for part := range inParts(list.GetBuckets(), sizeOf[*linkpb.ServedBucket]) {
				if err := add(&linkpb.Served{Buckets: part, Settings: settings}, nil); err != nil {
					return err
				}
				settings = nil // the first part has them
			}
			return nil
		},
	},
	pathScan: {
		request: func() proto.Message { return new(linkpb.ScanRequest) },
		ask: func(_ *Endpoint, ctx context.Context, _ *conn, src link.Source, req proto.Message) (proto.Message, error) {
			return src.Scan(ctx, req.(*linkpb.ScanRequest))
		},
	},
	pathDigest: {
		request: func() proto.Message { return new(linkpb.DigestRequest) },
		ask: func(_ *Endpoint, ctx context.Context, _ *conn, src link.Source, req proto.Message) (proto.Message, error) {
			return src.Digest(ctx, req.(*linkpb.DigestRequest))
		},
	},
	pathRecords: {
		request: func() proto.Message { return new(linkpb.RecordsRequest) },
		ask: func(_ *Endpoint, ctx context.Context, _ *conn, src link.Source, req proto.Message) (proto.Message, error) {
			return src.Records(ctx, req.(*linkpb.RecordsRequest))
		},
	},
	pathProgress: {
		request: func() proto.Message { return new(linkpb.Progress) },
		ask: func(_ *Endpoint, ctx context.Context, _ *conn, src link.Source, req proto.Message) (proto.Message, error) {
			return src.Progress(ctx, req.(*linkpb.Progress))
		},
	},
	pathChanges: {
		request: func() proto.Message { return new(linkpb.ChangesRequest) },
		alive:   true,
		parts:   true,
		stream: func(ctx context.Context, src link.Source, req proto.Message, add addFunc) error {
			return src.Changes(ctx, req.(*linkpb.ChangesRequest), func(b *linkpb.ChangeBatch) error { return add(b, nil) })
		},
	},
	pathFetch: {
		request: func() proto.Message { return new(linkpb.FetchRequest) },
		stream: func(ctx context.Context, src link.Source, req proto.Message, add addFunc) error {
			return src.Fetch(ctx, req.(*linkpb.FetchRequest), func(h *linkpb.ChunkHeader, body []byte) error {
				if len(body) != int(h.GetLength()) || len(body) > chunks.MaxRaw {
					return fmt.Errorf("send chunk: %d bytes with a header that says %d", len(body), h.GetLength())
				}
				return add(h, body)
			})
		},
	},
}

// hello answers a greeting and completes the source's own.
func (e *Endpoint) hello(ctx context.Context, c *conn, src link.Source, theirs *linkpb.Hello) (proto.Message, error) {
	if len(theirs.GetSite()) > 0 {
		if id, err := state.SiteIDFromBytes(theirs.GetSite()); err != nil || id != c.peer.Site {
			return nil, link.Refuse(link.CodeInvalid, "the greeting names another site than the handshake")
		}
	}
	if theirs.GetService() != "" && theirs.GetService() != c.service {
		return nil, link.Refuse(link.CodeInvalid, "the greeting names another link than the connection")
	}
	theirs.Site, theirs.SiteName, theirs.Service = c.peer.Site.Bytes(), c.peer.SiteName, c.service
	mine, err := src.Hello(ctx, theirs)
	if err != nil {
		return nil, err
	}
	if mine == nil {
		mine = new(linkpb.Hello)
	}
	mine = proto.CloneOf(mine)
	e.introduce(mine, c.service)
	if _, err := link.Negotiate(mine, theirs); err != nil {
		return nil, err
	}
	mine.WantReverse = 0
	if p := e.pool(poolKey{c.peer.Site, c.service}); p != nil {
		mine.WantReverse = uint32(p.wanted())
	}
	return mine, nil
}

// readRequest reads the message of a request, at the pace that is demanded of
// peers. With parts there may be several, which are merged.
func (e *Endpoint) readRequest(w http.ResponseWriter, r *http.Request, m proto.Message, parts bool) error {
	most := int64(MaxMessage + frameHeader)
	if parts {
		most = maxRequest
	}
	if r.ContentLength < frameHeader || r.ContentLength > most {
		return protocolErrorf("a request of %d bytes", r.ContentLength)
	}
	control := http.NewResponseController(w)
	frames := newFrameReader(&pacedReader{r: r.Body, control: control, o: &e.o}, MaxMessage)
	defer frames.release()
	if err := mergeParts(frames, r.ContentLength, m, parts); err != nil {
		return err
	}
	// Only after the very end does net/http watch for the peer going away.
	var one [1]byte
	if n, err := r.Body.Read(one[:]); n > 0 || err != io.EOF {
		return protocolErrorf("a request with more than one frame")
	}
	return control.SetReadDeadline(time.Time{})
}

// pacedReader reads a request's body under the rule of least progress.
type pacedReader struct {
	r       io.Reader
	control *http.ResponseController
	o       *Options
	got     int
	begun   bool
}

func (p *pacedReader) Read(b []byte) (int, error) {
	if !p.begun || p.got >= p.o.MinProgress {
		p.begun, p.got = true, 0
		if err := p.control.SetReadDeadline(time.Now().Add(p.o.Stall)); err != nil {
			return 0, err
		}
	}
	n, err := p.r.Read(b)
	p.got += n
	return n, err
}

// serveStream answers with the frames that a source yields.
func (e *Endpoint) serveStream(w http.ResponseWriter, r *http.Request, c *conn, call call, src link.Source, req proto.Message) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	var alive time.Duration
	if call.alive {
		alive = e.o.Stall / 3
	}
	s := newStream(w, c, alive, cancel)
	sent := false
	defer func() {
		if !sent { // the source panicked; net/http reports it
			_ = s.close()
		}
	}()
	err := call.stream(ctx, src, req, func(m proto.Message, body []byte) error {
		return s.add(ctx, frameMessage, m, body)
	})
	if r.Context().Err() == nil || e.closing() {
		// The peer is still there and is told how it ended.
		kind, m := frameEnd, proto.Message(nil)
		if err != nil {
			if ctx.Err() == nil { // else the connection failed, as close reports
				e.logFailure(r, c, err)
			}
			kind, m = frameRefusal, refusalOf(err)
		}
		_ = s.add(context.WithoutCancel(ctx), kind, m, nil) // close reports the same error
	}
	sent = true
	if serr := s.close(); serr != nil {
		return fmt.Errorf("send answer: %w", serr)
	}
	return nil
}

// closing reports whether the endpoint ends.
func (e *Endpoint) closing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// logFailure logs what the peer is told no more of than that it happened.
func (e *Endpoint) logFailure(r *http.Request, c *conn, err error) {
	if _, ok := errors.AsType[*link.Refused](err); ok || r.Context().Err() != nil {
		return
	}
	e.o.Logger.Error("request of peer failed", "peer", c.peer.SiteName, "service", c.service, "request", r.URL.Path, "err", err)
}

// appendAnswer appends an answer of one message.
func appendAnswer(dst []byte, m proto.Message) ([]byte, error) {
	dst, err := appendMessage(dst, frameMessage, m)
	if err != nil {
		return dst, err
	}
	return appendFrame(dst, frameEnd, 0), nil
}

// writeRefusal sends a refusal in place of an answer.
func writeRefusal(w http.ResponseWriter, c *conn, why error) error {
	b := getBuffer()
	defer putBuffer(b)
	var err error
	// A refusal is short and always fits.
	if *b, err = appendMessage(*b, frameRefusal, refusalOf(why)); err != nil {
		return err
	}
	return sendAnswer(w, c, *b)
}

// sendAnswer sends the frames of an answer.
func sendAnswer(w http.ResponseWriter, c *conn, frames []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(frames)))
	c.sock.cork()
	_, werr := w.Write(frames)
	if werr == nil {
		werr = http.NewResponseController(w).Flush()
	}
	if uerr := c.sock.uncork(); werr == nil {
		werr = uerr
	}
	return werr
}
