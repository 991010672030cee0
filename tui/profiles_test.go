package tui

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin"
)

func TestProfilesAreAddedEditedAndForgotten(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("ctrl+o", "a", "ctrl+s")
	s.want("a profile needs a name")
	s.typing("lab").press("ctrl+s")
	s.want("a profile needs the address of a node")
	s.typing("https://10.0.0.7:7443").press("ctrl+s")
	s.want("there is a profile lab already")
	s.typing("-2").press("ctrl+s")
	s.want("nothing says which site to trust", "▸ FINGERPRINT")
	s.typing("ab:cd").press("tab", "tab").typing("SECRET")
	s.wantNot("SECRET")
	s.keeper.refuses = errors.New("nothing can be written there")
	s.press("ctrl+s")
	s.want("nothing can be written there", "lab-2") // what was typed is still there
	s.keeper.refuses = nil
	s.press("ctrl+s")
	s.want("profile lab-2 is kept", "▸ lab-2", "10.0.0.7:7443")
	if want := (Draft{Name: "lab-2", Addresses: "https://10.0.0.7:7443", Fingerprint: "ab:cd", Token: "SECRET"}); len(s.keeper.drafts) != 1 || s.keeper.drafts[0] != want {
		t.Fatalf("kept %+v, want %+v", s.keeper.drafts, want)
	}
	if !s.conn.live || s.conn.profile != "oahu" {
		t.Error("another profile's connection was ended")
	}

	s.press("e")
	s.want("TOKEN         (kept)")
	s.press("tab").typing(",https://10.0.0.8:7443").press("ctrl+s")
	if d := s.keeper.drafts[1]; d.Was != "lab-2" || d.Addresses != "https://10.0.0.7:7443,https://10.0.0.8:7443" || d.Token != "" {
		t.Errorf("edited %+v", d)
	}
	s.want("10.0.0.7:7443 +1")

	s.press("d", "enter", "ctrl+s")
	s.want("type the name first: lab-2")
	s.typing("lab-2").press("enter")
	if len(s.keeper.profiles) != 3 {
		t.Fatal("enter confirmed a destruction")
	}
	s.press("ctrl+s")
	s.want("profile lab-2 is forgotten")
	if len(s.keeper.profiles) != 2 {
		t.Errorf("left: %v", s.keeper.profiles)
	}
}

// The connection of a profile that is forgotten ends, and nothing of its site
// is shown any more.
func TestForgettingTheSiteThatIsWatched(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("ctrl+o", "d").typing("oahu").press("ctrl+s")
	s.want("profile oahu is forgotten", "not connected")
	s.wantNot("NEEDS ATTENTION", "Trying")
	if s.conn.live || s.snapshot != nil {
		t.Error("the site is still watched")
	}
	s.press("1", "esc")
	s.want("PROFILE")
}

func TestProfilesThatCannotBeChanged(t *testing.T) {
	s := newStill(t, nil, Options{})
	s.opts.Profiles = []Profile{{Name: "--connect", Endpoints: []Endpoint{{Target: "unix:/a"}}}, {Name: "open", Kept: true, Fault: "it can be read by others; chmod 600 it"}}
	s.Model.connect.refresh()
	s.press("e")
	s.want("--connect is from the command line")
	s.press("j", "enter")
	s.want("X  it can be read")
	s.press("e") // to mend it
	s.want("edit profile open")
	s.press("esc")
	s.opts.Keeper = nil
	s.press("a")
	s.want("isgwctl profile add keeps one")
	s.wantNot("┌ new profile")
}

func TestSeenIsNotedOnce(t *testing.T) {
	s := newStill(t, nil, Options{})
	_, cmd := s.Update(s.firstWord())
	s.run(cmd)
	if at := s.keeper.seen["oahu"]; !at.Equal(noon) {
		t.Errorf("seen at %v, want %v", at, noon)
	}
	s.keeper.seen = nil
	_, cmd = s.Update(heardMsg{s.watched(), noon, s.node, nil})
	s.run(cmd)
	if s.keeper.seen != nil {
		t.Error("every word of the node is noted")
	}
}

// A site without any profile is told how to make one.
func TestNoProfiles(t *testing.T) {
	s := newStill(t, nil, Options{})
	s.opts.Profiles = nil
	s.Model.connect.refresh()
	s.want("No profiles yet", "a adds one")
	s.press("a")
	s.want("┌ new profile")
}

// TestAttempts: each step that an attempt stops at has a reason of its own.
func TestAttempts(t *testing.T) {
	seen := map[string]bool{}
	for st := stepDial; st <= stepSent; st++ {
		s := newStill(t, nil, Options{})
		word := s.firstWord()
		if st > stepDial {
			_, _ = s.Update(stepMsg{word.generation, noon, st})
		}
		s.want(st.doing())
		_, _ = s.Update(pulseMsg(noon.Add(attemptTime + 1)))
		why := s.conn.attempts[0].why
		if seen[why] || !strings.Contains(strings.Join(strings.Fields(s.screenOf()), " "), strings.Fields(why)[0]) {
			t.Errorf("step %d ends with %q", st, why)
		}
		seen[why] = true
		if s.conn.attempts[1].word != "trying" {
			t.Error("the next node is not tried")
		}
	}
}

// A node that answers and refuses is not one that does not answer.
func TestRefusedIsNoSilence(t *testing.T) {
	for want, err := range map[string]error{
		"X  refused":         admin.Errorf(admin.CodeDenied, "the token is not known at site oahu"),
		"X  no node answers": admin.Errorf(admin.CodeUnavailable, "nothing listens at h:1"),
	} {
		s := newStill(t, nil, Options{})
		_ = s.firstWord()
		s.lose(err)
		if text, _ := s.profileState(s.opts.Profiles[0]); text != want {
			t.Errorf("%v: %q", err, text)
		}
	}
}

// An answer to a form that was left does not touch the one that is open now.
func TestAnswerToAFormThatWasLeft(t *testing.T) {
	s := newStill(t, unhealthy(), Options{}).press("ctrl+o", "a").typing("hilo").press("tab").typing("unix:/h/admin.sock")
	_, keep := s.Update(keyMsg("ctrl+s"))
	s.press("esc", "a").typing("maui")
	s.run(keep)
	s.want("┌ new profile", "maui")
	if !s.hasProfile("hilo") {
		t.Error("the profile was not kept")
	}
	s.keeper.refuses = errors.New("the disk is full")
	s.press("tab").typing("unix:/m/admin.sock")
	_, keep = s.Update(keyMsg("ctrl+s"))
	s.press("esc", "a")
	s.run(keep)
	s.want("the disk is full", "┌ new profile")
	if s.top().(*form).fault != "" {
		t.Error("the fault is told in another form")
	}
}

func TestWhatSaysWhichSiteToTrust(t *testing.T) {
	for _, c := range []struct {
		draft Draft
		was   Profile
		want  bool
	}{
		{Draft{Addresses: "unix:/run/admin.sock"}, Profile{}, true},
		{Draft{Addresses: "https://a:7443"}, Profile{}, false},
		{Draft{Addresses: "unix:/run/admin.sock,https://a:7443"}, Profile{}, false},
		{Draft{Addresses: "https://a:7443", Fingerprint: "ab"}, Profile{}, true},
		{Draft{Addresses: "https://a:7443", CA: "ca.pem"}, Profile{}, true},
		{Draft{Addresses: "https://a:7443"}, Profile{CA: true}, true},
		{Draft{Addresses: "https://a:7443", CA: "-"}, Profile{CA: true}, false},
	} {
		if got := trusted(c.draft, c.was); got != c.want {
			t.Errorf("%+v of %+v: %v", c.draft, c.was, got)
		}
	}
}
