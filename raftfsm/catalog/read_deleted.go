package catalog

import pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"

// Deleted reports whether a record of a key's null version has lost against a
// deletion or a purge of it that is kept here. When a peer sends such a record it
// may have dropped the deletion, and has to be told of it again: Ingest does that.
func (c *Catalog) Deleted(path string, r *pb.Record) (bool, error) {
	if !nullLane(r) {
		return false, nil
	}
	v, err := c.view(path)
	if err != nil {
		return false, err
	}
	defer v.close()
	s, err := v.situation(r)
	if err != nil || len(s.Existing) == 0 {
		return false, err
	}
	last := s.Existing[0]
	return !Live(last) && Compare(last, r) > 0, nil
}

// Deletes reports whether a record takes a version of its key away and is not one
// itself: a deletion where versioning was not enabled, a purge, or the revocation of
// one. Whether another site has seen it says nothing of whether it has obeyed it.
func Deletes(r *pb.Record) bool {
	return r.GetKind() == pb.RecordKind_RECORD_PURGE || r.GetKind() == pb.RecordKind_RECORD_TOMBSTONE && nullLane(r)
}

// Beats reports whether a record, once applied, would take away or outdo another of
// the same key: a deletion or a purge of the null version what is lesser of it, a
// purge of another version that version and its attributes.
func Beats(deletion, r *pb.Record) bool {
	switch {
	case !Deletes(deletion) || deletion.GetRevoked():
		return false
	case nullLane(deletion):
		return nullLane(r) && Compare(deletion, r) > 0
	case r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		return CompareDots(deletion.GetTarget(), r.GetTarget()) == 0
	}
	return CompareDots(deletion.GetTarget(), r.GetDot()) == 0
}
