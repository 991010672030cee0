package tui

import (
	"errors"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"edgefog.dev/isgw/tui/screen"
)

// Profile is a site by the name that the operator gave it, and its nodes.
type Profile struct {
	Name      string // unique
	Endpoints []Endpoint
	Seen      time.Time // when one of its nodes was last heard; zero: never

	// Kept says that the profile is the operator's own, to be edited and
	// forgotten; the others come from the command line.
	Kept        bool
	Fingerprint string // of the authority that is trusted, if it is known by that
	CA          bool   // the authority's certificate is kept
	Secret      string // what is shown to nodes: token, certificate, or ""
	Fault       string // why the profile cannot be used; empty: it can
}

// addresses are the profile's nodes as they are typed.
func (p Profile) addresses() string {
	var out []string
	for _, e := range p.Endpoints {
		out = append(out, e.label())
	}
	return strings.Join(out, ",")
}

// Draft is a profile as the operator typed it. CA, Certificate and Key are names
// of files. In an edited profile an empty secret is the one that is kept, and
// "-" is none.
type Draft struct {
	Was                         string // the name before it was edited; empty: a new profile
	Name, Addresses             string
	Fingerprint, CA             string
	Token, Certificate, KeyFile string
}

// Keeper keeps profiles with their secrets. Its methods are safe for concurrent
// use and do not wait for the network.
type Keeper interface {
	// Profiles returns all profiles, with those of the command line.
	Profiles() ([]Profile, error)
	// Keep adds a profile or replaces the one it was. It refuses what cannot be right.
	Keep(d Draft) error
	// Forget removes a profile and its secrets.
	Forget(name string) error
	// Seen notes when a node of a profile was heard.
	Seen(name string, at time.Time) error
}

// profilesMsg is what became of a change of the profiles.
type profilesMsg struct {
	serial   int
	from     dialog // that asked for it
	profiles []Profile
	done     string
	selected string // the profile to select
	err      error
}

func (msg profilesMsg) deliver(m *Model) tea.Cmd {
	if msg.serial != m.profileSerial {
		return nil
	}
	asking := m.top() == msg.from // it was not left meanwhile
	if msg.err != nil {
		switch d := msg.from.(type) {
		case *form:
			d.fault = reason(msg.err)
		case *confirmDialog:
			d.fault = reason(msg.err)
		}
		if !asking {
			m.complain(msg.err)
		}
		return nil
	}
	if asking {
		m.pop()
	}
	m.opts.Profiles = msg.profiles
	m.connect.refresh()
	m.connect.profiles.Select(msg.selected)
	m.say(msg.done)
	return m.forgetConnection()
}

// forgetConnection ends a connection whose profile is gone or has other nodes now.
func (m *Model) forgetConnection() tea.Cmd {
	for i, p := range m.opts.Profiles {
		if p.Name != m.conn.profile {
			continue
		}
		if (Profile{Endpoints: m.conn.nodes}).addresses() != p.addresses() || !m.conn.live {
			return m.useProfile(i)
		}
		return nil
	}
	if m.conn.profile != "" {
		m.conn.choose("", nil)
		m.snapshot, m.waiting, m.above, m.skew = nil, nil, nil, 0
		m.choose = true
	}
	return nil
}

// keepProfile carries out a change of the profiles and reads them again.
func (m *Model) keepProfile(change func(Keeper) error, done, selected string) tea.Cmd {
	m.profileSerial = m.nextSerial()
	keeper, serial, from := m.opts.Keeper, m.profileSerial, m.top()
	return func() tea.Msg {
		if err := change(keeper); err != nil {
			return profilesMsg{serial: serial, from: from, err: err}
		}
		profiles, err := keeper.Profiles()
		return profilesMsg{serial, from, profiles, done, selected, err}
	}
}

// seenProfile notes that the site was reached. That it could not be noted is
// told in the list only, by an older time.
func (m *Model) seenProfile() tea.Cmd {
	keeper, name, at := m.opts.Keeper, m.conn.profile, m.now
	for i, p := range m.opts.Profiles {
		if p.Name == name {
			m.opts.Profiles[i].Seen = at
			m.connect.refresh()
		}
	}
	if keeper == nil {
		return nil
	}
	return func() tea.Msg {
		_ = keeper.Seen(name, at)
		return nil
	}
}

const (
	profileName = iota
	profileAddress
	profileFingerprint
	profileCA
	profileToken
	profileCert
	profileKey
)

// newProfileForm asks for a profile, or edits one.
func newProfileForm(m *Model, was *Profile) *form {
	d, title, keep := Profile{}, "new profile", ""
	if was != nil {
		d, title = *was, "edit profile "+was.Name
		keep = "; empty keeps what is there, - forgets it"
	}
	held := func(what string, there bool) string {
		if was != nil && there {
			return what + " is kept" + keep
		}
		return "empty: none"
	}
	f := &form{m: m, title: title, done: "keep it", note: "secrets go into a file that only you can read", fields: []*field{
		profileName:        {label: "NAME", help: "what you call the site: letters, digits, '.', '_' and '-'", input: newInput(d.Name, false)},
		profileAddress:     {label: "ADDRESS", help: "https://HOST:PORT of its --admin, or unix:DIR/admin.sock; several nodes with commas between", input: newInput(d.addresses(), false)},
		profileFingerprint: {label: "FINGERPRINT", help: "SHA-256 of the site's authority: isgwctl admin ca at the site shows it; or give a CA FILE", input: newInput(d.Fingerprint, false)},
		profileCA:          {label: "CA FILE", help: "file with the authority's certificate, instead of a fingerprint; " + held("a CA", d.CA), input: newInput("", false)},
		profileToken:       {label: "TOKEN", help: "from isgwctl admin token create; " + held("a token", d.Secret == "token"), input: newInput("", true)},
		profileCert:        {label: "CERT FILE", help: "file with a client certificate, instead of a token; " + held("a certificate", d.Secret == "certificate"), input: newInput("", false)},
		profileKey:         {label: "KEY FILE", help: "file with the key of the client certificate", input: newInput("", false)},
	}}
	for i, there := range map[int]bool{profileCA: d.CA, profileToken: d.Secret == "token", profileCert: d.Secret == "certificate"} {
		if was != nil && there {
			f.fields[i].input.empty = "(kept)"
		}
	}
	f.submit = func() tea.Cmd {
		text := func(i int) string { return strings.TrimSpace(f.value(i)) }
		draft := Draft{
			Was: d.Name, Name: text(profileName), Addresses: text(profileAddress), Fingerprint: text(profileFingerprint), CA: text(profileCA),
			Token: text(profileToken), Certificate: text(profileCert), KeyFile: text(profileKey),
		}
		switch {
		case draft.Name == "":
			return f.refuse(profileName, "a profile needs a name")
		case draft.Addresses == "":
			return f.refuse(profileAddress, "a profile needs the address of a node")
		case draft.Name != draft.Was && m.hasProfile(draft.Name):
			return f.refuse(profileName, "there is a profile "+draft.Name+" already; e edits it")
		case !trusted(draft, d):
			return f.refuse(profileFingerprint, "nothing says which site to trust: isgwctl admin ca at the site shows its fingerprint; or give a CA FILE")
		}
		return m.keepProfile(func(k Keeper) error { return k.Keep(draft) }, "profile "+draft.Name+" is kept", draft.Name)
	}
	return f
}

// trusted says whether a draft says which site to trust at the addresses that
// want it; was is the profile that it is of.
func trusted(d Draft, was Profile) bool {
	return !strings.Contains(d.Addresses, "https://") || d.Fingerprint != "" || d.CA != "" && d.CA != "-" || was.CA && d.CA == ""
}

func (m *Model) hasProfile(name string) bool {
	for _, p := range m.opts.Profiles {
		if p.Name == name {
			return true
		}
	}
	return false
}

// forgetProfile asks for the name before a profile and its secrets are gone.
func (m *Model) forgetProfile(p Profile) {
	name := p.Name
	lost := "Its addresses are forgotten. Nothing changes at the site."
	if p.Secret != "" {
		lost = "Its addresses and its " + p.Secret + " are forgotten: without another copy nobody can use that any more. Nothing changes at the site."
	}
	m.push(&confirmDialog{m: m, title: "forget profile " + name, text: lost + "\nThe same as a command: isgwctl profile remove " + name, name: name, typedName: newInput("", false), do: func() tea.Cmd {
		return m.keepProfile(func(k Keeper) error { return k.Forget(name) }, "profile "+name+" is forgotten", "")
	}})
}

// confirmDialog carries something out after its name was typed. Enter does not.
type confirmDialog struct {
	m           *Model
	title, text string
	name        string
	typedName   *input
	fault       string
	do          func() tea.Cmd
}

func (d *confirmDialog) bindings() []binding {
	off := ""
	if d.typedName.text() != d.name {
		off = "type the name first: " + d.name
	}
	return []binding{
		{keys: []string{"ctrl+s"}, short: "do it", long: d.title, off: off, do: d.do},
		{keys: []string{"esc"}, short: "cancel", long: "cancel: nothing was changed", do: func() tea.Cmd { d.m.pop(); return nil }},
	}
}

func (d *confirmDialog) typed(msg tea.KeyMsg) tea.Cmd {
	if msg.String() != "enter" {
		d.m.edit(d.typedName, msg)
	}
	return nil
}

func (d *confirmDialog) render(r screen.Rect) {
	box := centred(r, 70, 10).Box(d.title)
	y := prose(box, 1, 1, box.W-2, screen.Plain, d.text) + 1
	if d.fault != "" {
		prose(box, 1, y, box.W-2, screen.Bad, "X  "+d.fault)
	}
	x := box.Text(1, box.H-1, screen.Bad, "type "+screen.Truncate(d.name, box.W/2)+" to confirm: ")
	d.typedName.render(box, x, box.H-1, box.W-x-1, true)
}

var errNoKeeper = errors.New("profiles cannot be kept from here; isgwctl profile add keeps one")
