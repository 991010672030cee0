package tui

import (
	"errors"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

// linkSetting is a setting of a link in a form: a field of its manifest.
type linkSetting struct {
	label, field, help string
	unset              string   // what no text means, in words
	choices, values    []string // what is chosen from, and what each is; none: it is typed
}

// linkSettings are those that the form of a new link has at its end, and the form
// of a link's settings after the first ones.
var linkSettings = []linkSetting{
	{label: "CONNECTIONS", field: "connections", unset: "the node's choice", help: "for content, in each direction; empty: the node's choice"},
	{label: "TUNNEL", field: "useEncryptedTunnel", help: "whether the connections are inside SSH; without it TLS encrypts them; ← → choose", choices: []string{"off", "on"}, values: []string{"false", "true"}},
	{label: "LOCAL", field: "localAddr", unset: "nowhere else", help: "HOST:PORT where the other site may connect besides the node's own endpoint; empty: nowhere else"},
	{label: "CHUNK CACHE", field: "chunkCacheSize", unset: "as the profile says", help: "what its buffers and caches may take, such as 256Mi or 1Gi; empty: what the profile says"},
	{label: "PROFILE", field: "resourceProfile", help: "performance takes memory and processors, embedded spares them; ← → choose", choices: []string{"the site's", "performance", "embedded"}, values: []string{"", "performance", "embedded"}},
	{label: "SEND LIMIT", field: "sendLimit", unset: "none", help: "such as 10MiB/s, or 10MiB/s,1MiB/s@08:00-18:00 with another rate at a time of day; empty: no limit"},
	{label: "RECV LIMIT", field: "receiveLimit", unset: "none", help: "such as 10MiB/s; empty: no limit"},
	{label: "SERVER", field: "server", unset: "its own", help: "the link whose endpoint and bounds it makes use of; empty: its own"},
	{label: "ANNOTATIONS", field: "annotations", unset: "none", help: "NAME=VALUE with commas between, or a mapping in YAML"},
	{label: "RESOURCES", field: "resources", unset: "none", help: "Kubernetes' limits and requests in YAML, such as {limits: {cpu: 2, memory: 4Gi}}"},
	{label: "PLACEMENT", field: "placement", unset: "any node", help: "Kubernetes' placement in YAML: which nodes of the site may run it"},
}

// firstSettings are those that the form of a link's settings begins with.
var firstSettings = []linkSetting{
	{label: "LAG TARGET", field: "lagTarget", unset: "the node's default", help: "such as 30s or 5m: further behind than this is a warning; empty: the node's default"},
	{label: "ADDRESS", field: "remoteURL", unset: "the other site dials", help: "ccow://HOST:PORT of the other site's link endpoint; empty: the other site dials"},
	{label: "DIRECTION", field: "direction", help: "what crosses it, seen from here; ← → choose", choices: directions, values: directions},
	{label: "REPLICATION", field: "replicationType", help: "what is there already, what comes later, or both; ← → choose", choices: replications, values: replications},
}

// none is the value of a link that was made without the setting.
func (s linkSetting) none() string { return manifest.Text(&adminpb.Service{}, s.field) }

// entry is the setting as a field of a form, with the value that it has. What it
// means that one is not set stands there until something is typed.
func (s linkSetting) entry(value string) *field {
	if s.choices == nil {
		if value == s.none() {
			value = ""
		}
		in := newInput(value, false)
		in.empty = "(" + s.unset + ")"
		return &field{label: s.label, help: s.help, input: in}
	}
	return &field{label: s.label, help: s.help, choices: s.choices, chosen: max(slices.Index(s.values, value), 0)}
}

// value is what a field of a form says of the setting, as a manifest has it.
func (s linkSetting) value(f *field) string {
	if f.input == nil {
		return s.values[f.chosen]
	}
	text := strings.TrimSpace(f.input.text())
	if text == "" {
		return s.none()
	}
	switch s.field {
	case "remoteURL":
		return remote(text)
	case "lagTarget":
		if strings.Trim(text, "0123456789") == "" {
			return text + "s" // of a bare number of seconds
		}
	}
	return text
}

// set gives a change what fields of a form say of settings, those that are not as
// they were. It returns the first field that cannot be so, and why.
func setSettings(edit *adminpb.PlanEditService, settings []linkSetting, fields []*field, was []string) (wrong int, err error) {
	for i, s := range settings {
		value := s.value(fields[i])
		if value == was[i] {
			continue
		}
		if err := manifest.Set(edit, s.field, strings.ToLower(s.label), value); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// editLink opens the form of a link's settings, which come from the node.
func (m *Model) editLink(name string) tea.Cmd {
	all := slices.Concat(firstSettings, linkSettings)
	f := &form{m: m, title: "edit " + name, loading: true}
	f.show = func(s *adminpb.Service) {
		f.loading = false
		was := make([]string, len(all))
		for i, setting := range all {
			was[i] = manifest.Text(s, setting.field)
			f.fields = append(f.fields, setting.entry(was[i]))
		}
		f.submit = func() tea.Cmd {
			edit := &adminpb.PlanEditService{Name: name}
			if wrong, err := setSettings(edit, all, f.fields, was); err != nil {
				return f.refuse(wrong, err.Error())
			}
			return m.change("edit "+name, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: edit}})
		}
	}
	m.push(f)
	return call(m, &f.asked, service(name, false), func(s *adminpb.Service, err error) tea.Cmd {
		if err == nil {
			f.show(s)
			return nil
		}
		if m.top() == dialog(f) {
			m.pop()
		}
		m.complain(errors.New("the settings did not come: " + reason(err)))
		return nil
	})
}

// settingRows are the settings of a link that are not as in a link that was made
// without them.
func settingRows(s *adminpb.Service) [][2]string {
	var rows [][2]string
	for _, setting := range linkSettings[1:] { // the connections are told with those that are open
		if value := manifest.Text(s, setting.field); value != setting.none() {
			rows = append(rows, [2]string{strings.ToLower(setting.label), value})
		}
	}
	return rows
}
