package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	objsync "edgefog.dev/isgw/sync"
	"edgefog.dev/isgw/sync/link"
)

// linkView is all that is known of one link at one moment: the two directions
// as the engine and the local source saw them, and the traffic of its
// connections. It is what linkStatus judges, so that the judgement is a pure
// function.
type linkView struct {
	now       time.Time
	node      string
	running   bool
	before    tally // of the runs of the link before this one
	receive   objsync.Status
	send      objsync.SendStatus
	pulling   link.Traffic
	serving   link.Traffic
	rates     wireRates
	out, in   holding // the limits of both directions
	asked     uint64  // requests to the other end
	answered  uint64  // requests of the other end
	latency   time.Duration
	measured  bool // latency is known
	remote    string
	open      int
	lagTarget time.Duration
	door      *doorError // why its own address is not listened on
	barred    bool       // this site refuses the other one's connections, which come without a tunnel
	// idle says why a link without engine has none, in the words of a state.
	idle      adminpb.ServiceState
	idleCause string
	idleNext  string
	caughtUp  map[string]time.Time
}

// judge turns a view into the status that commands, metrics and screens show,
// without the rows of its buckets.
func judge(service *adminpb.Service, v linkView) *adminpb.ServiceStatus {
	count := v.before.plus(tallyOf(v.receive.Counters, v.send.Counters, v.asked, v.answered))
	st := &adminpb.ServiceStatus{
		Time:             timestamppb.New(v.now),
		Mode:             "complete",
		Server:           v.node,
		LagTargetSeconds: v.lagTarget.Seconds(),
		LocalIoErrors:    count.local,
		RemoteIoErrors:   count.remote,
		NetworkErrors:    count.network,
		Send:             directionOf(count.sent, v.pulling.Written+v.serving.Written),
		Receive:          directionOf(count.received, v.pulling.Read+v.serving.Read),
	}
	if !v.running {
		st.State, st.Cause, st.NextStep = v.idle, v.idleCause, v.idleNext
		addDoor(st, v.door)
		st.NextStep = strings.ReplaceAll(st.GetNextStep(), "NAME", service.GetName())
		return st
	}
	r, s := v.receive, v.send
	st.Connected = r.Connected
	st.RemoteAddress = v.remote
	st.Connections = uint32(v.open)
	if !r.ConnectedSince.IsZero() {
		st.ConnectedSince = timestamppb.New(r.ConnectedSince)
	}
	st.InFlightBytes = uint64(max(r.InFlight, 0))

	st.Receive.Throughput, st.Receive.VersionsRate = v.rates.read, r.Rates.Versions
	st.Receive.Backlog = backlog(lagOfReceiving(r, v.now), r.BacklogVersions, r.BacklogBytes, r.Pending, r.Quarantined)
	if !r.Lag.Known { // how long nothing is known says nothing of how much there is
		st.Receive.Backlog.Versions, st.Receive.Backlog.Bytes = nil, nil
	}
	st.Send.Throughput, st.Send.VersionsRate = v.rates.written, s.Rates.Versions
	st.Send.Backlog = backlog(s.Lag, s.BacklogVersions, s.BacklogBytes, pendingThere(s), 0)
	if v.measured {
		seconds := v.latency.Seconds()
		st.Receive.LatencySeconds = &seconds
	}
	if r.Delay > 0 {
		seconds := r.Delay.Seconds()
		st.Receive.ProcessingDelaySeconds = &seconds
	}
	st.Send.LimitRate, st.Send.Limit = v.out.rate, v.out.words
	st.Receive.LimitRate, st.Receive.Limit = v.in.rate, v.in.words
	st.Send.Held, st.Receive.Held = s.Held.Words, r.Held.Words
	st.Receive.State, st.Receive.Cause = receiveStanding(r)
	st.Send.State, st.Send.Cause = sendStanding(s)
	out := st.Send.Backlog
	out.Estimated, out.OldestBucket, out.OldestKey = s.Estimated, s.OldestBucket, s.OldestKey
	st.State, st.Cause, st.NextStep = stateOf(v)
	if lag := lagOf(st); st.State == adminpb.ServiceState_SERVICE_STATE_BEHIND && lag != nil && *lag > st.LagTargetSeconds {
		st.State = adminpb.ServiceState_SERVICE_STATE_LAGGING
	}
	st.Synced = st.State == adminpb.ServiceState_SERVICE_STATE_SYNCED
	addDoor(st, v.door)
	st.NextStep = strings.ReplaceAll(st.GetNextStep(), "NAME", service.GetName())
	return st
}

// directionOf has what was counted of a direction; the rest is known of a link that runs.
func directionOf(c crossed, wire uint64) *adminpb.DirectionStats {
	return &adminpb.DirectionStats{
		Requests: c.requests, Versions: c.versions, Manifests: c.manifests, Chunks: c.chunks, ChunksSkipped: c.skipped,
		LogicalBytes: c.logical, WireBytes: wire, Backlog: &adminpb.Backlog{},
	}
}

// addDoor adds why a link's own address is not listened on: that may be the cause
// of all, and is to be mended where the link does without.
func addDoor(st *adminpb.ServiceStatus, door *doorError) {
	switch {
	case door == nil || st.State == adminpb.ServiceState_SERVICE_STATE_DISABLED:
	case st.Cause == "":
		st.Cause, st.NextStep = door.what, door.next
	default:
		st.Cause, st.NextStep = door.what+"; "+st.Cause, door.next
	}
}

// unheard is the silence of the other site, which tells its position each second,
// from which on the lag counts it.
const unheard = 4 * time.Second

// slowAnswer is how long a first connection may take to be made before its link
// counts as down: several times what the longest line needs, and before the attempt
// is given up.
const slowAnswer = 5 * time.Second

// unasked is how long the other site, which reports how far it is every three
// seconds at least, may say nothing before the sending direction is stalled.
const unasked = 8 * time.Second

// uncalled is how long the other site may take to ask for the first time before the
// sending direction is stalled: it tries to connect every 15 seconds at least.
const uncalled = 20 * time.Second

// lagOfReceiving is the lag of the receiving direction. What the other site wrote
// since it was last heard of is not here, and may be as old as that: a site that
// is paused or cut off is further behind each second, whether it wrote or not.
func lagOfReceiving(r objsync.Status, now time.Time) objsync.Lag {
	silent := now.Sub(r.LastHeard)
	if r.LastHeard.IsZero() || silent < unheard && (r.Lag.Known || r.Connected) {
		return r.Lag
	}
	return objsync.Lag{Known: true, Age: max(silent, r.Lag.Age)}
}

// backlog is what has not arrived in one direction.
func backlog(lag objsync.Lag, versions, bytes, pending, quarantined uint64) *adminpb.Backlog {
	b := &adminpb.Backlog{Pending: pending, Quarantined: quarantined}
	if lag.Known {
		seconds := lag.Age.Seconds()
		b.LagSeconds = &seconds
		b.Versions, b.Bytes = &versions, &bytes
	}
	return b
}

// stateOf puts both directions into one state: what is worst is shown.
func stateOf(v linkView) (adminpb.ServiceState, string, string) {
	r, s := v.receive, v.send
	if r.Connected && s.Forgot != "" {
		return adminpb.ServiceState_SERVICE_STATE_STALLED,
			fmt.Sprintf("the other site has versions of %s that were written here and are lost here: this site was put back from a backup, and was not told so", s.Forgot),
			"stop the node, run `isgwnode restored` for its data directory, and start it again: what the others still have of it comes back"
	}
	if v.barred && r.Connected && r.State != objsync.StateStalled {
		return adminpb.ServiceState_SERVICE_STATE_REFUSED, fmt.Sprintf("site %s connects without an SSH tunnel, and this site takes connections of the link inside one only (useEncryptedTunnel)", r.PeerName),
			"set it there too (isgwctl service edit NAME --tunnel true), or take it back here (--tunnel false)"
	}
	switch r.State {
	case objsync.StateConnecting:
		if r.Connected && v.now.Sub(r.ConnectedSince) < slowAnswer {
			return adminpb.ServiceState_SERVICE_STATE_CONNECTING, r.Cause, r.Next
		}
		if r.Counters.Sessions == 0 && r.Cause == "" {
			waited := v.now.Sub(r.Since)
			switch {
			case r.Since.IsZero() || waited < slowAnswer:
				return adminpb.ServiceState_SERVICE_STATE_CONNECTING, "the first connection is being made", ""
			case v.remote == "":
				return adminpb.ServiceState_SERVICE_STATE_DOWN, fmt.Sprintf("the other site has not connected for %s", waited.Truncate(time.Second)),
					"see `isgwctl service show` at the other site, or give its address here (isgwctl service edit NAME --remote)"
			}
			return adminpb.ServiceState_SERVICE_STATE_DOWN, fmt.Sprintf("%s has not answered for %s", v.remote, waited.Truncate(time.Second)),
				"check the address, the network and firewalls"
		}
		return adminpb.ServiceState_SERVICE_STATE_DOWN, r.Cause, cmp.Or(r.Next, whenDown)
	case objsync.StateRefused:
		return adminpb.ServiceState_SERVICE_STATE_REFUSED, r.Cause, r.Next
	case objsync.StateStalled:
		return adminpb.ServiceState_SERVICE_STATE_STALLED, r.Cause, r.Next
	case objsync.StateWaiting:
		return adminpb.ServiceState_SERVICE_STATE_WAITING, r.Cause, r.Next
	case objsync.StateScanning:
		return adminpb.ServiceState_SERVICE_STATE_COPYING, r.Cause, r.Next
	case objsync.StateSyncing, objsync.StateLagging:
		if r.State == objsync.StateSyncing && s.Lag.Known && s.Lag.Age > v.lagTarget && s.Held.Words != "" {
			// What is late is what is sent.
			return adminpb.ServiceState_SERVICE_STATE_BEHIND, notTaken + ": " + s.Held.Words, s.Held.Next
		}
		if r.Quarantined > 0 {
			return adminpb.ServiceState_SERVICE_STATE_BEHIND, aside(r), whenAside
		}
		return adminpb.ServiceState_SERVICE_STATE_BEHIND, r.Cause, r.Next
	case objsync.StatePaused:
		return adminpb.ServiceState_SERVICE_STATE_PAUSED, r.Cause, r.Next
	case objsync.StateInSync, objsync.StateOff, objsync.StateCopied:
	default:
		return adminpb.ServiceState_SERVICE_STATE_CONNECTING, string(r.State), ""
	}
	// The receiving direction has everything that is to come; the sending one decides.
	switch {
	case r.State == objsync.StateOff && s.Off != "":
		return adminpb.ServiceState_SERVICE_STATE_WAITING, s.Off + "; " + r.Cause,
			"let one of the sites send and the other receive (isgwctl service edit NAME --direction send+receive)"
	case s.InSync && (r.State == objsync.StateCopied || s.Copied() && r.State == objsync.StateOff):
		return adminpb.ServiceState_SERVICE_STATE_COPIED, "everything served was copied once; what changes since is not followed",
			"copy it again with `isgwctl service resync NAME`"
	case s.InSync:
		return adminpb.ServiceState_SERVICE_STATE_SYNCED, "", ""
	case s.LastHeard.IsZero() && !r.ConnectedSince.IsZero() && v.now.Sub(r.ConnectedSince) >= uncalled:
		return adminpb.ServiceState_SERVICE_STATE_STALLED, fmt.Sprintf("the other site has not taken everything, and has asked for nothing since this one connected %s ago", v.now.Sub(r.ConnectedSince).Truncate(time.Second)),
			"see `isgwctl service show` at the other site, and the network from there to here"
	case s.LastHeard.IsZero():
		return adminpb.ServiceState_SERVICE_STATE_CONNECTING, "everything is received; the other site has not asked for anything yet",
			"see `isgwctl service show` at the other site"
	case v.now.Sub(s.LastHeard) >= unasked:
		return adminpb.ServiceState_SERVICE_STATE_STALLED, fmt.Sprintf("the other site has not taken everything, and has asked for nothing for %s", v.now.Sub(s.LastHeard).Truncate(time.Second)),
			"see `isgwctl service show` at the other site, and the network from there to here"
	}
	for _, b := range s.Buckets {
		if b.Cause != "" {
			return adminpb.ServiceState_SERVICE_STATE_BEHIND, fmt.Sprintf("the other site does not take %s: %s", b.Path, b.Cause),
				"see `isgwctl service show` at the other site"
		}
		if b.Scanning {
			cause := fmt.Sprintf("the other site is copying %s", b.Path)
			if s.Held.Words != "" {
				cause += ", " + s.Held.Words
			}
			return adminpb.ServiceState_SERVICE_STATE_COPYING, cause, s.Held.Next
		}
	}
	if s.Held.Words != "" {
		return adminpb.ServiceState_SERVICE_STATE_BEHIND, notTaken + ": " + s.Held.Words, s.Held.Next
	}
	if n := pendingThere(s); n > 0 {
		return adminpb.ServiceState_SERVICE_STATE_BEHIND, notTaken + ": " + counted(n, "version is", "versions are") + " long on the way or in quarantine there",
			"see `isgwctl link failed NAME` at the other site"
	}
	return adminpb.ServiceState_SERVICE_STATE_BEHIND, notTaken, ""
}

// notTaken is the cause of a link of which only the other site is behind.
const notTaken = "the other site has not taken everything yet"

// whenDown is what to do about a session that cannot be had, where the cause names
// nothing better.
const whenDown = "it is tried again by itself, after 15 s at the latest; see that the other site's node runs, and the address and the network between the sites"

// whenAside is what to do about versions in quarantine.
const whenAside = "see why with `isgwctl link failed NAME`; they are tried again by themselves, or at once by `isgwctl link retry NAME --all`"

// aside is the cause of a link that has versions in quarantine, with what else there
// is to say of it.
func aside(r objsync.Status) string {
	words := counted(r.Quarantined, "version is", "versions are") + " in quarantine"
	if r.Cause == "" || strings.HasSuffix(r.Cause, " in quarantine") { // which says the same
		return words
	}
	return words + "; " + r.Cause
}

// counted is a number with what it counts, of which there is one, or several.
func counted(n uint64, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// pendingThere is how many versions the other site has said that it holds by name.
func pendingThere(s objsync.SendStatus) (sum uint64) {
	for i := range s.Buckets {
		sum += s.Buckets[i].Pending
	}
	return sum
}

// bucketRows joins what both directions know of each bucket.
func bucketRows(v linkView) []*adminpb.BucketStatus {
	rows := map[string]*adminpb.BucketStatus{}
	row := func(path string) *adminpb.BucketStatus {
		if rows[path] == nil {
			rows[path] = &adminpb.BucketStatus{Path: path}
		}
		return rows[path]
	}
	for _, b := range v.send.Buckets {
		r := row(b.Path)
		r.ServedHere, r.Exists = true, b.Exists
		r.Send = backlog(b.Lag, b.BacklogVersions, b.BacklogBytes, b.Pending, 0)
		r.Send.Estimated, r.Send.OldestBucket, r.Send.OldestKey = b.Estimated, oldestBucket(b), b.OldestKey
		r.State = sendWord(b)
		r.Cause = cmp.Or(b.Cause, b.Declined)
	}
	for _, b := range v.receive.Buckets {
		r := row(b.Path)
		r.ServedThere = true
		r.Receive = backlog(b.Lag, b.BacklogVersions, b.BacklogBytes, b.Pending, b.Quarantined)
		r.CopiedKeys, r.TotalKeys = b.KeysDone, b.KeysTotal
		if word := receiveWord(b.State); r.State == "" || word != "synced" && word != "copied" {
			r.State = word
		}
		if b.Cause != "" {
			r.Cause = b.Cause
		}
	}
	out := make([]*adminpb.BucketStatus, 0, len(rows))
	for path, r := range rows {
		if at, ok := v.caughtUp[path]; ok {
			r.CaughtUp = timestamppb.New(at)
		}
		if r.ServedHere != r.ServedThere && r.State == "synced" {
			r.State = "one-way"
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *adminpb.BucketStatus) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// oldestBucket is the bucket's path when its oldest missing key is known.
func oldestBucket(b objsync.SendBucketStatus) string {
	if b.OldestKey == "" {
		return ""
	}
	return b.Path
}

// sendStanding is how the sending direction stands by itself: one word, and why.
func sendStanding(s objsync.SendStatus) (word, cause string) {
	switch {
	case s.Off != "":
		return "off", s.Off
	case s.Copied():
		return "copied", ""
	case s.InSync:
		return "synced", ""
	case s.LastHeard.IsZero():
		return "waiting", "the other site has not asked for anything yet"
	}
	word = "behind"
	for _, b := range s.Buckets {
		if b.Cause != "" {
			return word, fmt.Sprintf("the other site does not take %s: %s", b.Path, b.Cause)
		}
		if b.Scanning && b.Declined == "" {
			word = "copying"
		}
	}
	return word, s.Held.Words
}

func sendWord(b objsync.SendBucketStatus) string {
	switch {
	case b.Declined != "":
		return "one-way"
	case b.Copied:
		return "copied"
	case !b.Exists || !b.Started:
		return "waiting"
	case b.Scanning:
		return "copying"
	case b.BacklogVersions > 0 || b.Pending > 0:
		return "behind"
	}
	return "synced"
}

// receiveStanding is how the receiving direction stands by itself.
func receiveStanding(r objsync.Status) (word, cause string) {
	switch r.State {
	case objsync.StateOff, objsync.StateLagging, objsync.StatePaused, objsync.StateCopied, objsync.StateConnecting, objsync.StateRefused:
		return string(r.State), r.Cause
	}
	return receiveWord(r.State), r.Cause
}

func receiveWord(s objsync.State) string {
	switch s {
	case objsync.StateScanning:
		return "copying"
	case objsync.StateInSync:
		return "synced"
	case objsync.StateStalled:
		return "stalled"
	case objsync.StateSyncing, objsync.StateLagging:
		return "behind"
	case objsync.StatePaused:
		return "paused"
	case objsync.StateCopied:
		return "copied"
	}
	return "waiting"
}

// linkStatus describes a link as it is now, with a row for each bucket.
func (s *site) linkStatus(service *adminpb.Service) *adminpb.ServiceStatus {
	v := s.links.view(service.GetName(), true)
	st := judge(service, v)
	s.addTrend(service.GetName(), st, v.now)
	if v.running {
		st.Buckets = bucketRows(v)
	}
	return st
}

// linkSummary is linkStatus without the rows, which may be thousands, with their
// number.
func (s *site) linkSummary(service *adminpb.Service) (st *adminpb.ServiceStatus, buckets int) {
	v := s.links.view(service.GetName(), false)
	st = judge(service, v)
	s.addTrend(service.GetName(), st, v.now)
	return st, countRows(v)
}

// addTrend adds to a status whether the link's backlog grows or drains.
func (s *site) addTrend(name string, st *adminpb.ServiceStatus, now time.Time) {
	st.Slope, st.DrainSeconds = trend(s.history.recent(name, now, slopeSeconds), backlogVersions(st))
}

// backlogVersions is the backlog of both directions; nil when neither is known.
func backlogVersions(st *adminpb.ServiceStatus) *uint64 {
	var sum *uint64
	for _, d := range []*adminpb.DirectionStats{st.GetSend(), st.GetReceive()} {
		if b := d.GetBacklog(); b != nil && b.Versions != nil {
			if sum == nil {
				sum = new(uint64)
			}
			*sum += b.GetVersions()
		}
	}
	return sum
}

// countRows is how many rows bucketRows makes.
func countRows(v linkView) int {
	served := make(map[string]bool, len(v.send.Buckets))
	for _, b := range v.send.Buckets {
		served[b.Path] = true
	}
	n := len(served)
	for _, b := range v.receive.Buckets {
		if !served[b.Path] {
			n++
		}
	}
	return n
}

// idleReason says why a service has no engine.
func idleReason(enabled bool, peer state.SiteID, paired bool, remote string, pairings int) (adminpb.ServiceState, string, string) {
	switch {
	case !enabled:
		return adminpb.ServiceState_SERVICE_STATE_DISABLED, "it was disabled by an operator", "enable it with `isgwctl service enable`"
	case peer != (state.SiteID{}) && !paired, pairings == 0:
		return adminpb.ServiceState_SERVICE_STATE_UNPAIRED, "this site is not paired with the one at the other end",
			pairThem
	case remote == "" && peer == (state.SiteID{}):
		return adminpb.ServiceState_SERVICE_STATE_NO_REMOTE, "no remote is set, and no paired site has connected for this service yet",
			"create the service of the same name at the other site with --remote ccow://HOST:PORT of this one"
	}
	return adminpb.ServiceState_SERVICE_STATE_CONNECTING, "it is being started", ""
}
