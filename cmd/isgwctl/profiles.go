package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin"
)

// profile is a way to reach a site, kept in a file of its own. The file has
// secrets and is the user's alone.
type profile struct {
	Name        string `yaml:"-"`
	Address     string `yaml:"address"`
	CA          string `yaml:"ca,omitempty"` // PEM
	Fingerprint string `yaml:"fingerprint,omitempty"`
	Token       string `yaml:"token,omitempty"`
	Certificate string `yaml:"certificate,omitempty"` // PEM
	Key         string `yaml:"key,omitempty"`         // PEM
}

func (p *profile) target() (admin.Target, error) {
	t := admin.Target{Address: p.Address, CA: []byte(p.CA), Fingerprint: p.Fingerprint, Token: p.Token}
	if p.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.Key))
		if err != nil {
			return t, usage("profile %s: its client certificate: %v", p.Name, err)
		}
		t.Certificate = &pair
	}
	return t, nil
}

// profiles are kept below a directory: profiles/NAME.yaml, and the name of the
// one in use in the file current.
type profiles struct{ dir string }

func (a *app) profiles() profiles {
	base := a.getenv("XDG_CONFIG_HOME")
	if base == "" && a.getenv("HOME") != "" {
		base = filepath.Join(a.getenv("HOME"), ".config")
	}
	if base == "" {
		return profiles{}
	}
	return profiles{filepath.Join(base, "isgw")}
}

func (p profiles) file(name string) string { return filepath.Join(p.dir, "profiles", name+".yaml") }

// current is the name of the profile in use, or "".
func (p profiles) current() string {
	raw, err := os.ReadFile(filepath.Join(p.dir, "current"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// find reads a profile, or the one in use when the name is empty: nil when none is.
func (p profiles) find(name string) (*profile, error) {
	if name == "" {
		if name = p.current(); name == "" || p.dir == "" {
			return nil, nil
		}
	}
	if err := checkProfileName(name); err != nil {
		return nil, err
	}
	file := p.file(name)
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, admin.Errorf(admin.CodeNotFound, "there is no profile %s", name).WithHint("see `isgwctl profile list`")
	case err != nil:
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, admin.Errorf(admin.CodeDenied, "the profile %s can be read by others: it may have a secret", file).WithHint("chmod 600 %s", file)
	}
	raw, err := readFile(file)
	if err != nil {
		return nil, err
	}
	found := &profile{Name: name}
	decoder := yaml.NewDecoder(strings.NewReader(string(raw)))
	decoder.KnownFields(true)
	if err := decoder.Decode(found); err != nil {
		return nil, usage("profile %s: %v", file, err)
	}
	return found, nil
}

func (p profiles) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.dir, "profiles"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// save writes a file that only the user can read, whole or not at all.
func (p profiles) save(file string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("save profile: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save profile: %w", err)
	}
	_, err = temp.Write(raw)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save profile: %w", err), os.Remove(temp.Name()))
	}
	return nil
}

// keep writes a profile after a look at what cannot be right. The first one is
// in use at once.
func (p profiles) keep(name string, kept profile) error {
	if err := checkProfileName(name); err != nil {
		return err
	}
	kept.Name = name
	t, err := kept.target()
	if err != nil {
		return err
	}
	nodes := addresses(kept.Address)
	if len(nodes) == 0 {
		return usage("a profile needs the address of a node")
	}
	for _, address := range nodes {
		t.Address = address
		client, err := admin.Connect(t)
		if err != nil {
			return err
		}
		client.Close()
	}
	raw, err := yaml.Marshal(kept)
	if err != nil {
		return fmt.Errorf("save profile: %w", err)
	}
	if err := p.save(p.file(name), raw); err != nil {
		return err
	}
	if p.current() == "" {
		return p.use(name)
	}
	return nil
}

// forget removes a profile with its secrets.
func (p profiles) forget(name string) error {
	if err := checkProfileName(name); err != nil {
		return err
	}
	err := os.Remove(p.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return admin.Errorf(admin.CodeNotFound, "there is no profile %s", name).WithHint("see `isgwctl profile list`")
	}
	if err == nil && p.current() == name {
		err = os.Remove(filepath.Join(p.dir, "current"))
	}
	if err == nil {
		err = os.Remove(p.seenFile(name))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("forget profile %s: %w", name, err)
	}
	return nil
}

func (p profiles) use(name string) error {
	return p.save(filepath.Join(p.dir, "current"), []byte(name+"\n"))
}

func checkProfileName(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || strings.IndexByte("._-", c) < 0) || i >= 63 {
			return usage("%q is no name of a profile: letters, digits, '.', '_' and '-', at most 63", name)
		}
	}
	if name == "" {
		return usage("a profile has a name")
	}
	return nil
}

func (a *app) profileCommand() *cobra.Command {
	return group("profile", "Keep the addresses and secrets of sites",
		`A profile says how to reach a site: the address of a node, the authority to
trust, and a token or client certificate. Profiles are kept below
$XDG_CONFIG_HOME/isgw in files that only their user can read.`,
		a.profileAdd(), a.profileList(), a.profileUse(), a.profileRemove())
}

// local makes a command that needs no node what cobra calls.
func (a *app) local(do func(args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		a.running = true
		if a.profiles().dir == "" {
			return usage("there is no place for profiles: set XDG_CONFIG_HOME or HOME")
		}
		return do(args)
	}
}

func (a *app) profileAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME",
		Short: "Keep a way to reach a site",
		Long: `Keeps the address given with --connect, what is to be trusted there (--ca or
--fingerprint) and who is calling (--token-file, or --cert and --key). A profile
of that name is replaced. The first profile is in use at once.`,
		Example: "isgwctl profile add prod --connect https://10.3.30.75:7443 --ca ca.pem \\\n  --token-file token",
		Args:    takes("NAME"),
		RunE: a.local(func(args []string) error {
			c := a.connection
			t := admin.Target{Address: c.address}
			if t.Address == "" {
				return usage("a profile needs an address: give --connect")
			}
			if err := a.secrets(&t); err != nil {
				return err
			}
			kept := profile{Address: t.Address, CA: string(t.CA), Fingerprint: t.Fingerprint, Token: t.Token}
			if c.cert != "" {
				for file, to := range map[string]*string{c.cert: &kept.Certificate, c.key: &kept.Key} {
					raw, err := readFile(file)
					if err != nil {
						return err
					}
					*to = string(raw)
				}
			}
			if err := a.profiles().keep(args[0], kept); err != nil {
				return err
			}
			return a.did(args[0], "profile %s is kept", args[0])
		}),
	}
}

func (a *app) profileList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the profiles, without their secrets",
		Example: "isgwctl profile list",
		Args:    takes(),
		RunE: a.local(func([]string) error {
			p := a.profiles()
			names, err := p.names()
			if err != nil {
				return err
			}
			all := []profileView{} // a list that is empty is [], not null
			var faults []error
			for _, name := range names {
				found, err := p.find(name)
				if err != nil { // the others are told all the same
					faults = append(faults, err)
					continue
				}
				all = append(all, viewOf(found, name == p.current()))
			}
			return errors.Join(append(faults, a.writeProfiles(all))...)
		}),
	}
}

// profileView is what is shown of a profile: no secret.
type profileView struct {
	Name      string `json:"name"`
	Address   string `json:"address"`
	CallsWith string `json:"callsWith"` // token, certificate or nothing
	Trusts    string `json:"trusts"`    // authority, fingerprint or nothing
	InUse     bool   `json:"inUse"`
}

func viewOf(p *profile, inUse bool) profileView {
	v := profileView{Name: p.Name, Address: p.Address, CallsWith: "nothing", Trusts: "nothing", InUse: inUse}
	switch {
	case p.Token != "":
		v.CallsWith = "token"
	case p.Certificate != "":
		v.CallsWith = "certificate"
	}
	switch {
	case p.CA != "":
		v.Trusts = "authority"
	case p.Fingerprint != "":
		v.Trusts = "fingerprint"
	}
	return v
}

func (a *app) writeProfiles(all []profileView) error {
	switch {
	case a.structured():
		return a.value(all)
	case a.form == formName:
		for _, v := range all {
			if _, err := fmt.Fprintln(a.out, plain(v.Name)); err != nil {
				return err
			}
		}
		return nil
	}
	header := []string{"PROFILE", "ADDRESS", "CALLS WITH", "IN USE"}
	if a.form == formWide {
		header = append(header, "TRUSTS")
	}
	t := a.table(header...)
	for _, v := range all {
		row := []string{v.Name, v.Address, v.CallsWith, yesNo(v.InUse)}
		if a.form == formWide {
			row = append(row, v.Trusts)
		}
		t.row(row...)
	}
	return t.end()
}

func (a *app) profileUse() *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Talk to a profile's site from now on",
		Example: "isgwctl profile use prod",
		Args:    takes("NAME"),
		RunE: a.local(func(args []string) error {
			if _, err := a.profiles().find(args[0]); err != nil {
				return err
			}
			if err := a.profiles().use(args[0]); err != nil {
				return err
			}
			return a.did(args[0], "profile %s is in use", args[0])
		}),
	}
}

func (a *app) profileRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Forget a profile with its secrets",
		Example: "isgwctl profile remove prod",
		Args:    takes("NAME"),
		RunE: a.local(func(args []string) error {
			if err := a.profiles().forget(args[0]); err != nil {
				return err
			}
			return a.did(args[0], "profile %s is forgotten", args[0])
		}),
	}
}
