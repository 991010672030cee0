package admin

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// Step is one step of the way to a node.
type Step struct {
	Name string
	// Try takes the step, until the context ends, and says what it found. It fails
	// with an *Error.
	Try func(context.Context) (found string, err error)
}

// Way is the way to a node, to be gone step by step: each one needs those before
// it to have gone well. A call goes the same way at once and can only tell where
// it ended. The way shows no credential and asks the node for nothing.
func Way(t Target) []Step {
	if path, local := strings.CutPrefix(t.Address, "unix:"); local {
		return []Step{
			{"address", func(context.Context) (string, error) { return t.Address, reachable(t) }},
			{"socket", func(ctx context.Context) (string, error) { return socket(ctx, t, path) }},
		}
	}
	w := &wayTLS{target: t}
	if !strings.HasPrefix(t.Address, "https://") {
		return []Step{{"address", func(context.Context) (string, error) { return t.Address, reachable(t) }}}
	}
	return []Step{{"address", w.address}, {"name", w.name}, {"tcp", w.tcp}, {"tls", w.tls}, {"certificate", w.certificate}}
}

// reachable says whether a client can be made of a target.
func reachable(t Target) error {
	c, err := Connect(t)
	if err != nil {
		return err
	}
	c.Close()
	return nil
}

func socket(ctx context.Context, t Target, path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode()&os.ModeSocket == 0 {
		return "", Errorf(CodeUnavailable, "%s is no socket", path).WithHint("give the node's data directory as unix:DIR/admin.sock")
	}
	if err != nil {
		return "", unreached(ctx, t, err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return "", unreached(ctx, t, err)
	}
	conn.Close()
	return "it takes connections", nil
}

// unreached explains what ended a step as it is explained where a call ended so.
func unreached(ctx context.Context, t Target, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &Error{Code: CodeInterrupted, Message: "interrupted", Err: err}
	}
	return (&caller{target: t.Address}).unreachable(connect.NewError(connect.CodeUnavailable, err))
}

// outOfTime says whether a step ended because nothing came.
func outOfTime(err error) bool {
	var slow net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()
}

// wayTLS is the way to a node over the network, as far as it was gone.
type wayTLS struct {
	target     Target
	host, port string
	addresses  []netip.Addr
	open       string // the address that takes connections
	shown      tls.ConnectionState
}

func (w *wayTLS) address(context.Context) (string, error) {
	u, err := parseHTTPS(w.target.Address)
	if err != nil {
		return "", err
	}
	w.host, w.port = u.Hostname(), u.Port()
	return w.target.Address, nil
}

// mostAddresses is of how many addresses of a name each is tried.
const mostAddresses = 16

func (w *wayTLS) name(ctx context.Context) (string, error) {
	if ip, err := netip.ParseAddr(w.host); err == nil {
		w.addresses = []netip.Addr{ip}
		return w.host + " is an address: no name has to be looked up", nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", w.host)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && !dns.IsNotFound && ctx.Err() != context.Canceled:
		return "", Errorf(CodeUnavailable, "no name server tells the address of %s: %s", w.host, dns.Err).
			WithHint("see the name servers of this machine, or give the address of the node instead of its name")
	case err != nil:
		return "", unreached(ctx, w.target, err)
	}
	for _, ip := range all[:min(len(all), mostAddresses)] {
		if ip = ip.Unmap(); !slices.Contains(w.addresses, ip) {
			w.addresses = append(w.addresses, ip)
		}
	}
	var text []string
	for _, ip := range w.addresses {
		text = append(text, ip.String())
	}
	return w.host + " is " + strings.Join(text, ", "), nil
}

// tcp tries all addresses, because a call may take any of them.
func (w *wayTLS) tcp(ctx context.Context) (string, error) {
	began := time.Now()
	outcomes := make([]string, len(w.addresses))
	failures := make([]error, len(w.addresses))
	var all sync.WaitGroup
	for i, ip := range w.addresses {
		all.Go(func() {
			address := net.JoinHostPort(ip.String(), w.port)
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			took := time.Since(began)
			switch {
			case err == nil:
				conn.Close()
				outcomes[i] = fmt.Sprintf("%s took a connection in %s", address, rounded(took))
			case outOfTime(err) && !errors.Is(ctx.Err(), context.Canceled):
				failures[i] = Errorf(CodeUnavailable, "nothing answered at %s within %s: something drops the packets on the way, or the address is wrong", address, rounded(took)).
					WithHint("check the address, and the firewalls and routes between here and there")
			default:
				failures[i] = unreached(ctx, Target{Address: "https://" + address}, err)
			}
		})
	}
	all.Wait()
	w.open = ""
	for i, failure := range failures {
		if failure != nil {
			outcomes[i] = failure.Error()
		} else if w.open == "" {
			w.open = net.JoinHostPort(w.addresses[i].String(), w.port)
		}
	}
	switch {
	case w.open != "":
		return strings.Join(outcomes, "; "), nil
	case len(failures) == 1:
		return "", failures[0]
	}
	var first *Error
	errors.As(failures[0], &first) // all of them are such
	return "", &Error{Code: first.Code, Message: strings.Join(outcomes, "; "), Hint: first.Hint, Err: errors.Join(failures...)}
}

// tls shakes hands with whoever is there. Who that is, certificate judges: what
// is shown is worth seeing also when it is not trusted, and nothing is sent.
func (w *wayTLS) tls(ctx context.Context) (string, error) {
	began := time.Now()
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: w.host, NextProtos: []string{"h2", "http/1.1"}, InsecureSkipVerify: true,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", w.open)
	took := time.Since(began)
	switch {
	case err == nil:
		w.shown = conn.(*tls.Conn).ConnectionState()
		conn.Close()
		return fmt.Sprintf("%s in %s", tls.VersionName(w.shown.Version), rounded(took)), nil
	case outOfTime(err) && !errors.Is(ctx.Err(), context.Canceled):
		return "", Errorf(CodeUnavailable, "something takes connections at %s and said nothing for %s: it is no admin API, or hangs", w.open, rounded(took)).
			WithHint("is it the port of the admin API, and does its node run? see --admin of the node")
	}
	return "", unreached(ctx, w.target, err)
}

func (w *wayTLS) certificate(ctx context.Context) (string, error) {
	leaf := w.shown.PeerCertificates[0] // a server shows one
	valid := fmt.Sprintf("valid from %s to %s", day(leaf.NotBefore), day(leaf.NotAfter))
	verify, err := verifier(w.target)
	if err != nil {
		return "", err
	}
	err = verify(w.shown)
	var wrong *wrongAuthority
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return fmt.Sprintf("node %s, %s, from the authority that you trust, fingerprint %s", leaf.Subject.CommonName, valid, w.trusted()), nil
	case errors.As(err, &wrong):
		var failure *Error
		errors.As(unreached(ctx, w.target, err), &failure)
		return "", &Error{Code: failure.Code, Message: fmt.Sprintf("%s; the one that you trust has the fingerprint %s", failure.Message, w.trusted()), Hint: failure.Hint, Err: err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "", Errorf(CodeDenied, "the certificate of node %s is %s, and here it is %s", leaf.Subject.CommonName, valid, time.Now().UTC().Format(time.RFC3339)).
			WithHint("check the clocks of both machines")
	}
	return "", Errorf(CodeDenied, "the certificate of node %s, %s, is not accepted: %w", leaf.Subject.CommonName, valid, err).
		WithHint("compare with `isgwctl admin ca` at the site")
}

// trusted is the authority that a target trusts, by its fingerprint.
func (w *wayTLS) trusted() string {
	if block, _ := pem.Decode(w.target.CA); block != nil {
		sum := sha256.Sum256(block.Bytes)
		return hex.EncodeToString(sum[:])
	}
	return bareFingerprint(w.target.Fingerprint)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// rounded is a time as people read it.
func rounded(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return max(d.Round(time.Millisecond), time.Millisecond)
}
