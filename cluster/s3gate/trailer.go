package s3gate

import (
	"bytes"
	"io"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
)

// trailerWindow is how many bytes at a body's end can hold its trailer: the
// last chunk's header, a checksum of up to 64 bytes in base64, a signature.
const trailerWindow = 1 << 10

// acceptTrailer makes versitygw read the signed trailers of minio-go and mc.
// They end the checksum with a newline of its own before the line's end, as the
// examples of Amazon's documentation do; versitygw takes that newline for a part
// of the checksum and finds it wrong. It is left out of what versitygw reads; the
// signature does not depend on it.
func acceptTrailer(ctx fiber.Ctx) {
	req := ctx.Request()
	length := int64(req.Header.ContentLength())
	if stream := req.BodyStream(); stream != nil && length > 0 && string(req.Header.Peek("X-Amz-Content-Sha256")) == signedTrailer {
		utils.ContextKeyBodyReader.Set(ctx, &trailerReader{r: stream, left: length})
	}
}

// trailerReader reads a body of known length with the trailer's newline left out.
type trailerReader struct {
	r    io.Reader
	left int64  // bytes of the body that were not read
	tail []byte // the end of the body, once it was read, without what was given
	err  error  // after the tail
}

// Read implements io.Reader.
func (t *trailerReader) Read(p []byte) (int, error) {
	if ahead := t.left - trailerWindow; ahead > 0 {
		n, err := t.r.Read(p[:min(int64(len(p)), ahead)])
		t.left -= int64(n)
		return n, err
	}
	if t.left > 0 {
		tail := make([]byte, t.left)
		n, err := io.ReadFull(t.r, tail)
		t.left, t.tail = 0, fixTrailer(tail[:n])
		// The stream's own end is due now; versitygw reads up to it.
		if t.err = io.EOF; err != nil {
			t.err = io.ErrUnexpectedEOF
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				t.err = err
			}
		}
	}
	n := copy(p, t.tail)
	if t.tail = t.tail[n:]; len(t.tail) > 0 || len(p) == 0 {
		return n, nil
	}
	if t.err == nil {
		t.err = io.EOF
	}
	return n, t.err
}

// fixTrailer leaves the newline out, if it is there.
func fixTrailer(tail []byte) []byte {
	if i := bytes.LastIndex(tail, []byte("\n\r\nx-amz-trailer-signature:")); i >= 0 {
		tail = append(tail[:i], tail[i+1:]...)
	}
	return tail
}
