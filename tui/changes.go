package tui

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
	"edgefog.dev/isgw/tui/screen"
)

// linkChanges are the changes of one link, the three that people need first.
func (m *Model) linkChanges(l *adminpb.ConsoleLink) []binding {
	name := l.GetName()
	pause := m.changing("p", "pause", "pause the link", func() tea.Cmd {
		return m.change("pause "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: name}}})
	})
	if l.GetPaused() {
		pause = m.changing("p", "resume", "let the paused link go on", func() tea.Cmd {
			return m.change("resume "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: name}}})
		})
	}
	enable := m.changing("E", "disable", "disable the link", func() tea.Cmd {
		return m.change("disable "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: name}}})
	})
	out := []binding{
		m.changing("e", "edit", "edit the settings", func() tea.Cmd { return m.editLink(name) }),
		m.changing("s", "serve", "serve a bucket on it", func() tea.Cmd { return m.serve(l) }),
		pause,
	}
	if !l.GetEnabled() {
		enable = m.changing("E", "enable", "enable the link", func() tea.Cmd {
			return m.change("enable "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: name}}})
		})
		pause.off = cmp.Or(pause.off, "the link is disabled; E enables it")
		out[2], enable = enable, pause // what is needed first
	}
	if len(l.GetServes()) > 0 {
		out = append(out, m.changing("u", "unserve", "stop serving a bucket", func() tea.Cmd { m.unserve(l); return nil }))
	}
	out = append(out, m.changing("D", "delete", "delete the link", func() tea.Cmd {
		return m.change("delete "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: name}}})
	}))
	return append(out, enable)
}

// maxChoices bounds what is offered to choose from at a time.
const maxChoices = 1000

// serve asks which bucket or tenant is to be served on a link.
func (m *Model) serve(l *adminpb.ConsoleLink) tea.Cmd {
	name := l.GetName()
	p := newPicker(m, "serve on "+name+": a bucket, or a whole tenant", nil, func(path string) tea.Cmd {
		return m.change("serve "+path+" on "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Serve{Serve: &adminpb.ServeRequest{Name: name, Path: path}}})
	})
	p.free = true
	p.ask = func(ctx context.Context, node Node, filter string) (Paths, error) {
		return node.Buckets(ctx, filter, maxChoices)
	}
	p.offer = func(buckets []string) []string { return servable(buckets, l.GetServes()) }
	m.push(p)
	return p.load()
}

// servable are buckets to choose from, and their tenants, which can be served as a
// whole. What is served is not among them.
func servable(buckets, served []string) []string {
	var out []string
	for _, path := range buckets {
		if i := strings.LastIndexByte(path, '/'); i > 0 {
			out = append(out, path[:i])
		}
		out = append(out, path)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(path string) bool { return slices.Contains(served, path) })
}

// serveSomewhere asks for the link first.
func (m *Model) serveSomewhere() tea.Cmd {
	links := map[string]*adminpb.ConsoleLink{}
	var names []string
	for _, l := range m.snapshot.GetLinks() {
		links[l.GetName()] = l
		names = append(names, l.GetName())
	}
	switch len(names) {
	case 0:
		m.complain(errors.New("there is no link to serve a bucket on; n makes one"))
		return nil
	case 1:
		return m.serve(links[names[0]])
	}
	m.push(newPicker(m, "serve a bucket: on which link?", names, func(name string) tea.Cmd {
		m.pop()
		return m.serve(links[name])
	}))
	return nil
}

func (m *Model) unserve(l *adminpb.ConsoleLink) {
	name := l.GetName()
	m.push(newPicker(m, "stop serving on "+name, l.GetServes(), func(path string) tea.Cmd {
		return m.change("stop serving "+path+" on "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Unserve{Unserve: &adminpb.UnserveRequest{Name: name, Path: path}}})
	}))
}

// newLink opens the form of a new link.
func (m *Model) newLink() tea.Cmd { m.push(newLinkForm(m)); return nil }

// The choices of a link, as the commands name them; the first is the default.
var (
	directions   = []string{"send+receive", "send", "receive"}
	replications = []string{"initial+continuous", "continuous", "initial"}
)

const (
	fieldName = iota
	fieldRemote
	fieldDirection
	fieldReplication
	fieldToken
	fieldServes
	fieldTarget
)

func newLinkForm(m *Model) *form {
	f := &form{m: m, title: "new link", fields: []*field{
		fieldName:        {label: "NAME", help: "a short name for the link: letters, digits, - and _", input: newInput("", false)},
		fieldRemote:      {label: "ADDRESS", help: "ccow://HOST:PORT of the other site's link endpoint; empty: the other site dials", input: newInput("", false)},
		fieldDirection:   {label: "DIRECTION", help: "what crosses it, seen from here; ← → choose", choices: directions},
		fieldReplication: {label: "REPLICATION", help: "what is there already, what comes later, or both; ← → choose", choices: replications},
		fieldToken:       {label: "TOKEN", help: "from isgwctl site invite at the other site, where the sites are not paired yet; empty: no pairing", input: newInput("", true)},
		fieldServes:      {label: "BUCKETS", help: "NAMESPACE/TENANT/bucket or NAMESPACE/TENANT, several with commas between, options such as ,exclude=tmp/ after each", input: newInput("", false)},
		fieldTarget:      {label: "LAG TARGET", help: "such as 30s or 5m: further behind than this is a warning; empty: the node's default", input: newInput("", false)},
	}}
	f.fields[fieldRemote].input.empty = "(the other site dials)"
	f.fields[fieldToken].input.empty = "(no pairing)"
	f.fields[fieldServes].input.empty = "(none yet)"
	f.fields[fieldTarget].input.empty = "(the node's default)"
	before := make([]string, len(linkSettings))
	for i, setting := range linkSettings {
		entry := setting.entry("")
		f.fields = append(f.fields, entry)
		before[i] = setting.value(entry)
	}
	f.submit = func() tea.Cmd {
		name := strings.TrimSpace(f.value(fieldName))
		if name == "" {
			return f.refuse(fieldName, "a link needs a name")
		}
		create := &adminpb.PlanCreateService{
			Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: name, Remote: remote(f.value(fieldRemote)), Direction: f.value(fieldDirection), Replication: f.value(fieldReplication)},
			Token:   strings.TrimSpace(f.value(fieldToken)),
		}
		create.Serves = manifest.SplitServed(strings.Join(strings.Fields(f.value(fieldServes)), ","))
		target, err := seconds(f.value(fieldTarget))
		if err != nil {
			return f.refuse(fieldTarget, err.Error())
		}
		create.Service.LagTargetSeconds = target
		more := &adminpb.PlanEditService{}
		if wrong, err := setSettings(more, linkSettings, f.fields[fieldTarget+1:], before); err != nil {
			return f.refuse(fieldTarget+1+wrong, err.Error())
		}
		create.Service.Connections, create.Service.Settings = more.GetConnections(), more.GetSettings()
		return m.change("new link "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: create}})
	}
	return f
}

// remote lets an operator leave out the scheme.
func remote(s string) string {
	s = strings.TrimSpace(s)
	if s != "" && !strings.Contains(s, "://") {
		return "ccow://" + s
	}
	return s
}

// seconds reads a duration; a bare number is seconds and nothing is zero.
func seconds(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && v >= 0 && v < 1e9 {
		return v, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New(screen.Truncate(s, 24) + " is no duration; write 30s, 5m or 1h")
	}
	return d.Seconds(), nil
}
