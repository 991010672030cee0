package plan

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Resync remembers that what a service serves at a path, everything when it is
// empty, is to be compared with the other end from the beginning.
func Resync(cfg *state.Config, name, path string, now time.Time) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	if old.GetType() != state.TypeLink {
		return nil, invalid("service %s is no link", name)
	}
	if path != "" {
		p, err := ParseServedPath(path)
		if err != nil {
			return nil, err
		}
		path = p.String()
		if !servesAt(old, path) {
			return nil, refuse(state.ErrNotFound, "service %s does not serve %s", name, path).next("see `isgwctl service show %s`", name)
		}
	}
	if len(old.GetServes()) == 0 {
		return nil, invalid("service %s serves nothing", name).next("serve a bucket or a tenant first (`isgwctl service serve %s PATH`)", name)
	}
	service := proto.CloneOf(old)
	if service.Resyncs, err = state.AddResync(old.GetResyncs(), path, now.UnixNano()); err != nil {
		return nil, err
	}
	return replace(service, revision)
}

// servesAt reports whether a service serves a path, what it lies in, or something
// that lies in it.
func servesAt(service *statepb.Service, path string) bool {
	for _, served := range service.GetServes() {
		have := served.GetPath()
		if have == path || strings.HasPrefix(have, path+"/") || strings.HasPrefix(path, have+"/") {
			return true
		}
	}
	return false
}
