package raftfsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/zeebo/blake3"
)

// The stream of a snapshot carries the files of a Pebble directory to a
// follower. Numbers are big-endian.
//
//	magic  8 bytes "isgwsnp1"
//	count  4 bytes
//	count files, names strictly ascending:
//	  name length  2 bytes
//	  name
//	  size         8 bytes
//	  content
//	  sum          32 bytes, BLAKE3-256 of all of the above of this file
//	sum    32 bytes, BLAKE3-256 of magic, count and the files' sums
//
// Nothing follows the last sum.
const (
	streamMagic    = "isgwsnp1"
	streamMaxFiles = 1 << 20
	streamMaxName  = 255
	streamBuffer   = 256 << 10
)

type streamFile struct {
	name string
	size int64
}

// streamFiles lists what the stream of a Pebble directory carries.
func streamFiles(fs vfs.FS, dir string) ([]streamFile, error) {
	names, err := dataFiles(fs, dir)
	if err != nil {
		return nil, err
	}
	files := make([]streamFile, len(names))
	for i, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", name)
		}
		files[i] = streamFile{name, info.Size()}
	}
	return files, nil
}

// streamSize is the exact length of a stream in bytes.
func streamSize(files []streamFile) int64 {
	size := int64(len(streamMagic) + 4 + 32)
	for _, f := range files {
		size += int64(2+len(f.name)+8+32) + f.size
	}
	return size
}

func fileHeader(f streamFile) []byte {
	header := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(f.name)+8), uint16(len(f.name)))
	header = append(header, f.name...)
	return binary.BigEndian.AppendUint64(header, uint64(f.size))
}

// streamReader produces a stream from a directory's files, one open at a time.
type streamReader struct {
	fs    vfs.FS
	dir   string
	files []streamFile // those not begun yet

	small bytes.Reader // header or sum being read
	open  vfs.File     // file being read, or nil
	left  int64        // bytes of it
	sum   hash.Hash    // of the file
	total hash.Hash    // of the stream
	done  bool         // the last sum is in small
}

func newStreamReader(fs vfs.FS, dir string, files []streamFile) *streamReader {
	head := binary.BigEndian.AppendUint32([]byte(streamMagic), uint32(len(files)))
	r := &streamReader{fs: fs, dir: dir, files: files, sum: blake3.New(), total: blake3.New()}
	r.total.Write(head)
	r.small.Reset(head)
	return r
}

// Read implements io.Reader.
func (r *streamReader) Read(p []byte) (int, error) {
	for {
		if r.small.Len() > 0 {
			return r.small.Read(p)
		}
		if r.open != nil && r.left > 0 {
			n, err := r.open.Read(p[:min(int64(len(p)), r.left)])
			r.left -= int64(n)
			r.sum.Write(p[:n])
			if err == io.EOF && r.left > 0 {
				err = io.ErrUnexpectedEOF
			} else if err == io.EOF {
				err = nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if r.done {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
}

// next ends a file with its sum, or begins one with its header, or ends the
// stream.
func (r *streamReader) next() error {
	switch {
	case r.open != nil:
		err := r.open.Close()
		r.open = nil
		sum := r.sum.Sum(nil)
		r.total.Write(sum)
		r.small.Reset(sum)
		return err
	case len(r.files) > 0:
		f := r.files[0]
		r.files = r.files[1:]
		file, err := r.fs.Open(r.fs.PathJoin(r.dir, f.name))
		if err != nil {
			return err
		}
		header := fileHeader(f)
		r.open, r.left = file, f.size
		r.sum.Reset()
		r.sum.Write(header)
		r.small.Reset(header)
		return nil
	default:
		r.done = true
		r.small.Reset(r.total.Sum(nil))
		return nil
	}
}

// Close releases the file that is open.
func (r *streamReader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

var errStream = errors.New("snapshot stream is damaged")

// unpack writes the files of a stream into a new directory; the caller syncs
// them. It verifies every sum, takes nothing but plain file names and allocates
// nothing by a length that the stream claims.
func unpack(fs vfs.FS, dir string, from io.Reader) error {
	in := bufio.NewReaderSize(from, streamBuffer)
	head := make([]byte, len(streamMagic)+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return damaged("begin", err)
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return fmt.Errorf("%w: it does not begin as one", errStream)
	}
	count := binary.BigEndian.Uint32(head[len(streamMagic):])
	if count > streamMaxFiles {
		return fmt.Errorf("%w: it claims %d files", errStream, count)
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	total := blake3.New()
	total.Write(head)
	last := ""
	for range count {
		name, sum, err := unpackFile(fs, dir, in, last)
		if err != nil {
			return err
		}
		total.Write(sum)
		last = name
	}
	if err := expectSum(in, total.Sum(nil), "the whole"); err != nil {
		return err
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: bytes follow its end", errStream)
	}
	return nil
}

// unpackFile takes one file of a stream; its name must follow last.
func unpackFile(fs vfs.FS, dir string, in *bufio.Reader, last string) (name string, sum []byte, err error) {
	h := blake3.New()
	tee := io.TeeReader(in, h)
	var lengths [8]byte
	if _, err := io.ReadFull(tee, lengths[:2]); err != nil {
		return "", nil, damaged("read name length", err)
	}
	n := binary.BigEndian.Uint16(lengths[:2])
	if n == 0 || n > streamMaxName {
		return "", nil, fmt.Errorf("%w: a file name has %d bytes", errStream, n)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(tee, raw); err != nil {
		return "", nil, damaged("read name", err)
	}
	name = string(raw)
	if !plainName(name) || name <= last {
		return "", nil, fmt.Errorf("%w: file name %q is not plain or not in order", errStream, name)
	}
	if _, err := io.ReadFull(tee, lengths[:]); err != nil {
		return "", nil, damaged("read size", err)
	}
	size := binary.BigEndian.Uint64(lengths[:])
	if size > 1<<62 {
		return "", nil, fmt.Errorf("%w: file %s claims %d bytes", errStream, name, size)
	}
	f, err := fs.Create(fs.PathJoin(dir, name), category)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err := io.CopyN(f, tee, int64(size)); err != nil {
		return "", nil, damaged("read content of "+name, err)
	}
	sum = h.Sum(nil)
	if err := expectSum(in, sum, name); err != nil {
		return "", nil, err
	}
	return name, sum, nil
}

func expectSum(in io.Reader, want []byte, what string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil {
		return damaged("read sum of "+what, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: the sum of %s does not match", errStream, what)
	}
	return nil
}

// damaged says that a stream ended early; other errors pass.
func damaged(doing string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early (%s)", errStream, doing)
	}
	return fmt.Errorf("%s of snapshot stream: %w", doing, err)
}

// plainName admits the names that Pebble gives its files and nothing that
// leads out of a directory.
func plainName(name string) bool {
	if name[0] == '.' || name == "LOCK" {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
