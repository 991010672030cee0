package plan

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// SetPaused has a link stay connected while nothing moves over it, or go on. It
// returns nil when it is so already.
func SetPaused(cfg *state.Config, name string, paused bool) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	if old.GetPaused() == paused {
		return nil, nil
	}
	service := proto.CloneOf(old)
	service.Paused = paused
	return replace(service, revision)
}

// pause plans SetPaused.
func (b *builder) pause(name string, paused bool) error {
	service, revision, err := findService(b.cfg, name)
	if err != nil {
		return err
	}
	if b.Txn, err = SetPaused(b.cfg, name, paused); err != nil {
		return err
	}
	b.depends("service "+name, revision)
	verb, other, is := "pause", "resume", "is paused already"
	if !paused {
		verb, other, is = other, verb, "is not paused"
	}
	b.Plan.Command = "isgwctl link " + verb + " " + name
	if b.Txn == nil {
		b.Plan.Impact = fmt.Sprintf("Nothing: link %s %s.", name, is)
		return nil
	}
	b.step("~", "link", name, "%s", map[bool]string{true: "running → paused", false: "paused → running"}[paused])
	switch {
	case service.GetDisabled():
		b.Plan.Impact = fmt.Sprintf("Nothing flows over %s before it is enabled.", name)
	case paused:
		b.Plan.Impact = fmt.Sprintf("The link stays connected, and nothing moves over %s in either direction: its lag rises, and both sites show how much waits. "+
			"Changes are kept for %s; after that it compares everything again.", name, span(b.facts.LogKeep))
	default:
		b.Plan.Impact = "The link goes on where it was: only what changed meanwhile is sent."
	}
	if n := len(service.GetServes()); paused && n > 0 {
		b.check(warning, "serves", "%d served %s will not be replicated over this link until it is resumed", n, plural(n, "path", "paths"))
	}
	b.Plan.Undo = "`isgwctl link " + other + " " + name + "`; settings and cursors are kept."
	return nil
}
