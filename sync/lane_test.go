package objsync

import (
	"testing"
	"time"

	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// plans builds lanes of versions in given phases.
type plans struct {
	log, scan lane
	all       []*version
	now       time.Time
}

func (p *plans) add(l *lane, seq uint64, ph phase) *version {
	v := &version{seq: seq, size: 100, phase: ph, dot: dotKey{seq: uint64(len(p.all) + 1)}, queued: p.now, started: p.now}
	p.all = append(p.all, v)
	l.version(v, seq)
	return v
}

func (p *plans) make(r rules) *plan {
	if r.after == 0 {
		r = rules{now: p.now, after: 5 * time.Second, behind: 1000, room: 100}
	}
	return makePlan(&p.log, &p.scan, nil, r)
}

func TestPlanPassesOnlyWhatIsSettled(t *testing.T) {
	p := &plans{now: time.Unix(1000, 0)}
	p.add(&p.log, 1, phaseReady)
	p.add(&p.log, 2, phaseDone)
	p.log.mark(4, nil)
	blocked := p.add(&p.log, 5, phaseActive)
	late := p.add(&p.log, 6, phaseReady)
	p.log.mark(9, &catalogpb.Vector{})
	got := p.make(rules{})
	if got.to != 4 || got.popLog != 3 || got.seen != nil {
		t.Errorf("the cursor goes to %d over %d items with vector %v", got.to, got.popLog, got.seen)
	}
	if len(got.apply) != 2 || got.apply[1] != late {
		t.Errorf("%d versions are applied; what is ready must not wait for what is not", len(got.apply))
	}
	blocked.phase = phaseGone
	if got := p.make(rules{}); got.to != 9 || got.seen == nil {
		t.Errorf("the cursor goes to %d with vector %v", got.to, got.seen)
	}
}

func TestPlanHolds(t *testing.T) {
	for name, c := range map[string]struct {
		phase  phase
		large  bool
		waited time.Duration // since it was queued
		began  time.Duration // since its first fetch; -1: none yet
		behind int
		rules  rules
		held   bool
	}{
		"early":                         {phaseActive, false, time.Second, time.Second, 2, rules{}, false},
		"5 s under way":                 {phaseActive, false, 9 * time.Second, 5 * time.Second, 2, rules{}, true},
		"waits its turn":                {phaseActive, false, time.Hour, -1, 2, rules{}, false},
		"large ones count from the day": {phaseWaiting, true, 5 * time.Second, -1, 2, rules{}, true},
		"many behind":                   {phaseActive, false, 0, 0, 1200, rules{}, true},
		"failed":                        {phaseFailed, false, 0, 0, 0, rules{}, true},
		"failed, no room":               {phaseFailed, false, 0, 0, 0, rules{after: 1, behind: 1, room: 0}, false},
		"no space":                      {phaseActive, false, time.Hour, time.Hour, 2, rules{after: 1, behind: 1, room: 9, noSpace: true}, false},
	} {
		p := &plans{now: time.Unix(1_000_000, 0)}
		v := p.add(&p.log, 1, c.phase)
		if c.large {
			v.root = manifest.Ref{Level: 1, Size: largeSize + 1}
		}
		v.queued, v.started = p.now.Add(-c.waited), time.Time{}
		if c.began >= 0 {
			v.started = p.now.Add(-c.began)
		}
		for i := range c.behind {
			p.add(&p.log, uint64(i)+2, phaseDone)
		}
		c.rules.now = p.now
		got := p.make(c.rules)
		if (len(got.hold) == 1) != c.held || (got.popLog > 0) != c.held {
			t.Errorf("%s: %d held, cursor to %d", name, len(got.hold), got.to)
		}
	}
}

func TestPlanIsBounded(t *testing.T) {
	p := &plans{now: time.Unix(1000, 0)}
	for i := range 5000 {
		p.add(&p.log, uint64(i)+1, phaseReady)
	}
	got := p.make(rules{})
	if n := len(got.apply); n != commitRecords || got.to != uint64(n) || got.popLog != n {
		t.Errorf("%d versions, cursor to %d", n, got.to)
	}
	for _, v := range p.all {
		v.size = 100_000
	}
	if got := p.make(rules{}); len(got.apply) != 1 || got.bytes > commitBytes {
		t.Errorf("%d versions of 100,000 bytes", len(got.apply))
	}
	p.all[0].size = commitBytes * 2
	if got := p.make(rules{}); len(got.apply) != 1 {
		t.Errorf("%d versions: one always goes", len(got.apply))
	}
	if got := p.make(rules{now: p.now, after: 1, behind: 1, room: 1, single: true}); len(got.apply) != 1 || got.to != 1 {
		t.Errorf("%d versions when one was asked for", len(got.apply))
	}
}

func TestPlanTakesPendingFirstAndOnce(t *testing.T) {
	p := &plans{now: time.Unix(1000, 0)}
	held := &version{phase: phaseReady, hold: &catalogpb.Pending{}, size: 10}
	gone := &version{phase: phaseGone, hold: &catalogpb.Pending{}, size: 10}
	failed := &version{phase: phaseFailed, hold: &catalogpb.Pending{}, size: 10}
	p.log.version(held, 1) // it is still in the lane, behind the cursor soon
	shared := p.add(&p.log, 2, phaseReady)
	p.scan.version(shared, 7)
	p.scan.pageEnd(&pageMark{next: []byte("k"), keys: 1})
	got := makePlan(&p.log, &p.scan, []*version{held, gone, failed}, rules{now: p.now, after: time.Second, behind: 1000, room: 9})
	if len(got.apply) != 2 || len(got.settle) != 2 || len(got.hold) != 1 {
		t.Errorf("%d applied, %d settled, %d held", len(got.apply), len(got.settle), len(got.hold))
	}
	if got.to != 2 || got.popScan != 2 || len(got.pages) != 1 {
		t.Errorf("cursor to %d, %d items of the scan, %d pages", got.to, got.popScan, len(got.pages))
	}
}

func TestMarksOfACommitUnderWayStay(t *testing.T) {
	var l lane
	l.mark(5, nil)
	l.mark(7, nil)
	if len(l.items) != 1 || l.items[0].to != 7 {
		t.Fatalf("%d items", len(l.items))
	}
	l.planned = 1 // a commit to 7 is under way
	l.mark(9, &catalogpb.Vector{})
	l.pop(1)
	if len(l.items) != 1 || l.items[0].to != 9 || l.items[0].seen == nil {
		t.Errorf("what was reached during the commit is lost: %+v", l.items)
	}
}
