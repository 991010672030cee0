package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// shown is what `isgwctl service show NAME -s -o json` says.
type shown struct {
	Status struct {
		State, Mode                   string
		Connected, Synced             bool
		Connections                   float64
		NetworkErrors                 float64
		LocalIoErrors, RemoteIoErrors float64
		LagTargetSeconds              float64
		Slope, DrainSeconds           *float64
		InFlightBytes                 float64
		Send, Receive                 direction
	}
}

type direction struct {
	Requests, Versions, Manifests, Chunks, ChunksSkipped, WireBytes, Throughput float64
	LimitRate                                                                   float64
	LatencySeconds, ProcessingDelaySeconds                                      *float64
	Backlog                                                                     struct {
		LagSeconds, Versions, Bytes *float64
		Estimated                   bool
		Pending, Quarantined        float64
	}
}

// ctl runs isgwctl against the site's node and returns its exit status and output.
func (s *Site) ctl(args ...string) (status int, out string) {
	t := s.env.t
	t.Helper()
	cmd := exec.Command(isgwctl(t), append([]string{"--connect", "unix:" + s.DataDir() + "/admin.sock"}, args...)...)
	raw, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(raw)
	case err != nil:
		t.Fatal(err)
	}
	return 0, string(raw)
}

// show asks for a link as scripts do.
func (s *Site) show(service string) shown {
	t := s.env.t
	t.Helper()
	status, out := s.ctl("service", "show", service, "-s", "-o", "json")
	var got shown
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil {
		t.Fatalf("service show: exit status %d, %v\n%s", status, err, out)
	}
	return got
}

// scrape is all that the node tells Prometheus.
func (s *Site) scrape() string {
	t := s.env.t
	t.Helper()
	res, err := http.Get("http://" + s.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// metric is a number of the node that has no labels.
func (s *Site) metric(name string) float64 {
	t := s.env.t
	t.Helper()
	for line := range strings.Lines(s.scrape()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("metric %s: %v", line, err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// metrics are the numbers of a link that the node tells Prometheus, by name and
// what tells them apart: "link_lag_seconds send".
func (s *Site) metrics(service string) map[string]float64 {
	t := s.env.t
	t.Helper()
	out := map[string]float64{}
	label := regexp.MustCompile(`(direction|kind|state|mode)="([^"]*)"`)
	for line := range strings.Lines(s.scrape()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, "isgw_link_") || !strings.Contains(name, `service="`+service+`"`) {
			continue
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(name, "isgw_"), "{")
		for _, l := range label.FindAllStringSubmatch(name, -1) {
			key += " " + l[2]
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
		out[key] = v
	}
	return out
}

// figures are numbers of a link, by the words that the console has for them. What is
// not known is not among them.
type figures map[string]float64

// figures are the numbers that the command tells, summed up as the console does.
func (s shown) figures() figures {
	st := s.Status
	f := figures{
		"OUT/s": st.Send.Throughput, "IN/s": st.Receive.Throughput, "TARGET": st.LagTargetSeconds, "in flight": st.InFlightBytes,
		"ERRORS": st.NetworkErrors + st.LocalIoErrors + st.RemoteIoErrors,
	}
	for _, d := range []direction{st.Send, st.Receive} {
		b := d.Backlog
		if b.LagSeconds != nil {
			f["LAG"] = max(f["LAG"], *b.LagSeconds)
		}
		if b.Versions != nil && b.Bytes != nil {
			f["BACKLOG"] += *b.Versions
			f["BYTES"] += *b.Bytes
		}
		f["pending"] += b.Pending
		f["quarantined"] += b.Quarantined
	}
	for name, v := range map[string]*float64{"SLOPE": st.Slope, "DRAIN": st.DrainSeconds, "RTT": st.Receive.LatencySeconds} {
		if v != nil {
			f[name] = *v
		}
	}
	return f
}

// inMetrics are the metrics that are one figure.
var inMetrics = map[string]string{
	"OUT/s": "link_throughput_bytes_per_second send", "IN/s": "link_throughput_bytes_per_second receive",
	"SLOPE": "link_backlog_slope", "DRAIN": "link_drain_seconds", "RTT": "link_latency_seconds",
	"TARGET": "link_lag_target_seconds", "in flight": "link_in_flight_bytes",
}

// onLinkPage are the figures below the charts of a link's page.
var onLinkPage = map[string]*regexp.Regexp{
	"BACKLOG":     regexp.MustCompile(`backlog (\S+) versions`),
	"BYTES":       regexp.MustCompile(`backlog \S+ versions ([^\s,]+)`),
	"OUT/s":       regexp.MustCompile(` out (\S+/s)`),
	"IN/s":        regexp.MustCompile(` in (\S+/s)`),
	"in flight":   regexp.MustCompile(`in flight (\S+)`),
	"RTT":         regexp.MustCompile(` rtt (\S+)`),
	"ERRORS":      regexp.MustCompile(` errors (\S+)`),
	"pending":     regexp.MustCompile(` pending (\S+)`),
	"quarantined": regexp.MustCompile(` quarantined (\S+)`),
}

// figures reads the link's numbers off the screen: on the page of links each is
// below its title, flush with its right end.
func (c *console) figures() figures {
	screen := c.text()
	out := figures{}
	take := func(name, text string) {
		if v, ok := read(text); ok {
			out[name] = v
		}
	}
	if strings.Contains(screen, "Links ▸ hawaii") {
		for name, pattern := range onLinkPage {
			if found := pattern.FindStringSubmatch(screen); found != nil {
				take(name, found[1])
			}
		}
		return out
	}
	var header, line []rune
	for text := range strings.Lines(screen) {
		switch {
		case strings.HasPrefix(text, "  ST "):
			header = []rune(text)
		case header != nil && line == nil && strings.Contains(text, "hawaii"):
			line = []rune(text)
		}
	}
	for _, title := range []string{"OUT/s", "IN/s", "LAG", "BACKLOG", "BYTES", "SLOPE", "DRAIN", "RTT", "ERRORS", "TARGET"} {
		at := strings.Index(string(header), " "+title)
		if at < 0 {
			continue
		}
		end := len([]rune(string(header)[:at])) + 1 + len([]rune(title))
		if words := strings.Fields(string(line[:min(end, len(line))])); len(words) > 0 {
			take(title, words[len(words)-1])
		}
	}
	return out
}

// read reads a number as the console writes it: 312, 88.1k, 0B, 41s, ~14m02s, -71/s.
func read(s string) (float64, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "~"), "/s")
	if d, err := time.ParseDuration(s); err == nil {
		return d.Seconds(), true
	}
	s = strings.TrimSuffix(s, "B")
	factor := 1.0
	if i := strings.IndexAny(s, "kMGT"); i >= 0 {
		factor = math.Pow(1000, 1+float64(strings.IndexByte("kMGT", s[i])))
		s = s[:i]
	}
	v, err := strconv.ParseFloat(s, 64)
	return v * factor, err == nil
}

// moments are the figures that the command told in the last seconds.
type moments []moment

type moment struct {
	at time.Time
	figures
}

// atWork is the rate of a link that is at work, in bytes a second.
const atWork = 20_000

// What is on the screen is this old at most, when nothing is in the console's way.
const asOld = 4 * time.Second

// add notes figures and forgets those that are too old.
func (m *moments) add(f figures) {
	*m = slices.DeleteFunc(*m, func(old moment) bool { return time.Since(old.at) > asOld })
	*m = append(*m, moment{time.Now(), f})
}

// differ says which of the named figures are not, as they were told in the last
// seconds. What is coarse is from a screen: it has three digits and takes no notice
// of changes of a few in a hundred, or of a rate of less than 1 KiB/s.
func (m moments) differ(where string, got figures, coarse bool, names ...string) (out []string) {
	for _, name := range names {
		least, most := math.Inf(1), math.Inf(-1)
		for _, then := range m {
			if v, ok := then.figures[name]; ok {
				least, most = min(least, v), max(most, v)
			}
		}
		slack := 0.0
		if coarse {
			slack = 0.06 * max(math.Abs(least), math.Abs(most))
			switch name {
			case "OUT/s", "IN/s":
				slack += 1024
			case "LAG", "DRAIN":
				slack += 0.5
			case "SLOPE":
				slack += 0.06
			case "RTT":
				slack += 0.001
			case "BACKLOG", "ERRORS", "TARGET", "pending", "quarantined": // small enough to be exact
				slack = 0
			}
		}
		if v, ok := got[name]; !ok || !within(v, least, most, slack) {
			out = append(out, fmt.Sprintf("%s: %v (%v) %s, and %v to %v by the command", name, v, ok, where, least, most))
		}
	}
	return out
}

// within says whether v is between a and b, whichever is the greater, or as far
// outside as slack.
func within(v, a, b, slack float64) bool {
	return v >= min(a, b)-slack && v <= max(a, b)+slack
}

// agree waits until the screen and the metrics of a site have the figures that the
// command told in the last seconds, in which the link was at work: when it has nothing
// to do any more one rate is much like the other.
func (c *console) agree(s *Site, names ...string) {
	t := c.e.t
	t.Helper()
	var recent moments
	differ := []string{"nothing was told"}
	defer func() {
		if t.Failed() {
			t.Logf("%s: %s", s.Name, strings.Join(differ, "\n"))
		}
	}()
	c.e.Eventually(fmt.Sprintf("the screen of %s shows %v as the command tells them", s.Name, names), func() bool {
		recent.add(s.show("hawaii").figures())
		seen, measured := c.figures(), figures{}
		m := s.metrics("hawaii")
		now := s.show("hawaii").figures()
		recent.add(now)
		var both []string
		for _, name := range names {
			if metric := inMetrics[name]; metric != "" {
				both = append(both, name)
				if v, ok := m[metric]; ok {
					measured[name] = v
				}
			}
		}
		differ = append(recent.differ("on the screen", seen, true, names...), recent.differ("in the metrics", measured, false, both...)...)
		if max(now["OUT/s"], now["IN/s"]) < atWork {
			differ = append(differ, "the link has nothing to do any more")
		}
		// The screen had the time to show what was told first.
		return time.Since(recent[0].at) > asOld/2 && len(differ) == 0
	})
	t.Logf("%s shows %v", s.Name, c.figures())
}

// TestNumbersAgree reads a link's numbers off the console's screens, from
// `service show -s -o json` and from the metrics, while it works and at rest.
func TestNumbersAgree(t *testing.T) {
	const objects = 90
	t.Parallel() // it mostly waits
	e, a, b, l := twoSites(t, SiteOptions{})
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	receiver := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+b.DataDir()+"/admin.sock")
	for _, c := range []*console{c, receiver} {
		c.shows("HEALTHY")
		c.keys("2")
		c.shows("[2 Links]", "hawaii")
	}
	receiver.keys("\r")
	receiver.shows("Links ▸ hawaii")
	e.mustPut(a, "first", []byte("value"))
	l.WaitSynced()
	// A target that is near, so that the time to drain is of interest soon.
	if status, out := a.ctl("service", "edit", "hawaii", "--lag-target", "4s"); status != 0 {
		t.Fatalf("edit: exit status %d\n%s", status, out)
	}
	l.Cut() // so that there are errors to be counted
	c.shows(" X down ")
	l.Restore()
	l.WaitSynced()

	// While it works: what only rises, or only falls, is between what was read
	// before and after. The link is so slow that it works for as long as this takes.
	l.Slow(60)
	for i := range objects {
		e.mustPut(a, fmt.Sprintf("key-%03d", i), randomBytes(uint64(i), 100<<10))
	}
	var before shown
	e.Eventually("the link carries", func() bool {
		before = a.show("hawaii")
		v := before.Status.Send.Backlog.Versions
		return v != nil && *v > 5 && before.Status.Send.Throughput > atWork
	})
	c.agree(a, "OUT/s", "LAG", "BACKLOG", "DRAIN")
	c.keys("w")
	c.agree(a, "IN/s", "BYTES", "SLOPE", "RTT", "ERRORS", "TARGET")
	receiver.agree(b, "BACKLOG", "BYTES", "OUT/s", "IN/s", "in flight", "RTT", "ERRORS", "pending", "quarantined")
	m := a.metrics("hawaii")
	after := a.show("hawaii")
	if after.Status.Send.Backlog.Versions == nil {
		t.Fatalf("the link is gone: %+v", after)
	}
	if v, w := *before.Status.Send.Backlog.Versions, *after.Status.Send.Backlog.Versions; !within(m["link_backlog_versions send"], v, w, 0) || w == v {
		t.Errorf("the backlog was %v versions, by the metrics %v, and then it was %v", v, m["link_backlog_versions send"], w)
	}
	if v, w := before.Status.Send.WireBytes, after.Status.Send.WireBytes; !within(m["link_wire_bytes_total send"], v, w, 0) || w == v {
		t.Errorf("%v bytes were sent, by the metrics %v, and then %v", v, m["link_wire_bytes_total send"], w)
	}
	if lag := after.Status.Send.Backlog.LagSeconds; lag == nil || !within(m["link_lag_seconds send"], *lag, *lag, 3) {
		t.Errorf("the lag is %v, by the metrics %v", lag, m["link_lag_seconds send"])
	}

	// At rest they are the same, and with a limit in each direction.
	limits := map[string]float64{"send": 64 << 20, "receive": 32 << 20}
	if status, out := a.ctl("service", "edit", "hawaii", "--send-limit", "64MiB/s", "--receive-limit", "32MiB/s"); status != 0 {
		t.Fatalf("edit: exit status %d\n%s", status, out)
	}
	l.Slow(0)
	e.mustPut(b, "of-beta", []byte("value"))
	l.WaitSynced()
	last := objects - 1
	e.mustHave(b, fmt.Sprintf("key-%03d", last), randomBytes(uint64(last), 100<<10))
	c.keys("w")
	var s shown
	var r figures
	e.Eventually("all show the link at rest", func() bool {
		s, m, r = a.show("hawaii"), a.metrics("hawaii"), c.figures()
		lag, ok := r["LAG"]
		return ok && c.has("ok synced") && s.Status.Synced && m["link_synced"] == 1 && lag == 0 && s.Status.Send.Throughput < atWork && r["OUT/s"] < atWork
	})
	var differ []string
	same := func(name string, values ...float64) {
		for _, v := range values[1:] {
			if v != values[0] || math.IsNaN(v) {
				differ = append(differ, fmt.Sprintf("%s: %v", name, values))
				return
			}
		}
	}
	one := func(v *float64) float64 {
		if v == nil {
			return math.NaN()
		}
		return *v
	}
	e.Eventually("all numbers agree", func() bool {
		// Both are read at nearly one time; what moves in between is read again.
		s, m, differ = a.show("hawaii"), a.metrics("hawaii"), nil
		r = c.figures()
		st := s.Status
		for word, d := range map[string]direction{"send": st.Send, "receive": st.Receive} {
			same("lag "+word, one(d.Backlog.LagSeconds), m["link_lag_seconds "+word])
			same("backlog "+word, one(d.Backlog.Versions), m["link_backlog_versions "+word])
			same("backlog bytes "+word, one(d.Backlog.Bytes), m["link_backlog_bytes "+word])
			estimated := 0.0
			if d.Backlog.Estimated {
				estimated = 1
			}
			same("estimated "+word, estimated, m["link_backlog_estimated "+word])
			same("requests "+word, d.Requests, m["link_requests_total "+word])
			same("pending "+word, d.Backlog.Pending, m["link_pending_versions "+word])
			same("versions "+word, d.Versions, m["link_versions_total "+word])
			same("manifests "+word, d.Manifests, m["link_manifests_total "+word])
			same("chunks "+word, d.Chunks, m["link_chunks_total "+word])
			same("limit "+word, d.LimitRate, m["link_limit_bytes_per_second "+word], limits[word])
		}
		same("quarantined", st.Receive.Backlog.Quarantined, m["link_quarantined_versions receive"])
		same("skipped", st.Receive.ChunksSkipped, m["link_chunks_skipped_total receive"])
		same("processing delay", one(st.Receive.ProcessingDelaySeconds), m["link_processing_delay_seconds"])
		same("slope", one(st.Slope), m["link_backlog_slope"])
		same("time to drain", one(st.DrainSeconds), m["link_drain_seconds"], 0)
		same("backlog on the screen", r["BACKLOG"], one(st.Send.Backlog.Versions)+one(st.Receive.Backlog.Versions))
		same("network errors", st.NetworkErrors, m["link_errors_total network"])
		same("local errors", st.LocalIoErrors, m["link_errors_total local"])
		same("remote errors", st.RemoteIoErrors, m["link_errors_total remote"])
		same("connections", st.Connections, m["link_connections"])
		same("the mode "+st.Mode, 1, m["link_info "+st.Mode])
		same("the state "+st.State, 1, m["link_state "+strings.ToLower(strings.TrimPrefix(st.State, "SERVICE_STATE_"))], m["link_connected"], m["link_synced"])
		if wire := m["link_wire_bytes_total send"]; !within(wire, s.Status.Send.WireBytes, a.show("hawaii").Status.Send.WireBytes, 0) {
			differ = append(differ, fmt.Sprintf("bytes sent: %v, and around that %v", wire, s.Status.Send.WireBytes))
		}
		if len(differ) > 0 {
			t.Logf("not yet the same: %v", differ)
		}
		return len(differ) == 0
	})
	if s.Status.Send.Chunks == 0 || s.Status.Send.Versions == 0 || s.Status.NetworkErrors == 0 || m["link_wire_bytes_total send"] < objects*100<<10 {
		t.Errorf("the numbers agree on nothing: %+v", s.Status)
	}
}

// TestVerdictIsTheExitStatus brings a link into each state and compares the
// first line of the console's Home with the exit status of `status --check`.
func TestVerdictIsTheExitStatus(t *testing.T) {
	t.Parallel()
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{}), e.Start("beta", SiteOptions{})
	ctx := e.Context()
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	agree := func(state string, healthy bool, words ...string) {
		t.Helper()
		want, sentence := 8, "NOT HEALTHY"
		if healthy {
			want, sentence = 0, "ok HEALTHY"
		}
		var got int
		var out string
		e.Eventually("the console and the command agree that the site is "+state, func() bool {
			got, out = a.ctl("status", "--check")
			if got != want || !c.has(sentence) || healthy && c.has("NOT HEALTHY") {
				return false
			}
			for _, w := range words {
				if !strings.Contains(out, w) {
					return false
				}
			}
			// It stays so: the two were not read in a moment of change.
			again, _ := a.ctl("status", "--check")
			return again == want && c.has(sentence)
		})
	}
	agree("without links", true)
	if _, err := a.Admin.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "lonely"}); err != nil {
		t.Fatal(err)
	}
	agree("unpaired", false, "unpaired")
	if _, err := a.Admin.Services.SetEnabled(ctx, "lonely", false); err != nil {
		t.Fatal(err)
	}
	agree("disabled", true, "disabled")
	if err := a.Admin.Services.Delete(ctx, "lonely"); err != nil {
		t.Fatal(err)
	}
	l := e.Link("hawaii", a, b, bucketPath)
	e.mustPut(a, "key", []byte("value"))
	l.WaitSynced()
	agree("in sync", true, "synced")

	// Lagging: what is to be sent takes longer than the target.
	target := 0.5
	edit := &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", LagTargetSeconds: &target}}}
	plan, err := a.Admin.Plans.Plan(ctx, edit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Admin.Plans.Apply(ctx, &adminpb.ApplyRequest{Plan: plan}); err != nil {
		t.Fatal(err)
	}
	l.WaitSynced()
	l.Slow(20)
	for i := range 8 {
		e.mustPut(a, fmt.Sprintf("slow-%d", i), randomBytes(uint64(i), 100<<10))
	}
	agree("lagging", false, "lagging")
	l.Slow(0)
	l.WaitSynced()
	agree("in sync again", true, "synced")

	l.Cut()
	agree("down", false, "down")
	if _, err := a.Admin.Services.SetEnabled(ctx, "hawaii", false); err != nil {
		t.Fatal(err)
	}
	agree("disabled while it is down", true, "disabled")
	if _, err := a.Admin.Services.SetEnabled(ctx, "hawaii", true); err != nil {
		t.Fatal(err)
	}
	agree("down again", false, "down")
	l.Restore()
	l.WaitSynced()
	agree("healed", true, "synced")
}
