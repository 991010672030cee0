package objsync

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Settings are one side's settings of a link that bear on what flows over it. What
// flows is what both sides allow. The zero Settings limit nothing.
type Settings struct {
	// Direction is state.DirectionSend, state.DirectionReceive or
	// state.DirectionBoth; empty means both.
	Direction string
	// Replication is state.ReplicationInitial, state.ReplicationContinuous or
	// state.ReplicationBoth; empty means both.
	Replication string
	// Paused stops both directions: nothing is let out, fetched or applied. The
	// session stays, so that what there is to do is known.
	Paused bool
}

// Sends reports whether the direction lets anything out.
func (s Settings) Sends() bool { return s.Direction != state.DirectionReceive }

// Receives reports whether the direction lets anything in.
func (s Settings) Receives() bool { return s.Direction != state.DirectionSend }

func (s Settings) message() *linkpb.LinkSettings {
	return &linkpb.LinkSettings{Direction: s.Direction, Replication: s.Replication, Paused: s.Paused}
}

// settingsOf takes the settings that a peer tells. Words of a later version limit
// nothing here: that side knows what it means by them, and keeps to it.
func settingsOf(m *linkpb.LinkSettings) Settings {
	return Settings{Direction: m.GetDirection(), Replication: m.GetReplication(), Paused: m.GetPaused()}
}

// Initial reports whether what there is when a bucket is served is copied.
func (s Settings) Initial() bool { return s.Replication != state.ReplicationContinuous }

// Continuous reports whether what changes afterwards is copied.
func (s Settings) Continuous() bool { return s.Replication != state.ReplicationInitial }

// flow is what the settings of both sides let through in one direction.
type flow struct {
	off    string // why nothing flows, in words; empty when something may
	first  bool   // what there is already
	follow bool   // what changes
}

// flowOf puts the settings of both sides together, as the side called here sees
// them; receiving says that here is the receiving end.
func flowOf(here, there Settings, receiving bool, peer string) flow {
	f := flow{first: here.Initial() && there.Initial(), follow: here.Continuous() && there.Continuous()}
	switch {
	case receiving && !here.Receives():
		f.off = fmt.Sprintf("nothing is received: the direction here is %s", state.DirectionSend)
	case receiving && !there.Sends():
		f.off = fmt.Sprintf("nothing is received: the direction at %s is %s", peer, state.DirectionReceive)
	case !receiving && !here.Sends():
		f.off = fmt.Sprintf("nothing is sent: the direction here is %s", state.DirectionReceive)
	case !receiving && !there.Receives():
		f.off = fmt.Sprintf("nothing is sent: the direction at %s is %s", peer, state.DirectionSend)
	case !f.first && !f.follow:
		f.off = fmt.Sprintf("nothing flows: the replication type is %s here and %s at %s", here.Replication, there.Replication, peer)
	}
	return f
}

// pausedBy says who paused a link; "" when nobody did.
func pausedBy(here, there Settings, peer string) string {
	switch {
	case here.Paused && there.Paused:
		return fmt.Sprintf("it was paused here and at %s", peer)
	case here.Paused:
		return "it was paused here"
	case there.Paused:
		return fmt.Sprintf("it was paused at %s", peer)
	}
	return ""
}

// Terms are what one side lets through of one bucket. The zero Terms limit nothing.
type Terms struct {
	Filter Filter
	// Resync is when this side's operator last asked that the bucket is compared from
	// its beginning again, in Unix nanoseconds; 0: never.
	Resync int64
}

// Filter leaves records of a bucket out. Whatever a filter leaves out, settings of
// the bucket itself pass.
type Filter struct {
	// Include are prefixes of the keys that pass; with none all do. Exclude are
	// prefixes of those that do not, and wins.
	Include, Exclude []string
	// KeepDeletes holds deletions and purges back.
	KeepDeletes bool
}

// whole reports whether everything passes.
func (f Filter) whole() bool { return len(f.Include) == 0 && len(f.Exclude) == 0 && !f.KeepDeletes }

// admits reports whether a record passes.
func (f Filter) admits(r *catalogpb.Record) bool {
	if f.whole() || r.GetKind() == catalogpb.RecordKind_RECORD_BUCKET {
		return true
	}
	return f.admitsKey(r.GetKey()) && !(f.KeepDeletes && catalog.Deletes(r))
}

// admitsKey reports whether records of a key pass.
func (f Filter) admitsKey(key []byte) bool {
	begins := func(prefix string) bool { return len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix }
	return !slices.ContainsFunc(f.Exclude, begins) && (len(f.Include) == 0 || slices.ContainsFunc(f.Include, begins))
}

// admitsRange reports whether all keys of a range pass.
func (f Filter) admitsRange(r catalog.KeyRange) bool {
	apart := func(prefix string) bool {
		end := prefixEnd([]byte(prefix))
		return r.To != nil && string(r.To) <= prefix || end != nil && bytes.Compare(end, r.From) <= 0
	}
	within := func(prefix string) bool {
		end := prefixEnd([]byte(prefix))
		return string(r.From) >= prefix && (end == nil || r.To != nil && bytes.Compare(r.To, end) <= 0)
	}
	for _, p := range f.Exclude {
		if !apart(p) {
			return false
		}
	}
	return len(f.Include) == 0 || slices.ContainsFunc(f.Include, within)
}

// scope names what a filter leaves out: two filters with the same name leave out the
// same; "" leaves out nothing.
func (f Filter) scope() string {
	if f.whole() {
		return ""
	}
	h := sha256.New()
	for _, list := range [][]string{f.Include, f.Exclude} {
		list = slices.Sorted(slices.Values(list))
		fmt.Fprintf(h, "%d ", len(list))
		for _, p := range list {
			fmt.Fprintf(h, "%q ", p)
		}
	}
	fmt.Fprintf(h, "%v", f.KeepDeletes)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// joinScopes names what two filters one after the other leave out.
func joinScopes(mine, theirs string) string {
	if mine == "" && theirs == "" {
		return ""
	}
	return mine + "/" + theirs
}

// demand is what is wanted of one bucket, as both sides have it.
type demand struct {
	scope string // what is left out; see Filter.scope
	first bool   // what there is already is to be copied
	once  bool   // and nothing else: what changes is not followed
	again int64  // see Cursor.resync
}

// Parts of a bucket that were taken below a cursor, each followed by the scope.
const (
	partCopied = "copied:" // what the scope leaves over, and what changed since
	partSince  = "since:"  // what changed since the bucket was served
	partOnce   = "once:"   // what there was when a scan began, and nothing since
)

// whole makes a cursor one below which all was taken that a scope leaves over.
func whole(c *catalogpb.Cursor, scope string) {
	c.InitialDone, c.Part = scope == "", ""
	if scope != "" {
		c.Part = partCopied + scope
	}
}
