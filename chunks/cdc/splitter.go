package cdc

import (
	"fmt"
	"io"
)

// bufferSize is a Splitter's memory in bytes: eight of the longest chunks, so
// that the tail moved to its start is a small part of what is read.
const bufferSize = 2 << 20

// maxEmptyReads is how often in a row a reader may give nothing without an
// error before it is taken to be broken.
const maxEmptyReads = 100

// Splitter splits what a reader gives into chunks. It owns one buffer of 2 MiB
// and hands out parts of it. It must not be used by two goroutines at once.
type Splitter struct {
	r          io.Reader
	buf        []byte
	start, end int // the bytes of buf that were read and not handed out
	err        error
}

// NewSplitter returns a splitter of r's content.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{r: r, buf: make([]byte, bufferSize)}
}

// Reset makes the splitter begin with r's content and keeps its buffer, whose
// chunks become invalid.
func (s *Splitter) Reset(r io.Reader) {
	s.r, s.start, s.end, s.err = r, 0, 0, nil
}

// Buffered reports whether the next call of Next takes its chunk from bytes
// that were read before. Such a call does not invalidate earlier chunks, so a
// caller can gather chunks while Buffered is true and store them as a batch.
func (s *Splitter) Buffered() bool {
	n := s.end - s.start
	return n >= MaxSize || n > 0 && s.err == io.EOF
}

// Next returns the next chunk. It is a part of the splitter's buffer and valid
// until the next call of Next that had to read, or of Reset: see Buffered. The
// chunks do not depend on how the reader divides the content. After the last
// chunk the error is io.EOF. An error of the reader is returned (wrapped) after
// the chunks that were whole before it, and at every later call; the bytes
// after the last whole chunk are then lost, since their end is unknown.
func (s *Splitter) Next() ([]byte, error) {
	if s.end-s.start < MaxSize && s.err == nil {
		s.fill()
	}
	n := Cut(s.buf[s.start:s.end], s.err == io.EOF)
	if n == 0 {
		if s.err == io.EOF {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read content to split: %w", s.err)
	}
	chunk := s.buf[s.start : s.start+n : s.start+n]
	s.start += n
	return chunk, nil
}

// fill reads until the buffer holds a longest chunk, so that no byte is
// searched twice however little the reader gives at a time, or until s.err.
func (s *Splitter) fill() {
	if len(s.buf)-s.start < MaxSize {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	for empty := 0; s.end-s.start < MaxSize && s.err == nil; {
		// Not io.ReadAtLeast: it reports the end of the content as
		// io.ErrUnexpectedEOF, which readers use for content cut short.
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if empty++; n > 0 {
			empty = 0
		}
		if empty == maxEmptyReads && err == nil {
			s.err = io.ErrNoProgress
		}
	}
}
