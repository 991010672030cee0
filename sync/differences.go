package objsync

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// keyDifference is a difference with the record that it is about.
type keyDifference struct {
	Difference
	record *catalogpb.Record // which is missing, or this site's
}

// compareKey says what differs between the records of one key here and at the far
// end, as a scan gives them; with latest only in its latest version. It is a pure
// function.
func compareKey(key []byte, here, there []*catalogpb.Record, latest bool) (out []keyDifference) {
	add := func(kind DifferenceKind, version, cause string, r *catalogpb.Record) {
		out = append(out, keyDifference{Difference: Difference{Key: key, Version: version, Kind: kind, Cause: cause}, record: r})
	}
	if len(key) == 0 {
		for _, pair := range pairs(here, there, func(r *catalogpb.Record) string { return r.GetField() }) {
			switch {
			case pair.here == nil:
				add(MissingHere, pair.name, "", pair.there)
			case pair.there == nil:
				add(MissingThere, pair.name, "", pair.here)
			case keyOf(pair.here.GetDot()) != keyOf(pair.there.GetDot()):
				add(Differing, pair.name, "each site has a setting of its own", pair.here)
			}
		}
		return out
	}
	a, b := shownIn(here, latest), shownIn(there, latest)
	for _, pair := range pairs(a, b, catalog.VersionID) {
		switch {
		case pair.here == nil:
			add(MissingHere, pair.name, "", pair.there)
		case pair.there == nil:
			add(MissingThere, pair.name, "", pair.here)
		case keyOf(pair.here.GetDot()) != keyOf(pair.there.GetDot()):
			add(Differing, pair.name, "each site has a null version of its own", pair.here)
		case !proto.Equal(bare(pair.here), bare(pair.there)):
			add(Differing, pair.name, "the records of one version are not equal", pair.here)
		default:
			if what := besideDiffers(pair.here.GetDot(), here, there); what != "" {
				add(Differing, pair.name, what, pair.here)
			}
		}
	}
	return out
}

// shownIn is what is shown of the records of a key.
func shownIn(records []*catalogpb.Record, latest bool) []*catalogpb.Record {
	shown := catalog.ShownOf(records)
	if latest && len(shown) > 1 {
		shown = shown[:1]
	}
	return shown
}

// recordPair is a record here and its like at the far end; one of them may be nil.
type recordPair struct {
	name        string
	here, there *catalogpb.Record
}

// pairs puts records of the same name together, in the order in which they come
// first.
func pairs(here, there []*catalogpb.Record, name func(*catalogpb.Record) string) (out []recordPair) {
	at := make(map[string]int)
	find := func(r *catalogpb.Record) *recordPair {
		n := name(r)
		i, known := at[n]
		if !known {
			i = len(out)
			at[n] = i
			out = append(out, recordPair{name: n})
		}
		return &out[i]
	}
	for _, r := range here {
		find(r).here = r
	}
	for _, r := range there {
		find(r).there = r
	}
	return out
}

// bare is a record as it is kept: what travels along with it is compared by itself.
func bare(r *catalogpb.Record) *catalogpb.Record {
	if len(r.GetKnown()) == 0 {
		return r
	}
	r = proto.CloneOf(r)
	r.Known = nil
	return r
}

// besideDiffers says what of a version's attributes and of the revocation of its
// purge is not the same at both ends; nothing if all is.
func besideDiffers(version *catalogpb.Dot, here, there []*catalogpb.Record) string {
	of := func(records []*catalogpb.Record) (out []*catalogpb.Record) {
		for _, r := range records {
			beside := r.GetKind() == catalogpb.RecordKind_RECORD_ATTRIBUTE || r.GetRevoked()
			if beside && keyOf(r.GetTarget()) == keyOf(version) {
				out = append(out, r)
			}
		}
		return out
	}
	name := func(r *catalogpb.Record) string {
		if r.GetRevoked() {
			return "the revocation of its removal"
		}
		return r.GetField()
	}
	var differ []string
	for _, pair := range pairs(of(here), of(there), name) {
		if pair.here == nil || pair.there == nil || keyOf(pair.here.GetDot()) != keyOf(pair.there.GetDot()) {
			differ = append(differ, pair.name)
		}
	}
	if len(differ) == 0 {
		return ""
	}
	slices.Sort(differ)
	return fmt.Sprintf("not the same at both sites: %s", strings.Join(differ, ", "))
}
