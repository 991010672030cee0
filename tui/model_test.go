package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// screenOf is the frame without escape sequences.
func (s *still) screenOf() string { return ansi.Strip(s.View()) }

func (s *still) want(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.screenOf(), text) {
			s.t.Errorf("the screen does not have %q:\n%s", text, s.screenOf())
		}
	}
}

func (s *still) wantNot(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if strings.Contains(s.screenOf(), text) {
			s.t.Errorf("the screen has %q:\n%s", text, s.screenOf())
		}
	}
}

// TestKeys presses keys and looks at what is on the screen.
func TestKeys(t *testing.T) {
	for _, c := range []struct {
		keys      string // separated by spaces
		want, not string
	}{
		{"2", "[2 Links]", "[1 Home]"},
		{"3", "isgwctl bucket list", ""},
		{"7", "isgwctl service show", ""},
		{"enter", "Links ▸ kauai-cold", ""},
		{"j enter", "Links ▸ maui", ""},
		{"enter esc", "NEEDS ATTENTION", "Links ▸"},
		{"2 enter tab", "[Buckets(3)]", ""},
		{"2 enter tab tab", "[Failed(0)]", ""},
		{"2 enter f", "No version is in quarantine", "[Overview]"},
		{"2 j j f", "[Failed(2)]", "[Overview]"}, // it has versions in quarantine
		{"2 f", "[2 Links]", ""},                 // it has none
		{"j f", "[Failed(2)]", ""},
		{"f", "NEEDS ATTENTION", "Failed("},
		{"2 j j f R", "┌ retry Hawaii/Cola/photos/2026/11/a.jpg", ""},
		{"2 j j f S", "┌ skip ", ""},
		{"2 j j f G S", "it is skipped already", "WHAT WILL HAPPEN"},
		{"2 enter f R", "no version is selected", "WHAT WILL HAPPEN"},
		{"2 enter f S", "no version is selected", "WHAT WILL HAPPEN"},
		{"2 j j enter R", "┌ retry all in quarantine on maui", ""},
		{"2 j j enter T", "┌ re-sync maui", ""},
		{"2 j j f T", "┌ re-sync maui", ""},
		{"2 j j f o", "KEY▲", ""},
		{"2 j j f o O", "KEY▼", ""},
		{"2 j j f / b e a c h enter", "1 of 4", "a.jpg"},
		{"2 j j f / x y z enter", "nothing matches the filter", ""},
		{"2 j j f y", "sent to clipboard", ""},
		{"2 enter tab tab tab", "replication", ""},
		{"2 enter shift+tab", "[Events(3)]", ""},
		{"2 enter t", "[1h]", "[15m]"},
		{"2 G enter", "Links ▸ molokai", ""},
		{"2 o", "ST▲", ""},
		{"2 o o", "NAME▲", ""},
		{"2 o o O", "NAME▼", ""},
		{"2 space y", "sent to clipboard", ""},
		{"?", "keys that work on Home", ""},
		{"? esc", "NEEDS ATTENTION", "keys that work"},
		{"? ?", "NEEDS ATTENTION", "keys that work"},
		{": esc", "", "┌ command"},
		{"ctrl+t", "RO", " RW "},
		{"ctrl+t ctrl+t", " RW ", " RO "},
		{"ctrl+t n", "read-only mode: ctrl-t turns it off", "┌ new link"},
		{"ctrl+t 2 p", "read-only mode: ctrl-t turns it off", "WHAT WILL HAPPEN"},
		{"n", "┌ new link", ""},
		{"n esc", "", "┌ new link"},
		{"ctrl+o", "PROFILE", ""},
		{"ctrl+o esc", "NEEDS ATTENTION", "PROFILE"},
		{"2 / q q q", "0 of 4", ""}, // q is text in a filter
		{"2 / k a esc", "4/4", ""},
		{"2 / k a enter", "filter /ka", ""},
		{"2 / k a enter", "esc show all", ""},
		{"2 / k a enter esc", "4/4", "filter /ka"},
		{"2 j j j p", "the link is disabled; E enables it", "WHAT WILL HAPPEN"},
		{"2 p ?", "keys that work on pause big-island", "NEEDS"},
		{"2 p ? esc", "WHAT WILL HAPPEN", "keys that work"},
		{"2 v ?", "copy the command that prints it", ""},
		{"s", "on which link", ""},
		{"2 s", "Hawaii/Cola/sound", "Hawaii/Cola/photos"}, // what is served already is not offered
		{"2 j u", "stop serving on kauai-cold", ""},
		{"2 e", "LAG TARGET", ""},
	} {
		s := newStill(t, unhealthy(), Options{Clipboard: func(string) error { return nil }})
		s.press(strings.Fields(c.keys)...)
		if !strings.Contains(s.screenOf(), c.want) || c.not != "" && strings.Contains(s.screenOf(), c.not) {
			t.Errorf("after %q: want %q and not %q in\n%s", c.keys, c.want, c.not, s.screenOf())
		}
	}
}

// TestChanges presses the keys that change a link and looks at what the node is asked
// to plan, on the list of links and on a link's page.
func TestChanges(t *testing.T) {
	const late, off = "j j", "j j j" // maui and molokai
	type request = adminpb.PlanRequest
	for _, c := range []struct {
		link, key, command string // which the palette finds it by
		paused             bool
		want               *request
	}{
		{late, "p", "pause", false, &request{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: "maui"}}}},
		{late, "p", "resume", true, &request{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: "maui"}}}},
		{late, "E", "disable", false, &request{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: "maui"}}}},
		{late, "E", "disable", true, &request{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: "maui"}}}},
		{off, "E", "enable the", false, &request{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: "molokai"}}}},
		{late, "D", "delete", false, &request{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: "maui"}}}},
		{off, "p", "pause", false, nil},
	} {
		for _, where := range []string{"", "enter"} {
			for _, how := range []string{c.key, ": " + strings.Join(strings.Split(c.command, ""), " ") + " enter"} {
				snapshot := unhealthy()
				snapshot.Links[2].Paused = c.paused
				keys := strings.Join([]string{"2", c.link, where, how}, " ")
				s := newStill(t, snapshot, Options{}).press(strings.Fields(strings.ReplaceAll(keys, "   ", " space "))...)
				if c.want == nil {
					s.want("the link is disabled; E enables it")
				}
				if n := len(s.node.asked); c.want == nil && n > 0 || c.want != nil && (n != 1 || !proto.Equal(s.node.asked[0], c.want)) {
					t.Errorf("after %q it asked for %v, want %v", keys, s.node.asked, c.want)
				}
			}
		}
	}
}

func TestQuitting(t *testing.T) {
	quits := func(s *still, key string) bool {
		_, cmd := s.Update(keyMsg(key))
		if cmd == nil {
			return false
		}
		_, is := cmd().(tea.QuitMsg)
		return is
	}
	for _, c := range []struct {
		keys string
		q    bool // whether q quits there
	}{
		{"", true}, {"2", true}, {"2 enter", false}, {"?", false}, {":", false}, {"2 /", false}, {"n", false}, {"2 p", false}, {"2 s", false},
	} {
		s := newStill(t, unhealthy(), Options{})
		s.press(strings.Fields(c.keys)...)
		if got := quits(s, "q"); got != c.q {
			t.Errorf("after %q, q quits: %v, want %v", c.keys, got, c.q)
		}
		s = newStill(t, unhealthy(), Options{})
		s.press(strings.Fields(c.keys)...)
		if !quits(s, "ctrl+c") {
			t.Errorf("after %q ctrl-c does not quit", c.keys)
		}
	}
}

// Several characters may come in one message; pasted ones are text.
func TestTypingQuicklyAndPasting(t *testing.T) {
	s := newStill(t, unhealthy(), Options{})
	_, cmd := s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("2jj")})
	s.run(cmd)
	if l, _ := s.root[pageLinks].(*linksPage).links.Selected(); l.GetName() != "maui" || s.current != pageLinks {
		t.Errorf("2jj selects %q on page %d", l.GetName(), s.current)
	}
	s.press("n")
	_, cmd = s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("a\x1b[31mq\n"), Paste: true})
	s.run(cmd)
	s.want("a[31mq")
}

// helpful are keys that lead to pages and dialogs that have help.
var helpful = []string{"", "2", "2 w", "2 j j j", "2 enter", "2 enter tab", "2 enter tab tab", "2 j j f", "2 enter shift+tab", "2 enter c", "2 enter z", "4", "ctrl+o", "2 p", "2 v"}

// everyKey are all keys with a name, and all characters of ASCII, but those that end or
// suspend the program.
func everyKey() []tea.KeyMsg {
	var out []tea.KeyMsg
	for kind := tea.KeyType(-80); kind < 128; kind++ {
		switch kind {
		case tea.KeyRunes, tea.KeyCtrlC, tea.KeyCtrlZ:
		default:
			if msg := (tea.KeyMsg{Type: kind}); msg.String() != "" {
				out = append(out, msg)
			}
		}
	}
	for r := rune(33); r < 127; r++ {
		out = append(out, keyMsg(string(r)))
	}
	return out
}

// TestHelpIsTheKeymap: help lists every key that works, and nothing else does
// anything.
func TestHelpIsTheKeymap(t *testing.T) {
	for _, keys := range helpful {
		s := newStill(t, unhealthy(), Options{}).size(100, 50)
		s.press(strings.Fields(keys)...)
		_ = s.View()
		bindings := s.bindings()
		seen := map[string]bool{}
		for _, b := range bindings {
			for _, k := range b.keys {
				if seen[k] {
					t.Errorf("after %q the key %s means two things", keys, k)
				}
				seen[k] = true
			}
			if b.long == "" {
				t.Errorf("after %q the key %s is not in help", keys, b.keys[0])
			}
		}
		s.press("?")
		for _, b := range append(bindings, s.always()...) {
			if text := map[bool]string{true: b.as, false: b.long}[b.group != ""]; !strings.Contains(s.screenOf(), text) {
				t.Errorf("help of %q does not have %q:\n%s", keys, text, s.screenOf())
			}
		}
		s.press("esc")
		before := s.screenOf()
		for _, key := range everyKey() {
			if seen[key.String()] {
				continue
			}
			_, cmd := s.Update(key)
			s.run(cmd)
			if after := s.screenOf(); after != before {
				t.Fatalf("after %q the key %s, which is not in help, did something:\n%s", keys, key, after)
			}
		}
	}
}

// At 80x24 no word of the help is cut.
func TestHelpIsWhole(t *testing.T) {
	for _, keys := range helpful {
		s := newStill(t, unhealthy(), Options{})
		s.press(strings.Fields(keys)...)
		_ = s.View()
		bindings := s.bindings()
		s.press("?")
		for _, b := range bindings {
			if text := map[bool]string{true: b.as, false: b.long}[b.group != ""]; !strings.Contains(s.screenOf(), text) {
				t.Errorf("help of %q does not have %q:\n%s", keys, text, s.screenOf())
			}
		}
	}
}

// Without signs for keys they are spelled.
func TestKeysAreSpelledInASCII(t *testing.T) {
	s := newStill(t, unhealthy(), Options{ASCII: true})
	s.want("enter open")
	s.press("?")
	s.want("j k down up", "enter ")
}

func TestPaletteRunsAndFooterIsFromTheKeymap(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press(":").typing("page li").press("enter")
	s.want("[2 Links]")
	s.press(":").typing("pause").press("enter")
	s.want("WHAT WILL HAPPEN", "a apply", "esc cancel")
}

func TestPlanIsTheOnlyDoor(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "p")
	if len(s.node.applied) != 0 {
		t.Fatal("something was applied before the plan was seen")
	}
	s.press("enter", "y", "esc")
	if len(s.node.applied) != 0 {
		t.Fatal("enter or a cancelled plan applied something")
	}
	s.press("p", "a")
	if len(s.node.applied) != 1 || s.node.applied[0].GetPlan().GetChange().GetPause().GetName() != "maui" {
		t.Fatalf("applied: %v", s.node.applied)
	}
	s.want("ok: pause maui")
	s.wantNot("WHAT WILL HAPPEN")
}

func TestNewLinkAsksForAPlan(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("n")
	s.press("ctrl+s") // without a name
	s.want("a link needs a name")
	s.typing("kauai-2").press("enter").typing("kauai.example:14000").press("tab", "right", "tab", "tab").typing("SECRET")
	s.wantNot("SECRET")
	s.press("tab").typing("Hawaii/Cola/bk1, Hawaii/Pepsi").press("tab").typing("soon").press("ctrl+s")
	s.want("soon is no duration")
	s.press("ctrl+u").typing("2m").press("ctrl+s")
	want := &adminpb.PlanCreateService{
		Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "kauai-2", Remote: "ccow://kauai.example:14000", Direction: "send", Replication: "initial+continuous", LagTargetSeconds: 120},
		Token:   "SECRET", Serves: []string{"Hawaii/Cola/bk1", "Hawaii/Pepsi"},
	}
	if len(s.node.asked) != 1 || !proto.Equal(s.node.asked[0].GetCreateService(), want) {
		t.Fatalf("asked for %v, want %v", s.node.asked, want)
	}
	s.press("esc") // back to the form, with everything in it
	s.want("kauai-2", "Hawaii/Pepsi")
	s.press("ctrl+s", "a")
	if len(s.node.applied) != 1 {
		t.Fatal("the plan was not applied")
	}
	s.wantNot("┌ new link", "WHAT WILL HAPPEN")
}

// TestNewLinkWithSettings: what the form asks at its end becomes settings, and what
// cannot be is said at its field.
func TestNewLinkWithSettings(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("n").typing("kauai-2")
	for range fieldTarget + 1 {
		s.press("tab")
	}
	s.want("CONNECTIONS")
	s.typing("3").press("tab", "right", "tab").typing("127.0.0.1:14001").press("tab").typing("1Ki").press("ctrl+s")
	s.want("chunk cache: a chunk cache is from 8Mi")
	s.press("ctrl+u").typing("1Gi").press("tab", "right", "right", "tab").typing("1MiB/s").press("ctrl+s")
	want := &adminpb.CreateServiceRequest{
		Type: "isgw", Name: "kauai-2", Direction: "send+receive", Replication: "initial+continuous", Connections: 3,
		Settings: &adminpb.LinkSettings{
			Tunnel: new(true), Local: new("127.0.0.1:14001"), ChunkCache: new(uint64(1 << 30)), Profile: new("embedded"), SendLimit: new("1MiB/s"),
		},
	}
	if len(s.node.asked) != 1 || !proto.Equal(s.node.asked[0].GetCreateService().GetService(), want) {
		t.Fatalf("asked for %v, want %v", s.node.asked, want)
	}
}

// TestEditLink: the form has what the link has, and asks for what was changed alone.
func TestEditLink(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "e")
	s.want("edit kauai-cold", "LAG TARGET", "ADDRESS", "DIRECTION", "REPLICATION")
	s.press("ctrl+u").typing("90").press("tab", "tab", "right")
	for range 9 {
		s.press("tab")
	}
	s.want("SERVER")
	s.typing("base").press("tab").typing("team=cola").press("tab").typing("{limits: {cpus: 2}}").press("ctrl+s")
	s.want("limits has no field cpus")
	s.press("ctrl+u").typing("{limits: {cpu: 2}}").press("ctrl+s")
	want := &adminpb.PlanEditService{
		Name: "kauai-cold", LagTargetSeconds: new(90.0), Direction: new("send"),
		Settings: &adminpb.LinkSettings{
			Server: new("base"), Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"team": "cola"}},
			Resources: &adminpb.LinkResources{LimitCpuMillis: 2000},
		},
	}
	if len(s.node.asked) != 1 || !proto.Equal(s.node.asked[0].GetEditService(), want) {
		t.Fatalf("asked for %v, want %v", s.node.asked, want)
	}
}

// What is not set stands in a field and is not in the way: typing replaces it, and
// a field that is emptied takes the setting back.
func TestSettingsThatAreNotSet(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "e")
	for range 10 {
		s.press("tab")
	}
	s.want("SEND LIMIT    (none)", "RECV LIMIT    ▏(none)", "CONNECTIONS   4", "LAG TARGET    (the node's default)")
	s.typing("1MiB/s").press("ctrl+s")
	want := &adminpb.PlanEditService{Name: "kauai-cold", Settings: &adminpb.LinkSettings{ReceiveLimit: new("1MiB/s")}}
	if len(s.node.asked) != 1 || !proto.Equal(s.node.asked[0].GetEditService(), want) {
		t.Fatalf("asked for %v, want %v", s.node.asked, want)
	}
	s.press("esc", "ctrl+u")
	for range 6 {
		s.press("shift+tab")
	}
	s.press("ctrl+u", "ctrl+s")
	want = &adminpb.PlanEditService{Name: "kauai-cold", Connections: new(uint32(0))}
	if len(s.node.asked) != 2 || !proto.Equal(s.node.asked[1].GetEditService(), want) {
		t.Fatalf("asked for %v, want %v", s.node.asked[1:], want)
	}
}

func TestServing(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "s").typing("soun").press("enter")
	if got := s.node.asked[0].GetServe(); got.GetName() != "kauai-cold" || got.GetPath() != "Hawaii/Cola/sound" {
		t.Errorf("asked for %v", got)
	}
	s.press("esc", "ctrl+u").typing("Hawaii/New/bucket").press("enter")
	if got := s.node.asked[1].GetServe().GetPath(); got != "Hawaii/New/bucket" {
		t.Errorf("a typed path became %q", got)
	}
	// A path that is a part of one that is offered.
	s.press("esc", "ctrl+u").typing("Hawaii/Cola/so")
	s.want("  Hawaii/Cola/so    ", "as it is typed", "▸ Hawaii/Cola/sound")
	s.press("up", "enter")
	if got := s.node.asked[2].GetServe().GetPath(); got != "Hawaii/Cola/so" {
		t.Errorf("what was typed became %q", got)
	}
	s.press("esc").typing("und")
	s.wantNot("as it is typed")
	s.press("enter")
	if got := s.node.asked[3].GetServe().GetPath(); got != "Hawaii/Cola/sound" {
		t.Errorf("a path that was typed in full became %q", got)
	}
	s.press("esc", "esc", "u", "enter")
	if got := s.node.asked[4].GetUnserve(); got.GetName() != "kauai-cold" || got.GetPath() != "Hawaii/Cola/bk1" {
		t.Errorf("asked for %v", got)
	}
}

func TestDeletionWantsTheNameTyped(t *testing.T) {
	s := newStill(t, unhealthy(), Options{})
	s.node.needsName = "maui"
	s.press("2", "j", "j", "D", "enter", "a", "ctrl+s")
	s.want("type the name first: maui")
	if len(s.node.applied) != 0 {
		t.Fatal("it was deleted without the name")
	}
	s.press("backspace").typing("maui").press("enter")
	if len(s.node.applied) != 0 {
		t.Fatal("enter confirmed a destruction")
	}
	s.press("ctrl+s")
	if len(s.node.applied) != 1 || s.node.applied[0].GetTypedName() != "maui" {
		t.Fatalf("applied: %v", s.node.applied)
	}
}

func TestAPlanThatWasOvertakenIsShownAgain(t *testing.T) {
	s := newStill(t, unhealthy(), Options{})
	s.node.conflict = true
	s.press("2", "p", "a")
	s.want("something moved", "service kauai-cold was changed", "plan 99999999", "▸ +  link")
	// What went away is told, and so is what the plan means now.
	s.want("NOT IN THE PLAN ANY MORE", "+  serve     Hawaii/Cola/photos 1.2M objects, 2.6T", "impact    A first copy of 1.2M objects")
	s.size(140, 40).want("▸    No first copy.")
	s.size(80, 24).wantNot("▸ +  pairing", "▸ !  space")
	if len(s.node.applied) != 0 {
		t.Fatal("the overtaken plan was applied")
	}
	s.press("a")
	if got := s.node.applied; len(got) != 1 || got[0].GetPlan().GetId() != "99999999" {
		t.Fatalf("applied: %v", got)
	}
}

// The guard is the one place that enforces read-only mode: it holds even if a
// screen asked.
func TestReadOnlyIsEnforcedByTheGuard(t *testing.T) {
	s := newStill(t, unhealthy(), Options{ReadOnly: true})
	_, err := s.conn.node.Apply(context.Background(), &adminpb.ApplyRequest{Plan: &adminpb.Plan{Id: "1"}})
	var failure *admin.Error
	if !errors.As(err, &failure) || failure.Code != admin.CodeDenied || len(s.node.applied) != 0 {
		t.Errorf("Apply in read-only mode: %v, applied %v", err, s.node.applied)
	}
	if _, err := s.conn.node.Plan(context.Background(), &adminpb.PlanRequest{}); err != nil {
		t.Errorf("planning changes nothing and was refused: %v", err)
	}
}

func TestWhyNothingCanBeChanged(t *testing.T) {
	for _, c := range map[string]struct {
		set  func(*adminpb.ConsoleSnapshot)
		want string
	}{
		"no quorum":       {func(s *adminpb.ConsoleSnapshot) { s.Quorum = false }, "no quorum"},
		"viewer":          {func(s *adminpb.ConsoleSnapshot) { s.Caller.Role = "viewer" }, "your role is viewer"},
		"not initialised": {func(s *adminpb.ConsoleSnapshot) { s.Initialised = false }, "not initialised"},
	} {
		snapshot := unhealthy()
		c.set(snapshot)
		s := newStill(t, snapshot, Options{}).press("n")
		s.want(c.want)
		s.wantNot("┌ new link")
		s.press("?")
		s.want("n  not now    make a link")
	}
}

func TestLateRepliesAreDropped(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "j", "j", "enter", "f")
	p := s.above[0].(*linkPage)
	late := replies(p.load())
	s.node.faults = func(*adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) { return nil, errDown }
	p.outdate()
	late = append(late, replies(p.load())...)
	s.node.faults = nil
	p.outdate()
	s.run(p.load())
	history, service, faults := p.history.got, p.service, p.faults.got
	if len(late) != 6 || history == nil || service == nil || faults == nil {
		t.Fatalf("%d replies; the newest are %v, %v, %v", len(late), history, service, faults)
	}
	for _, msg := range late {
		_, _ = s.Update(msg)
	}
	if p.history.got != history || p.service != service || p.faults.got != faults || p.faults.failed != nil {
		t.Error("a late reply replaced a newer one")
	}
	before := s.snapshot
	_, _ = s.Update(heardMsg{s.watched() - 1, noon, s.node, noLinks()})
	s.shown = noon.Add(-time.Hour)
	_, _ = s.Update(pulseMsg(noon.Add(time.Second)))
	if s.snapshot != before {
		t.Error("a snapshot of an old connection was shown")
	}
}

// replies are what the calls of a command end with.
func replies(cmd tea.Cmd) []tea.Msg {
	if cmd == nil {
		return nil
	}
	msg := cmd()
	batch, ok := msg.(tea.BatchMsg)
	if !ok {
		return []tea.Msg{msg}
	}
	var out []tea.Msg
	for _, c := range batch {
		out = append(out, replies(c)...)
	}
	return out
}

// What is selected, filtered and opened stays through refreshes and fail-over.
func TestFailOverKeepsEverything(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("2", "/").typing("a").press("enter", "G")
	before, _ := s.root[pageLinks].(*linksPage).links.Selected()
	s.conn.hear(heardMsg{generation: s.watched(), at: noon, node: s.node})
	_, _ = s.Update(pulseMsg(noon.Add(silenceTime + 100*time.Millisecond)))
	s.want("stale", "→ oahu-1", "molokai")
	if s.conn.current != 1 || s.conn.live {
		t.Fatalf("after silence the console is at node %d, live %v", s.conn.current, s.conn.live)
	}
	s.press("p")
	s.want("not connected: changes wait until a node answers")
	snapshot := unhealthy()
	snapshot.NodeName = "oahu-1"
	_, _ = s.Update(heardMsg{s.watched(), noon.Add(4 * time.Second), s.node, snapshot})
	s.want("oahu-1 ok", "molokai", "[2 Links]")
	after, _ := s.root[pageLinks].(*linksPage).links.Selected()
	if before.GetName() != after.GetName() || s.root[pageLinks].(*linksPage).links.Filter() != "a" {
		t.Errorf("selected %s with filter %q, before %s", after.GetName(), s.root[pageLinks].(*linksPage).links.Filter(), before.GetName())
	}
}

// TestQuietWhenNothingChanges: two frames without news differ in the clock at
// most, and are equal within an interval.
func TestQuietWhenNothingChanges(t *testing.T) {
	s := newStill(t, unhealthy(), Options{Getenv: func(k string) string {
		return map[string]string{"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "NO_COLOR": "1"}[k]
	}})
	if s.opts.Interval != 2*time.Second {
		t.Fatalf("over SSH the interval is %v", s.opts.Interval)
	}
	first := s.View()
	_, _ = s.Update(heardMsg{s.watched(), noon.Add(time.Second), s.node, nil})
	_, _ = s.Update(pulseMsg(noon.Add(time.Second)))
	if s.View() != first {
		t.Error("the screen changed within the interval")
	}
	_, _ = s.Update(heardMsg{s.watched(), noon.Add(2 * time.Second), s.node, nil})
	_, _ = s.Update(pulseMsg(noon.Add(2 * time.Second)))
	changed := 0
	before, after := strings.Split(first, "\n"), strings.Split(s.View(), "\n")
	for i := range before {
		if before[i] != after[i] {
			changed += len(after[i])
		}
	}
	if changed == 0 || changed > 2*200 {
		t.Errorf("an idle interval of 2 s writes %d bytes, want the clock's line and at most 200 B/s", changed)
	}
}

func TestThemeOfTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		theme string
		env   map[string]string
		color bool
	}{
		{"", map[string]string{"TERM": "xterm-256color"}, true},
		{"auto", map[string]string{"NO_COLOR": "1"}, false},
		{"dark", map[string]string{"NO_COLOR": "1"}, true}, // asked for by name
		{"", map[string]string{"TERM": "vt100"}, false},
		{"mono", nil, false},
	} {
		s := newStill(t, unhealthy(), Options{Theme: c.theme, Getenv: func(k string) string { return c.env[k] }})
		if got := strings.Contains(s.View(), "\x1b[32m") || strings.Contains(s.View(), ";36m") || strings.Contains(s.View(), "[36m"); got != c.color {
			t.Errorf("theme %q in %v has colour: %v", c.theme, c.env, got)
		}
		if c.env["TERM"] == "vt100" && strings.ContainsFunc(s.View(), func(r rune) bool { return r > 126 }) {
			t.Error("a vt100 is sent more than ASCII")
		}
	}
	if _, err := NewModel(t.Context(), Options{Theme: "pink"}); err == nil || !strings.Contains(err.Error(), "pink") || !strings.Contains(err.Error(), "reach a node") {
		t.Errorf("not every fault of the options was told: %v", err)
	}
	if Usable(func(string) string { return "dumb" }) == nil || Usable(func(string) string { return "xterm" }) != nil {
		t.Error("a dumb terminal is refused, an xterm is not")
	}
}

func manyLinks(n int) *adminpb.ConsoleSnapshot {
	s := unhealthy()
	template := s.Links[2]
	s.Links = nil
	for i := range n {
		l := proto.CloneOf(template)
		l.Name = fmt.Sprintf("link-%04d", i)
		l.LagSeconds = some(float64(i * 7919 % n))
		s.Links = append(s.Links, l)
	}
	return s
}

func TestFiveHundredLinksAreQuick(t *testing.T) {
	s := newStill(t, manyLinks(500), Options{}).press("2", "o", "o", "o")
	best := time.Hour
	for range 5 {
		start := time.Now()
		s.press("/").typing("link-01").press("down", "down", "enter")
		_ = s.View()
		best = min(best, time.Since(start))
		s.press("esc")
	}
	if best > 500*time.Millisecond {
		t.Errorf("ten keys with 500 links took %v", best)
	}
}

func BenchmarkFrameWith500Links(b *testing.B) {
	m, err := NewModel(context.Background(), Options{Dial: func(Endpoint) (Node, error) { return nil, errDown }, Clock: func() time.Time { return noon }})
	if err != nil {
		b.Fatal(err)
	}
	m.snapshot, m.choose, m.current, m.w, m.h = manyLinks(500), false, pageLinks, 140, 40
	m.root[pageLinks].refresh()
	for b.Loop() {
		m.key(keyMsg("j"))
		_ = m.View()
	}
}
