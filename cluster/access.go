package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// accessAdmin is admin.Access over a node.
type accessAdmin struct{ *Node }

// Tokens look like this, so that a scanner for secrets can find them.
const (
	tokenPrefix = "isgw1_"
	tokenBytes  = 32
)

const (
	certificateLife = 365 * 24 * time.Hour      // unless asked otherwise
	longestTTL      = 10 * 365 * 24 * time.Hour // of anything that expires
)

// WhoAmI implements admin.Access.
func (a accessAdmin) WhoAmI(ctx context.Context) (*adminpb.WhoAmIResponse, error) {
	caller := admin.CallerOf(ctx)
	res := &adminpb.WhoAmIResponse{Caller: &adminpb.Caller{Principal: caller.Principal, Role: caller.Role.String(), Tenant: caller.Tenant}}
	if s := a.current(); s != nil {
		res.AuthorityPem, res.AuthorityFingerprint, res.Address = s.authority.PEM(), s.authority.Fingerprint(), s.adminAddress
	}
	return res, nil
}

// CreateToken implements admin.Access.
func (a accessAdmin) CreateToken(ctx context.Context, req *adminpb.CreateTokenRequest) (*adminpb.CreateTokenResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(rand.Reader, raw); err != nil {
		return nil, fmt.Errorf("draw a token: %w", err)
	}
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(secret))
	token, err := a.newToken(ctx, req.GetName(), req.GetRole(), req.GetTenant(), time.Duration(0), req.GetTtlSeconds())
	if err != nil {
		return nil, err
	}
	token.SecretHash = hash[:]
	if err := s.keepToken(ctx, token); err != nil {
		return nil, err
	}
	return &adminpb.CreateTokenResponse{
		Token: plan.DescribeToken(token), Secret: secret,
		AuthorityPem: s.authority.PEM(), AuthorityFingerprint: s.authority.Fingerprint(), Address: s.adminAddress,
	}, nil
}

// newToken is a token without what proves it. A name that is not given is drawn.
func (a accessAdmin) newToken(ctx context.Context, name, role, tenant string, fallback time.Duration, seconds uint64) (*statepb.Token, error) {
	if seconds > uint64(longestTTL/time.Second) {
		return nil, admin.Errorf(admin.CodeInvalid, "a token lives at most %v", longestTTL)
	}
	ttl := time.Duration(seconds) * time.Second
	if ttl == 0 {
		ttl = fallback
	}
	if name == "" {
		raw := make([]byte, 4)
		if _, err := io.ReadFull(rand.Reader, raw); err != nil {
			return nil, fmt.Errorf("draw a name: %w", err)
		}
		name = role + "-" + hex.EncodeToString(raw)
	}
	now := a.opts.Clock()
	token := &statepb.Token{Name: name, Role: role, Tenant: tenant, Created: now.UnixNano(), CreatedBy: admin.CallerOf(ctx).Principal}
	if ttl > 0 {
		token.Expires = now.Add(ttl).UnixNano()
	}
	return token, nil
}

func (s *site) keepToken(ctx context.Context, token *statepb.Token) error {
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
		return plan.CreateToken(cfg, token, s.node.opts.Clock())
	})
}

// ListTokens implements admin.Access.
func (a accessAdmin) ListTokens(context.Context) ([]*adminpb.Token, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	return plan.ListTokens(s.replica.Config()), nil
}

// RevokeToken implements admin.Access.
func (a accessAdmin) RevokeToken(ctx context.Context, name string) error {
	s, err := a.running()
	if err != nil {
		return err
	}
	return s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) { return plan.RevokeToken(cfg, name) })
}

// IssueCertificate implements admin.Access.
func (a accessAdmin) IssueCertificate(ctx context.Context, req *adminpb.IssueCertificateRequest) (*adminpb.IssueCertificateResponse, error) {
	s, err := a.running()
	if err != nil {
		return nil, err
	}
	token, err := a.newToken(ctx, req.GetName(), req.GetRole(), req.GetTenant(), certificateLife, req.GetTtlSeconds())
	if err != nil {
		return nil, err
	}
	certificate, keyHash, err := s.authority.Client(token.GetName(), req.GetRequestDer(), time.Unix(0, token.GetExpires()))
	if err != nil {
		return nil, admin.Errorf(admin.CodeInvalid, "%w", err)
	}
	token.CertificateKey = keyHash[:]
	if err := s.keepToken(ctx, token); err != nil {
		return nil, err
	}
	return &adminpb.IssueCertificateResponse{
		Token: plan.DescribeToken(token), CertificatePem: certificate,
		AuthorityPem: s.authority.PEM(), AuthorityFingerprint: s.authority.Fingerprint(), Address: s.adminAddress,
	}, nil
}

// Audit implements admin.Access.
func (a accessAdmin) Audit(_ context.Context, limit int) ([]*adminpb.AuditEntry, error) {
	return a.audit.last(limit), nil
}

// authenticate finds the token or certificate that a caller shows.
func (n *Node) authenticate(_ context.Context, shown admin.Credential) (admin.Caller, error) {
	s, err := n.running()
	if err != nil {
		return admin.Caller{}, err
	}
	kind, found := "token", (*statepb.Token)(nil)
	if shown.Certificate != nil {
		kind = "certificate"
		if err := s.authority.VerifyClient(shown.Certificate, n.opts.Clock()); err != nil {
			return admin.Caller{}, admin.Errorf(admin.CodeDenied, "the client certificate is not from the authority of site %s, or has expired", n.opts.Site).
				WithHint("make a new one at the site: `isgwctl admin certificate create NAME`")
		}
	}
	for _, t := range s.replica.Config().Tokens() {
		have, want := t.GetSecretHash(), sha256.Sum256([]byte(shown.Secret))
		if shown.Certificate != nil {
			have, want = t.GetCertificateKey(), sha256.Sum256(shown.Certificate.RawSubjectPublicKeyInfo)
		}
		if len(have) > 0 && subtle.ConstantTimeCompare(have, want[:]) == 1 {
			found = t
		}
	}
	switch {
	case found == nil:
		return admin.Caller{}, admin.Errorf(admin.CodeDenied, "the %s is not known at site %s: it was revoked, or is of another site", kind, n.opts.Site).
			WithHint("make a new one at the site: `isgwctl admin token create --role viewer`")
	case plan.Expired(found, n.opts.Clock()):
		return admin.Caller{}, admin.Errorf(admin.CodeDenied, "%s %s expired at %s", kind, found.GetName(), time.Unix(0, found.GetExpires()).UTC().Format(time.RFC3339)).
			WithHint("make a new one at the site: `isgwctl admin token create --role %s`", found.GetRole())
	}
	role, err := admin.ParseRole(found.GetRole())
	if err != nil {
		return admin.Caller{}, admin.Errorf(admin.CodeDenied, "%s %s has a role that this node does not know", kind, found.GetName())
	}
	return admin.Caller{Principal: kind + ":" + found.GetName(), Role: role, Tenant: found.GetTenant()}, nil
}

// openAuthority opens the site's certificate authority, and makes it where
// there is none yet.
func (s *site) openAuthority(ctx context.Context) error {
	_, siteKey := s.node.identity.Site()
	if _, _, ok := s.replica.Config().Authority(); !ok {
		now := s.node.opts.Clock()
		made, err := identity.NewAuthority(s.id, s.node.opts.Site, now)
		if err != nil {
			return err
		}
		sealed, err := made.Seal(siteKey, s.id, s.node.opts.Rand)
		if err != nil {
			return err
		}
		if err := s.change(ctx, func(cfg *state.Config) (*statepb.Txn, error) {
			return plan.CreateAuthority(cfg, &statepb.Authority{Certificate: made.Certificate(), KeySealed: sealed, Created: now.UnixNano()})
		}); err != nil {
			return fmt.Errorf("keep the site's authority: %w", err)
		}
	}
	kept, _, _ := s.replica.Config().Authority()
	var err error
	s.authority, err = identity.OpenAuthority(siteKey, s.id, kept.GetCertificate(), kept.GetKeySealed())
	return err
}

// adminTLS is how the admin API is served on an address. TLS proves that a
// client holds the key of the certificate it shows; authenticate says whose it is.
func (s *site) adminTLS(address net.Addr) (*tls.Config, error) {
	certificate, err := s.authority.Server(s.node.identity.Name(), hostsOf(address))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate},
		// What a client shows is verified when it calls, so that a refusal is
		// told in words and not as the alert of a broken handshake.
		ClientAuth: tls.RequestClientCert,
	}, nil
}

// hostsOf are the names and addresses under which a listener may be reached.
func hostsOf(address net.Addr) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	tcp, ok := address.(*net.TCPAddr)
	switch {
	case !ok || tcp.IP.IsLoopback():
	case !tcp.IP.IsUnspecified():
		hosts = append(hosts, tcp.IP.String())
	default:
		all, err := net.InterfaceAddrs()
		if err != nil {
			return hosts
		}
		const most = 64
		for _, a := range all[:min(len(all), most)] {
			if network, ok := a.(*net.IPNet); ok && !network.IP.IsLoopback() {
				hosts = append(hosts, network.IP.String())
			}
		}
	}
	return hosts
}
