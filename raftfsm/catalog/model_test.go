package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// model is a bucket in plain Go maps: what the catalog should hold after the
// same commands. It leans on the rules, which have tests of their own, and knows
// nothing of rows, batches or counters.
type model struct {
	exists   bool
	versions int
	seq      uint64
	trimmed  uint64
	floor    uint64
	maxGen   uint64
	keys     map[string][]*pb.Record
	log      map[uint64]*pb.LogEntry
	seen     *pb.Vector
	pending  map[string]map[dotID]*pb.Record // by peer
	cursors  map[string]uint64
	uploads  map[string]string          // id to key
	parts    map[string]map[uint32]bool // by upload
	// aside are the versions that lost against one whose writer did not know of them.
	aside map[string][]*pb.Record
}

// contend finds out what of a key is aside: some of what was, or may be now.
func (m *model) contend(key string, candidates ...*pb.Record) {
	have := m.keys[key]
	all := slices.Concat(have, m.aside[key], candidates)
	delete(m.aside, key)
	if len(have) == 0 {
		return
	}
	for _, r := range Losers(have[0], all) {
		if named(have, r.GetDot()) == nil {
			m.aside[key] = append(m.aside[key], r)
		}
	}
}

// lose takes note of a record that has no place.
func (m *model) lose(r *pb.Record, via []byte) {
	key := string(r.GetKey())
	have := m.keys[key]
	if len(have) == 0 || named(m.aside[key], r.GetDot()) != nil {
		return
	}
	m.aside[key] = slices.DeleteFunc(slices.Clone(m.aside[key]), func(o *pb.Record) bool { return inContext(r.GetContext(), o.GetDot()) })
	if !m.contends(r) {
		return
	}
	if Live(have[0]) {
		m.enter(r, via, false)
	}
	m.contend(key, r)
}

func (m *model) contends(r *pb.Record) bool {
	have := m.keys[string(r.GetKey())]
	return len(have) > 0 && Live(r) && named(Losers(have[0], slices.Concat([]*pb.Record{r}, have, m.aside[string(r.GetKey())])), r.GetDot()) != nil
}

// enter gives a record a place at the end of the log.
func (m *model) enter(r *pb.Record, via []byte, again bool) {
	m.seq++
	m.log[m.seq] = &pb.LogEntry{Key: r.GetKey(), Dot: r.GetDot(), Via: via, Kind: r.GetKind(), Again: again}
}

func (m *model) insert(r *pb.Record, via []byte, again bool) {
	kept, dropped := Retain(Insert(m.keys[string(r.GetKey())], r), m.versions)
	m.keys[string(r.GetKey())] = kept
	m.aside[string(r.GetKey())] = slices.DeleteFunc(m.aside[string(r.GetKey())], func(o *pb.Record) bool { return sameDot(o, r.GetDot()) })
	m.contend(string(r.GetKey()), dropped...)
	m.enter(r, via, again)
	m.maxGen = max(m.maxGen, r.GetGeneration())
}

func (m *model) write(w *pb.Write, now int64, self *site) (raftfsmpb.Code, *pb.Record) {
	if !m.exists {
		return raftfsmpb.Code_NOT_FOUND, nil
	}
	key := string(w.GetRecord().GetKey())
	var head *pb.Record
	if have := m.keys[key]; len(have) > 0 {
		head = have[0]
	}
	if unmet(w.GetConditions(), head) != "" {
		return raftfsmpb.Code_CONFLICT, head
	}
	if w.GetUpload() != "" {
		of, ok := m.uploads[w.GetUpload()]
		if !ok {
			return raftfsmpb.Code_NOT_FOUND, nil
		} else if of != key {
			return raftfsmpb.Code_INVALID, nil
		}
		var used []*pb.Part
		for _, n := range slices.Sorted(maps.Keys(m.parts[w.GetUpload()])) {
			used = append(used, modelPart(n))
		}
		if !bytes.Equal(PartListDigest(used), w.GetPartListDigest()) {
			return raftfsmpb.Code_PARTS_CHANGED, nil
		}
		delete(m.uploads, w.GetUpload())
		delete(m.parts, w.GetUpload())
	}
	if !Live(w.GetRecord()) && !Live(head) {
		return raftfsmpb.Code_OK, nil
	}
	r := proto.CloneOf(w.GetRecord())
	r.Generation, r.Time, r.Context = NextGeneration(head, m.floor), NextTime(head, now), Context(slices.Concat(m.keys[key], m.aside[key]))
	if !Live(r) && w.GetConditions().GetHead() != nil {
		r.Generation, r.Time = Deletion(head)
	}
	r.Dot = &pb.Dot{Origin: self.id.Bytes(), Epoch: self.epoch, Seq: m.seq + 1}
	m.insert(r, nil, false)
	return raftfsmpb.Code_OK, r
}

func modelPart(n uint32) *pb.Part {
	return &pb.Part{Number: n, Etag: fmt.Sprint(n), Root: &pb.Root{Size: uint64(n)}}
}

func (m *model) isPending(r *pb.Record) bool {
	for _, of := range m.pending {
		if _, ok := of[idOf(r.GetDot())]; ok {
			return true
		}
	}
	return false
}

// last is where a record stands in the log for the last time, 0 if it does not.
func (m *model) last(r *pb.Record) uint64 {
	last := uint64(0)
	for seq, e := range m.log {
		if sameDot(r, e.GetDot()) {
			last = max(last, seq)
		}
	}
	return last
}

// announce puts the deletion that a record of a peer lost against at the end of the
// log, if the peer has forgotten it, unless that was done since began. No peer of the
// model tells its progress.
func (m *model) announce(lost *pb.Record, in *pb.Ingest, began uint64) {
	have := m.keys[string(lost.GetKey())]
	if len(have) == 0 || !Announce(have[0], lost, toldBy(in)) {
		return
	}
	if last := m.last(have[0]); last <= began || !m.log[last].GetAgain() || bytes.Equal(m.log[last].GetVia(), in.GetPeer()) {
		m.enter(have[0], nil, true)
	}
}

func (m *model) decide(self *site, r *pb.Record) Verdict {
	pending := m.isPending(r)
	v, _ := Decide(Situation{Existing: m.keys[string(r.GetKey())], Seen: m.seen, Pending: pending,
		Self: self.id, Epoch: self.epoch, Seq: m.seq, Versions: m.versions}, r)
	return v
}

func (m *model) settle(r *pb.Record) {
	for _, of := range m.pending {
		delete(of, idOf(r.GetDot()))
	}
}

func (m *model) ingest(in *pb.Ingest, self *site) raftfsmpb.Code {
	peer := string(in.GetPeer())
	stored, ok := m.cursors[peer]
	switch {
	case !m.exists:
		return raftfsmpb.Code_NOT_FOUND
	case in.GetExpect() != nil && (!ok || stored != in.GetExpect().GetSeq()):
		return raftfsmpb.Code_CONFLICT
	case in.GetExpect() == nil && in.GetCursor() != nil && ok:
		return raftfsmpb.Code_CONFLICT
	case ok && in.GetCursor() != nil && in.GetCursor().GetSeq() < stored:
		return raftfsmpb.Code_INVALID
	}
	began := m.seq
	for _, r := range in.GetRecords() {
		v := m.decide(self, r)
		switch v {
		case Apply:
			var head *pb.Record
			if have := m.keys[string(r.GetKey())]; len(have) > 0 {
				head = have[0]
			}
			covered := bytes.Equal(r.GetDot().GetOrigin(), self.id[:]) || Covers(m.seen, r.GetDot()) && !m.isPending(r)
			m.insert(r, in.GetPeer(), AnnounceApplied(r, head, covered))
			m.announce(r, in, began)
		case Here, Superseded, Covered:
			m.announce(r, in, began)
			if v == Superseded {
				m.lose(r, in.GetPeer())
			}
		}
		if v != Covered {
			m.settle(r)
		}
	}
	for _, p := range in.GetHold() {
		v := m.decide(self, p.GetRecord())
		m.announce(p.GetRecord(), in, began)
		if v == Superseded && m.contends(p.GetRecord()) {
			v = Apply
		}
		switch v {
		case Apply:
			m.pending[peer][idOf(p.GetRecord().GetDot())] = p.GetRecord()
		case Here, Superseded:
			m.settle(p.GetRecord())
		}
	}
	for _, d := range in.GetSettle() {
		delete(m.pending[peer], idOf(d))
	}
	if in.GetCursor() != nil {
		m.cursors[peer] = in.GetCursor().GetSeq()
		m.seen = MergeVector(m.seen, in.GetSeen())
	}
	return raftfsmpb.Code_OK
}

// told is what may be told of other origins.
func (m *model) told() *pb.Vector {
	var except []*pb.Dot
	for _, of := range m.pending {
		for _, r := range of {
			dots, _ := Untold(r)
			except = append(except, dots...)
		}
	}
	return CapVector(m.seen, except)
}

// known reports whether the vector speaks for a deletion and for what it deleted.
func (m *model) known(r *pb.Record, self *site) bool {
	told := m.told()
	return !slices.ContainsFunc(append(slices.Clone(r.GetContext()), r.GetDot()), func(d *pb.Dot) bool {
		return !bytes.Equal(d.GetOrigin(), self.id[:]) && !Covers(told, d)
	})
}

// trim drops everything up to a sequence, as nobody pins it.
func (m *model) trim(upTo uint64, self *site) {
	for m.trimmed < upTo {
		m.trimmed++
		e := m.log[m.trimmed]
		delete(m.log, m.trimmed)
		key := string(e.GetKey())
		have := m.keys[key]
		if len(have) == 0 || !sameDot(have[0], e.GetDot()) || Live(have[0]) || m.last(have[0]) > 0 {
			continue
		}
		if !m.known(have[0], self) {
			m.enter(have[0], nil, true)
			continue
		}
		m.floor = max(m.floor, have[0].GetGeneration())
		delete(m.keys, key)
		delete(m.aside, key)
	}
}

func (m *model) remove(self *site) raftfsmpb.Code {
	if !m.exists {
		return raftfsmpb.Code_NOT_FOUND
	}
	for _, have := range m.keys {
		if Live(have[0]) {
			return raftfsmpb.Code_NOT_EMPTY
		}
	}
	m.exists = false
	clear(m.aside)
	clear(m.cursors)
	clear(m.uploads)
	clear(m.parts)
	for _, have := range m.keys {
		if !m.known(have[0], self) { // or it could come back
			for key, have := range m.keys {
				m.keys[key] = have[:1]
			}
			return raftfsmpb.Code_OK
		}
	}
	m.trimmed, m.floor = m.seq, max(m.floor, m.maxGen)
	clear(m.keys)
	clear(m.log)
	return raftfsmpb.Code_OK
}

// compare fails when the site does not hold what the model holds.
func (m *model) compare(t *rapid.T, s *site) {
	st := s.state()
	if st.GetDeleted() == m.exists || st.GetSeq() != m.seq || st.GetTrimmed() != m.trimmed || st.GetGenerationFloor() != m.floor {
		t.Fatalf("state %v, model exists %v seq %d trimmed %d floor %d", st, m.exists, m.seq, m.trimmed, m.floor)
	}
	s.check()
	if !m.exists {
		return
	}
	var objects, size uint64
	for key, want := range m.keys {
		got, err := s.cat.Versions(testPath, []byte(key))
		if err != nil || !slices.EqualFunc(got, want, func(a, b *pb.Record) bool { return proto.Equal(a, b) }) {
			t.Fatalf("key %q: %v %v, want %v", key, got, err, want)
		}
		if Live(want[0]) {
			objects++
			size += want[0].GetRoot().GetSize()
		}
	}
	if st.GetObjects() != objects || st.GetBytes() != size {
		t.Fatalf("%d objects of %d bytes, want %d of %d", st.GetObjects(), st.GetBytes(), objects, size)
	}
	page, err := s.cat.ScanKeys(testPath, nil, MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Records {
		if m.keys[string(r.GetKey())] == nil {
			t.Fatalf("key %q should not be", r.GetKey())
		}
	}
	log, err := s.cat.Log(testPath, m.trimmed, MaxPage)
	if err != nil || len(log.Entries) != len(m.log) {
		t.Fatalf("log: %v %v, want %d entries", log, err, len(m.log))
	}
	for _, item := range log.Entries {
		want := m.log[item.Seq]
		if !bytes.Equal(item.Entry.GetVia(), want.GetVia()) || item.Entry.GetAgain() != want.GetAgain() || idOf(item.Entry.GetDot()) != idOf(want.GetDot()) {
			t.Fatalf("log entry %d: %v, want %v", item.Seq, item.Entry, want)
		}
		head := m.keys[string(want.GetKey())]
		kept := slices.ContainsFunc(head, func(r *pb.Record) bool { return sameDot(r, want.GetDot()) }) &&
			(Live(head[0]) || sameDot(head[0], want.GetDot())) ||
			len(head) > 0 && Live(head[0]) && named(m.aside[string(want.GetKey())], want.GetDot()) != nil
		if kept != (item.Record != nil) {
			t.Fatalf("log entry %d has record %v, kept %v", item.Seq, item.Record, kept)
		}
	}
	own := &pb.Vector{}
	if m.seq > 0 {
		own.Upto = []*pb.Dot{{Origin: s.id.Bytes(), Epoch: s.epoch, Seq: m.seq}}
	}
	if got, want := s.seen(), MergeVector(m.told(), own); !proto.Equal(got, want) {
		t.Fatalf("told %v, want %v", got, want)
	}
}

// TestModel runs random commands against the catalog and the model, and then
// again in batches of other sizes: the state must be the same, row by row.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(t, 1)
		defer s.close()
		m := &model{keys: map[string][]*pb.Record{}, log: map[uint64]*pb.LogEntry{}, seen: &pb.Vector{},
			pending: map[string]map[dotID]*pb.Record{}, cursors: map[string]uint64{}, aside: map[string][]*pb.Record{}, uploads: map[string]string{}, parts: map[string]map[uint32]bool{}}
		peers := []*site{{id: siteID(2)}, {id: siteID(3)}}
		for _, p := range peers {
			m.pending[string(p.id[:])] = map[dotID]*pb.Record{}
		}
		put := func(inc byte) {
			m.versions = rapid.IntRange(1, 3).Draw(t, "versions")
			s.must(1, bucketObj(testPath, uint32(m.versions), inc))
			m.exists = true
		}
		put(1)
		inc := byte(1)
		key := rapid.SampledFrom([]string{"a", "b", "a\x00"})
		id := rapid.SampledFrom([]string{"u1", "u2"})
		now := int64(100)
		expect := func(res *raftfsmpb.Result, code raftfsmpb.Code) {
			if res.GetCode() != code {
				t.Fatalf("%v %q, want %v", res.GetCode(), res.GetMessage(), code)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				now += rapid.Int64Range(-3, 10).Draw(t, "tick")
				w := putCmd(key.Draw(t, "key"), fmt.Sprint("body", rapid.IntRange(0, 3).Draw(t, "body")))
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					w = delCmd(string(w.GetRecord().GetKey()))
				}
				switch have := m.keys[string(w.GetRecord().GetKey())]; rapid.IntRange(0, 6).Draw(t, "condition") {
				case 0:
					w.Conditions = &pb.Conditions{IfNoneMatch: "*"}
				case 1:
					w.Conditions = &pb.Conditions{IfMatch: "body1"}
				case 2:
					if len(have) > 0 {
						w.Conditions = &pb.Conditions{Head: have[len(have)-1].GetDot()}
					}
				case 3:
					if Live(w.GetRecord()) {
						w.Upload, w.PartListDigest = id.Draw(t, "id"), PartListDigest([]*pb.Part{modelPart(1)})
					}
				}
				code, rec := m.write(w, now, s)
				res := s.do(now, w)
				expect(res, code)
				if !proto.Equal(res.GetRecord(), rec) {
					t.Fatalf("record %v, want %v", res.GetRecord(), rec)
				}
			},
			"ingest": func(t *rapid.T) {
				p := rapid.SampledFrom(peers).Draw(t, "peer")
				in := &pb.Ingest{Bucket: testPath, Peer: p.id.Bytes()}
				for range rapid.IntRange(0, 4).Draw(t, "records") {
					origin := rapid.ByteRange(2, 4).Draw(t, "origin")
					seq := rapid.Uint64Range(1, 12).Draw(t, "seq")
					// The rest of a record follows from its dot, as it must.
					r := content(seq%5+1, int64(seq*uint64(origin)%7), dot(origin, 1, seq))
					r.Key = []byte([]string{"a", "b", "a\x00"}[(seq+uint64(origin))%3])
					if seq > 3 && seq%2 == 0 {
						r.Context = []*pb.Dot{dot(origin, 1, seq-3)}
					}
					if seq%4 == 0 {
						r.Kind, r.Root = pb.RecordKind_RECORD_TOMBSTONE, nil
					}
					if rapid.IntRange(0, 3).Draw(t, "hold") == 0 {
						in.Hold = append(in.Hold, &pb.Pending{Record: r, Reason: pb.PendingReason_PENDING_TRANSFERRING})
					} else {
						in.Records = append(in.Records, r)
					}
				}
				for d := range m.pending[string(p.id[:])] {
					if d.seq%3 == 0 {
						in.Settle = append(in.Settle, d.dot())
					}
				}
				slices.SortFunc(in.Settle, CompareDots)
				stored, ok := m.cursors[string(p.id[:])]
				switch rapid.IntRange(0, 3).Draw(t, "cursor") {
				case 0: // none
				case 1:
					in.Expect, in.Cursor = at(3), at(4)
				default:
					if ok {
						in.Expect = at(stored)
					}
					in.Cursor = at(stored + rapid.Uint64Range(0, 3).Draw(t, "step"))
					in.Seen = vector(dot(rapid.ByteRange(2, 4).Draw(t, "origin"), 1, rapid.Uint64Range(1, 8).Draw(t, "upto")))
				}
				code := m.ingest(in, s)
				expect(s.do(now, in), code)
				m.compare(t, s)
			},
			"trim": func(t *rapid.T) {
				if !m.exists {
					return
				}
				// Past the horizon nothing is pinned, so the number is the limit's.
				limit := rapid.Uint64Range(1, 6).Draw(t, "limit")
				want := min(limit, m.seq-m.trimmed)
				res := s.must(now, &pb.Trim{Bucket: testPath, Before: now + 1000, Horizon: now + 1000, Limit: uint32(limit)})
				if res.GetApplied() != want {
					t.Fatalf("trimmed %d, want %d", res.GetApplied(), want)
				}
				m.trim(m.trimmed+want, s)
			},
			"bucket": func(t *rapid.T) {
				if m.exists && rapid.Bool().Draw(t, "remove") {
					code := m.remove(s)
					expect(s.run(step{now: now, cmd: &statepb.Bucket{Path: testPath}, remove: true})[0], code)
					return
				}
				if !m.exists {
					inc++
				}
				put(inc)
			},
			"upload": func(t *rapid.T) {
				id, k := id.Draw(t, "id"), key.Draw(t, "key")
				want := raftfsmpb.Code_OK
				if !m.exists {
					want = raftfsmpb.Code_NOT_FOUND
				}
				_, under := m.uploads[id]
				switch rapid.IntRange(0, 4).Draw(t, "what") {
				case 0:
					if under && m.exists {
						want = raftfsmpb.Code_EXISTS
					} else if m.exists {
						m.uploads[id], m.parts[id] = k, map[uint32]bool{}
					}
					expect(s.do(now, &pb.CreateUpload{Upload: &pb.Upload{Id: id, Bucket: testPath, Key: []byte(k)}}), want)
				case 1:
					if !under {
						want = raftfsmpb.Code_NOT_FOUND
					}
					delete(m.uploads, id)
					delete(m.parts, id)
					expect(s.do(now, &pb.AbortUpload{Bucket: testPath, Upload: id}), want)
				default:
					n := rapid.Uint32Range(1, 2).Draw(t, "part")
					if !under {
						want = raftfsmpb.Code_NOT_FOUND
					} else {
						m.parts[id][n] = true
					}
					expect(s.do(now, &pb.PutPart{Bucket: testPath, Upload: id, Part: modelPart(n)}), want)
				}
			},
			"progress": func(t *rapid.T) {
				p := &pb.PeerProgress{Bucket: testPath, Peer: siteID(8).Bytes(), Seen: vector(dot(2, 1, 1))}
				if rapid.Bool().Draw(t, "told") {
					p.Cursor = &pb.Cursor{Epoch: 1, Seq: rapid.Uint64Range(0, 9).Draw(t, "seq")}
				}
				want := raftfsmpb.Code_OK
				if !m.exists {
					want = raftfsmpb.Code_NOT_FOUND
				}
				expect(s.do(now, p), want)
			},
			"": func(t *rapid.T) {},
		})
		m.compare(t, s)
		for _, per := range []int{1, rapid.IntRange(2, 9).Draw(t, "batch"), 1 << 20} {
			r := s.replay(per)
			if !bytes.Equal(r.cat.Digest(), s.cat.Digest()) {
				t.Fatalf("replayed in batches of %d, the digest differs", per)
			}
			if !maps.Equal(r.rows(), s.rows()) {
				t.Fatalf("replayed in batches of %d, the rows differ", per)
			}
			r.close()
		}
	})
}
