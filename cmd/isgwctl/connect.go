package main

import (
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"edgefog.dev/isgw/cluster/admin"
)

// Variables of the environment that stand for flags.
const (
	tokenVariable       = "ISGW_TOKEN"
	profileVariable     = "ISGW_PROFILE"
	caVariable          = "ISGW_CA"
	fingerprintVariable = "ISGW_FINGERPRINT"
)

// connection is how the command line says to reach a node.
type connection struct {
	address, profile, ca, fingerprint, tokenFile, cert, key string
}

func (c *connection) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.address, "connect", "", "`ADDRESS` of the node: unix:DIR/admin.sock, DIR being its data directory, or https://HOST:PORT (default $"+connectVariable+")")
	flags.StringVar(&c.profile, "profile", "", "`NAME` of the profile to use (default $"+profileVariable+", else the one in use)")
	flags.StringVar(&c.ca, "ca", "", "`FILE` with the certificate of the site's authority (default $"+caVariable+")")
	flags.StringVar(&c.fingerprint, "fingerprint", "", "SHA-256 of the certificate of the site's authority, in `HEX` (default $"+fingerprintVariable+")")
	flags.StringVar(&c.tokenFile, "token-file", "", "`FILE` with a token (the token itself may be in $"+tokenVariable+")")
	flags.StringVar(&c.cert, "cert", "", "`FILE` with a client certificate")
	flags.StringVar(&c.key, "key", "", "`FILE` with the key of the client certificate")
}

// target is the node that a command talks to: --connect, its variable, or the
// profile in use.
func (a *app) target() (admin.Target, error) {
	t, _, err := a.located()
	return t, err
}

// located is target with what named the node.
func (a *app) located() (t admin.Target, by string, err error) {
	c := a.connection
	name, named := c.profile, c.profile != ""
	if name == "" && c.address == "" {
		name = a.getenv(profileVariable)
		named = name != ""
	}
	address := c.address
	by = "--connect"
	if address == "" && !named {
		address, by = a.getenv(connectVariable), "$"+connectVariable
	}
	if address == "" || named {
		p, err := a.profiles().find(name)
		switch {
		case err != nil:
			return t, by, err
		case p != nil:
			if t, err = p.target(); err != nil {
				return t, by, err
			}
			if address == "" {
				by = "profile " + p.Name
			} else {
				by += " with the secrets of profile " + p.Name
			}
		}
	}
	if address != "" {
		t.Address = address
	}
	if t.Address == "" {
		return t, by, usage("no node is named; use --connect unix:DIR/admin.sock, DIR being the node's data directory, set %s, or add a profile", connectVariable)
	}
	return t, by, a.secrets(&t)
}

// secrets adds what the flags and the environment say about trust and identity.
func (a *app) secrets(t *admin.Target) error {
	c := a.connection
	if file := first(c.ca, a.getenv(caVariable)); file != "" {
		raw, err := readFile(file)
		if err != nil {
			return err
		}
		t.CA, t.Fingerprint = raw, ""
	}
	if hex := first(c.fingerprint, a.getenv(fingerprintVariable)); hex != "" && c.ca == "" {
		t.CA, t.Fingerprint = nil, hex
	}
	switch {
	case c.tokenFile == "-":
		raw, err := io.ReadAll(io.LimitReader(a.in, 4<<10))
		if err != nil {
			return usage("read the token from stdin: %v", err)
		}
		t.Token = strings.TrimSpace(string(raw))
	case c.tokenFile != "":
		raw, err := readFile(c.tokenFile)
		if err != nil {
			return err
		}
		t.Token = strings.TrimSpace(string(raw))
	case a.getenv(tokenVariable) != "":
		t.Token = a.getenv(tokenVariable)
	}
	if (c.cert == "") != (c.key == "") {
		return usage("--cert and --key go together")
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return usage("read the client certificate: %v", err)
		}
		t.Certificate = &pair
	}
	return nil
}

// readFile reads a small file that the user named.
func readFile(name string) ([]byte, error) {
	const most = 64 << 10
	info, err := os.Stat(name)
	if err == nil && info.Size() > most {
		return nil, usage("%s is too long for what it should be", name)
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("there is no file %s", name)
	}
	if err != nil {
		return nil, usage("%v", err)
	}
	return raw, nil
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
