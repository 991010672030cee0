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

// resync plans Resync.
func (b *builder) resync(name, path string) error {
	service, revision, err := findService(b.cfg, name)
	if err != nil {
		return err
	}
	if b.Txn, err = Resync(b.cfg, name, path, b.now); err != nil {
		return err
	}
	b.depends("service "+name, revision)
	b.Plan.Command = "isgwctl service resync " + name
	compared := service.GetServes()
	if path != "" {
		p, err := ParseServedPath(path)
		if err != nil {
			return err
		}
		b.Plan.Command += " " + quoted(p.String())
		compared = servedWithin(service, p.String())
	}
	for _, served := range compared {
		b.step("~", "compare", served.GetPath(), "from the beginning, over link %s, %s", name, b.what(served))
	}
	b.running(service)
	if service.GetPaused() {
		b.check(warning, "paused", "link %s is paused: it is compared when it is resumed", name)
	}
	b.missing(compared)
	b.Plan.Impact = "Each side compares what it receives of that with the other one, and takes what it lacks. Of a bucket that was copied in whole before " +
		"only what differs crosses the link; of any other one all keys are read, and only missing chunks cross. Nothing is removed that was not removed " +
		"on purpose. Reads and writes are not blocked."
	b.Plan.NeedsTypedName = name
	b.Plan.Undo = "It cannot be called off, and leaves nothing behind: sites that are equal stay as they are."
	return nil
}

// servedWithin is what a service serves of a path: the path itself when it lies in
// something that is served, or else what is served within it.
func servedWithin(service *statepb.Service, path string) []*statepb.Served {
	var within []*statepb.Served
	for _, served := range service.GetServes() {
		have := served.GetPath()
		switch {
		case strings.HasPrefix(path, have+"/"):
			part := proto.CloneOf(served)
			part.Path = path
			if entry(service, path) == nil { // its own entry goes before its tenant's
				within = append(within, part)
			}
		case have == path || strings.HasPrefix(have, path+"/"):
			within = append(within, served)
		}
	}
	return within
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
