package catalog

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// maxMerged bounds the incarnations noted of a bucket.
const maxMerged = 1024

// Ingest takes records of a peer's log and the cursor with them, all or nothing;
// now is the entry's time, Unix nanoseconds. The result counts the records that
// were kept; a record that the rules do not keep is no fault.
//
// Every record is decided against what was seen before this command; only then
// the sender's vector is merged. A record that is kept, or that is known or
// superseded, leaves the pending table, whichever peer it was pending from. An
// invalid record that can be named goes there as quarantined. A record to be
// held that the rules would not keep is not held, or it would come to life later
// as an exception to the seen vector.
//
// CONFLICT: the stored cursor is not the expected one, so this or another command
// came before. NOT_FOUND: no bucket. INVALID: the command cannot be.
func (b *Batch) Ingest(cmd *pb.Ingest, now int64) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	peer, err := state.SiteIDFromBytes(cmd.GetPeer())
	switch {
	case err != nil:
		return refuse(raftfsmpb.Code_INVALID, "peer: %v", err)
	case b.c.self.IsZero():
		return refuse(raftfsmpb.Code_INVALID, "this site is not initialised")
	case peer == b.c.self:
		return refuse(raftfsmpb.Code_INVALID, "peer is this site itself")
	}
	var stored *pb.Cursor
	if c := new(pb.Cursor); b.get(cursorKey(nil, t.state.GetNumber(), peer), c) {
		if stored = c; restored(t.state, b.c.since) {
			stored = unfinished(c) // as advanceEpoch makes it
		}
	}
	if b.err != nil {
		return b.fail(b.err)
	}
	if refused := checkCursors(cmd, stored); refused != nil {
		return refused
	}
	faults, refused := b.checkIngest(t, peer, cmd)
	if refused != nil {
		return refused
	}

	b.advanceEpoch(t)
	in := &ingest{Batch: b, t: t, peer: peer, via: cmd.GetPeer(), now: now, cmd: cmd, began: t.state.GetSeq()}
	for _, d := range cmd.GetRestore() {
		if in.restore == nil {
			in.restore = make(map[dotID]bool, len(cmd.GetRestore()))
		}
		in.restore[idOf(d)] = true
	}
	for i, r := range cmd.GetRecords() {
		in.take(r, faults[i])
	}
	for _, p := range cmd.GetHold() {
		in.hold(p)
	}
	for _, d := range cmd.GetSettle() {
		if id := idOf(d); slices.Contains(t.pendingFrom(id), peer) {
			b.removePending(t, peer, id)
		}
	}
	if cmd.GetCursor() != nil {
		in.advance(stored, cmd)
	}
	if m := cmd.GetMergedIncarnation(); len(m) > 0 {
		b.mergeIncarnation(t, m)
	}
	return b.result(&raftfsmpb.Result{Applied: in.applied})
}

// checkCursors compares the stored cursor with the expected one, and the new
// one with the stored.
func checkCursors(cmd *pb.Ingest, stored *pb.Cursor) *raftfsmpb.Result {
	expect, next := cmd.GetExpect(), cmd.GetCursor()
	switch {
	case expect != nil && stored == nil:
		return refuse(raftfsmpb.Code_CONFLICT, "no cursor is stored for the peer, but one at sequence %d was expected", expect.GetSeq())
	case expect != nil && !samePosition(expect, stored):
		return refuse(raftfsmpb.Code_CONFLICT, "the stored cursor is at sequence %d of incarnation %s in epoch %d and not the expected one, at %d of %s in %d",
			stored.GetSeq(), shortHex(stored.GetIncarnation()), stored.GetEpoch(), expect.GetSeq(), shortHex(expect.GetIncarnation()), expect.GetEpoch())
	case expect == nil && next != nil && stored != nil:
		return refuse(raftfsmpb.Code_CONFLICT, "a cursor at sequence %d is stored for the peer, but none was expected", stored.GetSeq())
	}
	if next == nil {
		return nil
	}
	if len(next.GetSite()) > 0 && !bytes.Equal(next.GetSite(), cmd.GetPeer()) {
		return refuse(raftfsmpb.Code_INVALID, "the new cursor is of another site than the peer")
	}
	if len(next.GetIncarnation()) > 64 || len(next.GetScan().GetNextKey()) > MaxKey+1 {
		return refuse(raftfsmpb.Code_INVALID, "the new cursor's incarnation or key is too long")
	}
	if stored != nil && next.GetScan() == nil && sameHistory(stored, next) && next.GetSeq() < stored.GetSeq() {
		return refuse(raftfsmpb.Code_INVALID, "the new cursor goes back from sequence %d to %d without a scan", stored.GetSeq(), next.GetSeq())
	}
	return nil
}

// shortHex is enough of an incarnation to tell it from another.
func shortHex(b []byte) string {
	if len(b) > 4 {
		b = b[:4]
	}
	return fmt.Sprintf("%x", b)
}

// sameHistory reports whether the sequences of two cursors can be compared.
func sameHistory(a, b *pb.Cursor) bool {
	return a.GetEpoch() == b.GetEpoch() && bytes.Equal(a.GetIncarnation(), b.GetIncarnation())
}

// samePosition reports whether two cursors stand at the same place.
func samePosition(a, b *pb.Cursor) bool {
	return sameHistory(a, b) && a.GetSeq() == b.GetSeq() &&
		(a.GetScan() == nil) == (b.GetScan() == nil) &&
		bytes.Equal(a.GetScan().GetNextKey(), b.GetScan().GetNextKey())
}

// checkIngest makes sure that everything in the command can be carried out, and
// returns what CheckRecord says of each record.
func (b *Batch) checkIngest(t *bucketTxn, peer state.SiteID, cmd *pb.Ingest) ([]error, *raftfsmpb.Result) {
	faults := make([]error, len(cmd.GetRecords()))
	held := 0
	name := func(r *pb.Record) *raftfsmpb.Result {
		if err := CheckDot(r.GetDot()); err != nil {
			return refuse(raftfsmpb.Code_INVALID, "a record cannot be named: %v", err)
		}
		if n := proto.Size(r); n > 2*MaxRecordSize {
			return refuse(raftfsmpb.Code_INVALID, "a record has %d bytes, too many even for the pending table", n)
		}
		return nil
	}
	for i, r := range cmd.GetRecords() {
		if faults[i] = CheckRecord(r); faults[i] != nil {
			held++
			if refused := name(r); refused != nil {
				return nil, refused
			}
		} else if bytes.Equal(r.GetDot().GetOrigin(), b.c.self[:]) {
			held++ // it may prove to be invalid
		}
	}
	for _, p := range cmd.GetHold() {
		if refused := name(p.GetRecord()); refused != nil {
			return nil, refused
		}
		if len(p.GetCause()) > 4096 {
			return nil, refuse(raftfsmpb.Code_INVALID, "the cause of a pending record has %d bytes, more than 4096", len(p.GetCause()))
		}
	}
	if held += len(cmd.GetHold()); held > 0 && t.pendingCount(peer)+held > MaxPending {
		return nil, refuse(raftfsmpb.Code_INVALID, "the pending table holds %d records of the peer and has no room for %d more; its limit is %d", t.pendingCount(peer), held, MaxPending)
	}
	for _, d := range cmd.GetSettle() {
		if err := CheckDot(d); err != nil {
			return nil, refuse(raftfsmpb.Code_INVALID, "a record to be settled cannot be named: %v", err)
		}
	}
	for _, d := range cmd.GetRestore() {
		if err := CheckDot(d); err != nil {
			return nil, refuse(raftfsmpb.Code_INVALID, "a record to be restored cannot be named: %v", err)
		}
	}
	for _, v := range []*pb.Vector{cmd.GetSeen(), cmd.GetCursor().GetScan().GetSeen()} {
		if err := CheckVector(v); err != nil {
			return nil, refuse(raftfsmpb.Code_INVALID, "%v", err)
		}
	}
	if n := len(cmd.GetMergedIncarnation()); n > 64 {
		return nil, refuse(raftfsmpb.Code_INVALID, "incarnation has %d bytes, more than 64", n)
	}
	return faults, nil
}

// ingest is an Ingest under way, after all checks.
type ingest struct {
	*Batch
	t       *bucketTxn
	peer    state.SiteID
	via     []byte // the peer, as the log has it
	now     int64
	applied uint64
	cmd     *pb.Ingest
	began   uint64         // the log's last sequence before it
	restore map[dotID]bool // of the command; nil: none
}

// decide gives the verdict about a record of the peer, and the key it is about;
// a setting of the bucket is about none.
func (in *ingest) decide(r *pb.Record) (k *keyTxn, v Verdict, why string) {
	if r.GetKind() != pb.RecordKind_RECORD_BUCKET {
		k = in.loadKey(in.t, r.GetKey())
	} else {
		k = &keyTxn{}
	}
	s, err := situation(in.rows, in.t.state, k, r)
	if err != nil {
		in.fail(err)
	}
	s.Restore = in.restore[idOf(r.GetDot())]
	s.Pending, s.Self, s.Epoch = in.t.isPending(idOf(r.GetDot())), in.c.self, in.t.state.GetEpoch()
	v, why, err = s.decideNamed(in.rows, in.t.state.GetNumber(), r)
	if err != nil {
		in.fail(err)
	}
	return k, v, why
}

// decideNamed is decide, but refuses a record whose name another has that is kept:
// no site gives out a name twice, and the rows of the two would be mixed up.
func (s Situation) decideNamed(rows pebble.Reader, number uint64, r *pb.Record) (v Verdict, why string, err error) {
	if v, why = s.decide(r); v != Apply {
		return v, why, nil
	}
	at, taken, err := readDot(rows, number, r.GetDot())
	if taken && at.row != rowConflict {
		return Invalid, "another record that is kept here has its name", err
	}
	return v, why, err
}

// situation gathers what a verdict about a record depends on. The caller adds
// what it knows of the site and of pending records.
func situation(rows pebble.Reader, state *pb.BucketState, k *keyTxn, r *pb.Record) (s Situation, err error) {
	number := state.GetNumber()
	s = Situation{
		Existing: k.nulls, Seen: state.GetSeen(), Seq: state.GetSeq(),
		Versions: int(state.GetVersions()), Bounded: state.GetBounded(),
	}
	if nullLane(r) {
		return s, nil
	}
	if r.GetKind() == pb.RecordKind_RECORD_BUCKET {
		s.Field, err = readField(rows, number, r.GetField())
		s.Here = s.Field != nil && sameDot(s.Field, r.GetDot())
		return s, err
	}
	target := r.GetDot()
	if r.GetTarget() != nil {
		target = r.GetTarget()
	}
	if s.Kept, err = keptVersion(rows, number, k, target); err != nil {
		return s, err
	}
	if s.Register, err = readRegister(rows, number, k.key, k.meta, target); err != nil {
		return s, err
	}
	switch r.GetKind() {
	case pb.RecordKind_RECORD_PURGE:
		s.Here = s.Register != nil && sameDot(s.Register, r.GetDot())
	case pb.RecordKind_RECORD_ATTRIBUTE:
		all, err := readAttributes(rows, number, k.key, k.meta, target)
		if err != nil {
			return s, err
		}
		for _, a := range all {
			if a.GetField() == r.GetField() {
				s.Field, s.Here = a, sameDot(a, r.GetDot())
			}
		}
	default:
		if s.Here = s.Kept; !s.Here && s.Bounded {
			s.Above, err = ownAbove(rows, number, k, r, s.Versions)
		}
	}
	return s, err
}

// keptVersion reports whether a version of a key is kept, whether it has an id of
// its own or is a null version.
func keptVersion(rows pebble.Reader, number uint64, k *keyTxn, d *pb.Dot) (bool, error) {
	if k.head != nil && sameDot(k.head, d) {
		return true, nil
	}
	if k.meta.older+k.meta.own == 0 {
		return false, nil
	}
	at, kept, err := readDot(rows, number, d)
	return kept && (at.row == rowOwn || at.row == rowVersion) && bytes.Equal(at.key, k.key), err
}

// ownAbove counts the versions of a key with an id of their own that are greater
// than a record, up to a number.
func ownAbove(rows pebble.Reader, number uint64, k *keyTxn, r *pb.Record, most int) (n int, err error) {
	if k.head != nil && HasID(k.head) && Compare(k.head, r) > 0 {
		n++
	}
	err = scanOwn(rows, number, k.key, k.meta, k.head, func(o *pb.Record) (bool, error) {
		if Compare(o, r) > 0 {
			n++
		}
		return n < most, nil
	})
	return n, err
}

// take carries out the rules for one record; fault is what CheckRecord says.
func (in *ingest) take(r *pb.Record, fault error) {
	if fault != nil {
		in.putPending(in.t, in.peer, in.quarantined(r, fault.Error()))
		return
	}
	k, v, why := in.decide(r)
	switch v {
	case Invalid:
		in.putPending(in.t, in.peer, in.quarantined(r, why))
		return
	case Apply:
		in.apply(k, r)
		in.applied++
		in.announce(k, r)
	case Superseded:
		if rowOf(r) == rowOwn && !removes(in.register(in.t, k, r.GetDot())) {
			in.sparse(in.t) // there are as many as are kept
		}
		in.announce(k, r)
		in.lose(k, r)
	case Here:
		in.announce(k, r)
		if BringsAlong(r) && in.bring(k, r) {
			in.save(in.t, k)
		}
	case Covered:
		in.announce(k, r)
	}
	if v != Covered {
		in.settle(r)
	}
}

// apply keeps a record that is news.
func (in *ingest) apply(k *keyTxn, r *pb.Record) {
	t, via := in.t, in.via
	covered := Covers(t.state.GetSeen(), r.GetDot())
	if covered && t.isPending(idOf(r.GetDot())) {
		covered = false
		in.came(r.GetDot())
	}
	covered = covered || siteOf(r.GetDot()) == in.c.self
	switch {
	case r.GetKind() == pb.RecordKind_RECORD_BUCKET:
		in.appendLog(t, r, via, in.now, covered)
		in.setField(t, r)
	case r.GetKind() == pb.RecordKind_RECORD_ATTRIBUTE:
		in.appendLog(t, r, via, in.now, covered)
		in.setAttribute(t, k, r)
		in.save(t, k)
	case register(r):
		in.takeRegister(k, r)
	case nullLane(r):
		in.takeNull(k, r, covered)
	default:
		in.takeVersion(k, r, covered)
	}
}

// takeVersion keeps a version or a delete marker with an id of its own. One whose
// purge was revoked brings that along, and its attributes. One that is covered was
// purged here; whoever else carried that out has seen it too, so it is announced
// again.
func (in *ingest) takeVersion(k *keyTxn, r *pb.Record, covered bool) {
	in.bring(k, r)
	if len(r.GetKnown()) > 0 {
		r = proto.CloneOf(r)
		r.Known = nil
	}
	in.insert(in.t, k, r, in.via, in.now, covered)
}

// bring takes what a version brings along whose purge was revoked, and reports whether
// any of it is news. Whoever has carried the purge out has dropped the version's
// attributes, and covers them: so they are offered to everybody again.
func (in *ingest) bring(k *keyTxn, r *pb.Record) (news bool) {
	for _, a := range r.GetKnown() {
		if register(a) {
			if was := in.register(in.t, k, r.GetDot()); was == nil || Compare(a, was) > 0 {
				in.appendLog(in.t, a, in.via, in.now, false)
				in.setRegister(in.t, k, r.GetDot(), a)
				news = true
			}
			continue
		}
		was := fieldOf(in.attributes(in.t, k, r.GetDot()), a.GetField())
		if was == nil || Compare(a, was) > 0 {
			in.appendLog(in.t, a, in.via, in.now, true)
			in.setAttribute(in.t, k, a)
			news = true
		}
	}
	return news
}

// fieldOf is the attribute of a field; nil if there is none.
func fieldOf(attributes []*pb.Record, field string) *pb.Record {
	for _, a := range attributes {
		if a.GetField() == field {
			return a
		}
	}
	return nil
}

// takeNull keeps a record of a key's null version. One that was purged against a
// lock of which the purge's writer did not know is written again: it has no id that
// would have to stay.
func (in *ingest) takeNull(k *keyTxn, r *pb.Record, covered bool) {
	v := k.null()
	again := AnnounceApplied(r, v, covered)
	var back *pb.Record
	if r.GetKind() == pb.RecordKind_RECORD_PURGE && Live(v) && sameDot(v, r.GetTarget()) {
		if all := in.attributes(in.t, k, v.GetDot()); Voided(r, v, all) != "" {
			back = rewritten(v, r, all)
		}
	}
	in.insert(in.t, k, r, in.via, in.now, again)
	if back != nil {
		back.Dot = in.nextDot(in.t)
		in.insert(in.t, k, back, nil, in.now, false)
	}
}

// rewritten is a null version again, with its attributes as its own, above what
// has removed it. Its dot is still to be given.
func rewritten(v, above *pb.Record, attributes []*pb.Record) *pb.Record {
	back := proto.CloneOf(v)
	back.Generation, back.Time = Deletion(above)
	back.Context = Context([]*pb.Record{v, above})
	back.Tags = effectiveTags(v, attributes)
	if l := EffectiveLock(v, attributes); l != (Lock{}) {
		back.Lock = &pb.Lock{Mode: l.Mode, Until: l.Until, Hold: l.Hold}
	}
	return back
}

// takeRegister keeps a purge, or the revocation of one. A purge that goes against
// a lock of which its writer did not know is revoked.
func (in *ingest) takeRegister(k *keyTxn, r *pb.Record) {
	t := in.t
	if r.GetRevoked() {
		in.appendLog(t, r, in.via, in.now, false)
		in.setRegister(t, k, r.GetTarget(), r)
		in.save(t, k)
		return
	}
	v := in.ownVersion(t, k, r.GetTarget())
	if v != nil && Voided(r, v, in.attributes(t, k, v.GetDot())) != "" {
		in.revoke(t, k, v, r, in.now)
		return
	}
	in.purge(t, k, v, r, in.via, in.now)
}

func (in *ingest) quarantined(r *pb.Record, why string) *pb.Pending {
	return &pb.Pending{Record: r, Reason: pb.PendingReason_PENDING_QUARANTINED, Cause: why, Since: in.now}
}

// hold puts a record into the pending table, if the rules would keep it or
// cannot: an invalid one is held too.
func (in *ingest) hold(p *pb.Pending) {
	r := p.GetRecord()
	if CheckRecord(r) == nil {
		k, v, _ := in.decide(r)
		if v != Invalid {
			in.announce(k, r)
		}
		switch v {
		case Covered:
			return
		case Superseded:
			if contends(k.nulls, in.listed(in.t, k), r) {
				break // it is listed as having lost when its content is here
			}
			in.settle(r)
			return
		case Here:
			in.settle(r)
			return
		}
	}
	in.putPending(in.t, in.peer, p)
}

// settle takes a record off the pending table, whichever peer it came from.
func (in *ingest) settle(r *pb.Record) {
	d := idOf(r.GetDot())
	for _, peer := range in.t.pendingFrom(d) {
		in.removePending(in.t, peer, d)
	}
}

// announce gives the tombstone that heads a key a new place in the log when the
// record that lost against it, kept in the history or not, shows that the peer has
// dropped the tombstone. An older announcement is not enough: the peer may have heard
// it before it had the record, and ignored it. How far the peer reports to be comes
// too late to tell.
func (in *ingest) announce(k *keyTxn, lost *pb.Record) {
	head := k.null()
	if !nullLane(lost) || head == nil || Live(head) || Compare(head, lost) <= 0 {
		return
	}
	var p pb.PeerProgress
	number := in.t.state.GetNumber()
	in.get(progressKey(nil, number, in.peer), &p) // without it, what came with the record counts alone
	if !Announce(head, lost, MergeVector(toldBy(in.cmd), p.GetSeen())) {
		return
	}
	at, _, err := readDot(in.rows, number, head.GetDot())
	if err != nil {
		in.fail(err)
		return
	}
	var e pb.LogEntry
	if at.seq > in.began && in.get(logKey(nil, number, at.seq), &e) && e.GetAgain() && !bytes.Equal(e.GetVia(), in.via) {
		return // the peer hears of it, and had the record before
	}
	in.appendLog(in.t, head, nil, in.now, true)
}

// advance stores the new cursor, and merges the sender's vector when the cursor
// says that everything below it has been taken.
func (in *ingest) advance(stored *pb.Cursor, cmd *pb.Ingest) {
	next := proto.CloneOf(cmd.GetCursor())
	next.Site = in.via
	next.Recheck, next.Awaited = in.rechecks(stored, next)
	in.putCursor(in.peer, stored, next)
	if !complete(next) {
		return
	}
	if at, found := slices.BinarySearchFunc(in.t.state.GetIncomplete(), next.Site, bytes.Compare); found {
		in.t.state.Incomplete = slices.Delete(in.t.state.Incomplete, at, at+1)
	}
	if len(cmd.GetSeen().GetUpto()) == 0 {
		return
	}
	// What peers say of the epochs since this site was restored is not news: its log is
	// the truth.
	news := &pb.Vector{Sparse: cmd.GetSeen().GetSparse()}
	for _, d := range cmd.GetSeen().GetUpto() {
		if !bytes.Equal(d.GetOrigin(), in.c.self[:]) || d.GetEpoch() < in.c.since {
			news.Upto = append(news.Upto, d)
		}
	}
	merged := MergeVector(in.t.state.GetSeen(), news)
	if len(merged.GetUpto()) > MaxOrigins {
		return // origins without number; not advancing is safe
	}
	if stored.GetScan().GetLearns() && slices.ContainsFunc(news.GetUpto(), func(d *pb.Dot) bool { return !Covers(in.t.state.GetSeen(), d) }) {
		in.learned()
	}
	in.t.state.Seen, in.t.capped = merged, true
}

// learned counts a scan of the peer that has ended, and from which this site covers
// more than before.
func (in *ingest) learned() {
	all := in.t.state.GetLearned()
	at, found := slices.BinarySearchFunc(all, in.via, func(l *pb.Learned, site []byte) int { return bytes.Compare(l.GetSite(), site) })
	switch {
	case found:
		all[at].Times++
	case len(all) < MaxOrigins:
		in.t.state.Learned = slices.Insert(all, at, &pb.Learned{Site: bytes.Clone(in.via), Times: 1})
	}
}

// complete reports whether everything below a cursor has been taken, so that the
// sender's vector holds here too.
func complete(c *pb.Cursor) bool { return c.GetInitialDone() && c.GetScan() == nil }

// putPending stores a row of the pending table.
func (b *Batch) putPending(t *bucketTxn, peer state.SiteID, p *pb.Pending) {
	key := pendingKey(nil, t.state.GetNumber(), peer, p.GetRecord().GetDot())
	if was := new(pb.Pending); b.get(key, was) {
		t.sum.sub(b.hashes.pending(peer[:], was))
	}
	b.put(key, p)
	t.sum.add(b.hashes.pending(peer[:], p))
	t.markPending(peer, idOf(p.GetRecord().GetDot()), untoldOf(p.GetRecord()))
}

// removePending drops a row of the pending table that exists.
func (b *Batch) removePending(t *bucketTxn, peer state.SiteID, d dotID) {
	key := pendingKey(nil, t.state.GetNumber(), peer, d.dot())
	was := new(pb.Pending)
	if !b.get(key, was) {
		return
	}
	t.sum.sub(b.hashes.pending(peer[:], was))
	b.delete(key)
	t.markPending(peer, d, nil)
}

// mergeIncarnation notes an incarnation of the path.
func (b *Batch) mergeIncarnation(t *bucketTxn, incarnation []byte) {
	at, found := slices.BinarySearchFunc(t.state.GetMerged(), incarnation, bytes.Compare)
	if found || len(t.state.GetMerged()) >= maxMerged {
		return
	}
	t.state.Merged = slices.Insert(t.state.Merged, at, bytes.Clone(incarnation))
	t.dirty = true
}

// Progress stores what a peer told of itself; without a cursor it forgets the
// peer.
func (b *Batch) Progress(cmd *pb.PeerProgress) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	peer, err := state.SiteIDFromBytes(cmd.GetPeer())
	if err != nil {
		return refuse(raftfsmpb.Code_INVALID, "peer: %v", err)
	}
	if n := len(cmd.GetHolds()); n > MaxPending {
		return refuse(raftfsmpb.Code_INVALID, "the peer holds %d records, more than %d", n, MaxPending)
	}
	for _, d := range cmd.GetHolds() {
		if err := CheckDot(d); err != nil {
			return refuse(raftfsmpb.Code_INVALID, "a record that the peer holds cannot be named: %v", err)
		}
	}
	if err := CheckVector(cmd.GetSeen()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	p := proto.CloneOf(cmd)
	p.Bucket = ""                       // the row says it
	p.Seen = MergeVector(nil, cmd.Seen) // ordered
	key := progressKey(nil, t.state.GetNumber(), peer)
	if was := new(pb.PeerProgress); b.get(key, was) {
		t.sum.sub(b.hashes.progress(was))
		t.dirty = true
	}
	if cmd.GetCursor() == nil {
		b.delete(key)
		return b.result(ok())
	}
	b.put(key, p)
	t.sum.add(b.hashes.progress(p))
	t.dirty = true
	return b.result(ok())
}
