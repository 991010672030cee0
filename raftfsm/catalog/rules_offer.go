package catalog

import (
	"bytes"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Offer reports whether a sender offers a log entry to a peer whose vector it
// knows: not one that came from the peer, and not one that the peer has seen,
// except a tombstone that is announced again.
func Offer(e *pb.LogEntry, peer state.SiteID, peerSeen *pb.Vector) bool {
	if bytes.Equal(e.GetVia(), peer[:]) {
		return false
	}
	return e.GetAgain() || !Covers(peerSeen, e.GetDot())
}

// AnnounceApplied reports whether a tombstone from a peer, about to become the
// head of a key, is offered even to peers that have seen it: it beats a visible
// head that its writer did not know, or it was dropped here before. A peer that
// took that head from here may have dropped the tombstone already.
func AnnounceApplied(tombstone, head *pb.Record, covered bool) bool {
	return !Live(tombstone) && Visible(head) && Compare(tombstone, head) > 0 &&
		(covered || Conflict(tombstone, head))
}

// Announce reports whether a tombstone that a site holds must be announced again
// because a version that a peer sent has lost against it: the peer says that it
// has seen the tombstone, so it has dropped it and keeps the version alive.
func Announce(tombstone, lost *pb.Record, peerSeen *pb.Vector) bool {
	return !Live(tombstone) && Covers(peerSeen, tombstone.GetDot()) && Compare(tombstone, lost) > 0
}

// LearnedElsewhere counts the scans by which a site learned from others than a peer. A
// peer that has not compared since may keep for ever what was deleted: the site covers
// it, so that it takes it no more, and has no deletion to answer with.
func LearnedElsewhere(learned []*pb.Learned, peer state.SiteID) (times uint64) {
	for _, l := range learned {
		if !bytes.Equal(l.GetSite(), peer[:]) {
			times += l.GetTimes()
		}
	}
	return times
}

// toldBy is what a command tells of what its peer has seen: the vectors that came
// with what it brings, and every record that the peer itself has written in its log
// up to the cursor.
func toldBy(cmd *pb.Ingest) *pb.Vector {
	v := MergeVector(nil, cmd.GetSeen())
	for _, c := range []*pb.Cursor{cmd.GetExpect(), cmd.GetCursor()} {
		v = MergeVector(v, c.GetScan().GetSeen())
		if c.GetSeq() > 0 && c.GetEpoch() > 0 {
			v = MergeVector(v, &pb.Vector{Upto: []*pb.Dot{{Origin: cmd.GetPeer(), Epoch: c.GetEpoch(), Seq: c.GetSeq()}}})
		}
	}
	return v
}

// DroppedThere reports whether the null version here, the greatest record of the
// key's null lane, was dropped at a sender on purpose: the sender's vector covers
// it, and the sender keeps neither it nor anything greater of the null lane.
// senderNull is the greatest record of the null lane that the sender keeps, nil if
// none. The local site answers with a deletion.
func DroppedThere(local, senderNull *pb.Record, senderSeen *pb.Vector) bool {
	return Visible(local) && Covers(senderSeen, local.GetDot()) &&
		(senderNull == nil || Compare(senderNull, local) < 0)
}

// PurgedThere reports whether a version here that has an id of its own was purged
// at a sender: the sender's vector covers it, and the sender keeps neither it nor a
// register of it. Where versions may be missing for other reasons nothing follows
// from that; nor does it while the sender has not seen the revocation of a purge
// that is kept here. register is the local one, nil if none. The local site answers
// with a purge.
func PurgedThere(local, register *pb.Record, keptThere, registerThere bool, senderSeen *pb.Vector) bool {
	return !keptThere && !registerThere && !senderSeen.GetSparse() && Covers(senderSeen, local.GetDot()) &&
		(register == nil || Covers(senderSeen, register.GetDot()))
}
