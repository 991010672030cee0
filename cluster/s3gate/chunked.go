package s3gate

import (
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// Bodies in chunks of AWS's own coding are decoded by versitygw, which takes their
// framing on trust. A body that ends with the bytes of a chunk and without the last,
// empty one would pass although nobody has compared the signature of those bytes; a
// chunk of a negative size panics; a trailer without an end is read into memory. So the
// framing is checked beneath, while the bytes pass.

// Types of payloads, as X-Amz-Content-Sha256 names them.
const (
	streamingPrefix = "STREAMING-"
	signedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedChunks  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// maxFrame bounds a line between the chunks, and all lines after the last chunk, in
// bytes. A signed trailer has less than 300.
const maxFrame = 1 << 10

// errFraming is the answer to a body that is not framed as it says, or ends early.
var errFraming = s3err.GetAPIError(s3err.ErrIncompleteBody)

// checkFraming has the body of a request checked while versitygw decodes it.
func checkFraming(ctx fiber.Ctx) {
	kind := string(ctx.Request().Header.Peek("X-Amz-Content-Sha256"))
	if !strings.HasPrefix(kind, streamingPrefix) {
		return
	}
	body, ok := utils.ContextKeyBodyReader.Get(ctx).(io.Reader)
	if !ok {
		if body = ctx.Request().BodyStream(); body == nil {
			body = strings.NewReader("")
		}
	}
	utils.ContextKeyBodyReader.Set(ctx, &framedReader{r: body, signed: kind != unsignedChunks})
}

// framing is what a framedReader reads.
type framing int

const (
	chunkHeader framing = iota // a chunk's size and, of a signed one, its signature
	chunkData
	chunkEnd // the end of the line after the data
	trailer  // lines up to an empty one
	framed   // all of it
)

// framedReader passes on a body in chunks, and ends with an error where it is not one.
// It ends with io.EOF when the last chunk and what belongs to it has been read, whatever
// follows.
type framedReader struct {
	r      io.Reader
	signed bool // every chunk bears a signature

	state framing
	left  int64  // bytes of the chunk that are to come
	line  []byte // the beginning of a line that is not whole
	tail  int    // bytes of the trailer's whole lines
	err   error
}

// Read implements io.Reader.
func (f *framedReader) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p)
	used, bad := f.check(p[:n])
	switch {
	case bad != nil:
		n, f.err = 0, bad
	case f.state == framed:
		n, f.err = used, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		n, f.err = 0, errFraming
	case err != nil:
		f.err = err
	}
	return n, f.err
}

// check goes on with what was read and returns how much of it belongs to the body.
func (f *framedReader) check(p []byte) (used int, err error) {
	for used < len(p) && f.state != framed {
		if f.state == chunkData {
			n := min(int64(len(p)-used), f.left)
			used += int(n)
			if f.left -= n; f.left == 0 {
				f.state = chunkEnd
			}
			continue
		}
		f.line = append(f.line, p[used])
		used++
		if n := len(f.line); n > maxFrame {
			return used, errFraming
		} else if f.line[n-1] != '\n' || n < 2 || f.line[n-2] != '\r' {
			continue
		}
		if err := f.endLine(string(f.line[:len(f.line)-2])); err != nil {
			return used, err
		}
		f.line = f.line[:0]
	}
	return used, nil
}

// endLine goes on after a line, given without its end.
func (f *framedReader) endLine(line string) error {
	switch f.state {
	case chunkHeader:
		size, err := chunkSize(line, f.signed)
		if err != nil {
			return err
		}
		if f.state, f.left = chunkData, size; size == 0 {
			f.state = trailer
		}
	case chunkEnd:
		if line != "" {
			return errFraming
		}
		f.state = chunkHeader
	case trailer:
		if line == "" {
			f.state = framed
		} else if f.tail += len(line); f.tail > maxFrame {
			return errFraming
		}
	}
	return nil
}

// chunkSize reads the line before a chunk's data: its size in hexadecimal digits and,
// of a signed chunk, its signature.
func chunkSize(line string, signed bool) (int64, error) {
	digits := strings.TrimRight(line, " ") // some pad the size of an unsigned chunk
	if signed {
		size, signature, ok := strings.Cut(line, ";chunk-signature=")
		if raw, err := hex.DecodeString(signature); !ok || err != nil || len(raw) != 32 {
			return 0, errFraming
		}
		digits = size
	}
	if strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return 0, errFraming // ParseInt takes signs
	}
	size, err := strconv.ParseInt(digits, 16, 64)
	if err != nil {
		return 0, errFraming
	}
	return size, nil
}
