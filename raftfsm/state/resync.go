package state

import (
	"slices"
	"strings"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// MaxResyncs bounds Service.resyncs.
const MaxResyncs = 64

// ResyncOf returns when a re-sync of a bucket was last asked for, in Unix
// nanoseconds; 0 when it never was.
func ResyncOf(resyncs []*statepb.Resync, bucketPath string) int64 {
	var last int64
	for _, r := range resyncs {
		if covers(r.GetPath(), bucketPath) {
			last = max(last, r.GetTime())
		}
	}
	return last
}

// AddResync returns a list with a wish for what lies at a path, which takes the
// place of the wishes for parts of it. A list that is full is refused: a wish for
// everything empties it.
func AddResync(resyncs []*statepb.Resync, path string, at int64) ([]*statepb.Resync, error) {
	out := slices.DeleteFunc(slices.Clone(resyncs), func(r *statepb.Resync) bool { return covers(path, r.GetPath()) })
	// Two wishes within one tick of the clock are two.
	at = max(at, ResyncOf(resyncs, path)+1)
	for _, r := range resyncs {
		if covers(path, r.GetPath()) {
			at = max(at, r.GetTime()+1)
		}
	}
	i, _ := slices.BinarySearchFunc(out, path, func(r *statepb.Resync, path string) int { return strings.Compare(r.GetPath(), path) })
	out = slices.Insert(out, i, &statepb.Resync{Path: path, Time: at})
	if len(out) > MaxResyncs {
		return nil, invalid("re-syncs of %d paths were asked for one by one, which is the most that is remembered: ask for a tenant, or for the whole link", MaxResyncs)
	}
	return out, nil
}

// covers reports whether a wish for a path is one for what lies at another.
func covers(path, other string) bool {
	return path == "" || path == other || strings.HasPrefix(other, path+"/")
}

func validateResyncs(s *statepb.Service) error {
	if n := len(s.GetResyncs()); n > MaxResyncs {
		return invalid("service %s: %d re-syncs are more than %d", s.GetName(), n, MaxResyncs)
	}
	for i, r := range s.GetResyncs() {
		if i > 0 && s.GetResyncs()[i-1].GetPath() >= r.GetPath() {
			return invalid("service %s: the re-syncs are not ordered by path", s.GetName())
		}
		if r.GetTime() <= 0 {
			return invalid("service %s: the re-sync of %q has no time", s.GetName(), r.GetPath())
		}
	}
	return nil
}
