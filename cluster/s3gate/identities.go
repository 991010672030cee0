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
// signed; the key is its ARN. The service derives the signing keys itself, so that
// no secret leaves it.
type identities struct {
	keys   func(accessKey string) (Key, bool)
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
	access = strings.Clone(access) // it shares memory with the request
	key, ok := i.keys(access)
	if !ok {
		return "", auth.Account{}, auth.ErrNoSuchUser
	}
	secret, err = key.Secret()
	if err != nil || secret == "" {
		// versitygw would print it.
		i.logger.Error("secret of S3 access key could not be opened", "key", access, "error", err)
		return "", auth.Account{}, s3err.GetAPIError(s3err.ErrInternalError)
	}
	// Who may do what is not versitygw's to decide: an administrator's account turns
	// that off, see guard.
	return secret, auth.Account{Access: key.Tenant, Arn: access, Role: auth.RoleAdmin}, nil
}

// GetUserAccount returns the account of an access key, without its secret.
func (i *identities) GetUserAccount(access string) (auth.Account, error) {
	_, account, err := i.account(access)
	return account, err
}

// ResolveAccounts finds nothing wrong with principals and grantees: it does not know
// whose request it is. The backend looks at them again.
func (*identities) ResolveAccounts([]string) ([]string, error) { return nil, nil }

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
