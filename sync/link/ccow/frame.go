package ccow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link"
	"google.golang.org/protobuf/proto"
)

// frameKind is the first byte of a frame.
type frameKind uint8

// The kinds of frames. The values are part of the protocol.
const (
	frameMessage   frameKind = 1 // a protobuf message; the request says which
	frameEnd       frameKind = 2 // the answer is complete; empty
	frameRefusal   frameKind = 3 // a linkpb.Refusal; the answer ends here
	frameKeepAlive frameKind = 4 // nothing; empty
	frameBody      frameKind = 5 // the raw bytes of the chunk whose header came before
)

const (
	frameHeader = 5 // kind, and the payload's length in big-endian order
	// MaxMessage bounds a message. A sender that has more says it in several.
	MaxMessage = link.MaxMessage
	// maxOpening bounds the messages before the first request.
	maxOpening = 64 << 10
	// growStep is how much a reader allocates on the word of a length alone.
	growStep = 64 << 10
)

// errFrame is wrapped by everything that is wrong with a frame itself.
var errFrame = errors.New("bad frame")

// appendFrame appends the header of a frame of n bytes of payload.
func appendFrame(dst []byte, kind frameKind, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(kind)), uint32(n))
}

// appendMessage appends a frame that holds a message.
func appendMessage(dst []byte, kind frameKind, m proto.Message) ([]byte, error) {
	at := len(dst)
	dst = appendFrame(dst, kind, 0)
	dst, err := proto.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		return dst[:at], fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	n := len(dst) - at - frameHeader
	if n > MaxMessage {
		return dst[:at], fmt.Errorf("encode %s: %d bytes are more than %d", m.ProtoReflect().Descriptor().Name(), n, MaxMessage)
	}
	binary.BigEndian.PutUint32(dst[at+1:], uint32(n))
	return dst, nil
}

// maxPayload is the bound of a kind's payload, and whether the kind is known.
func maxPayload(kind frameKind, message int) (int, bool) {
	switch kind {
	case frameMessage:
		return message, true
	case frameRefusal:
		return min(message, maxOpening), true
	case frameBody:
		return chunks.MaxRaw, true
	case frameEnd, frameKeepAlive:
		return 0, true
	}
	return 0, false
}

// frameReader reads frames. Its memory is used again for each of them.
type frameReader struct {
	r       io.Reader
	message int // bound of a message
	head    [frameHeader]byte
	buf     []byte
}

// next reads one frame. The payload is valid until the next call. At the end
// of the stream between two frames the error is io.EOF, within one it is
// io.ErrUnexpectedEOF. A length is checked against the bound of its kind
// before it is believed, and memory is taken only as bytes arrive.
func (f *frameReader) next() (frameKind, []byte, error) {
	if _, err := io.ReadFull(f.r, f.head[:1]); err != nil {
		return 0, nil, err
	}
	if _, err := io.ReadFull(f.r, f.head[1:]); err != nil {
		return 0, nil, noEOF(err)
	}
	kind, n := frameKind(f.head[0]), binary.BigEndian.Uint32(f.head[1:])
	bound, known := maxPayload(kind, f.message)
	if !known {
		return 0, nil, fmt.Errorf("%w: kind %d is unknown", errFrame, kind)
	}
	if uint64(n) > uint64(bound) {
		return 0, nil, fmt.Errorf("%w: %d bytes of kind %d are more than %d", errFrame, n, kind, bound)
	}
	if err := f.fill(int(n)); err != nil {
		return 0, nil, noEOF(err)
	}
	return kind, f.buf, nil
}

// fill reads n bytes into f.buf.
func (f *frameReader) fill(n int) error {
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		// What is there already may be doubled; beyond that only a step is
		// allocated before the bytes for it have come.
		step := min(n-len(f.buf), max(growStep, len(f.buf), cap(f.buf)-len(f.buf)))
		at := len(f.buf)
		f.buf = slices.Grow(f.buf, step)[:at+step]
		if _, err := io.ReadFull(f.r, f.buf[at:]); err != nil {
			f.buf = f.buf[:0]
			return noEOF(err)
		}
	}
	return nil
}

// noEOF says that an end of the stream came where none may be.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Memory is used again between requests unless it has grown beyond this.
const keepBuffer = 1 << 20

var readers = sync.Pool{New: func() any { return new(frameReader) }}

func newFrameReader(r io.Reader, message int) *frameReader {
	f := readers.Get().(*frameReader)
	f.r, f.message = r, message
	return f
}

// release gives the reader's memory back. No payload may be in use.
func (f *frameReader) release() {
	f.r = nil
	if cap(f.buf) <= keepBuffer {
		readers.Put(f)
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
