package s3gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"strings"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// identities is the identity service of versitygw over the config's keys. An
// account is a tenant: its name is the tenant's path, whichever of its keys
// signed. The service derives the signing keys itself, so that no secret leaves
// it.
type identities struct {
	keys   func(accessKey string) (secret, tenant string, ok bool, err error)
	logger *slog.Logger
}

var (
	_ auth.IAMService         = (*identities)(nil)
	_ auth.SigningKeyProvider = (*identities)(nil)
)

// DeriveSigningKey implements auth.SigningKeyProvider: the key of AWS Signature
// Version 4 for one day, region and service.
func (i *identities) DeriveSigningKey(access, sessionToken, date, region, service string) ([]byte, auth.Account, error) {
	if sessionToken != "" {
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	}
	secret, account, err := i.account(access)
	if err != nil {
		return nil, auth.Account{}, err
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, service, "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key, account, nil
}

func (i *identities) account(access string) (secret string, account auth.Account, err error) {
	// The string shares memory with the request.
	secret, tenant, ok, err := i.keys(strings.Clone(access))
	if err != nil {
		// versitygw would print it.
		i.logger.Error("S3 access key could not be looked up", "key", strings.Clone(access), "error", err)
		return "", auth.Account{}, s3err.GetAPIError(s3err.ErrInternalError)
	}
	if !ok || secret == "" {
		return "", auth.Account{}, auth.ErrNoSuchUser
	}
	// RoleUserPlus may create buckets.
	return secret, auth.Account{Access: tenant, Role: auth.RoleUserPlus}, nil
}

// GetUserAccount returns the account of an access key, without its secret.
func (i *identities) GetUserAccount(access string) (auth.Account, error) {
	_, account, err := i.account(access)
	return account, err
}

// ResolveAccounts says that no account can be granted anything: there are no
// grants.
func (*identities) ResolveAccounts(accessKeyIDs []string) ([]string, error) { return accessKeyIDs, nil }

// CreateAccount and the methods below are not offered: keys are made with
// isgwctl.
func (*identities) CreateAccount(auth.Account) error { return errAccounts() }

// UpdateUserAccount is not offered.
func (*identities) UpdateUserAccount(string, auth.MutableProps) error { return errAccounts() }

// DeleteUserAccount is not offered.
func (*identities) DeleteUserAccount(string) error { return errAccounts() }

// ListUserAccounts is not offered.
func (*identities) ListUserAccounts() ([]auth.Account, error) { return nil, errAccounts() }

// Shutdown has nothing to release.
func (*identities) Shutdown() error { return nil }

func errAccounts() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }
