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
	"strconv"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// shown is what `isgwctl service show NAME -s -o json` says.
type shown struct {
	Status struct {
		State                         string
		Connected, Synced             bool
		Connections                   float64
		NetworkErrors                 float64
		LocalIoErrors, RemoteIoErrors float64
		LagTargetSeconds              float64
		Slope, DrainSeconds           *float64
		Send, Receive                 direction
	}
}

type direction struct {
	Versions, Manifests, Chunks, ChunksSkipped, WireBytes, Throughput float64
	LimitRate                                                         float64
	Backlog                                                           struct {
		LagSeconds, Versions, Bytes *float64
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

// metrics are the numbers of a link that the node tells Prometheus, by name and
// what tells them apart: "link_lag_seconds send".
func (s *Site) metrics(service string) map[string]float64 {
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
	out := map[string]float64{}
	label := regexp.MustCompile(`(direction|kind|state)="([^"]*)"`)
	for line := range strings.Lines(string(raw)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, "isgw_link_") || !strings.Contains(name, `service="`+service+`"`) {
			continue
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(name, "isgw_"), "{")
		for _, l := range label.FindAllStringSubmatch(name, -1) {
			key += " " + l[2]
		}
		if out[key], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
	}
	return out
}

// row is the line of the link on the console's page of links.
type row struct {
	out, backlog float64
	lag          string
}

// row reads the link's numbers off the screen, each below its title: they are
// flush with its right end.
func (c *console) row() (row, bool) {
	var header, line []rune
	for text := range strings.Lines(c.text()) {
		switch {
		case strings.Contains(text, "BACKLOG"):
			header = []rune(text)
		case header != nil && line == nil && strings.Contains(text, "hawaii"):
			line = []rune(text)
		}
	}
	under := func(title string) string {
		at := strings.Index(string(header), title)
		if at < 0 {
			return ""
		}
		end := len([]rune(string(header)[:at])) + len([]rune(title))
		words := strings.Fields(string(line[:min(end, len(line))]))
		if len(words) == 0 {
			return ""
		}
		return words[len(words)-1]
	}
	if header == nil || line == nil {
		return row{}, false
	}
	return row{scaled(under("OUT/s")), scaled(under("BACKLOG")), under("LAG")}, true
}

// scaled reads a number as the console writes it: 312, 88.1k, 1.2M, 0B.
func scaled(s string) float64 {
	s = strings.TrimSuffix(s, "B")
	factor := 1.0
	if i := strings.IndexAny(s, "kMGT"); i >= 0 {
		factor = math.Pow(1000, 1+float64(strings.IndexByte("kMGT", s[i])))
		s = s[:i]
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v * factor
}

// within says whether v is between a and b, whichever is the greater, or as far
// outside as slack.
func within(v, a, b, slack float64) bool {
	return v >= min(a, b)-slack && v <= max(a, b)+slack
}

// TestNumbersAgree reads a link's numbers off the console's screen, from
// `service show -s -o json` and from the metrics, while it works and at rest.
func TestNumbersAgree(t *testing.T) {
	t.Parallel() // it mostly waits
	e, a, b, l := twoSites(t, SiteOptions{})
	c := e.openConsole([]string{"SSH_CONNECTION="}, "--connect", "unix:"+a.DataDir()+"/admin.sock")
	c.shows("HEALTHY")
	c.keys("2")
	c.shows("[2 Links]", "hawaii")
	e.mustPut(a, "first", []byte("value"))
	l.WaitSynced()

	// While it works: what only rises, or only falls, is between what was read
	// before and after. The link is so slow that it works for as long as this takes.
	l.Slow(30)
	for i := range 24 {
		e.mustPut(a, fmt.Sprintf("key-%02d", i), randomBytes(uint64(i), 100<<10))
	}
	var before shown
	e.Eventually("the link carries", func() bool {
		before = a.show("hawaii")
		v := before.Status.Send.Backlog.Versions
		return v != nil && *v > 5 && before.Status.Send.Throughput > 20_000
	})
	// The throughput rises and falls, and the screen is a little behind: it is read
	// before and after in moments, until it was between them.
	var out [3]float64
	e.Eventually("the screen shows the throughput", func() bool {
		out[0] = a.show("hawaii").Status.Send.Throughput
		r, ok := c.row()
		out[1], out[2] = r.out, a.show("hawaii").Status.Send.Throughput
		return ok && out[0] > 20_000 && within(out[1], out[0], out[2], max(out[0], out[2])/4)
	})
	t.Logf("the throughput was %.0f B/s, the screen showed %.0f, and then it was %.0f", out[0], out[1], out[2])
	began := c.written()
	until := time.Now().Add(3 * time.Second)
	e.Eventually("the screen has been renewed", func() bool { return time.Now().After(until) && c.written() > began })
	r, ok := c.row()
	m := a.metrics("hawaii")
	after := a.show("hawaii")
	if !ok || after.Status.Send.Backlog.Versions == nil {
		t.Fatalf("the screen has the row %v, %v; then came %+v", r, ok, after)
	}
	if v, w := *before.Status.Send.Backlog.Versions, *after.Status.Send.Backlog.Versions; !within(r.backlog, v, w, 0) || !within(m["link_backlog_versions send"], v, w, 0) || w == v {
		t.Errorf("the backlog was %v versions, the screen showed %v, the metrics %v, and then it was %v", v, r.backlog, m["link_backlog_versions send"], w)
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
	l.WaitSynced()
	e.mustHave(b, "key-23", randomBytes(23, 100<<10))
	var s shown
	e.Eventually("all show the link at rest", func() bool {
		s, m = a.show("hawaii"), a.metrics("hawaii")
		r, ok = c.row()
		return ok && c.has("ok synced") && s.Status.Synced && m["link_synced"] == 1 && r.lag == "0s" && s.Status.Send.Throughput < 2000 && r.out < 4000
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
		r, _ = c.row()
		st := s.Status
		for word, d := range map[string]direction{"send": st.Send, "receive": st.Receive} {
			same("lag "+word, one(d.Backlog.LagSeconds), m["link_lag_seconds "+word])
			same("backlog "+word, one(d.Backlog.Versions), m["link_backlog_versions "+word])
			same("backlog bytes "+word, one(d.Backlog.Bytes), m["link_backlog_bytes "+word])
			same("pending "+word, d.Backlog.Pending, m["link_pending_versions "+word])
			same("versions "+word, d.Versions, m["link_versions_total "+word])
			same("manifests "+word, d.Manifests, m["link_manifests_total "+word])
			same("chunks "+word, d.Chunks, m["link_chunks_total "+word])
			same("limit "+word, d.LimitRate, m["link_limit_bytes_per_second "+word], limits[word])
		}
		same("quarantined", st.Receive.Backlog.Quarantined, m["link_quarantined_versions receive"])
		same("skipped", st.Receive.ChunksSkipped, m["link_chunks_skipped_total receive"])
		same("slope", one(st.Slope), m["link_backlog_slope"])
		same("time to drain", one(st.DrainSeconds), m["link_drain_seconds"], 0)
		same("backlog on the screen", r.backlog, one(st.Send.Backlog.Versions)+one(st.Receive.Backlog.Versions))
		same("network errors", st.NetworkErrors, m["link_errors_total network"])
		same("local errors", st.LocalIoErrors, m["link_errors_total local"])
		same("remote errors", st.RemoteIoErrors, m["link_errors_total remote"])
		same("connections", st.Connections, m["link_connections"])
		same("the state "+st.State, 1, m["link_state "+strings.ToLower(strings.TrimPrefix(st.State, "SERVICE_STATE_"))], m["link_connected"], m["link_synced"])
		if wire := m["link_wire_bytes_total send"]; !within(wire, s.Status.Send.WireBytes, a.show("hawaii").Status.Send.WireBytes, 0) {
			differ = append(differ, fmt.Sprintf("bytes sent: %v, and around that %v", wire, s.Status.Send.WireBytes))
		}
		if len(differ) > 0 {
			t.Logf("not yet the same: %v", differ)
		}
		return len(differ) == 0
	})
	if s.Status.Send.Chunks == 0 || s.Status.Send.Versions == 0 || m["link_wire_bytes_total send"] < 24*100<<10 {
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
