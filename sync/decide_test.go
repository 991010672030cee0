package objsync

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

func TestAdmit(t *testing.T) {
	there := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life")}
	for name, c := range map[string]struct {
		here  *catalogpb.BucketState
		there *linkpb.ServedBucket
		want  admission
	}{
		"not at the sender":                {&catalogpb.BucketState{}, &linkpb.ServedBucket{Path: bk1}, admitAbsent},
		"at neither":                       {nil, &linkpb.ServedBucket{Path: bk1}, admitAbsent},
		"never here":                       {nil, there, admitCreate},
		"at both":                          {&catalogpb.BucketState{}, there, admitTake},
		"deleted here in that life":        {&catalogpb.BucketState{Deleted: true, Merged: [][]byte{[]byte("a"), []byte("life")}}, there, admitDeleted},
		"deleted here, made anew there":    {&catalogpb.BucketState{Deleted: true, Merged: [][]byte{[]byte("a")}}, there, admitCreate},
		"exists here, merged long ago too": {&catalogpb.BucketState{Merged: [][]byte{[]byte("life")}}, there, admitTake},
	} {
		if got := admit(c.here, c.there); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	peer := state.SiteID{1}
	there := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Epoch: 3, Seq: 100, Trimmed: 40}
	cursor := func(f func(*catalogpb.Cursor)) *catalogpb.Cursor {
		c := &catalogpb.Cursor{Site: peer.Bytes(), Incarnation: []byte("life"), Epoch: 3, Seq: 70, InitialDone: true}
		if f != nil {
			f(c)
		}
		return c
	}
	whole := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Epoch: 3, Seq: 100}
	// Cursors within a run are of the present epoch when they come here: see inEpoch.
	goesOn := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Epoch: 3, Seq: 100, Trimmed: 40, Runs: []*catalogpb.Run{{Epoch: 2, Last: 80}}}
	for name, c := range map[string]struct {
		c       *catalogpb.Cursor
		there   *linkpb.ServedBucket
		objects uint64
		want    fitness
	}{
		"it fits":                    {cursor(nil), there, 5, fitContinue},
		"at the end":                 {cursor(func(c *catalogpb.Cursor) { c.Seq = 100 }), there, 5, fitContinue},
		"at the trimmed edge":        {cursor(func(c *catalogpb.Cursor) { c.Seq = 40 }), there, 5, fitContinue},
		"below the trimmed edge":     {cursor(func(c *catalogpb.Cursor) { c.Seq = 39 }), there, 5, fitScan},
		"beyond the end":             {cursor(func(c *catalogpb.Cursor) { c.Seq = 101 }), there, 5, fitLost},
		"another life":               {cursor(func(c *catalogpb.Cursor) { c.Incarnation = []byte("x") }), there, 5, fitScan},
		"another epoch":              {cursor(func(c *catalogpb.Cursor) { c.Epoch = 2 }), there, 5, fitScan},
		"an epoch that is gone on":   {cursor(func(c *catalogpb.Cursor) { c.Epoch = 2 }), goesOn, 5, fitScan},
		"beyond its end":             {cursor(func(c *catalogpb.Cursor) { c.Epoch, c.Seq = 2, 81 }), goesOn, 5, fitLost},
		"an epoch to come":           {cursor(func(c *catalogpb.Cursor) { c.Epoch = 4 }), there, 5, fitLost},
		"before all runs":            {cursor(func(c *catalogpb.Cursor) { c.Epoch, c.Seq = 1, 99 }), goesOn, 5, fitScan},
		"another site":               {cursor(func(c *catalogpb.Cursor) { c.Site = []byte("x") }), there, 5, fitScan},
		"within a scan":              {cursor(func(c *catalogpb.Cursor) { c.Scan, c.InitialDone = &catalogpb.Scan{}, false }), there, 5, fitResume},
		"a scan whose log is gone":   {cursor(func(c *catalogpb.Cursor) { c.Scan, c.Seq = &catalogpb.Scan{}, 3 }), there, 5, fitScan},
		"a copy that never finished": {cursor(func(c *catalogpb.Cursor) { c.InitialDone = false }), there, 5, fitScan},
		"none, nothing here":         {nil, whole, 0, fitScan},
		"none, the log is whole":     {nil, whole, 5, fitStart},
		"none, the log was trimmed":  {nil, there, 5, fitScan},
	} {
		got, why := fit(c.c, peer, c.there, demand{first: true}, c.objects, false)
		if got != c.want || (got == fitScan) != (why != "") && got != fitStart {
			t.Errorf("%s: %d %q, want %d", name, got, why, c.want)
		}
	}
}

// TestFitOfWhatIsWanted: a cursor that fits the log still has to be one of what the
// settings want.
func TestFitOfWhatIsWanted(t *testing.T) {
	peer := state.SiteID{1}
	there := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Epoch: 3, Seq: 100, Trimmed: 40}
	at := func(part string, more ...func(*catalogpb.Cursor)) *catalogpb.Cursor {
		c := &catalogpb.Cursor{Site: peer.Bytes(), Incarnation: []byte("life"), Epoch: 3, Seq: 70, InitialDone: part == "", Part: part}
		for _, f := range more {
			f(c)
		}
		return c
	}
	scanning := func(scope string) *catalogpb.Cursor {
		return at("", func(c *catalogpb.Cursor) { c.InitialDone, c.Scan = false, &catalogpb.Scan{Scope: scope} })
	}
	trimmed := func(c *catalogpb.Cursor) { c.Seq = 3 }
	resynced := func(c *catalogpb.Cursor) { c.Resync = 9 }
	all, since, once := demand{first: true}, demand{}, demand{first: true, once: true}
	with := func(d demand, scope string) demand { d.scope = scope; return d }
	again := func(d demand, at int64) demand { d.again = at; return d }
	for name, c := range map[string]struct {
		c    *catalogpb.Cursor
		d    demand
		want fitness
	}{
		"only changes, for the first time":        {nil, since, fitHead},
		"only changes, and asked for more":        {nil, again(since, 7), fitScan},
		"only changes, going on":                  {at("since:"), since, fitContinue},
		"only changes, had everything":            {at(""), since, fitContinue},
		"only changes, too late":                  {at("since:", trimmed), since, fitScan},
		"everything after only changes":           {at("since:"), all, fitScan},
		"once, for the first time":                {nil, once, fitScan},
		"once, done":                              {at("once:"), once, fitContinue},
		"once, done long ago":                     {at("once:", trimmed), once, fitContinue},
		"once, done, and asked for again":         {at("once:"), again(once, 7), fitScan},
		"once, done long ago, asked for again":    {at("once:", trimmed), again(once, 7), fitScan},
		"once, done again":                        {at("once:", resynced), again(once, 9), fitContinue},
		"once after everything":                   {at(""), once, fitScan},
		"once, more of it":                        {at("once:x/"), once, fitScan},
		"everything after once":                   {at("once:"), all, fitWhole},
		"everything after once, too late":         {at("once:", trimmed), all, fitScan},
		"changes after once":                      {at("once:"), since, fitWhole},
		"less of it":                              {at(""), with(all, "x/"), fitWhole},
		"less of it, going on":                    {at("copied:x/"), with(all, "x/"), fitContinue},
		"other parts of it":                       {at("copied:x/"), with(all, "y/"), fitScan},
		"all of it again":                         {at("copied:x/"), all, fitScan},
		"other parts of it, only changes":         {at("copied:x/"), with(since, "y/"), fitSince},
		"other parts of it, only changes, before": {at("since:x/"), with(since, "y/"), fitSince},
		"a scan of what is wanted":                {scanning("x/"), with(all, "x/"), fitResume},
		"a scan of something else":                {scanning(""), with(all, "x/"), fitScan},
		"a scan, and only changes now":            {scanning(""), since, fitResume},
		"a re-sync":                               {at(""), again(all, 7), fitScan},
		"a re-sync that was done":                 {at("", resynced), again(all, 9), fitContinue},
		"a re-sync by another clock":              {at("", resynced), again(all, 8), fitScan},
		"nobody asks any more":                    {at("", resynced), all, fitContinue},
	} {
		got, why := fit(c.c, peer, there, c.d, 5, false)
		if got != c.want || (got == fitScan) != (why != "") {
			t.Errorf("%s: %d %q, want %d", name, got, why, c.want)
		}
	}
	whole := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Epoch: 3, Seq: 100}
	if got, _ := fit(nil, peer, whole, once, 5, false); got != fitScan {
		t.Errorf("a copy that does not follow the log begins with %d", got)
	}
}

// TestComparesWithWhoLearned says when a receiver compares with a sender that learned
// from others what was deleted.
func TestComparesWithWhoLearned(t *testing.T) {
	peer, life := state.SiteID{1}, []byte("life")
	all := demand{first: true}
	for name, c := range map[string]struct {
		change func(*catalogpb.Cursor, *linkpb.ServedBucket)
		d      demand
		here   uint64
		want   fitness
	}{
		"it did":              {func(*catalogpb.Cursor, *linkpb.ServedBucket) {}, all, 100, fitScan},
		"compared since":      {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.Learned = 2 }, all, 100, fitContinue},
		"it learned more":     {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.Learned = 1 }, all, 100, fitScan},
		"it was set back":     {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.Learned = 7 }, all, 100, fitScan},
		"far behind":          {func(*catalogpb.Cursor, *linkpb.ServedBucket) {}, all, 49, fitContinue},
		"the log gave all":    {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.Seq = 60 }, all, 49, fitScan},
		"a part is taken":     {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.InitialDone, c.Part = false, "copied:x/" }, demand{first: true, scope: "x/"}, 100, fitContinue},
		"copied once":         {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.InitialDone, c.Part = false, "once:" }, demand{first: true, once: true}, 100, fitContinue},
		"a copy is under way": {func(c *catalogpb.Cursor, _ *linkpb.ServedBucket) { c.InitialDone, c.Scan = false, &catalogpb.Scan{} }, all, 100, fitResume},
	} {
		cursor := &catalogpb.Cursor{Site: peer[:], Incarnation: life, Epoch: 1, Seq: 50, InitialDone: true}
		there := &linkpb.ServedBucket{Path: bk1, Incarnation: life, Epoch: 1, Seq: 60, Objects: 100, Learned: 2}
		c.change(cursor, there)
		got, why := fit(cursor, peer, there, c.d, c.here, false)
		if got != c.want || (why == learnedThere) != (got == fitScan) {
			t.Errorf("%s: %d %q, want %d", name, got, why, c.want)
		}
	}
}

// TestRechecks says when a receiver compares once more after a scan.
func TestRechecks(t *testing.T) {
	all := demand{first: true}
	there := &linkpb.ServedBucket{Learned: 2}
	for name, c := range map[string]struct {
		change func(*catalogpb.Cursor)
		d      demand
		want   string
	}{
		"nothing is due":                {func(c *catalogpb.Cursor) { c.Recheck = false }, all, ""},
		"others may have brought":       {func(*catalogpb.Cursor) {}, all, broughtHere},
		"and the sender learned":        {func(c *catalogpb.Cursor) { c.Learned = 1 }, all, learnedThere},
		"a scan is under way":           {func(c *catalogpb.Cursor) { c.Scan = &catalogpb.Scan{} }, all, ""},
		"a part is taken now":           {func(*catalogpb.Cursor) {}, demand{first: true, scope: "x/"}, ""},
		"a part was taken":              {func(c *catalogpb.Cursor) { c.InitialDone, c.Part = false, "copied:x/" }, all, ""},
		"it is copied once from now on": {func(*catalogpb.Cursor) {}, demand{first: true, once: true}, ""},
	} {
		cursor := &catalogpb.Cursor{InitialDone: true, Learned: 2, Recheck: true}
		c.change(cursor)
		if got := outdated(cursor, there, c.d); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, c := range []struct {
		why            string
		learned        uint64
		learns, untold bool
	}{
		{initialCopy, 2, true, true},
		{"its log begins later", 2, true, true},
		{askedFor, 2, false, false},
		{askedFor, 1, false, true},
		{learnedThere, 1, false, true},
		{broughtHere, 2, false, false},
		{broughtHere, 1, false, true},
	} {
		learns, untold := tells(c.why, &catalogpb.Cursor{Learned: c.learned}, there)
		if learns != c.learns || untold != c.untold {
			t.Errorf("%s, learned %d: learns %v, untold %v, want %v, %v", c.why, c.learned, learns, untold, c.learns, c.untold)
		}
	}
}

func TestRestoredSiteScans(t *testing.T) {
	there := &linkpb.ServedBucket{Path: bk1, Incarnation: []byte("life"), Seq: 100}
	if got, _ := fit(nil, state.SiteID{1}, there, demand{first: true}, 5, true); got != fitScan {
		t.Errorf("a restored site begins with %d: the log leaves out what came from it", got)
	}
}

func TestRecordsFromOutside(t *testing.T) {
	good := func() *catalogpb.Record {
		return &catalogpb.Record{
			Key: []byte("k"), Kind: catalogpb.RecordKind_RECORD_VERSION, Generation: 1,
			Dot:  &catalogpb.Dot{Origin: bytes.Repeat([]byte{1}, 16), Epoch: 1, Seq: 1},
			Root: &catalogpb.Root{Id: bytes.Repeat([]byte{2}, 32), Size: 10},
		}
	}
	for name, c := range map[string]struct {
		change       func(*catalogpb.Record)
		keeps, takes bool // it can be kept by name; it can be applied
	}{
		"good":               {func(*catalogpb.Record) {}, true, true},
		"empty":              {func(r *catalogpb.Record) { r.Root = nil }, true, true},
		"no key":             {func(r *catalogpb.Record) { r.Key = nil }, false, false},
		"long key":           {func(r *catalogpb.Record) { r.Key = bytes.Repeat([]byte("k"), 1025) }, false, false},
		"no dot":             {func(r *catalogpb.Record) { r.Dot = nil }, false, false},
		"zero sequence":      {func(r *catalogpb.Record) { r.Dot.Seq = 0 }, false, false},
		"short origin":       {func(r *catalogpb.Record) { r.Dot.Origin = []byte("x") }, false, false},
		"huge":               {func(r *catalogpb.Record) { r.Etag = strings.Repeat("x", maxKept) }, false, false},
		"too large to take":  {func(r *catalogpb.Record) { r.Etag = strings.Repeat("x", catalog.MaxRecordSize) }, true, false},
		"generation 0":       {func(r *catalogpb.Record) { r.Generation = 0 }, true, false},
		"greatest":           {func(r *catalogpb.Record) { r.Generation = 1 << 62 }, true, true},
		"beyond":             {func(r *catalogpb.Record) { r.Generation = 1<<62 + 1 }, true, false},
		"unknown kind":       {func(r *catalogpb.Record) { r.Kind = 77 }, true, false},
		"key not UTF-8":      {func(r *catalogpb.Record) { r.Key = []byte{0xff} }, true, false},
		"root of 5 bytes":    {func(r *catalogpb.Record) { r.Root.Id = []byte("short") }, true, false},
		"zero root":          {func(r *catalogpb.Record) { r.Root.Id = make([]byte, 32) }, true, false},
		"size without root":  {func(r *catalogpb.Record) { r.Root.Id = nil }, true, false},
		"deep root":          {func(r *catalogpb.Record) { r.Root.Level = 300 }, true, false},
		"chunk too large":    {func(r *catalogpb.Record) { r.Root.Size = 1 << 30 }, true, false},
		"content in a grave": {func(r *catalogpb.Record) { r.Kind = catalogpb.RecordKind_RECORD_TOMBSTONE }, true, false},
	} {
		r := good()
		c.change(r)
		err := wellFormed(r, sizeOf(r))
		if (err == nil) != c.keeps {
			t.Errorf("%s: well formed: %v", name, err)
		}
		if err := sound(r); c.keeps && (err == nil) != c.takes {
			t.Errorf("%s: sound: %v", name, err)
		}
	}
	if err := wellFormed(nil, 0); err == nil {
		t.Error("a missing record is well formed")
	}
}

func TestHoldNow(t *testing.T) {
	const after, limit = 5 * time.Second, 1000
	for name, c := range map[string]struct {
		waited       time.Duration
		behind, room int
		noSpace      bool
		want         bool
	}{
		"early":                   {time.Second, 3, 10, false, false},
		"after 5 s":               {after, 0, 10, false, true},
		"1,000 records behind":    {0, limit, 10, false, true},
		"the table is full":       {time.Hour, limit, 0, false, false},
		"no space for any":        {time.Hour, limit, 10, true, false},
		"one record and one tick": {after - 1, limit - 1, 10, false, false},
	} {
		if got := holdNow(c.waited, after, c.behind, limit, c.room, c.noSpace); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	const least, most = 200 * time.Millisecond, 15 * time.Second
	last := time.Duration(0)
	for n := range 100 {
		d := backoff(n, least, most)
		if d < last || d < least || d > most {
			t.Fatalf("after %d failures: %s after %s", n, d, last)
		}
		last = d
	}
	if backoff(0, least, most) != least || backoff(3, least, most) != 8*least || last != most {
		t.Errorf("%s, %s, %s", backoff(0, least, most), backoff(3, least, most), last)
	}
	for _, random := range []uint64{0, 1, 1 << 40, ^uint64(0)} {
		if d := jitter(most, random); d <= 0 || d > most {
			t.Errorf("jitter of %d: %s", random, d)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		kind failure
		n    int
		want verdict
	}{
		{failIntegrity, 1, verdictRetry}, {failIntegrity, 2, verdictQuarantine},
		{failRefused, 1, verdictRetry}, {failRefused, 5, verdictQuarantine},
		{failManifest, 1, verdictQuarantine}, {failRecord, 1, verdictQuarantine},
	} {
		if got := judge(c.kind, c.n); got != c.want {
			t.Errorf("failure %d, number %d: %d", c.kind, c.n, got)
		}
	}
}

func TestJudgeLink(t *testing.T) {
	base := facts{connected: true, buckets: 2, moves: true, lag: Lag{Known: true}, lagTarget: 30 * time.Second, stallAfter: time.Minute}
	held := Hold{Words: "held to 1MiB/s by the limit from 08:00 to 18:00", Next: "wait until 18:00"}
	for name, c := range map[string]struct {
		change func(*facts)
		want   State
		word   string
	}{
		"nothing to do":     {func(*facts) {}, StateInSync, ""},
		"no session":        {func(f *facts) { f.connected, f.trouble = false, "no route" }, StateConnecting, "no route"},
		"no session, by us": {func(f *facts) { f.connected, f.local, f.trouble = false, true, "disk full" }, StateConnecting, "disk full"},
		"declined":          {func(f *facts) { f.connected, f.refused, f.trouble = false, true, "who are you" }, StateRefused, "who are you"},
		"nothing in common": {func(f *facts) { f.buckets = 0 }, StateWaiting, "served by both"},
		"none exists":       {func(f *facts) { f.waiting = 2 }, StateWaiting, "exists"},
		"a copy":            {func(f *facts) { f.scanning, f.work = 1, true }, StateScanning, "1 of 2"},
		"work":              {func(f *facts) { f.work, f.blocker = true, "key k" }, StateSyncing, "key k"},
		"late":              {func(f *facts) { f.work, f.lag.Age = true, time.Minute }, StateLagging, "1m0s"},
		"nothing moves":     {func(f *facts) { f.work, f.idle, f.blocker = true, time.Minute, "key k" }, StateStalled, "key k"},
		"a copy is stuck":   {func(f *facts) { f.work, f.scanning, f.idle = true, 1, time.Hour }, StateStalled, "1h"},
		"idle, no work":     {func(f *facts) { f.idle = time.Hour }, StateInSync, ""},
		"no space":          {func(f *facts) { f.work, f.stopped = true, "no space" }, StateLagging, "no space"},
		"no space for long": {func(f *facts) { f.work, f.stopped, f.idle = true, "no space", time.Hour }, StateStalled, "no space"},
		"a moment's quiet":  {func(f *facts) { f.silent = quietAfter - 1 }, StateInSync, ""},
		"nothing is heard":  {func(f *facts) { f.silent, f.peer = 8*time.Second+time.Second/2, "beta" }, StateStalled, "nothing was heard of beta for 8s"},
		"mute":              {func(f *facts) { f.mute, f.peer = 8*time.Second, "beta" }, StateLagging, "of what changes at beta for 8s"},
		"mute for long":     {func(f *facts) { f.mute, f.peer = time.Minute, "beta" }, StateStalled, "of what changes at beta for 1m0s"},
		"quiet, no buckets": {func(f *facts) { f.buckets, f.silent, f.peer = 0, time.Minute, "beta" }, StateStalled, "nothing was heard of beta for 1m0s"},
		"late by a limit":   {func(f *facts) { f.work, f.lag.Age, f.held = true, time.Minute, held }, StateLagging, "is 1m0s old, the target is 30s: held to 1MiB/s by the limit"},
		"a limited copy":    {func(f *facts) { f.work, f.scanning, f.held = true, 1, held }, StateScanning, "copying 1 of 2 buckets, held to 1MiB/s by the limit"},
		"limited work":      {func(f *facts) { f.work, f.blocker, f.held = true, "key k", held }, StateSyncing, "key k, held to 1MiB/s by the limit"},
		"only the limit":    {func(f *facts) { f.work, f.held = true, held }, StateSyncing, "held to 1MiB/s by the limit"},
		"in quarantine":     {func(f *facts) { f.work, f.quarantine, f.lag.Age = true, 3, time.Hour }, StateLagging, "3 versions"},
		"between retries": {func(f *facts) {
			f.work, f.moves, f.quarantine, f.lag.Age, f.idle = true, false, 3, time.Hour, time.Hour
		}, StateLagging, "3 versions"},
		"just put there": {func(f *facts) { f.work, f.moves, f.quarantine, f.idle = true, false, 3, time.Hour }, StateSyncing, ""},
	} {
		f := base
		c.change(&f)
		st, cause, next := judgeLink(f)
		if st != c.want || !strings.Contains(cause, c.word) {
			t.Errorf("%s: %s %q, want %s with %q", name, st, cause, c.want, c.word)
		}
		if f.held != (Hold{}) && next != held.Next {
			t.Errorf("%s: the next step is %q", name, next)
		}
		if f.local && !strings.Contains(next, "this site's node") {
			t.Errorf("%s: the next step is %q", name, next)
		}
	}
}

// TestJudgeLinkBlamesNoLimit: what else keeps a link from its work is told as ever, a
// limit or not.
func TestJudgeLinkBlamesNoLimit(t *testing.T) {
	base := facts{connected: true, buckets: 2, work: true, moves: true, lag: Lag{Known: true}, lagTarget: 30 * time.Second, stallAfter: time.Minute, peer: "beta"}
	for name, change := range map[string]func(*facts){
		"no session":       func(f *facts) { f.connected, f.trouble = false, "no route" },
		"nothing is heard": func(f *facts) { f.silent = 8 * time.Second },
		"paused":           func(f *facts) { f.paused = "it was paused here" },
		"nothing moves":    func(f *facts) { f.idle = time.Hour },
		"no space":         func(f *facts) { f.stopped = "no space" },
		"quarantine":       func(f *facts) { f.quarantine, f.lag.Age = 1, time.Hour },
	} {
		f := base
		change(&f)
		st, cause, next := judgeLink(f)
		f.held = Hold{Words: "held to 1MiB/s", Next: "wait"}
		if st2, cause2, next2 := judgeLink(f); st != st2 || cause != cause2 || next != next2 {
			t.Errorf("%s: %s %q with a limit, and %s %q without", name, st2, cause2, st, cause)
		}
	}
}

func TestCheckBatch(t *testing.T) {
	mk := func(from, to uint64, seqs ...uint64) *linkpb.ChangeBatch {
		b := &linkpb.ChangeBatch{Path: bk1, From: from, To: to}
		for _, s := range seqs {
			b.Changes = append(b.Changes, &linkpb.Change{Seq: s})
		}
		return b
	}
	for name, c := range map[string]struct {
		b  *linkpb.ChangeBatch
		ok bool
	}{
		"the next":            {mk(11, 15, 11, 13, 15), true},
		"only numbers":        {mk(11, 15), true},
		"a gap":               {mk(12, 15), false},
		"once more":           {mk(10, 15), false},
		"empty":               {mk(11, 10), false},
		"a change before":     {mk(11, 15, 10), false},
		"a change behind":     {mk(11, 15, 16), false},
		"twice the same":      {mk(11, 15, 12, 12), false},
		"in descending order": {mk(11, 15, 14, 13), false},
	} {
		if err := checkBatch(c.b, 10); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckPage(t *testing.T) {
	mk := func(next string, done bool, keys ...string) *linkpb.ScanPage {
		p := &linkpb.ScanPage{Done: done}
		if next != "" {
			p.NextKey = []byte(next)
		}
		for _, k := range keys {
			p.Records = append(p.Records, &catalogpb.Record{Key: []byte(k)})
		}
		return p
	}
	for name, c := range map[string]struct {
		p    *linkpb.ScanPage
		keys uint64
		ok   bool
	}{
		"a page":             {mk("g", false, "c", "d", "d", "f"), 3, true},
		"the last":           {mk("", true, "c", "z"), 2, true},
		"nothing":            {mk("", true), 0, true},
		"none in the range":  {mk("d", false), 0, true},
		"before the page":    {mk("g", false, "b"), 0, false},
		"behind the page":    {mk("g", false, "g"), 0, false},
		"out of order":       {mk("g", false, "e", "d"), 0, false},
		"it stands still":    {mk("c", false), 0, false},
		"it goes back":       {mk("a", false), 0, false},
		"no next, not done":  {mk("", false), 0, false},
		"last, out of order": {mk("", true, "z", "c"), 0, false},
	} {
		keys, err := checkPage(c.p, []byte("c"))
		if (err == nil) != c.ok || keys != c.keys {
			t.Errorf("%s: %d keys, %v", name, keys, err)
		}
	}
}

func TestWorse(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for _, c := range []struct{ a, b, want Lag }{
		{Lag{Known: true}, Lag{Known: true, Age: 3}, Lag{Known: true, Age: 3}},
		{Lag{Known: true, Age: 9}, Lag{Since: late}, Lag{Since: late}},
		{Lag{Since: early}, Lag{Since: late}, Lag{Since: early}},
	} {
		if got := worse(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: %v", c.a, c.b, got)
		}
		if got := worse(c.b, c.a); got != c.want {
			t.Errorf("%v and %v: %v", c.b, c.a, got)
		}
	}
}

func TestRates(t *testing.T) {
	var m rateMeter
	at := time.Unix(100, 0)
	for i := range 600 {
		m.update(at.Add(time.Duration(i)*250*time.Millisecond), float64(i*25), float64(i), float64(i*1000))
	}
	if r := m.rates(); r.Versions < 99 || r.Versions > 101 || r.Bytes < 3960 || r.Bytes > 4040 {
		t.Errorf("rates of a steady flow: %+v", r)
	}
	m.update(at.Add(time.Hour), 599*25, 599, 599*1000)
	if r := m.rates(); r != (Rates{}) {
		t.Errorf("rates after an hour of rest: %+v", r)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := NewEngine(EngineOptions{})
	for _, word := range []string{"site id", "catalog", "chunk store", "service", "source", "codec"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in %v", word, err)
		}
	}
	if _, err := NewLocal(LocalOptions{}); err == nil || !strings.Contains(err.Error(), "served list") {
		t.Errorf("%v", err)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	e := &Engine{}
	for _, err := range []error{
		violated("x"), &localError{}, link.Refuse(link.CodeBusy, "x"), &link.Fault{Kind: link.FaultTimeout},
		&link.Fault{Kind: link.FaultProtocol}, link.Refuse(link.CodeNoService, "x"), link.Refuse(link.CodeDisabled, "x"),
		link.Refuse(link.CodeStarting, "x"), link.Refuse(link.CodeInvalid, "x"), link.Refuse("of a later version", "x"),
	} {
		e.countError(err)
	}
	if c := e.count; c.IntegrityErrors != 2 || c.LocalErrors != 1 || c.RemoteErrors != 3 || c.NetworkErrors != 1 {
		t.Errorf("%+v", c)
	}
}
