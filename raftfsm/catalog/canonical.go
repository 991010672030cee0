package catalog

import (
	"encoding/binary"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// canon builds the canonical encoding of a value, over which digests are taken:
// fixed-width big-endian integers, everything of variable length after its
// length, fields in a fixed order, maps by their keys. Unlike a protobuf
// encoding it is the same in every release.
type canon []byte

func (c *canon) u8(v uint8)   { *c = append(*c, v) }
func (c *canon) u32(v uint32) { *c = binary.BigEndian.AppendUint32(*c, v) }
func (c *canon) u64(v uint64) { *c = binary.BigEndian.AppendUint64(*c, v) }
func (c *canon) i64(v int64)  { c.u64(uint64(v)) }

func (c *canon) flag(v bool) {
	if v {
		c.u8(1)
	} else {
		c.u8(0)
	}
}

func (c *canon) bytes(v []byte) {
	c.u32(uint32(len(v)))
	*c = append(*c, v...)
}

func (c *canon) str(v string) {
	c.u32(uint32(len(v)))
	*c = append(*c, v...)
}

func (c *canon) dots(v []*pb.Dot) {
	c.u32(uint32(len(v)))
	for _, d := range v {
		c.dot(d)
	}
}

func (c *canon) dot(d *pb.Dot) {
	c.bytes(d.GetOrigin())
	c.u32(d.GetEpoch())
	c.u64(d.GetSeq())
}

func (c *canon) root(r *pb.Root) {
	c.u32(r.GetLevel())
	c.bytes(r.GetId())
	c.u64(r.GetSize())
}

func (c *canon) pairs(m map[string]string) {
	c.u32(uint32(len(m)))
	if len(m) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		c.str(k)
		c.str(m[k])
	}
}

// unknown adds the fields that a newer release wrote and this one only carries.
func (c *canon) unknown(m proto.Message) { c.bytes(m.ProtoReflect().GetUnknown()) }

func (c *canon) record(r *pb.Record) {
	c.bytes(r.GetKey())
	c.u32(uint32(r.GetKind()))
	c.dot(r.GetDot())
	c.u64(r.GetGeneration())
	c.i64(r.GetTime())
	c.dots(r.GetContext())
	c.flag(r.GetRoot() != nil)
	c.root(r.GetRoot())
	c.str(r.GetEtag())
	c.pairs(r.GetHeaders())
	c.pairs(r.GetMetadata())
	c.u32(uint32(len(r.GetPartSizes())))
	for _, n := range r.GetPartSizes() {
		c.u64(n)
	}
	c.unknown(r)
	c.recordMore(r)
}

// recordMore adds what only some records have. It adds nothing to a record without
// any of it, so that the encoding of those is what it was before there was more.
func (c *canon) recordMore(r *pb.Record) {
	c.field(1, r.GetVersioning() != 0, func() { c.u32(uint32(r.GetVersioning())) })
	c.field(2, r.GetTarget() != nil, func() { c.dot(r.GetTarget()) })
	c.field(3, r.GetField() != "", func() { c.str(r.GetField()) })
	c.field(4, r.GetValue() != nil, func() { c.value(r.GetValue()) })
	c.field(5, len(r.GetTags()) > 0, func() { c.pairs(r.GetTags()) })
	c.field(6, r.GetLock() != nil, func() {
		c.u32(uint32(r.GetLock().GetMode()))
		c.i64(r.GetLock().GetUntil())
		c.flag(r.GetLock().GetHold())
		c.unknown(r.GetLock())
	})
	c.field(7, len(r.GetPartChecksums()) > 0, func() {
		c.u32(uint32(len(r.GetPartChecksums())))
		for _, sum := range r.GetPartChecksums() {
			c.bytes(sum)
		}
	})
	c.field(8, r.GetRevoked(), func() {})
	c.field(9, r.GetBypass(), func() {})
	c.field(10, len(r.GetKnown()) > 0, func() {
		c.u32(uint32(len(r.GetKnown())))
		for _, k := range r.GetKnown() {
			c.record(k)
			c.u8(0)
		}
	})
	c.field(11, r.GetAt() != 0, func() { c.i64(r.GetAt()) })
}

// field adds a numbered field, if it is there.
func (c *canon) field(number uint8, there bool, add func()) {
	if there {
		c.u8(number)
		add()
	}
}

func (c *canon) value(v *pb.Value) {
	c.pairs(v.GetTags())
	c.u32(uint32(v.GetMode()))
	c.i64(v.GetUntil())
	c.flag(v.GetHold())
	c.u32(uint32(v.GetVersioning()))
	c.flag(v.GetLock() != nil)
	c.defaultLock(v.GetLock())
	c.bytes(v.GetCors())
	c.unknown(v)
}

func (c *canon) defaultLock(l *pb.DefaultLock) {
	c.flag(l.GetEnabled())
	c.u32(uint32(l.GetMode()))
	c.u32(l.GetDays())
	c.u32(l.GetYears())
	c.unknown(l)
}

func (c *canon) entry(seq uint64, e *pb.LogEntry) {
	c.u64(seq)
	c.bytes(e.GetKey())
	c.dot(e.GetDot())
	c.u64(e.GetGeneration())
	c.i64(e.GetTime())
	c.i64(e.GetCommitted())
	c.bytes(e.GetVia())
	c.u64(e.GetSize())
	c.flag(e.GetAgain())
	c.u32(uint32(e.GetKind()))
	if e.GetTarget() != nil {
		c.dot(e.GetTarget())
	}
}

func (c *canon) cursor(v *pb.Cursor) {
	c.bytes(v.GetSite())
	c.u32(v.GetEpoch())
	c.bytes(v.GetIncarnation())
	c.u64(v.GetSeq())
	c.flag(v.GetScan() != nil)
	c.u64(v.GetScan().GetFirstSeq())
	c.bytes(v.GetScan().GetNextKey())
	c.dots(v.GetScan().GetSeen().GetUpto())
	c.u64(v.GetScan().GetKeysDone())
	c.flag(v.GetInitialDone())
	// What came later is left out while it is unset, so that the sums of cursors that
	// were stored before stay what they were.
	if v.GetPart() != "" || v.GetResync() != 0 || v.GetScan().GetScope() != "" {
		c.str(v.GetPart())
		c.i64(v.GetResync())
		c.str(v.GetScan().GetScope())
	}
	if v.GetRecheck() || v.GetScan().GetUntold() {
		c.flag(v.GetRecheck())
		c.flag(v.GetScan().GetUntold())
	}
	if len(v.GetAwaited().GetUpto()) > 0 {
		c.dots(v.GetAwaited().GetUpto())
	}
}

func (c *canon) progress(p *pb.PeerProgress) {
	c.bytes(p.GetPeer())
	c.cursor(p.GetCursor())
	c.dots(p.GetSeen().GetUpto())
	c.dots(p.GetHolds())
	c.i64(p.GetTime())
}

func (c *canon) pending(peer []byte, p *pb.Pending) {
	c.bytes(peer)
	c.record(p.GetRecord())
	c.u32(uint32(p.GetReason()))
	c.str(p.GetCause())
	c.u32(p.GetAttempts())
	c.i64(p.GetNextRetry())
	c.i64(p.GetSince())
	c.u64(p.GetSeq())
}

func (c *canon) upload(u *pb.Upload) {
	c.str(u.GetId())
	c.bytes(u.GetKey())
	c.i64(u.GetCreated())
	c.pairs(u.GetHeaders())
	c.pairs(u.GetMetadata())
	if len(u.GetTags()) > 0 || u.GetLock() != nil {
		c.pairs(u.GetTags())
		c.u32(uint32(u.GetLock().GetMode()))
		c.i64(u.GetLock().GetUntil())
		c.flag(u.GetLock().GetHold())
	}
}

func (c *canon) part(upload string, p *pb.Part) {
	c.str(upload)
	c.partContent(p)
	c.i64(p.GetTime())
}

// partContent is what a part list's digest covers of a part.
func (c *canon) partContent(p *pb.Part) {
	c.u32(p.GetNumber())
	c.root(p.GetRoot())
	c.str(p.GetEtag())
	if len(p.GetChecksums()) > 0 {
		c.pairs(p.GetChecksums())
	}
}

func (c *canon) bucket(s *pb.BucketState) {
	c.str(s.GetPath())
	c.u64(s.GetNumber())
	c.bytes(s.GetIncarnation())
	c.u32(uint32(len(s.GetMerged())))
	for _, m := range s.GetMerged() {
		c.bytes(m)
	}
	c.flag(s.GetDeleted())
	c.u64(s.GetSeq())
	c.u64(s.GetTrimmed())
	c.u64(s.GetGenerationFloor())
	c.dots(s.GetSeen().GetUpto())
	c.u32(s.GetVersions())
	c.u64(s.GetObjects())
	c.u64(s.GetBytes())
	c.i64(s.GetCreated())
	c.u32(s.GetEpoch())
	c.u64(s.GetMaxGeneration())
	c.bytes(s.GetDigest())
	c.u32(uint32(len(s.GetIncomplete())))
	for _, peer := range s.GetIncomplete() {
		c.bytes(peer)
	}
	c.field(1, s.GetSeen().GetSparse(), func() {})
	c.field(2, s.GetVersioning() != 0, func() { c.u32(uint32(s.GetVersioning())) })
	c.field(3, s.GetLock() != nil, func() { c.defaultLock(s.GetLock()) })
	c.field(4, s.GetStored() != 0, func() { c.u64(s.GetStored()) })
	c.field(5, s.GetVersioned() != 0, func() { c.u64(s.GetVersioned()) })
	c.field(6, s.GetBounded(), func() {})
	c.field(7, s.GetQuota() != 0, func() { c.u64(s.GetQuota()) })
	c.field(8, s.GetTenantQuota() != 0, func() { c.u64(s.GetTenantQuota()) })
}
