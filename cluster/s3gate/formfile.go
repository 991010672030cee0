package s3gate

import (
	"bytes"
	"io"
)

// The file is the last field of a form that counts; S3 passes over what follows, such as
// the button that sent it. versitygw takes all up to the form's end for the file. So what
// follows is left out of what it reads, and the form ends with its file.

// fileBlock is how many bytes of a file are looked through at one time.
const fileBlock = 32 << 10

// fileReader passes on a form from the first byte of its file's content, and ends it
// after the file.
type fileReader struct {
	r         io.Reader
	delimiter []byte // what precedes a boundary, and the boundary

	buf   []byte // read and not passed on
	ready int    // bytes of buf that can be passed on
	err   error  // after buf
}

// newFileReader reads a form with a boundary from the content of its file.
func newFileReader(r io.Reader, boundary string) *fileReader {
	return &fileReader{r: r, delimiter: []byte("\r\n--" + boundary)}
}

// Read implements io.Reader.
func (f *fileReader) Read(p []byte) (int, error) {
	for f.ready == 0 && f.err == nil {
		f.more()
	}
	if f.ready == 0 {
		return 0, f.err
	}
	n := copy(p, f.buf[:f.ready])
	f.buf, f.ready = f.buf[n:], f.ready-n
	return n, nil
}

// more reads on and finds out how much is of the file, or is its end.
func (f *fileReader) more() {
	block := make([]byte, len(f.buf)+fileBlock)
	n := copy(block, f.buf)
	read, err := f.r.Read(block[n:])
	f.buf = block[:n+read]
	i := bytes.Index(f.buf, f.delimiter)
	after := i + len(f.delimiter)
	switch {
	case i < 0:
		f.ready = max(0, len(f.buf)-len(f.delimiter)+1) // the delimiter may have begun
	case len(f.buf) < after+2:
		f.ready = i // what follows it is not here yet
	case string(f.buf[after:after+2]) == "\r\n":
		f.buf = append(append(f.buf[:i:i], f.delimiter...), "--\r\n"...)
		f.ready, f.err = len(f.buf), io.EOF
		return
	default:
		f.ready = after // the end of the form, or content that looks alike
	}
	if err != nil {
		f.ready, f.err = len(f.buf), err
	}
}
