package catalog

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/blake3"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// setSum is the hash of a set of values: the sum modulo 2^256 of the
// BLAKE3-256 of their canonical encodings, the least significant word first. A
// value can be added and taken away in any order, so the hash is kept up in the
// batch that changes the rows (the construction is AdHash, Bellare and
// Micciancio 1997). It finds divergence; it does not resist an adversary who
// chooses the values.
type setSum [4]uint64

func sumOf(value []byte) setSum {
	h := blake3.Sum256(value)
	return parseSum(h[:])
}

// parseSum reads the form that bytes writes; a short slice is the empty set's.
func parseSum(b []byte) (s setSum) {
	if len(b) != 32 {
		return s
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

func (s setSum) bytes() []byte {
	b := make([]byte, 0, 32)
	for _, w := range s {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func (s *setSum) add(o setSum) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], o[i], carry)
	}
}

func (s *setSum) sub(o setSum) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], o[i], borrow)
	}
}

// hashes computes the terms of a bucket's sum. The first byte of each value is
// the kind of row, so that values of two kinds are never equal.
type hashes struct {
	buf canon
	// The records hashed last: what is added to a bucket is added to its tree too.
	recent [4]struct {
		record *pb.Record
		sum    setSum
	}
	next int
}

func (h *hashes) start(row byte) *canon {
	h.buf = append(h.buf[:0], row)
	return &h.buf
}

// record is of a version or a delete marker, or of another record of a null
// version. A record is not changed once it was hashed.
func (h *hashes) record(r *pb.Record) setSum {
	for i := range h.recent {
		if h.recent[i].record == r {
			return h.recent[i].sum
		}
	}
	h.start(rowHead).record(r)
	sum := sumOf(h.buf)
	h.recent[h.next].record, h.recent[h.next].sum = r, sum
	h.next = (h.next + 1) % len(h.recent)
	return sum
}

// beside is of a register, an attribute or a setting.
func (h *hashes) beside(r *pb.Record) setSum {
	h.start(rowOf(r)).record(r)
	return sumOf(h.buf)
}

// floor is of the generation that the next write of a key must be above.
func (h *hashes) floor(key []byte, floor uint64) setSum {
	h.start(rowHead).u64(floor)
	h.buf.bytes(key)
	return sumOf(h.buf)
}

func (h *hashes) entry(seq uint64, e *pb.LogEntry) setSum {
	h.start(rowLog).entry(seq, e)
	return sumOf(h.buf)
}

func (h *hashes) cursor(peer []byte, v *pb.Cursor) setSum {
	h.start(rowCursor).bytes(peer)
	h.buf.cursor(v)
	return sumOf(h.buf)
}

func (h *hashes) progress(p *pb.PeerProgress) setSum {
	h.start(rowProgress).progress(p)
	return sumOf(h.buf)
}

func (h *hashes) pending(peer []byte, p *pb.Pending) setSum {
	h.start(rowPending).pending(peer, p)
	return sumOf(h.buf)
}

func (h *hashes) upload(u *pb.Upload) setSum {
	h.start(rowUpload).upload(u)
	return sumOf(h.buf)
}

func (h *hashes) part(upload string, p *pb.Part) setSum {
	h.start(rowPart).part(upload, p)
	return sumOf(h.buf)
}

// Digest returns the set hash of the whole catalog, 32 bytes: of every record,
// log entry, cursor, pending record, upload and part, and of the state of every
// bucket, deleted ones too. It is equal on all nodes of a site that have applied
// the same raft index, whatever their release and however the index was reached.
func (c *Catalog) Digest() []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var sum setSum
	var h hashes
	for _, b := range c.buckets {
		h.start(rowBucket).bucket(b.state)
		sum.add(sumOf(h.buf))
	}
	return sum.bytes()
}

// PartListDigest is the BLAKE3-256 of a canonical encoding of parts in the given
// order: their numbers, contents and ETags.
func PartListDigest(parts []*pb.Part) []byte {
	var c canon
	c.str("isgw part list 1")
	c.u32(uint32(len(parts)))
	for _, p := range parts {
		c.partContent(p)
	}
	sum := blake3.Sum256(c)
	return sum[:]
}
