package ccow

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"

	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
	"google.golang.org/protobuf/proto"
)

// The requests. The number is the major version of the protocol.
const (
	pathHello    = "/isgw/v1/hello"
	pathServed   = "/isgw/v1/served"
	pathChanges  = "/isgw/v1/changes"
	pathScan     = "/isgw/v1/scan"
	pathDigest   = "/isgw/v1/digest"
	pathRecords  = "/isgw/v1/records"
	pathFetch    = "/isgw/v1/fetch"
	pathProgress = "/isgw/v1/progress"

	contentType = "application/x-isgw-frames"
	// maxHeader bounds the head of a request or an answer.
	maxHeader = 16 << 10
	// answerBuffer is read ahead of an answer.
	answerBuffer = 32 << 10
)

// appendRequest appends a whole HTTP request with its messages; without any it
// has one that is empty.
func appendRequest(dst []byte, path string, req []proto.Message) ([]byte, error) {
	if len(req) == 0 {
		req = []proto.Message{(*linkpb.Opening)(nil)} // no bytes, whatever its type
	}
	body := getBuffer()
	defer putBuffer(body)
	for _, m := range req {
		var err error
		if *body, err = appendMessage(*body, frameMessage, m); err != nil {
			return dst, err
		}
	}
	dst = append(dst, "POST "...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: isgw\r\nContent-Type: "+contentType+"\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(*body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, *body...), nil
}

// headReader buffers the answers of a connection and bounds their heads, which
// net/http reads without a bound.
type headReader struct {
	*bufio.Reader
	src  io.Reader
	left int   // bytes that may still be read for a head; negative without a bound
	err  error // that ended reading; net/textproto takes what came before it for a line
}

func newHeadReader(src io.Reader) *headReader {
	h := &headReader{src: src, left: -1}
	h.Reader = bufio.NewReaderSize(limited{h}, answerBuffer)
	return h
}

// begin waits for the first byte of an answer.
func (h *headReader) begin() error {
	h.left = maxHeader + answerBuffer // what is read ahead counts
	_, err := h.Peek(1)
	return err
}

type limited struct{ h *headReader }

func (l limited) Read(p []byte) (int, error) {
	h := l.h
	if h.left < 0 {
		return h.src.Read(p)
	}
	if h.left == 0 {
		h.err = protocolErrorf("the head of an answer is longer than %d bytes", maxHeader)
		return 0, h.err
	}
	n, err := h.src.Read(p[:min(len(p), h.left)])
	h.left -= n
	h.err = err
	return n, err
}

// answer is the answer to one request, frame by frame.
type answer struct {
	c       *conn
	resp    *http.Response
	frames  *frameReader
	quantum int
	// stream says that the answer has no end of its own: it is alive as long
	// as frames come, however few.
	stream bool
	ended  bool
}

// postRequest tells net/http what kind of request an answer is for.
var postRequest = &http.Request{Method: http.MethodPost}

// newAnswer reads the head of an answer.
func newAnswer(c *conn, quantum int) (*answer, error) {
	resp, err := http.ReadResponse(c.answers.Reader, postRequest)
	if err != nil {
		if c.answers.err != nil {
			return nil, c.answers.err
		}
		return nil, protocolErrorf("an answer that is not HTTP: %s", oneLine(err.Error(), 200))
	}
	c.answers.left = -1
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != contentType {
		return nil, protocolErrorf("an answer with HTTP status %d and content type %q", resp.StatusCode, oneLine(resp.Header.Get("Content-Type"), 100))
	}
	return &answer{c: c, resp: resp, frames: newFrameReader(resp.Body, MaxMessage), quantum: quantum}, nil
}

// release gives the memory back.
func (a *answer) release() { a.frames.release() }

// each calls fn for the messages of an answer that has one or more, numbered from 0. A
// payload is valid until fn returns.
func (a *answer) each(fn func(i int, payload []byte) error) error {
	for i := 0; ; i++ {
		payload, err := a.message()
		switch {
		case err != nil:
			return err
		case payload == nil && i == 0:
			return protocolErrorf("an answer without a message")
		case payload == nil:
			return nil
		}
		if err := fn(i, payload); err != nil {
			return err
		}
	}
}

// message returns the next message, valid until the next call, or nil at the
// answer's end. The error is a *link.Refused when that is the end.
func (a *answer) message() ([]byte, error) {
	for {
		kind, payload, err := a.next()
		if err != nil {
			return nil, err
		}
		switch kind {
		case frameMessage:
			if payload == nil {
				payload = []byte{} // an empty message is one
			}
			return payload, nil
		case frameKeepAlive:
		case frameEnd:
			a.ended = true
			return nil, nil
		case frameRefusal:
			var r linkpb.Refusal
			if err := decode(payload, &r); err != nil {
				return nil, err
			}
			a.ended = true
			return nil, refused(&r)
		default:
			return nil, protocolErrorf("a frame of kind %d where a message belongs", kind)
		}
	}
}

// body returns the bytes of a chunk, valid until the next call. There must be
// exactly n.
func (a *answer) body(n int) ([]byte, error) {
	kind, payload, err := a.next()
	switch {
	case err != nil:
		return nil, err
	case kind != frameBody:
		return nil, protocolErrorf("a frame of kind %d where the bytes of a chunk belong", kind)
	case len(payload) != n:
		return nil, protocolErrorf("%d bytes of a chunk whose header says %d", len(payload), n)
	}
	return payload, nil
}

func (a *answer) next() (frameKind, []byte, error) {
	if a.stream {
		a.c.sock.expect(a.quantum)
	}
	kind, payload, err := a.frames.next()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the end has a frame of its own
	}
	return kind, payload, httpError(err)
}

// finish makes the connection ready for the next request. It is an error when
// the answer goes on after its end.
func (a *answer) finish() error {
	if !a.ended {
		return protocolErrorf("an answer that was not read to its end")
	}
	var one [1]byte
	if n, err := a.resp.Body.Read(one[:]); n > 0 || err != io.EOF {
		if n == 0 && err != nil {
			return httpError(err)
		}
		return protocolErrorf("an answer that goes on after its end")
	}
	if a.resp.Close {
		return protocolErrorf("an answer that ends its connection")
	}
	return a.c.sock.relax()
}

// httpError tells errors of the chunked coding, which are the peer's fault and
// have no type, from those of the connection.
func httpError(err error) error {
	switch {
	case err == nil, isGone(err), isTimeout(err), errors.Is(err, errStalled), errors.Is(err, errFrame):
		return err
	}
	if _, ok := errors.AsType[*link.Refused](err); ok || isProtocol(err) {
		return err
	}
	if isNetwork(err) {
		return err
	}
	return protocolErrorf("an answer with a bad coding: %s", oneLine(err.Error(), 200))
}
