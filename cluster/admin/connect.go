package admin

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Target says how to reach a node, and how to prove who calls.
type Target struct {
	// Address is "unix:PATH" or "https://HOST:PORT".
	Address string
	// CA is the certificate of the site's authority, as PEM; Fingerprint is its
	// SHA-256 in hexadecimal. One of them is needed for https, and then only
	// nodes of that site are talked to, whatever their names and addresses.
	CA          []byte
	Fingerprint string
	// Token is a token's secret.
	Token string
	// Certificate is a client certificate with its key; nil: none.
	Certificate *tls.Certificate
}

// Dial makes a client of the node at "unix:PATH", the socket in its data
// directory. It does not connect yet: an absent node is told by the first call.
func Dial(address string) (*Client, error) { return Connect(Target{Address: address}) }

// Connect makes a client of a node. It does not connect yet: what is wrong with
// the way to the node is told by the first call.
func Connect(t Target) (*Client, error) {
	path, local := strings.CutPrefix(t.Address, "unix:")
	switch {
	case strings.HasPrefix(t.Address, "https://"):
		return connectTLS(t)
	case strings.HasPrefix(t.Address, "http://"):
		return nil, Errorf(CodeInvalid, "the admin API is not served without TLS").WithHint("connect to https://HOST:PORT")
	case !local:
		return nil, Errorf(CodeInvalid, "%q is not the address of a node", t.Address).WithHint("give it as unix:DIR/admin.sock or https://HOST:PORT")
	case path == "":
		return nil, Errorf(CodeInvalid, "the address %s has no path", t.Address).WithHint("give it as unix:DIR/admin.sock")
	case len(path) > maxSocketPath:
		return nil, Errorf(CodeInvalid, "the path of the socket %s has %d characters, the most is %d", path, len(path), maxSocketPath)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // so that a refusal ends an upload cleanly
	transport := &http.Transport{
		Protocols:       protocols,
		IdleConnTimeout: idleTime,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	return newClient(t, "http://node", transport), nil // the host is not looked at
}

const (
	connectTime = 10 * time.Second // to open a connection
	dialTime    = 5 * time.Second  // of that, for TCP
)

// parseHTTPS reads the address of a node of the form https://HOST:PORT.
func parseHTTPS(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return nil, Errorf(CodeInvalid, "%q is not the address of a node", address).WithHint("give it as https://HOST:PORT")
	}
	return u, nil
}

func connectTLS(t Target) (*Client, error) {
	u, err := parseHTTPS(t.Address)
	if err != nil {
		return nil, err
	}
	verify, err := verifier(t)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: u.Hostname(),
		// The chain is verified by verify: it ends at the one authority that
		// is trusted, which signs certificates of its site's nodes only, so
		// the name under which a node is reached proves nothing more.
		InsecureSkipVerify: true, VerifyConnection: verify,
	}
	if t.Certificate != nil {
		// It is shown whatever authorities the node asks for: a wrong one is
		// then refused in words, and not left out in silence.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate, nil }
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols, TLSClientConfig: config, IdleConnTimeout: idleTime, TLSHandshakeTimeout: connectTime,
		DialContext: (&net.Dialer{Timeout: dialTime}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	return newClient(t, "https://"+u.Host, transport), nil
}

// wrongAuthority says that a node's certificate is not of the site that is trusted.
type wrongAuthority struct{ seen string }

func (e *wrongAuthority) Error() string {
	return "its certificate is not from the authority that is trusted"
}

// verifier checks that a node's certificate was signed by the trusted authority.
func verifier(t Target) (func(tls.ConnectionState) error, error) {
	fingerprint := bareFingerprint(t.Fingerprint)
	roots := x509.NewCertPool()
	switch {
	case len(t.CA) > 0:
		if !roots.AppendCertsFromPEM(t.CA) {
			return nil, Errorf(CodeInvalid, "the CA has no certificate in PEM").WithHint("get it with `isgwctl admin ca` at the site")
		}
	case fingerprint == "":
		return nil, Errorf(CodeInvalid, "nothing says which site to trust at %s", t.Address).
			WithHint("give its authority with --ca FILE or --fingerprint HEX: `isgwctl admin ca` at the site shows both")
	case !isHex(fingerprint, 2*sha256.Size):
		return nil, Errorf(CodeInvalid, "%q is no fingerprint: it has %d hexadecimal digits", t.Fingerprint, 2*sha256.Size).
			WithHint("see `isgwctl admin ca` at the site")
	}
	return func(state tls.ConnectionState) error {
		trusted := roots
		seen := ""
		for _, cert := range state.PeerCertificates {
			sum := sha256.Sum256(cert.Raw)
			if cert.IsCA {
				seen = hex.EncodeToString(sum[:])
			}
			if len(t.CA) == 0 && seen == fingerprint && cert.IsCA {
				trusted = x509.NewCertPool()
				trusted.AddCert(cert)
			}
		}
		if len(state.PeerCertificates) == 0 {
			return &wrongAuthority{}
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: trusted, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return &wrongAuthority{seen}
		}
		return err
	}, nil
}

// bareFingerprint is a fingerprint without what tools write around its digits.
func bareFingerprint(s string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(s, "SHA256:"), "sha256:"), ":", ""))
}

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n
}

// unreachableTLS explains why a node was not reached over the network; nil when
// it cannot tell more than others.
func unreachableTLS(target string, err error) *Error {
	var wrong *wrongAuthority
	var record tls.RecordHeaderError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	switch {
	case errors.As(err, &wrong):
		e := Errorf(CodeDenied, "the node at %s is not of the site that you trust: its certificate is from another authority", target)
		if wrong.seen != "" {
			return e.WithHint("if it is the right site, trust the authority with fingerprint %s after comparing it with `isgwctl admin ca` there", wrong.seen)
		}
		return e.WithHint("compare with `isgwctl admin ca` at the site")
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return Errorf(CodeUnavailable, "what listens at %s does not speak TLS", target).WithHint("is it the port of the admin API? see --admin of the node")
	case strings.Contains(err.Error(), "remote error: tls: "):
		return Errorf(CodeUnavailable, "what listens at %s is no admin API", target).WithHint("is it the port of the admin API, and not of links? see --admin of the node")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Errorf(CodeDenied, "the certificate of the node at %s is not valid now", target).WithHint("check the clocks of both machines")
	case strings.Contains(err.Error(), "TLS handshake timeout"): // what net/http says after its time, without a type
		return Errorf(CodeUnavailable, "something takes connections at %s and does not answer", target).
			WithHint("is it the port of the admin API, and does its node run? see --admin of the node")
	case errors.Is(err, syscall.ECONNREFUSED):
		return Errorf(CodeUnavailable, "nothing listens at %s", target).WithHint("is isgwnode running there, and is this its --admin address?")
	case errors.As(err, &dns):
		return Errorf(CodeUnavailable, "the name %s is not known", dns.Name).WithHint("check the address %s", target)
	}
	return nil
}
