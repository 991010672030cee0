package catalog

import pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"

// Position is where the log of a bucket stands.
type Position struct {
	Seq         uint64        // the last sequence
	Epoch       uint32        // the site's
	Incarnation []byte        // not to be changed
	Learned     []*pb.Learned // neither
}

// Position returns where the log of a bucket stands; false when there is no such
// bucket. Unlike [Catalog.Bucket] it copies nothing, so that whoever follows many
// logs can see which of them have moved.
func (c *Catalog) Position(path string) (Position, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return Position{}, false
	}
	return Position{Seq: b.state.GetSeq(), Epoch: c.epoch, Incarnation: b.state.GetIncarnation(), Learned: b.state.GetLearned()}, true
}
