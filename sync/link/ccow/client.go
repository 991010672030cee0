package ccow

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

const (
	// Connections of a client, apart from those for chunks.
	controlConnections = 4
	// firstConnections are those for chunks that are opened together with the first
	// one of a client: what is fetched first then need not wait for them.
	firstConnections  = 2
	changeConnections = 1
	// maxConnections bounds those for chunks.
	maxConnections = 32
	// maxLinkConnections bounds those of a link at the side that accepts. With the
	// greatest settings there are 74 if the other side dials for both directions; the
	// rest is for connections that are lost without this side having noticed.
	maxLinkConnections = 96
)

// Client is the Source of one link at one peer. It connects when it is asked
// something and stays connected; a connection that is lost is opened again for
// the next request. Every request may safely be repeated, and one that a stale
// connection lost before any answer is repeated by the client itself.
type Client struct {
	e     *Endpoint
	o     DialOptions
	pool  *pool // where the peer's connections are; nil with an address
	keep  keeper
	ctx   context.Context // ends with Close
	close context.CancelFunc

	control, changes, chunks lane

	away atomic.Bool // the last attempt to connect failed

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // Add under mu while not closed
}

var _ link.Source = (*Client)(nil)

// Dial makes the client of a link. It connects to nothing yet. The caller
// closes it.
func (e *Endpoint) Dial(o DialOptions) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Client{e: e, o: o}
	if o.Address == "" {
		p, err := e.joinPool(poolKey{o.Peer, o.Service}, controlConnections+changeConnections+o.Connections)
		if err != nil {
			return nil, err
		}
		c.pool = p
	}
	c.ctx, c.close = context.WithCancel(context.Background())
	c.control = newLane(controlConnections, 1)
	c.changes = newLane(changeConnections, 1)
	c.chunks = newLane(o.Connections, pipeDepth)
	c.keep.c = c
	return c, nil
}

// Close ends the requests under way, closes the client's connections and waits
// for both. It must not be called from within a callback of a request.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.close()
	c.calls.Wait()
	c.keep.wait()
	for _, l := range []*lane{&c.control, &c.changes, &c.chunks} {
		l.close()
	}
	c.mu.Lock()
	p := c.pool
	c.pool = nil
	c.mu.Unlock()
	if p != nil {
		c.e.leavePool(poolKey{c.o.Peer, c.o.Service}, p)
	}
	return nil
}

// Hello implements link.Source. What the message leaves unset of versions,
// features, names and connections wanted is filled in.
func (c *Client) Hello(ctx context.Context, hello *linkpb.Hello) (*linkpb.Hello, error) {
	mine := new(linkpb.Hello)
	proto.Merge(mine, hello)
	c.e.introduce(mine, c.o.Service)
	if mine.WantReverse == 0 && c.o.Address == "" {
		mine.WantReverse = uint32(controlConnections + changeConnections + c.o.Connections)
	}
	theirs := new(linkpb.Hello)
	if c.o.Eager {
		c.prepare(&c.control, controlConnections)
		c.prepare(&c.changes, changeConnections)
		c.prepare(&c.chunks, c.o.Connections)
	} else {
		c.prepare(&c.chunks, min(firstConnections, c.o.Connections))
	}
	if err := c.ask(ctx, pathHello, mine, theirs); err != nil {
		return nil, err
	}
	if !bytes.Equal(theirs.GetSite(), c.o.Peer[:]) {
		return nil, callFault(c.o.PeerName, protocolErrorf("a greeting in the name of another site"))
	}
	if _, err := link.Negotiate(mine, theirs); err != nil {
		return nil, err
	}
	if c.o.Address != "" {
		c.keep.want(int(min(theirs.GetWantReverse(), controlConnections+changeConnections+maxConnections)))
	}
	return theirs, nil
}

// Prepare opens the connections for chunks that are not open yet, in the background.
// Of an error the next request learns by itself.
func (c *Client) Prepare() { c.prepare(&c.chunks, c.o.Connections) }

// prepare makes sure that n connections of a lane are open or being opened, to a peer
// that was reached the last time. It takes none of those that the peer dials.
func (c *Client) prepare(l *lane, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.pool != nil || c.away.Load() {
		return
	}
	for _, p := range l.reserve(n) {
		c.calls.Go(func() {
			c.open(c.ctx, l, p)
			l.release(p, true)
		})
	}
}

// introduce fills in what a greeting leaves unset.
func (e *Endpoint) introduce(h *linkpb.Hello, service string) {
	if h.Version == 0 {
		h.Version, h.MinVersion = link.Version, link.MinVersion
	}
	if h.Features == nil {
		h.Features = link.Features()
	}
	if h.SiteName == "" {
		h.SiteName = e.o.SiteName
	}
	h.Site, h.Service = e.o.Site.Bytes(), service
}

// Served implements link.Source.
func (c *Client) Served(ctx context.Context) (*linkpb.Served, error) {
	out := new(linkpb.Served)
	err := c.exchange(ctx, &c.control, pathServed, nil, func(a *answer) error {
		return a.each(func(i int, payload []byte) error {
			var part linkpb.Served
			if err := decode(payload, &part); err != nil {
				return err
			}
			if i == 0 {
				out.Settings = part.GetSettings()
			}
			if out.Buckets = append(out.Buckets, part.GetBuckets()...); len(out.Buckets) > maxBuckets {
				return protocolErrorf("a list of more than %d buckets", maxBuckets)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Scan implements link.Source.
func (c *Client) Scan(ctx context.Context, req *linkpb.ScanRequest) (*linkpb.ScanPage, error) {
	return c.page(ctx, pathScan, req, req.GetMost())
}

// Digest implements link.Source.
func (c *Client) Digest(ctx context.Context, req *linkpb.DigestRequest) (*linkpb.DigestReply, error) {
	out := new(linkpb.DigestReply)
	if err := c.ask(ctx, pathDigest, req, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Records implements link.Source.
func (c *Client) Records(ctx context.Context, req *linkpb.RecordsRequest) (*linkpb.ScanPage, error) {
	return c.page(ctx, pathRecords, req, req.GetMost())
}

// Progress implements link.Source.
func (c *Client) Progress(ctx context.Context, p *linkpb.Progress) (*linkpb.ProgressReply, error) {
	out := new(linkpb.ProgressReply)
	if err := c.ask(ctx, pathProgress, p, out); err != nil {
		return nil, err
	}
	return out, nil
}

// page makes a request that has a page for an answer: one message, or where it allows
// most bytes of records, as many as it takes.
func (c *Client) page(ctx context.Context, path string, req proto.Message, most uint32) (*linkpb.ScanPage, error) {
	out := new(linkpb.ScanPage)
	if most == 0 {
		if err := c.ask(ctx, path, req, out); err != nil {
			return nil, err
		}
		return out, nil
	}
	err := c.exchange(ctx, &c.control, path, []proto.Message{req}, func(a *answer) error {
		got := 0
		return a.each(func(i int, payload []byte) error {
			// Beside the records there is what fits into a message.
			if got += len(payload); got > int(most)+MaxMessage {
				return protocolErrorf("a page of more than the %d bytes that were allowed", most)
			}
			if i == 0 {
				return decode(payload, out)
			}
			part := new(linkpb.ScanPage)
			if err := decode(payload, part); err != nil {
				return err
			}
			out.Records = append(out.Records, part.GetRecords()...)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ask makes a request that has one message for an answer.
func (c *Client) ask(ctx context.Context, path string, req, out proto.Message) error {
	return c.exchange(ctx, &c.control, path, []proto.Message{req}, func(a *answer) error {
		payload, err := a.message()
		if err != nil {
			return err
		}
		if payload == nil {
			return protocolErrorf("an answer without a message")
		}
		if err := decode(payload, out); err != nil {
			return err
		}
		if payload, err = a.message(); err == nil && payload != nil {
			return protocolErrorf("a second message in an answer")
		}
		return err
	})
}

// Changes implements link.Source.
func (c *Client) Changes(ctx context.Context, req *linkpb.ChangesRequest, fn func(*linkpb.ChangeBatch) error) error {
	var parts []proto.Message
	for part := range inParts(req.GetCursors(), sizeOf[*linkpb.BucketCursor]) {
		parts = append(parts, &linkpb.ChangesRequest{Cursors: part})
	}
	return c.exchange(ctx, &c.changes, pathChanges, parts, func(a *answer) error {
		a.stream = true
		for {
			payload, err := a.message()
			switch {
			case err != nil:
				return err
			case payload == nil:
				return &link.Fault{Kind: link.FaultBroken, Message: "site " + c.o.PeerName + " ended its stream of changes"}
			}
			batch := new(linkpb.ChangeBatch)
			if err := decode(payload, batch); err != nil {
				return err
			}
			if err := fn(batch); err != nil {
				return callerError{err}
			}
		}
	})
}

// Fetch implements link.Source.
func (c *Client) Fetch(ctx context.Context, req *linkpb.FetchRequest, fn func(*linkpb.ChunkHeader, []byte) error) error {
	var header linkpb.ChunkHeader
	return c.exchange(ctx, &c.chunks, pathFetch, []proto.Message{req}, func(a *answer) error {
		for {
			payload, err := a.message()
			if err != nil || payload == nil {
				return err
			}
			if err := decode(payload, &header); err != nil {
				return err
			}
			var body []byte
			if header.GetLength() > 0 {
				if body, err = a.body(int(header.GetLength())); err != nil {
					return err
				}
			}
			if err := fn(&header, body); err != nil {
				return callerError{err}
			}
		}
	})
}

// callerError is an error of a callback on its way to the caller.
type callerError struct{ error }

// exchange makes one request and lets read take its answer; read returns nil
// only at the answer's end. read is called again when the request is made again,
// which is only when nothing of an answer came.
func (c *Client) exchange(ctx context.Context, l *lane, path string, req []proto.Message, read func(*answer) error) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errClientClosed(c)
	}
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()

	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	err := c.tryExchange(callCtx, l, path, req, read)
	if err == nil {
		return nil
	}
	if ce, ok := errors.AsType[callerError](err); ok {
		return ce.error
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.ctx.Err() != nil:
		return errClientClosed(c)
	}
	err = callFault(c.o.PeerName, err)
	if f, ok := errors.AsType[*link.Fault](err); ok && f.Kind == link.FaultProtocol {
		c.e.o.Logger.Warn("connection to peer dropped", "peer", c.o.PeerName, "service", c.o.Service, "request", path, "reason", f.Err)
	}
	return err
}

func errClientClosed(c *Client) error {
	return &link.Fault{Kind: link.FaultClosed, Message: "link " + c.o.Service + " to site " + c.o.PeerName + " was closed here"}
}

func (c *Client) tryExchange(ctx context.Context, l *lane, path string, req []proto.Message, read func(*answer) error) error {
	b := getBuffer()
	defer putBuffer(b)
	var err error
	if *b, err = appendRequest(*b, path, req); err != nil {
		return err
	}
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.leave()
	for {
		p, mine, stale, freed := l.choose()
		if p == nil {
			select {
			case <-freed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if mine {
			c.open(ctx, l, p)
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			l.release(p, false)
			return ctx.Err()
		}
		if err := p.err; err != nil {
			l.release(p, false)
			if !mine && isCancelled(err) && ctx.Err() == nil {
				continue // whoever opened it has given up
			}
			if notOneMore(err) && c.makeDo(l, err) {
				continue
			}
			return err
		}
		answered, err := c.once(ctx, p, *b, read)
		l.release(p, answered)
		if !answered && isBusy(err) && ctx.Err() == nil && c.makeDo(l, err) {
			continue
		}
		again := stale || errors.Is(err, errLost)
		if err == nil || !again || answered || ctx.Err() != nil || errors.Is(err, errStalled) {
			return err
		}
	}
}

// makeDo lets a lane that could not have one more connection do with those that it has.
// It reports whether there are any.
func (c *Client) makeDo(l *lane, why error) bool {
	enough, first := l.makeDo(c.e.o.BackoffMax)
	if first {
		c.e.o.Logger.Warn("link has fewer connections than it is set to", "peer", c.o.PeerName, "service", c.o.Service, "reason", why)
	}
	return enough
}

func isBusy(err error) bool {
	r, ok := errors.AsType[*link.Refused](err)
	return ok && r.Code == link.CodeBusy
}

// notOneMore reports whether a connection could not be opened for a reason that leaves
// others alone: the peer has enough of them, and closes or refuses what is more, or does
// not dial it.
func notOneMore(err error) bool {
	f, ok := errors.AsType[*link.Fault](err)
	return isBusy(err) || ok && (f.Kind == link.FaultBroken || f.Kind == link.FaultNoConnection)
}

func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// open gives a new place of a lane its connection. One that is dialled may be used
// from then on, though the peer has not said yet that it wants it: its answer comes
// before those to requests, and waiting for it would be a round trip more.
func (c *Client) open(ctx context.Context, l *lane, p *pipe) {
	if c.pool != nil {
		cn, err := c.dialled(ctx)
		l.opened(p, cn, err)
		return
	}
	cn, err := c.e.reach(ctx, &c.o, alpnLink)
	if err != nil {
		c.away.Store(true)
		l.opened(p, nil, err)
		return
	}
	cn.answers = newHeadReader(cn)
	p.confirmed = make(chan struct{})
	c.calls.Go(func() {
		defer close(p.confirmed)
		// Not under the context of a request: others may be behind it.
		err := c.e.confirm(c.ctx, &c.o, cn)
		if errors.Is(err, net.ErrClosed) {
			return // by this side, as a request that was given up does
		}
		c.away.Store(err != nil)
		if err != nil {
			p.unwanted = err
			cn.Close()
		}
	})
	l.opened(p, cn, nil)
}

// dialled takes a connection that the peer dialled.
func (c *Client) dialled(ctx context.Context) (*conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.e.o.Handshake)
	defer cancel()
	cn, err := c.pool.take(limited)
	switch {
	case err == nil:
		cn.answers = newHeadReader(cn)
		return cn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, noConnection(&c.o)
	}
	return nil, dialFault(c.o.PeerName, err)
}

// once makes a request on one connection. answered is true when the answer has
// begun. The connection may carry the next request afterwards, or is closed.
func (c *Client) once(ctx context.Context, p *pipe, request []byte, read func(*answer) error) (answered bool, err error) {
	t, err := p.post(ctx, request)
	if err != nil {
		err = p.why(ctx, err)
		p.c.Close()
		close(t.end)
		return false, err
	}
	if err := t.wait(ctx, p, c.calls.Go); err != nil {
		return false, err
	}
	defer close(t.end)
	answered, err = c.take(ctx, p.c, read)
	var refused *link.Refused
	if err != nil && !(answered && errors.As(err, &refused)) {
		p.c.Close()
	}
	return answered, err
}

// take reads an answer whose turn it is.
func (c *Client) take(ctx context.Context, cn *conn, read func(*answer) error) (answered bool, err error) {
	stop := context.AfterFunc(ctx, func() { cn.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err() // the connection was closed under a complete answer
		}
	}()
	cn.sock.expect(c.e.o.MinProgress)
	if err := cn.answers.begin(); err != nil {
		return false, err
	}
	a, err := newAnswer(cn, c.e.o.MinProgress)
	if err != nil {
		return true, err
	}
	defer a.release()
	err = read(a)
	if _, ok := errors.AsType[*link.Refused](err); ok || err == nil {
		if ferr := a.finish(); ferr != nil {
			return true, ferr
		}
	}
	return true, err
}
