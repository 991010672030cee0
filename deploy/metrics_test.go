package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/testenv"
)

// ruleGroups is a file of Prometheus rules.
type ruleGroups struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

const rulesFile = "prometheus/isgw.rules.yml"

func alerts(t *testing.T) []rule {
	t.Helper()
	file, err := os.Open(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var groups ruleGroups
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&groups); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("%s has %d rules", rulesFile, len(all))
	}
	return all
}

// panel is what is looked at of a panel of a dashboard.
type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr, RefID string }
}

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Panels []panel
}

const dashboardFile = "grafana/isgw.json"

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	return d
}

// inRules puts a value in for everything of an expression that Grafana does.
var inRules = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$service", ".*")

// TestPrometheusFiles has Prometheus read the example, the rules and every
// expression of the dashboard, and try the rules on made-up series.
func TestPrometheusFiles(t *testing.T) {
	promtool := tool(t, "promtool", "prometheus")
	check := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "FAILED") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	check("prometheus", "check", "config", "prometheus.yml")
	check("prometheus", "test", "rules", "isgw.rules.test.yml")

	tests, err := os.ReadFile("prometheus/isgw.rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts(t) {
		if n := strings.Count(string(tests), "alertname: "+r.Alert+"\n        exp_alerts:"); n == 0 {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}

	type recorded struct{ Record, Expr string }
	var expressions []recorded
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, recorded{fmt.Sprintf("panel_%d_%s", p.ID, target.RefID), inRules.Replace(target.Expr)})
		}
	}
	raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": expressions}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	check(dir, "check", "rules", "rules.yml")
}

// TestAlertsAreExplained wants of each alert its severity, its sentences, and a
// section of the manual that says what to do.
func TestAlertsAreExplained(t *testing.T) {
	const page = "../docs/monitoring.md"
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	manual := string(raw)
	for _, r := range alerts(t) {
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no summary or description", r.Alert)
		}
		_, section, ok := strings.Cut(manual, "\n### "+r.Alert+"\n")
		section, _, _ = strings.Cut(section, "\n#")
		if !ok || len(section) < 80 {
			t.Errorf("%s does not say what to do on %s", page, r.Alert)
		}
		manual = strings.Replace(manual, "\n### "+r.Alert+"\n", "\n", 1)
	}
	if strings.Contains(manual, "\n### Isgw") {
		t.Errorf("%s explains alerts that do not exist", page)
	}
}

// TestDashboardIsWhole wants panels with titles and words, none over another.
func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 20 {
		t.Errorf("%+v", d)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d %q: %d targets, %q", p.ID, p.Title, len(p.Targets), p.Description)
		}
		ids[p.ID] = true
		if p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H < 1 {
			t.Errorf("panel %q lies outside", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q lies on %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

var (
	sampleLine = regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? [^ ]+$`)
	sampleName = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// scraped are the metrics that a node exposes: the values of each label, by the
// name of the metric and the label.
type scraped map[string]map[string][]string

func (s scraped) scrape(t *testing.T, address string) {
	t.Helper()
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %d, %v", res.StatusCode, err)
	}
	for _, line := range sampleLine.FindAllStringSubmatch(string(raw), -1) {
		if s[line[1]] == nil {
			s[line[1]] = map[string][]string{}
		}
		for _, label := range sampleName.FindAllStringSubmatch(line[2], -1) {
			s[line[1]][label[1]] = append(s[line[1]][label[1]], label[2])
		}
	}
}

var (
	usedMetric  = regexp.MustCompile(`\b(isgw_[a-z0-9_]+|process_[a-z_]+|go_[a-z_]+|up)\b(?:\{([^}]*)\})?`)
	usedMatcher = regexp.MustCompile(`([a-z_]+)(=~|!~|=|!=)"([^"]*)"`)
	usedBy      = regexp.MustCompile(`\b(?:by|on|group_left) \(([^)]*)\)`)
	usedLegend  = regexp.MustCompile(`\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}`)
)

// given are labels that Prometheus adds: its own, and the one of the example.
var given = []string{"job", "instance", "site"}

// problems says what an expression uses that a node does not expose.
func (s scraped) problems(expr string) []string {
	var out []string
	uses := usedMetric.FindAllStringSubmatch(expr, -1)
	if len(uses) == 0 {
		out = append(out, "it uses no metric")
	}
	known := slices.Clone(given)
	for _, use := range uses {
		name, matchers := use[1], use[2]
		labels, ok := s[name]
		if !ok && name != "up" {
			out = append(out, "there is no metric "+name)
			continue
		}
		for label := range labels {
			known = append(known, label)
		}
		for _, m := range usedMatcher.FindAllStringSubmatch(matchers, -1) {
			label, value := m[1], m[3]
			values, ok := labels[label]
			switch {
			case slices.Contains(given, label):
			case !ok:
				out = append(out, name+" has no label "+label)
			case label == "state":
				for _, word := range strings.Split(value, "|") {
					if _, ok := adminpb.ServiceState_value["SERVICE_STATE_"+strings.ToUpper(word)]; !ok {
						out = append(out, "there is no state "+word)
					}
				}
			case label == "direction" || label == "kind":
				for _, word := range strings.Split(value, "|") {
					if !slices.Contains(values, word) {
						out = append(out, fmt.Sprintf("%s of %s is never %q", label, name, word))
					}
				}
			}
		}
	}
	for _, by := range usedBy.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.FieldsFunc(by[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(known, label) {
				out = append(out, "nothing in it has the label "+label)
			}
		}
	}
	return out
}

// TestMetricsExist compares what alerts and dashboard use with what a pair of
// nodes exposes while a link between them is at work.
func TestMetricsExist(t *testing.T) {
	env := testenv.New(t)
	a, b := env.Start("alpha", testenv.SiteOptions{}), env.Start("beta", testenv.SiteOptions{})
	a.Create("Hawaii", "Hawaii/Cola", "Hawaii/Cola/bk1")
	b.Create("Hawaii", "Hawaii/Cola")
	link := env.Link("hawaii", a, b, "Hawaii/Cola/bk1")
	link.WaitSynced() // of what a first copy brings no delay is known
	if err := a.Put("Hawaii/Cola", "bk1", "key", []byte(strings.Repeat("content", 1000))); err != nil {
		t.Fatal(err)
	}
	link.WaitSynced()
	s := scraped{}
	s.scrape(t, a.MetricsAddress())
	s.scrape(t, b.MetricsAddress())

	for _, r := range alerts(t) {
		for _, problem := range s.problems(r.Expr) {
			t.Errorf("%s: %s", r.Alert, problem)
		}
		// An alert's sentences name labels that it has.
		for _, text := range r.Annotations {
			for _, m := range usedLegend.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(append(s.labels(r.Expr), given...), m[1]) {
					t.Errorf("%s: nothing in it has the label %s", r.Alert, m[1])
				}
			}
		}
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, problem := range s.problems(inRules.Replace(target.Expr)) {
				t.Errorf("panel %q: %s", p.Title, problem)
			}
		}
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			for _, problem := range s.problems(inRules.Replace(v.Definition)) {
				t.Errorf("variable %s: %s", v.Name, problem)
			}
		}
	}
	// Every metric of the node is of use to somebody, or is explained.
	raw, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range s {
		if strings.HasPrefix(name, "isgw_") && !strings.Contains(string(raw), "`"+name+"`") {
			t.Errorf("docs/monitoring.md does not have %s", name)
		}
	}
	source, err := os.ReadFile("../cluster/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		for _, m := range regexp.MustCompile("`isgw_([a-z_]+)`").FindAllStringSubmatch(line, -1) {
			// What is absent at times may be so now.
			absent := strings.Contains(line, "absent") && strings.Contains(string(source), `desc("`+m[1]+`"`)
			if s["isgw_"+m[1]] == nil && !absent {
				t.Errorf("docs/monitoring.md has isgw_%s, and no node does", m[1])
			}
		}
	}
}

// labels are those of the metrics that an expression uses.
func (s scraped) labels(expr string) []string {
	var all []string
	for _, use := range usedMetric.FindAllStringSubmatch(expr, -1) {
		for label := range s[use[1]] {
			all = append(all, label)
		}
	}
	return all
}

// TestProblemsAreFound plants faults, so that the comparison cannot pass by
// matching nothing.
func TestProblemsAreFound(t *testing.T) {
	s := scraped{
		"isgw_link_lag_seconds": {"service": {"hawaii"}, "direction": {"send", "receive"}},
		"isgw_link_state":       {"service": {"hawaii"}, "state": {"synced"}},
	}
	for expr, want := range map[string]string{
		`isgw_link_lag_seconds{direction="send"} > 3`:                      "",
		`sum by (service) (rate(isgw_link_lag_seconds[5m]))`:               "",
		`isgw_link_state{state=~"down|stalled"} == 1 and up{job="isgw"}`:   "",
		`isgw_link_lag_second > 3`:                                         "no metric isgw_link_lag_second",
		`isgw_link_lag_seconds{directions="send"}`:                         "no label directions",
		`isgw_link_lag_seconds{direction="out"}`:                           `never "out"`,
		`isgw_link_state{state="broken"}`:                                  "no state broken",
		`sum by (servce) (isgw_link_lag_seconds)`:                          "has the label servce",
		`isgw_link_lag_seconds > on (service, pear) isgw_link_lag_seconds`: "has the label pear",
		`1 > 2`: "no metric",
	} {
		got := strings.Join(s.problems(expr), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
