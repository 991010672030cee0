package objsync

import (
	"time"

	"edgefog.dev/isgw/raftfsm/state"
)

// State is where a link or a bucket of it stands, as screens show it.
type State string

// The states of a link whose engine runs.
const (
	StateConnecting State = "connecting" // no session; Cause says why
	StateRefused    State = "refused"    // the far end answers and declines
	StateWaiting    State = "waiting"    // connected; no bucket is served by both sides
	StateOff        State = "off"        // the settings of one of the sides let nothing come in
	StatePaused     State = "paused"     // connected, and nothing moves because somebody said so
	StateCopied     State = "copied"     // everything was copied once, and nothing is to be followed
	StateScanning   State = "scanning"   // an initial copy or a re-sync runs
	StateSyncing    State = "syncing"    // versions are under way, within the lag target
	StateInSync     State = "in sync"    // everything the far end has is here
	StateLagging    State = "lagging"    // behind by more than the lag target
	StateStalled    State = "stalled"    // there is work and nothing moves
)

// Lag is how old the oldest version is that is not yet applied at the
// receiving end, by the sender's clock. It is zero and known when the receiver
// has everything.
type Lag struct {
	Known bool
	Age   time.Duration
	// Since is, while the lag is not known, the time from which on it is not.
	Since time.Time
}

// Status is what an Engine knows of itself at one moment: the receiving
// direction of a link. It is a value of its own and is never changed.
type Status struct {
	State State
	// Cause says in words why the link is in its state, and Next what an
	// operator can do; either may be empty.
	Cause, Next string
	// Since is when the state began.
	Since time.Time

	Connected      bool
	ConnectedSince time.Time // zero while there is no session
	LastHeard      time.Time // when the far end last said anything
	PeerName       string
	Session        string // random name of the session, in the logs of both ends
	Protocol       uint32 // version in use

	Lag Lag
	// BacklogVersions and BacklogBytes count what is known to be not applied
	// yet: at the far end, under way, and pending. While a bucket is scanned
	// they count keys that the scan has not reached.
	BacklogVersions, BacklogBytes uint64
	// Pending counts versions in the pending tables, Quarantined those of
	// them that cannot be applied now.
	Pending, Quarantined uint64
	// InFlight are bytes asked for, or received and not yet durable.
	InFlight int64
	// Queued are bytes of records that wait for their content, or for a commit.
	Queued int64

	// Held says by which limit what there is to do is held back; zero when none is.
	Held Hold

	// Delay is the moving average of the time from a version's commit at the
	// sender, by the sender's clock, to its commit here; 0 while none has come.
	Delay time.Duration

	Buckets  []BucketStatus
	Counters Counters
	Rates    Rates
}

// BucketStatus is one bucket of the receiving direction.
type BucketStatus struct {
	Path  string
	State State
	Cause string
	// Cursor is how far the sender's log is durably taken, and SenderSeq its
	// last sequence that was heard of.
	Cursor, SenderSeq uint64
	Lag               Lag
	BacklogVersions   uint64
	BacklogBytes      uint64
	Pending           uint64
	Quarantined       uint64
	// KeysDone and KeysTotal are the progress of a scan; KeysTotal is the
	// number of objects the sender said it has.
	KeysDone, KeysTotal uint64
}

// Counters count since the Engine was made.
type Counters struct {
	Versions        uint64 // records applied
	VersionBytes    uint64 // logical bytes of the versions applied
	Records         uint64 // records heard of, also those that need nothing
	Manifests       uint64 // manifest nodes received
	Chunks          uint64 // chunks of content received
	ChunksHere      uint64 // chunks of content needed and found here already
	BytesHere       uint64 // raw bytes of those
	Bytes           uint64 // encoded bytes of nodes and chunks received
	RawBytes        uint64 // raw bytes of the chunks of content received
	Commits         uint64 // raft entries proposed
	Sessions        uint64 // sessions opened
	NetworkErrors   uint64 // sessions that broke
	LocalErrors     uint64 // failures of this site's store or log
	RemoteErrors    uint64 // the far end was too busy for, failed at, or could not read what was asked
	IntegrityErrors uint64 // wrong hash, length or form; nothing of it was stored
}

// Rates are moving averages over about ten seconds, per second.
type Rates struct {
	Versions     float64
	VersionBytes float64 // logical bytes of the versions applied
	Bytes        float64 // encoded bytes received
}

// SendStatus is what a Local knows at one moment: the sending direction.
type SendStatus struct {
	Peer state.SiteID
	// Streams is the number of change streams the peer holds open.
	Streams int
	// LastHeard is when the peer last asked for or told anything; zero: never.
	LastHeard time.Time
	// Lag is the age of the oldest version that the peer has not applied.
	Lag                           Lag
	BacklogVersions, BacklogBytes uint64
	// Estimated says that there are too many of them to count.
	Estimated bool
	// Off says why nothing is sent whatever is served: the settings of one of the
	// sides; empty when something may be. Then nothing is behind.
	Off string
	// OldestBucket and OldestKey name the oldest version that the peer lacks;
	// empty when there is none, or when it is not known which.
	OldestBucket, OldestKey string
	// Forgot is a bucket in which the peer has seen versions of this site, of its
	// present epoch, that this site has lost: it was put back from a backup, and that
	// was not said. Empty when none is known; nothing is in sync otherwise.
	Forgot string
	// InSync says that the peer told that it has everything offered to it.
	InSync bool
	// Held says by which limit what is not at the peer yet is held back; zero when
	// none is.
	Held     Hold
	Buckets  []SendBucketStatus
	Counters SendCounters
	Rates    Rates // Versions are versions offered
}

// Copied reports whether the peer has copied everything that is offered to it, and
// follows nothing of it.
func (s *SendStatus) Copied() bool {
	copied := false
	for i := range s.Buckets {
		switch b := &s.Buckets[i]; {
		case b.Copied && b.Pending == 0:
			copied = true
		case b.Exists && b.Declined == "":
			return false
		}
	}
	return copied && s.InSync
}

// SendBucketStatus is one bucket of the sending direction.
type SendBucketStatus struct {
	Path string
	// Exists is false when the bucket is served and is not there yet.
	Exists bool
	// Seq is the last sequence of the bucket's log, Cursor what the peer told
	// it has taken; Started is false while it told nothing.
	Seq, Cursor     uint64
	Started         bool
	Scanning        bool
	Lag             Lag
	BacklogVersions uint64
	BacklogBytes    uint64
	Estimated       bool   // there are too many to count
	OldestKey       string // of the oldest version that the peer lacks, if it is known
	Pending         uint64 // versions in the peer's pending table
	Cause           string // why the peer does not move, in its words
	// Declined says why the peer does not take the bucket, in its words; empty when
	// it does. Then nothing of it is behind.
	Declined string
	// Copied says that the peer has copied the bucket once and does not follow what
	// changes in it; that is not behind.
	Copied bool
}

// SendCounters count since the Local was made.
type SendCounters struct {
	Offered   uint64 // records sent in change streams
	Skipped   uint64 // log entries not offered: the peer has them
	Scanned   uint64 // records sent in pages of scans
	Logical   uint64 // logical bytes of the versions among both
	Manifests uint64 // manifest nodes sent
	Chunks    uint64 // chunks of content sent
	Bytes     uint64 // encoded bytes of both
	Gone      uint64 // wants answered with gone
	Refused   uint64 // wants refused
	ReadError uint64 // chunks that could not be read here
}
