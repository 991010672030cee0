package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/tui"
)

// consoleSites are the sites that the console offers: the one that the command
// line names first, then the user's profiles. It is safe for concurrent use.
type consoleSites struct {
	kept   profiles
	chosen string        // the profile in use, if any
	named  *admin.Target // by the command line

	mu      sync.Mutex
	targets map[string]admin.Target // by Endpoint.Target
}

// sitesOfConsole reads what the command line and the environment say.
func (a *app) sitesOfConsole() (*consoleSites, error) {
	s := &consoleSites{kept: a.profiles(), targets: map[string]admin.Target{}}
	s.chosen = first(a.connection.profile, a.getenv(profileVariable), s.kept.current())
	if address := first(a.connection.address, a.getenv(connectVariable)); a.connection.profile == "" && address != "" {
		t := admin.Target{Address: address}
		if err := a.secrets(&t); err != nil {
			return nil, err
		}
		s.named = &t
	}
	if name := a.connection.profile; name != "" { // asked for by name: it has to be there
		if _, err := s.kept.find(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// dial makes a client of a node that Profiles told.
func (s *consoleSites) dial(e tui.Endpoint) (tui.Node, error) {
	s.mu.Lock()
	t, ok := s.targets[e.Target]
	s.mu.Unlock()
	if !ok {
		return nil, admin.Errorf(admin.CodeNotFound, "the profile of %s is gone", e.Name)
	}
	client, err := admin.Connect(t)
	if err != nil {
		return nil, err
	}
	return tui.NewNode(client), nil
}

// Profiles implements tui.Keeper.
func (s *consoleSites) Profiles() ([]tui.Profile, error) {
	var out []tui.Profile
	targets := map[string]admin.Target{}
	add := func(p tui.Profile, t admin.Target) {
		for _, address := range addresses(t.Address) {
			t.Address = address
			key := p.Name + " " + address // two profiles may have the same node with other secrets
			targets[key] = t
			p.Endpoints = append(p.Endpoints, tui.Endpoint{Name: address, Target: key})
		}
		out = append(out, p)
	}
	if s.named != nil {
		add(tui.Profile{Name: "--connect"}, *s.named)
	}
	var names []string
	if s.kept.dir != "" {
		var err error
		if names, err = s.kept.names(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(names, func(x, y string) int {
		switch {
		case x == s.chosen && y != s.chosen:
			return -1
		case y == s.chosen && x != s.chosen:
			return 1
		}
		return 0
	})
	for _, name := range names {
		shown := tui.Profile{Name: name, Kept: true, Seen: s.kept.seen(name)}
		p, err := s.kept.find(name)
		var t admin.Target
		if err == nil {
			t, err = p.target()
		}
		if err != nil { // the others can be used all the same
			shown.Fault = oneSentence(err)
			out = append(out, shown)
			continue
		}
		shown.Fingerprint, shown.CA = p.Fingerprint, p.CA != ""
		switch {
		case p.Token != "":
			shown.Secret = "token"
		case p.Certificate != "":
			shown.Secret = "certificate"
		}
		add(shown, t)
	}
	s.mu.Lock()
	s.targets = targets
	s.mu.Unlock()
	return out, nil
}

// oneSentence is a failure with what to do about it.
func oneSentence(err error) string {
	var failure *admin.Error
	if errors.As(err, &failure) && failure.Hint != "" {
		return failure.Message + "; " + failure.Hint
	}
	return err.Error()
}

// addresses are the nodes of an address with commas.
func addresses(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// Keep implements tui.Keeper.
func (s *consoleSites) Keep(d tui.Draft) error {
	var kept profile
	if d.Was != "" {
		was, err := s.kept.find(d.Was)
		if err != nil {
			return err
		}
		kept = *was
	}
	if err := kept.draft(d); err != nil {
		return err
	}
	if err := s.kept.keep(d.Name, kept); err != nil {
		return err
	}
	if d.Was == "" || d.Was == d.Name {
		return nil
	}
	current := s.kept.current() == d.Was
	if err := s.kept.forget(d.Was); err != nil {
		return err
	}
	if current {
		return s.kept.use(d.Name)
	}
	return nil
}

// draft takes what was typed on the console: what is empty stays, "-" is none.
func (p *profile) draft(d tui.Draft) error {
	p.Address = strings.Join(addresses(d.Addresses), ",")
	p.Fingerprint = d.Fingerprint
	for _, f := range []struct {
		typed string
		to    *string
	}{{d.CA, &p.CA}, {d.Certificate, &p.Certificate}, {d.KeyFile, &p.Key}} {
		switch f.typed {
		case "":
		case "-":
			*f.to = ""
		default:
			raw, err := readFile(home(f.typed))
			if err != nil {
				return err
			}
			*f.to = string(raw)
		}
	}
	switch d.Token {
	case "":
	case "-":
		p.Token = ""
	default:
		p.Token = d.Token
	}
	if p.Certificate == "" {
		p.Key = ""
	}
	if p.CA != "" && d.CA != "" && d.CA != "-" {
		p.Fingerprint = "" // the certificate says more than its fingerprint
	}
	if p.Fingerprint != "" {
		p.CA = ""
	}
	return nil
}

// home puts the user's directory for a leading ~/, which no shell has done here.
func home(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if dir, err := os.UserHomeDir(); err == nil {
			return filepath.Join(dir, rest)
		}
	}
	return name
}

// Forget implements tui.Keeper.
func (s *consoleSites) Forget(name string) error { return s.kept.forget(name) }

// Seen implements tui.Keeper. When a site was last reached is the time of an
// empty file.
func (s *consoleSites) Seen(name string, at time.Time) error {
	if s.kept.dir == "" || checkProfileName(name) != nil {
		return nil // from the command line
	}
	if _, err := os.Stat(s.kept.file(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file := s.kept.seenFile(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("note when %s was seen: %w", name, err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note when %s was seen: %w", name, err)
	}
	if err := errors.Join(f.Close(), os.Chtimes(file, at, at)); err != nil {
		return fmt.Errorf("note when %s was seen: %w", name, err)
	}
	return nil
}

func (p profiles) seenFile(name string) string { return filepath.Join(p.dir, "seen", name) }

// seen is when the site of a profile was last reached from the console; zero: never.
func (p profiles) seen(name string) time.Time {
	info, err := os.Stat(p.seenFile(name))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
