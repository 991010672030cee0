package objsync

import (
	"bytes"
	"fmt"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// This file holds the decisions of an Engine: pure functions of what it knows,
// without clock, randomness or I/O.

// admission says whether records of a bucket may be taken.
type admission uint8

const (
	admitTake    admission = iota // both sides have the bucket
	admitCreate                   // it is to be made here first
	admitAbsent                   // it does not exist at the sender
	admitDeleted                  // it was deleted here, in the life that the sender still has
)

// admit decides about a bucket that both sides serve. here is its state in this
// site's catalog, nil when the path was never used. A bucket that was deleted
// here comes back only as a new life at the sender: otherwise the deletion
// would undo itself.
func admit(here *catalogpb.BucketState, there *linkpb.ServedBucket) admission {
	switch {
	case len(there.GetIncarnation()) == 0:
		return admitAbsent
	case here == nil:
		return admitCreate
	case here.GetDeleted():
		for _, known := range here.GetMerged() {
			if bytes.Equal(known, there.GetIncarnation()) {
				return admitDeleted
			}
		}
		return admitCreate
	}
	return admitTake
}

// fitness says how a bucket's log can be followed.
type fitness uint8

const (
	fitContinue fitness = iota // from the cursor on
	fitResume                  // and the scan goes on where it was
	fitScan                    // only a new scan gives what the log cannot
	fitStart                   // from the log's beginning, which it still has
	fitHead                    // from the log's end on
	fitSince                   // from the cursor on, and what lies below it does not matter
	fitWhole                   // from the cursor on, below which there is nothing left to take
	fitLost                    // nothing does: the sender has lost what was taken from it
)

// Why a bucket is scanned, where that makes a difference.
const (
	initialCopy  = "initial copy" // it was never copied before
	askedFor     = "a re-sync was asked for"
	learnedThere = "the sender learned from another site what was deleted"
	broughtHere  = "other sites may have brought during the copy what was deleted at the sender"
)

// fit decides whether the cursor c, nil when there is none, continues the
// sender's log as it stands and gives what is wanted; objects is what the bucket has
// here. why says in words what does not fit.
//
// A first copy into a bucket that has objects already follows the log from its
// beginning, if nothing of it was trimmed: a log is not offered what came from
// here, while a scan would bring every record back. Without objects there is
// nothing to bring back, and a scan is shorter than the log. A site that was
// restored from a backup wants back just what the log would leave out.
//
// A log that never came as far as the cursor is that of a sender that was put back from
// a backup and does not know it. It may give the names of what it has lost to what it
// writes now; nothing that it says can be told from what it said before.
//
// A link that copies only what changes takes up the log where it ends. Once it has a
// place in it, though, what the log cannot give any more comes by a scan: that may be
// more than what has changed, but nothing is left out.
func fit(c *catalogpb.Cursor, peer state.SiteID, there *linkpb.ServedBucket, want demand, objects uint64, restored bool) (f fitness, why string) {
	switch {
	case c == nil && !want.first && want.again == 0:
		return fitHead, ""
	case c == nil && !want.once && objects > 0 && there.GetTrimmed() == 0 && !restored:
		return fitStart, initialCopy
	case c == nil:
		return fitScan, initialCopy
	case !bytes.Equal(c.GetSite(), peer[:]):
		return fitScan, "the cursor is of another site"
	case bytes.Equal(c.GetIncarnation(), there.GetIncarnation()) && extentOf(there).place(c.GetEpoch(), c.GetSeq()) == catalog.Beyond:
		return fitLost, ""
	case c.GetEpoch() != there.GetEpoch():
		return fitScan, fmt.Sprintf("the sender was restored from a backup: its epoch is %d and was %d", there.GetEpoch(), c.GetEpoch())
	case !bytes.Equal(c.GetIncarnation(), there.GetIncarnation()):
		return fitScan, "the bucket was made anew at the sender"
	case want.once && c.GetPart() == partOnce+want.scope && (want.again == 0 || c.GetResync() == want.again):
		return fitContinue, "" // the log is not needed
	case c.GetSeq() < there.GetTrimmed():
		return fitScan, fmt.Sprintf("the sender's log begins after %d and the cursor is at %d", there.GetTrimmed(), c.GetSeq())
	case want.again != 0 && c.GetResync() != want.again:
		return fitScan, askedFor
	case c.GetScan() != nil && c.GetScan().GetScope() != want.scope:
		return fitScan, "what is served of it was changed during the copy"
	case c.GetScan() != nil:
		return fitResume, ""
	case !c.GetInitialDone() && c.GetPart() == "":
		// Also a cursor from before this site was restored from a backup.
		return fitScan, "the initial copy has not finished"
	}
	// One that is far behind comes nearer by the log first.
	if why := outdated(c, there, want); why != "" && (objects >= there.GetObjects()/2 || c.GetSeq() == there.GetSeq()) {
		return fitScan, why
	}
	return fitPart(c, want)
}

// outdated says why a bucket is to be compared although its log can be followed: the
// sender has learned from others what was deleted, since this site compared, or this
// site may have got meanwhile what was deleted there. That counts only where a comparison
// infers deletions. It is empty when there is no reason.
func outdated(c *catalogpb.Cursor, there *linkpb.ServedBucket, want demand) string {
	switch {
	case want.scope != "" || want.once || !c.GetInitialDone() || c.GetScan() != nil:
		return ""
	case c.GetLearned() != there.GetLearned():
		return learnedThere
	case c.GetRecheck():
		return broughtHere
	}
	return ""
}

// tells says what the end of a scan does that is made for a reason, from a cursor that
// may be nil: whether it counts as learned, and whether the vector that it brings may be
// untold, and so speak of deletions that come neither with it nor by the log.
func tells(why string, c *catalogpb.Cursor, there *linkpb.ServedBucket) (learns, untold bool) {
	switch why {
	case askedFor, learnedThere, broughtHere:
		return false, c.GetLearned() != there.GetLearned()
	}
	return true, true
}

// fitPart decides whether what was taken below a cursor that fits the log is what is
// wanted.
func fitPart(c *catalogpb.Cursor, want demand) (f fitness, why string) {
	part := c.GetPart()
	switch {
	case want.once && part == partOnce+want.scope:
		return fitContinue, ""
	case want.once:
		return fitScan, "it is to be copied once"
	case c.GetInitialDone() && want.scope == "", part == partCopied+want.scope:
		return fitContinue, ""
	case c.GetInitialDone(), part == partOnce+want.scope:
		return fitWhole, ""
	case part == partSince+want.scope && !want.first:
		return fitContinue, ""
	case !want.first:
		return fitSince, ""
	case part == partSince+want.scope:
		return fitScan, "what it held before it was served is to be copied too"
	}
	return fitScan, "what is served of it was changed"
}

// maxKept is the greatest encoded size of a record that can be kept by name, in
// bytes: a record is a part of raft entries.
const maxKept = 2 * catalog.MaxRecordSize

// wellFormed reports what makes a record of a peer impossible to keep, not even
// by name: whoever sends one breaks the protocol. size is its encoded size.
func wellFormed(r *catalogpb.Record, size int) error {
	switch {
	case r == nil:
		return fmt.Errorf("record is missing")
	case size > maxKept:
		return fmt.Errorf("record of %d bytes exceeds %d", size, maxKept)
	case len(r.GetKey()) > catalog.MaxKey, len(r.GetKey()) == 0 && r.GetKind() != catalogpb.RecordKind_RECORD_BUCKET:
		return fmt.Errorf("key of %d bytes is not within 1 to %d", len(r.GetKey()), catalog.MaxKey)
	}
	if err := catalog.CheckDot(r.GetDot()); err != nil {
		return fmt.Errorf("record of key %q: %w", r.GetKey(), err)
	}
	return nil
}

// sound reports why a well-formed record cannot be applied: it is kept by name,
// in quarantine.
func sound(r *catalogpb.Record) error {
	if err := catalog.CheckRecord(r); err != nil {
		return err
	}
	if r.GetKind() == catalogpb.RecordKind_RECORD_VERSION {
		_, err := rootOf(r)
		return err
	}
	if r.GetRoot().GetSize() != 0 || len(r.GetRoot().GetId()) != 0 {
		return fmt.Errorf("a record that is no version has content")
	}
	return nil
}

// rootOf returns the content a record names.
func rootOf(r *catalogpb.Record) (manifest.Ref, error) {
	p := r.GetRoot()
	if len(p.GetId()) == 0 {
		if p.GetSize() != 0 || p.GetLevel() != 0 {
			return manifest.Ref{}, fmt.Errorf("content of %d bytes has no root", p.GetSize())
		}
		return manifest.Ref{}, nil
	}
	id, err := chunks.IDFromBytes(p.GetId())
	if err != nil {
		return manifest.Ref{}, fmt.Errorf("read root: %w", err)
	}
	if p.GetLevel() > manifest.MaxLevel {
		return manifest.Ref{}, fmt.Errorf("read root: level %d exceeds %d", p.GetLevel(), manifest.MaxLevel)
	}
	ref := manifest.Ref{Level: uint8(p.GetLevel()), ID: id, Size: p.GetSize()}
	if ref.IsEmpty() {
		return manifest.Ref{}, fmt.Errorf("read root: the ID is zero")
	}
	return ref, ref.Validate()
}

// holdNow decides whether the version that blocks a cursor goes to the pending
// table. waited is how long it has been under way, behind the number of records
// that wait for it, room how many entries the table still takes.
func holdNow(waited, after time.Duration, behind, limit, room int, noSpace bool) bool {
	// Without space nothing is fetched, and every version would end up in the
	// table: the cursor stops instead.
	if noSpace || room <= 0 {
		return false
	}
	return waited >= after || behind >= limit
}

// backoff is the bound of the pause before the attempt after n failed ones:
// min doubled n times, at most max. The pause itself is drawn from zero up to
// it (full jitter), so that many links do not come back at one moment.
func backoff(n int, least, most time.Duration) time.Duration {
	d := least
	for range n {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}

// jitter draws from (0, bound] with 8 random bytes.
func jitter(bound time.Duration, random uint64) time.Duration {
	if bound <= 1 {
		return bound
	}
	return time.Duration(random%uint64(bound)) + 1
}

// failure says what kind of failure a version met.
type failure uint8

const (
	failIntegrity failure = iota // bytes that do not hold what they claim
	failRefused                  // the sender does not give a chunk
	failManifest                 // the manifest is not the tree the record declares
	failRecord                   // the record itself is not acceptable
)

// verdict is what a failure leads to.
type verdict uint8

const (
	verdictRetry      verdict = iota // the version is asked for again soon
	verdictQuarantine                // it is put aside by name
)

// judge decides after the n-th failure of one version, n from 1. What a second
// attempt cannot change is put aside at once.
func judge(kind failure, n int) verdict {
	switch kind {
	case failRecord, failManifest:
		return verdictQuarantine
	default:
		if n >= 2 {
			return verdictQuarantine
		}
		return verdictRetry
	}
}

// facts are what the state of a link follows from.
type facts struct {
	connected  bool
	refused    bool   // the far end answered and declined
	trouble    string // why there is no session
	local      bool   // that is a failure of this site's own store or log
	buckets    int    // served by both sides
	waiting    int    // of them: waiting for one of the sides
	lost       bool   // of one of them the sender has lost what was taken from it
	scanning   int
	stopped    string // cause of a bucket that cannot go on; "" when none
	work       bool   // something is known to be not applied
	moves      bool   // of that, something is to be done now: not all of it waits in quarantine
	lag        Lag
	lagTarget  time.Duration
	idle       time.Duration // since something moved
	silent     time.Duration // since anything was heard of the far end
	mute       time.Duration // since anything was heard of what changes there
	peer       string        // its name
	off        string        // why nothing flows, by the settings of the sides
	paused     string        // who paused it; "" when nobody did
	copied     int           // buckets that were copied once and are not followed
	stallAfter time.Duration
	quarantine uint64
	blocker    string // what the oldest work waits for
	held       Hold   // by a bandwidth limit; zero when none is in the way
}

// Hold says of a direction that a bandwidth limit is what holds it back. The zero
// Hold says that none does.
type Hold struct {
	Words string // "held to 1MiB/s by this site's limit from 08:00 to 18:00"
	Next  string // what an operator can do; may be empty
}

// because adds a Hold to a cause that may be empty.
func (h Hold) because(cause, glue string) string {
	if cause == "" || h.Words == "" {
		return cause + h.Words
	}
	return cause + glue + h.Words
}

// quietAfter is how long nothing may be heard of the far end, which sends
// something each second, before that is how the link stands: what it last told of
// its backlog says nothing of now. The session goes on until SilentAfter.
const quietAfter = 7 * time.Second

// judgeLink gives the state of a link, its cause, and what an operator can do.
func judgeLink(f facts) (st State, cause, next string) {
	switch {
	case !f.connected && f.refused:
		return StateRefused, f.trouble, "check the pairing and the service at both sites (isgwctl site list, isgwctl service show)"
	case !f.connected && f.local:
		return StateConnecting, f.trouble, "it is tried again by itself; see the log and the disk of this site's node"
	case !f.connected:
		return StateConnecting, f.trouble, ""
	case f.silent >= quietAfter:
		return StateStalled, fmt.Sprintf("nothing was heard of %s for %s", f.peer, f.silent.Truncate(time.Second)),
			"see whether the other site's node runs, and the network between the sites"
	case f.stallAfter > 0 && f.mute >= f.stallAfter:
		return StateStalled, fmt.Sprintf("nothing was heard of what changes at %s for %s, although it answers", f.peer, f.mute.Truncate(time.Second)),
			"see the other site's log; a new session is begun by itself"
	case f.paused != "":
		return StatePaused, f.paused, "resume it where it was paused (isgwctl link resume NAME)"
	case f.off != "":
		return StateOff, f.off, ""
	case f.lost:
		return StateStalled, fmt.Sprintf("%s was put back from a backup, and was not told so: nothing is taken from it", f.peer),
			"stop the node there, run isgwnode restored, start it"
	case f.buckets == 0:
		return StateWaiting, "no bucket is served by both sites", "serve the same bucket or tenant at both sites (isgwctl service serve)"
	case f.stopped != "" && !f.work:
		return StateLagging, f.stopped, ""
	case f.work && f.moves && f.idle >= f.stallAfter:
		cause = fmt.Sprintf("nothing has moved for %s", f.idle.Round(time.Second))
		if f.stopped != "" {
			cause += ": " + f.stopped
		} else if f.blocker != "" {
			cause += ": " + f.blocker
		}
		return StateStalled, cause, "see the log of both sites; disable and enable the service to start a new session"
	case f.stopped != "":
		return StateLagging, f.stopped, ""
	case f.scanning > 0:
		return StateScanning, f.held.because(fmt.Sprintf("copying %d of %d buckets", f.scanning, f.buckets), ", "), f.held.Next
	case f.waiting == f.buckets:
		return StateWaiting, "no served bucket exists at both sites yet", ""
	case f.mute >= quietAfter && !f.work:
		return StateLagging, fmt.Sprintf("nothing was heard of what changes at %s for %s, although it answers", f.peer, f.mute.Truncate(time.Second)), ""
	case f.quarantine > 0 && f.lag.Age > f.lagTarget:
		return StateLagging, fmt.Sprintf("%d versions are in quarantine", f.quarantine), "isgwctl link failed NAME has the cause of each; they are tried again by themselves"
	case f.lag.Known && f.lag.Age > f.lagTarget:
		cause = fmt.Sprintf("the oldest version not here is %s old, the target is %s", f.lag.Age.Round(time.Second), f.lagTarget)
		return StateLagging, f.held.because(cause, ": "), f.held.Next
	case f.work:
		return StateSyncing, f.held.because(f.blocker, ", "), f.held.Next
	case f.copied > 0 && f.copied+f.waiting == f.buckets:
		return StateCopied, "everything served was copied once; what changed since is not followed",
			"copy it again with isgwctl service resync NAME, or follow changes with isgwctl service edit NAME --replication initial+continuous"
	}
	return StateInSync, "", ""
}
