package plan

import (
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// MaxTokens bounds the tokens and client certificates of a site.
const MaxTokens = 1000

// CreateAuthority keeps the site's certificate authority. A site has one for
// its whole life.
func CreateAuthority(cfg *state.Config, authority *statepb.Authority) (*statepb.Txn, error) {
	if _, _, ok := cfg.Authority(); ok {
		return nil, refuse(state.ErrExists, "the site has an authority already")
	}
	return create(authority)
}

// CreateToken keeps a token or client certificate, and forgets those that have
// expired.
func CreateToken(cfg *state.Config, token *statepb.Token, now time.Time) (*statepb.Txn, error) {
	if err := checkToken(cfg, token); err != nil {
		return nil, err
	}
	txn, err := create(token)
	if err != nil {
		return nil, err
	}
	valid := 0
	for _, old := range cfg.Tokens() {
		if !Expired(old, now) {
			valid++
		} else if old.GetName() != token.GetName() {
			forget(cfg, txn, state.Key{Kind: statepb.Kind_KIND_TOKEN, Name: old.GetName()})
		}
	}
	if valid >= MaxTokens {
		return nil, refuse(state.ErrConflict, "%d tokens are valid, which is the most", valid).next("revoke some with `isgwctl admin token revoke`")
	}
	old, revision, ok := cfg.Token(token.GetName())
	switch {
	case ok && !Expired(old, now):
		return nil, refuse(state.ErrExists, "token %s exists already", token.GetName()).next("choose another name, or revoke it first")
	case ok: // in the place of one that has expired
		txn.Checks[0].Revision = revision
	}
	return txn, nil
}

func checkToken(cfg *state.Config, token *statepb.Token) error {
	if err := state.CheckName("token", token.GetName()); err != nil {
		return adopt(err)
	}
	tenant := token.GetTenant()
	switch token.GetRole() {
	case state.RoleTenantAdmin:
		if tenant == "" {
			return invalid("a tenant-admin has a tenant").next("give it with --tenant NAMESPACE/TENANT")
		}
		p, err := ParseTenant(tenant)
		if err != nil {
			return err
		}
		return PathExists(cfg, p)
	case state.RoleViewer, state.RoleOperator, state.RoleSiteAdmin:
		if tenant != "" {
			return invalid("only a tenant-admin has a tenant")
		}
		return nil
	}
	return invalid("there is no role %q", token.GetRole()).next("a role is viewer, tenant-admin, operator or site-admin")
}

// RevokeToken ends a token or client certificate.
func RevokeToken(cfg *state.Config, name string) (*statepb.Txn, error) {
	_, revision, ok := cfg.Token(name)
	if !ok {
		return nil, refuse(state.ErrNotFound, "token %q does not exist", name).next("see `isgwctl admin token list`")
	}
	return remove(state.Key{Kind: statepb.Kind_KIND_TOKEN, Name: name}, revision), nil
}

// Expired says whether a token is not valid any more.
func Expired(t *statepb.Token, now time.Time) bool {
	return t.GetExpires() != 0 && t.GetExpires() <= now.UnixNano()
}

// ListTokens describes the tokens and certificates, ordered by name.
func ListTokens(cfg *state.Config) []*adminpb.Token {
	var out []*adminpb.Token
	for _, t := range cfg.Tokens() {
		out = append(out, DescribeToken(t))
	}
	return out
}

// DescribeToken is what the site keeps of a token, without what proves it.
func DescribeToken(t *statepb.Token) *adminpb.Token {
	kind := "token"
	if len(t.GetCertificateKey()) > 0 {
		kind = "certificate"
	}
	return &adminpb.Token{
		Name: t.GetName(), Role: t.GetRole(), Tenant: t.GetTenant(), Created: Timestamp(t.GetCreated()),
		Expires: Timestamp(t.GetExpires()), CreatedBy: t.GetCreatedBy(), Kind: kind,
	}
}
