package objsync

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// check looks at the outcome.
func (w *world) check() {
	var sites []*testSite
	for _, s := range w.sites {
		sites = append(sites, s.testSite)
		s.wholeBucket(bk1)
	}
	if !w.bounded || !w.versioned {
		sameHeads(w.t, bk1, sites...)
	}
	if !w.bounded {
		sameVersions(w.t, bk1, sites...)
	}
	for _, e := range w.ends {
		cursor, err := e.site.cat.Cursor(bk1, e.peer.id)
		there, _ := e.peer.cat.Position(bk1)
		switch {
		case err != nil:
			w.t.Errorf("%s from %s: %v", e.site.name, e.peer.name, err)
		case cursor.GetSeq() != there.Seq || cursor.GetEpoch() != there.Epoch || !cursor.GetInitialDone() || cursor.GetScan() != nil:
			w.t.Errorf("%s from %s: the cursor is %v, the log ends at %d of epoch %d", e.site.name, e.peer.name, cursor, there.Seq, there.Epoch)
		}
		if list := slices.DeleteFunc(e.pendingOf(bk1), w.lost); len(list) != 0 {
			w.t.Errorf("%d records are pending at %s from %s: %v", len(list), e.site.name, e.peer.name, list[0])
		}
	}
	w.conflicts()
	if !w.restores {
		w.rightfully()
	}
}

// conflicts checks that whatever is listed as having lost is whole, and really was
// written by somebody who did not know of the winner, and the other way round.
func (w *world) conflicts() {
	for _, s := range w.sites {
		page, err := s.cat.Conflicts(bk1, nil, nil, nil, 0)
		if err != nil {
			w.t.Fatalf("%s: %v", s.name, err)
		}
		w.contests += len(page.Contests)
		for _, c := range page.Contests {
			if err := s.whole(c.Loser); err != nil {
				w.t.Errorf("%s: %s of %s is listed as having lost, without its content: %v", s.name, keyOf(c.Loser.GetDot()), c.Loser.GetKey(), err)
			}
			if !catalog.Conflict(c.Loser, c.Winner) || catalog.Compare(c.Loser, c.Winner) > 0 {
				w.t.Errorf("%s: %s is no conflict with %s", s.name, shortRecord(c.Loser), shortRecord(c.Winner))
			}
		}
	}
	w.t.Logf("%d conflicts are listed", w.contests)
}

// rightfully checks that the outcome is what the users did, as the logs have it: the
// greatest record of each key's null version if that is content, never one that the
// writer of another had seen, and every version with an id that nobody purged.
func (w *world) rightfully() {
	null := make(map[string][]*catalogpb.Record)
	var own, purged []*catalogpb.Record
	for _, s := range w.sites {
		for _, entry := range s.log {
			r := entry.result.GetRecord()
			cmd := entry.cmd
			if r == nil || cmd.GetWrite() == nil && cmd.GetPurge() == nil || cmd.GetPurge().GetInferred() {
				continue
			}
			switch {
			case !catalog.HasID(r):
				null[string(r.GetKey())] = append(null[string(r.GetKey())], r)
			case r.GetKind() == catalogpb.RecordKind_RECORD_PURGE:
				purged = append(purged, r)
			default:
				own = append(own, r)
			}
		}
	}
	first := w.sites[0]
	for key, wrote := range null {
		last := slices.MaxFunc(wrote, catalog.Compare)
		var shown *catalogpb.Record
		if v, err := first.cat.Version(bk1, []byte(key), nil); err == nil {
			shown = v.Record
		}
		if catalog.Live(last) && keyOf(shown.GetDot()) != keyOf(last.GetDot()) {
			w.t.Errorf("the last null version of %s is %s, but it is %v", key, keyOf(last.GetDot()), shown)
		}
		for _, r := range wrote {
			if catalog.Live(shown) && slices.ContainsFunc(r.GetContext(), func(d *catalogpb.Dot) bool {
				return string(d.GetOrigin()) == string(shown.GetDot().GetOrigin()) && (d.GetEpoch() > shown.GetDot().GetEpoch() ||
					d.GetEpoch() == shown.GetDot().GetEpoch() && d.GetSeq() >= shown.GetDot().GetSeq())
			}) {
				w.t.Errorf("%s of %s is back, although the writer of %s had seen it", keyOf(shown.GetDot()), key, keyOf(r.GetDot()))
			}
		}
	}
	if w.bounded {
		return
	}
	gone := make(map[dotKey]bool)
	for _, r := range purged {
		gone[keyOf(r.GetTarget())] = true
	}
	for _, r := range own {
		_, err := first.cat.Version(bk1, r.GetKey(), r.GetDot())
		switch {
		case err != nil && !gone[keyOf(r.GetDot())]:
			w.t.Errorf("version %s of %s is lost, although nobody purged it: %v", keyOf(r.GetDot()), r.GetKey(), err)
		case err == nil && gone[keyOf(r.GetDot())] && !w.locks:
			w.t.Errorf("version %s of %s is back, although it was purged", keyOf(r.GetDot()), r.GetKey())
		}
	}
}

// explain shows the sites when the test has failed.
func (w *world) explain() {
	if !w.t.Failed() {
		return
	}
	w.t.Log("what happened:\n" + strings.Join(w.trace, "\n"))
	var differ []string
	for _, s := range w.sites {
		if !s.up() {
			continue
		}
		st, _ := s.cat.BucketAny(bk1)
		seen, _ := s.cat.Seen(bk1)
		w.t.Logf("%s: seq %d, trimmed %d, epoch %d, %s", s.name, st.GetSeq(), st.GetTrimmed(), s.epoch, shortVector(seen))
		if first := w.sites[0]; first.up() {
			a, b := first.shown(bk1), s.shown(bk1)
			for k := range a {
				if a[k] != b[k] {
					differ = append(differ, k[:strings.Index(k, "?")])
				}
			}
			for k := range b {
				if a[k] != b[k] {
					differ = append(differ, k[:strings.Index(k, "?")])
				}
			}
		}
	}
	slices.Sort(differ)
	for _, key := range slices.Compact(differ) {
		for _, s := range w.sites {
			w.t.Logf("%s in the log of %s:\n%s", key, s.name, s.history(key))
		}
	}
	for _, e := range w.ends {
		if !e.site.up() || e.engine == nil {
			continue
		}
		cursor, err := e.site.cat.Cursor(bk1, e.peer.id)
		st, out := e.engine.Status(), e.local.Status()
		w.t.Logf("%s from %s: cursor %d/%d done %v scan %v %v; %s: %s; %d pending; sent in sync %v, backlog %d",
			e.site.name, e.peer.name, cursor.GetEpoch(), cursor.GetSeq(), cursor.GetInitialDone(), cursor.GetScan() != nil, err,
			st.State, st.Cause, st.Pending, out.InSync, out.BacklogVersions)
	}
}

// history is what the log of a site says of a key.
func (s *simSite) history(key string) string {
	var out []string
	for i, e := range s.log {
		var what []string
		note := func(how string, r *catalogpb.Record) {
			if string(r.GetKey()) == key {
				what = append(what, how+" "+shortRecord(r))
			}
		}
		switch c := e.cmd.GetCommand().(type) {
		case *raftfsmpb.Command_Ingest:
			for _, r := range c.Ingest.GetRecords() {
				note("takes", r)
			}
			for _, p := range c.Ingest.GetHold() {
				note("holds", p.GetRecord())
			}
			for _, d := range c.Ingest.GetSettle() {
				what = append(what, "settles "+shortDot(d))
			}
			if c.Ingest.GetExpect().GetScan() != nil || c.Ingest.GetCursor().GetScan() != nil {
				what = append(what, fmt.Sprintf("scans, expect %v", c.Ingest.GetExpect().GetScan() != nil))
			}
			if len(what) > 0 {
				what = append(what, fmt.Sprintf("from site%d up to %d, %s", c.Ingest.GetPeer()[15], c.Ingest.GetCursor().GetSeq(), shortVector(c.Ingest.GetSeen())))
			}
		case *raftfsmpb.Command_Purge:
			if string(c.Purge.GetKey()) == key {
				what = append(what, fmt.Sprintf("purges %s, inferred %v", shortDot(c.Purge.GetTarget()), c.Purge.GetInferred()))
				note("result", e.result.GetRecord())
			}
		case *raftfsmpb.Command_Trim:
			what = append(what, fmt.Sprintf("trims %d", e.result.GetApplied()))
		case nil:
			what = append(what, fmt.Sprintf("bucket %x, remove %q, epoch %d", e.bucket.GetIncarnation(), e.remove, e.epoch))
		default:
			note("writes", e.result.GetRecord())
		}
		if len(what) > 0 {
			out = append(out, fmt.Sprintf("  %3d %s: %v %s", i, time.Unix(0, e.now).UTC().Format("15:04:05.000"), e.result.GetCode(), strings.Join(what, "; ")))
		}
	}
	return strings.Join(out, "\n")
}

func shortDot(d *catalogpb.Dot) string {
	if d == nil {
		return "null"
	}
	return fmt.Sprintf("%d.%d.%d", d.GetOrigin()[15], d.GetEpoch(), d.GetSeq())
}

func shortVector(v *catalogpb.Vector) string {
	var out []string
	for _, d := range v.GetUpto() {
		out = append(out, shortDot(d))
	}
	return fmt.Sprintf("seen %v sparse %v", out, v.GetSparse())
}

func shortRecord(r *catalogpb.Record) string {
	context := make([]string, len(r.GetContext()))
	for i, d := range r.GetContext() {
		context[i] = shortDot(d)
	}
	return fmt.Sprintf("%s %v g%d %s %s of %s context %v", shortDot(r.GetDot()), r.GetKind(), r.GetGeneration(), r.GetVersioning(), r.GetField(), shortDot(r.GetTarget()), context)
}
