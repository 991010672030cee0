package cluster

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// What a snapshot shows is named by hashes, so that watchers are told only what
// changed. What changes all the time and means nothing (the clock, the last
// digits of rates, a few free blocks) is not looked at: an idle site is quiet.

// contentRevision names what a snapshot shows, by the names of what its links
// show and by the rest of it.
func contentRevision(snapshot *adminpb.ConsoleSnapshot) (uint64, error) {
	links := snapshot.Links
	snapshot.Links = nil // they are many, and named already
	c := proto.CloneOf(snapshot)
	snapshot.Links = links
	c.Time, c.Revision = nil, 0
	if d := c.GetStorage(); d != nil && d.GetDiskCapacity() > 0 {
		d.DiskFree = d.GetDiskFree() * 100 / d.GetDiskCapacity()
	}
	for _, x := range c.GetSites() {
		coarsen(x.OutRate, 1024)
		coarsen(x.InRate, 1024)
		coarsen(x.FreeFraction, 0.01)
	}
	names := make([]byte, 0, 8*len(links))
	for _, l := range links {
		names = binary.BigEndian.AppendUint64(names, l.GetContent())
	}
	return contentHash(c, names)
}

// nameContent gives a link its small charts and the name of what it shows.
func nameContent(l *adminpb.ConsoleLink, charts *sparkSet) error {
	c := proto.CloneOf(l)
	for _, rate := range []*float64{c.OutRate, c.InRate} {
		coarsen(rate, 1024)
	}
	coarsen(c.LatencySeconds, 0.001)
	coarsen(c.Slope, 0.05)
	var err error
	if l.Content, err = contentHash(c, binary.BigEndian.AppendUint64(nil, charts.content)); err != nil {
		return err
	}
	l.SparkOut, l.SparkIn, l.SparkLag, l.SparkBacklog = charts.out, charts.in, charts.lag, charts.backlog
	return nil
}

// contentHash is a hash of a message and of more bytes; it is never 0.
func contentHash(m proto.Message, more []byte) (uint64, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("name what a snapshot shows: %w", err)
	}
	h := fnv.New64a()
	h.Write(raw)
	h.Write(more)
	return max(h.Sum64(), 1), nil
}

// sparkSet is the small charts of a link. It is shared by the snapshots of half
// a minute and is not changed.
type sparkSet struct {
	slot                  int64 // half minute, counted from the Unix epoch
	content               uint64
	out, in, lag, backlog []*adminpb.SparkPoint
}

// drawSparks makes the small charts out of points.
func drawSparks(slot int64, points []point) *sparkSet {
	h := fnv.New64a()
	raw := make([]byte, 0, 16*len(points))
	for _, p := range points {
		for _, m := range []int{measureOut, measureIn, measureLag, measureBacklog} {
			raw = binary.BigEndian.AppendUint32(raw, math.Float32bits(p[m]))
		}
	}
	h.Write(raw)
	return &sparkSet{
		slot: slot, content: h.Sum64(), out: series(points, measureOut), in: series(points, measureIn),
		lag: series(points, measureLag), backlog: series(points, measureBacklog),
	}
}

// coarsen rounds a number to two digits; one below the least that matters is 0.
func coarsen(v *float64, least float64) {
	switch {
	case v == nil:
	case math.Abs(*v) < least:
		*v = 0
	default:
		digit := math.Pow(10, math.Floor(math.Log10(math.Abs(*v)))-1)
		*v = math.Round(*v/digit) * digit
	}
}
