package tui

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// rowOf is the first row of the screen that contains a text, -1: none does.
func (s *still) rowOf(text string) int {
	return slices.IndexFunc(strings.Split(s.screenOf(), "\n"), func(line string) bool { return strings.Contains(line, text) })
}

// The small charts are of half a minute a point; what stands beside them as the
// figure of now is what the links say now.
func TestNowIsNow(t *testing.T) {
	s := healthy()
	l := s.Links[0]
	l.OutRate, l.LagSeconds, l.BacklogVersions = some(77e6), some(0.2), some(uint64(5))
	l.SparkOut, l.SparkLag, l.SparkBacklog = sparks(ramp(0, 2e6)), sparks(ramp(0, 143)), sparks(ramp(0, 3700))
	still := newStill(t, s, Options{}).size(80, 24)
	for _, want := range []struct{ name, now, peak string }{{"out", "77M/s", "77M/s"}, {"lag max", "0.2s", "2m23s"}, {"backlog", "5", "3.7k"}} {
		row := strings.Fields(strings.Split(still.screenOf(), "\n")[still.rowOf(" "+want.name+"  ")])
		if got := row[len(row)-2:]; got[0] != want.now || got[1] != want.peak {
			t.Errorf("%s is %v, want %s and %s", want.name, got, want.now, want.peak)
		}
	}
	l.OutRate, l.SparkOut = nil, nil
	if text := newStill(t, s, Options{}).size(80, 24).screenOf(); strings.Contains(text, "-/s") {
		t.Errorf("a rate that is not known is written as a rate:\n%s", text)
	}
}

// A link that keeps up is synced and behind by turns, which moves nothing.
func TestOverviewStandsStill(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {140, 40}} {
		rows := map[string]int{}
		for _, cause := range []string{"", "the other site has not taken everything yet"} {
			s := healthy()
			s.Links[0].Cause = cause
			rows[cause] = newStill(t, s, Options{}).press("2", "enter").size(size[0], size[1]).rowOf("throughput")
		}
		if rows[""] < 0 || rows[""] != rows["the other site has not taken everything yet"] {
			t.Errorf("at %v the charts begin at %v", size, rows)
		}
	}
}

func TestBucketBehindWithinTheTarget(t *testing.T) {
	at := func(lag, target float64) string {
		text, _ := bucketState(&adminpb.BucketStatus{State: "behind", Send: &adminpb.Backlog{LagSeconds: &lag}}, target, 40)
		return text
	}
	for _, c := range []struct {
		lag, target float64
		want        string
	}{{0.3, 30, ".. behind"}, {30, 30, ".. behind"}, {31, 30, "!  behind"}, {1, 0, "!  behind"}} {
		if got := at(c.lag, c.target); got != c.want {
			t.Errorf("%v of %v: %q, want %q", c.lag, c.target, got, c.want)
		}
	}
}

// What a notice says to do is at its end, and seen on a narrow terminal too.
func TestLongNotices(t *testing.T) {
	s := newStill(t, healthy(), Options{}).size(60, 16)
	s.say("profiles cannot be kept from here; isgwctl profile add keeps one, and isgwctl profile list shows it")
	if text := strings.Join(strings.Fields(s.screenOf()), " "); !strings.Contains(text, "isgwctl profile add keeps one, and isgwctl profile list shows it") {
		t.Errorf("a notice is cut off:\n%s", s.screenOf())
	}
	s.say(strings.Repeat("word ", 100))
	if text := s.screenOf(); strings.Count(text, "word") > 36 || !strings.Contains(text, "…") {
		t.Errorf("a notice has no bound:\n%s", text)
	}
}

func TestHelpOfHomeWithoutAlerts(t *testing.T) {
	if text := newStill(t, healthy(), Options{}).press("?").screenOf(); strings.Contains(text, "down, up") {
		t.Errorf("keys that move in a list that is not there:\n%s", text)
	}
}

func TestAlertWithoutNextStep(t *testing.T) {
	s := unhealthy()
	s.Alerts[0].NextStep = ""
	for ascii, want := range map[bool]string{false: "↵ opens the link", true: "enter opens the link"} {
		if text := newStill(t, s, Options{ASCII: ascii}).screenOf(); !strings.Contains(text, want) {
			t.Errorf("nothing says what to do:\n%s", text)
		}
	}
}

// Where there is no room for axes, and the buckets need none, there are small charts.
func TestOverviewOfAShortTerminal(t *testing.T) {
	s := healthy()
	s.Links[0].Serves = s.Links[0].Serves[:1]
	still := newStill(t, s, Options{})
	still.press("2", "enter").size(60, 16)
	still.seen().(*linkPage).buckets.SetRows(serviceOf("maui").GetStatus().GetBuckets()[:1])
	if text := still.screenOf(); !strings.Contains(text, "15 min") {
		t.Errorf("no small charts:\n%s", text)
	}
}

func TestQuarantineNamesTheCommand(t *testing.T) {
	s := healthy()
	s.Links[0].Quarantined = 3
	text := strings.Join(strings.Fields(newStill(t, s, Options{}).press("2", "enter", "tab", "tab").screenOf()), " ")
	if !strings.Contains(text, "isgwctl link failed "+s.Links[0].GetName()) {
		t.Errorf("nothing says how to see the versions:\n%s", text)
	}
}

// A plan that could not be made cannot be applied, and offers no key for it.
func TestNoPlanNoApply(t *testing.T) {
	s := newStill(t, healthy(), Options{})
	s.node.set(func(n *fakeNode) { n.down = true })
	if text := s.press("2", "p").screenOf(); !strings.Contains(text, "plan again") || strings.Contains(text, "a apply") {
		t.Errorf("what to do with no plan:\n%s", text)
	}
}

// A long list of alerts leaves room for what else Home tells, says how long it is,
// and moves nothing while one goes through it.
func TestManyAlerts(t *testing.T) {
	s := unhealthy()
	for i := range 30 {
		a := &adminpb.Alert{Severity: adminpb.Severity_SEVERITY_WARNING, Glyph: "!", Word: "no remote", Service: fmt.Sprint("link", i), Key: fmt.Sprint("link/", i), Cause: "short"}
		if i%2 == 0 {
			a.Cause = "no remote is set, and no paired site has connected for this service yet"
			a.NextStep = "create the service of the same name at the other site with --remote ccow://HOST:PORT of the link endpoint here"
		}
		s.Alerts = append(s.Alerts, a)
	}
	st := newStill(t, s, Options{}).size(80, 24)
	sites := st.rowOf("SITES")
	for range 3 {
		text := st.press("j").screenOf()
		if !strings.Contains(text, "-4 of 32") && !strings.Contains(text, "2-5 of 32") || !strings.Contains(text, "maui     ") || st.rowOf("SITES") != sites {
			t.Fatalf("SITES is in row %d:\n%s", st.rowOf("SITES"), text)
		}
	}
	for i := range 9 {
		s.Sites = append(s.Sites, &adminpb.ConsoleSite{Name: fmt.Sprint("site", i), SiteId: fmt.Sprint(i), Links: 1})
	}
	if text := newStill(t, s, Options{}).size(80, 24).screenOf(); !strings.Contains(text, "SITES 4 of 13") {
		t.Errorf("sites are left out and nothing says so:\n%s", text)
	}
	s.Sites = s.Sites[:4]
	if text := st.press("G").screenOf(); !strings.Contains(text, "32 of 32") {
		t.Errorf("the end of the list does not say so:\n%s", text)
	}
	if text := st.size(140, 40).screenOf(); !strings.Contains(text, "all links, throughput") {
		t.Errorf("no charts on a wide terminal:\n%s", text)
	}
}

// Beside Home, what is wrong comes first.
func TestLinksBesideHome(t *testing.T) {
	text := newStill(t, unhealthy(), Options{}).size(140, 40).screenOf()
	_, links, _ := strings.Cut(text, "┌ links 4")
	if strings.Index(links, "X   kauai-cold") > strings.Index(links, "ok  big-island") {
		t.Errorf("a link that failed is below one that does not:\n%s", text)
	}
}

func TestBucketStatesAreKnown(t *testing.T) {
	for _, state := range []string{"waiting", "copying", "behind", "synced", "stalled", "one-way", "copied", "paused"} {
		if text, _ := bucketState(&adminpb.BucketStatus{State: state}, 30, 40); strings.HasPrefix(text, "?") {
			t.Errorf("%s is written as not known: %q", state, text)
		}
	}
	if text, _ := bucketState(&adminpb.BucketStatus{State: "upside-down"}, 30, 40); !strings.HasPrefix(text, "?") {
		t.Errorf("a state that is not known is %q", text)
	}
}

// A node that has just started has no whole point of its small charts: they end
// with the present all the same.
func TestChartsOfANodeThatHasJustStarted(t *testing.T) {
	s := healthy()
	none := sparks(func(int) float64 { return math.NaN() })
	l := s.Links[0]
	l.SparkOut, l.SparkIn, l.SparkLag, l.SparkBacklog = none, none, none, none
	if text := newStill(t, s, Options{}).size(80, 24).screenOf(); strings.Count(text, "█") < 1 {
		t.Errorf("nothing is drawn of what is known:\n%s", text)
	}
	if text := newStill(t, s, Options{}).size(140, 40).screenOf(); strings.Contains(text, "nothing is known") {
		t.Errorf("it is said that nothing is known:\n%s", text)
	}
	l.OutRate = nil
	if got := upToNow([]float64{1, math.NaN()}, together(s.Links, outRate, math.Max)); !math.IsNaN(got[1]) {
		t.Errorf("what nobody knows is drawn as %v", got[1])
	}
	if got := upToNow([]float64{1, 2}, 7); got[1] != 2 {
		t.Errorf("a point that is known became %v", got[1])
	}
}
