package admin

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// A watcher of the console is sent one whole snapshot and then what differs, so
// that a tick of a site with hundreds of links costs what changed in it. The
// functions of this file work that out and put it together again. They share
// messages between snapshots, which therefore are never changed.

// keepable are the lists of a snapshot that are left out when they are as they
// were, by the name that kept tells.
var keepable = []protoreflect.Name{"alerts", "sites", "last_changes", "endpoints"}

// changesOf is what a snapshot has that the one before had not: a partial
// snapshot, which [merged] puts onto the one before.
func changesOf(before, now *adminpb.ConsoleSnapshot) *adminpb.ConsoleSnapshot {
	out := &adminpb.ConsoleSnapshot{}
	shallow(out, now)
	out.Partial, out.Links = true, nil
	old, fresh := before.GetLinks(), now.GetLinks() // both ordered by name
	for len(old) > 0 || len(fresh) > 0 {
		switch order := compareHeads(old, fresh); {
		case order < 0:
			out.GoneLinks = append(out.GoneLinks, old[0].GetName())
			old = old[1:]
		case order > 0:
			out.Links = append(out.Links, fresh[0])
			fresh = fresh[1:]
		default:
			if old[0].GetContent() != fresh[0].GetContent() || fresh[0].GetContent() == 0 {
				out.Links = append(out.Links, linkChanges(old[0], fresh[0]))
			}
			old, fresh = old[1:], fresh[1:]
		}
	}
	from, to := before.ProtoReflect(), out.ProtoReflect()
	for _, name := range keepable {
		field := to.Descriptor().Fields().ByName(name)
		if list := to.Get(field).List(); list.Len() > 0 && sameList(from.Get(field).List(), list) {
			to.Clear(field)
			out.Kept = append(out.Kept, string(name))
		}
	}
	return out
}

// merged is the snapshot that a partial one makes of the one before; a whole one
// is itself. It fails when they do not belong together.
func merged(before, partial *adminpb.ConsoleSnapshot) (*adminpb.ConsoleSnapshot, error) {
	if !partial.GetPartial() {
		return partial, nil
	}
	if before == nil {
		return nil, Errorf(CodeFailed, "the node told what changed of a snapshot that it had not told")
	}
	out := &adminpb.ConsoleSnapshot{}
	shallow(out, partial)
	out.Partial, out.GoneLinks, out.Kept = false, nil, nil
	from, to := before.ProtoReflect(), out.ProtoReflect()
	for _, name := range partial.GetKept() {
		if field := to.Descriptor().Fields().ByName(protoreflect.Name(name)); field != nil && slices.Contains(keepable, field.Name()) {
			if from.Has(field) {
				to.Set(field, from.Get(field))
			}
		}
	}
	gone := make(map[string]bool, len(partial.GetGoneLinks()))
	for _, name := range partial.GetGoneLinks() {
		gone[name] = true
	}
	old, fresh := before.GetLinks(), partial.GetLinks()
	out.Links = make([]*adminpb.ConsoleLink, 0, max(len(old), len(fresh)))
	for len(old) > 0 || len(fresh) > 0 {
		switch order := compareHeads(old, fresh); {
		case order < 0:
			if !gone[old[0].GetName()] {
				out.Links = append(out.Links, old[0])
			}
			old = old[1:]
		case order > 0:
			out.Links = append(out.Links, fresh[0])
			fresh = fresh[1:]
		default:
			if l := fresh[0]; l.GetSparksKept() {
				l.SparksKept = false
				l.SparkOut, l.SparkIn, l.SparkLag, l.SparkBacklog = old[0].SparkOut, old[0].SparkIn, old[0].SparkLag, old[0].SparkBacklog
			}
			out.Links = append(out.Links, fresh[0])
			old, fresh = old[1:], fresh[1:]
		}
	}
	return out, nil
}

// compareHeads says which of two lists of links, ordered by name, goes on with
// the lesser name: negative for the first. A list that has ended is the greater.
func compareHeads(a, b []*adminpb.ConsoleLink) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return strings.Compare(a[0].GetName(), b[0].GetName())
}

// linkChanges is a link that changed, without its small charts when those are as
// they were.
func linkChanges(before, now *adminpb.ConsoleLink) *adminpb.ConsoleLink {
	charts := func(l *adminpb.ConsoleLink) [4][]*adminpb.SparkPoint {
		return [4][]*adminpb.SparkPoint{l.SparkOut, l.SparkIn, l.SparkLag, l.SparkBacklog}
	}
	old, fresh := charts(before), charts(now)
	for i := range fresh {
		if !slices.EqualFunc(old[i], fresh[i], func(a, b *adminpb.SparkPoint) bool { return a == b || proto.Equal(a, b) }) {
			return now
		}
	}
	out := &adminpb.ConsoleLink{}
	shallow(out, now)
	out.SparkOut, out.SparkIn, out.SparkLag, out.SparkBacklog = nil, nil, nil, nil
	out.SparksKept = true
	return out
}

// shallow copies the fields of a message; what they point to is shared.
func shallow[M proto.Message](to, from M) {
	into := to.ProtoReflect()
	from.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		into.Set(field, value)
		return true
	})
}

func sameList(a, b protoreflect.List) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !proto.Equal(a.Get(i).Message().Interface(), b.Get(i).Message().Interface()) {
			return false
		}
	}
	return true
}
