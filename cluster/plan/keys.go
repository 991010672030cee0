package plan

import (
	"fmt"
	"io"
	"time"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Lengths of generated keys: 20 characters of 36 (103 bits) that name a key and
// 40 of 62 (238 bits) that nobody guesses, the lengths S3 clients are used to.
const (
	accessKeyLength = 20
	secretKeyLength = 40

	upperAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	alnum      = upperAlnum + "abcdefghijklmnopqrstuvwxyz"
)

// NewKeyPair draws an access key and its secret. Both are letters and digits,
// so that no client and no shell has to escape them.
func NewKeyPair(rand io.Reader) (accessKey, secretKey string, err error) {
	if accessKey, err = draw(rand, upperAlnum, accessKeyLength); err != nil {
		return "", "", err
	}
	if secretKey, err = draw(rand, alnum, secretKeyLength); err != nil {
		return "", "", err
	}
	return accessKey, secretKey, nil
}

// draw makes n characters, each equally likely: bytes that would favour the
// first letters of the alphabet are thrown away.
func draw(rand io.Reader, alphabet string, n int) (string, error) {
	fair := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(out) < n {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return "", fmt.Errorf("draw a key: %w", err)
		}
		for _, b := range buf {
			if int(b) < fair && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}

// CreateKey gives a tenant an access key; sealed is its secret under the site
// key.
func CreateKey(cfg *state.Config, tenant, accessKey string, sealed []byte, now time.Time) (*statepb.Txn, error) {
	p, err := ParseTenant(tenant)
	if err != nil {
		return nil, err
	}
	if err := PathExists(cfg, p); err != nil {
		return nil, err
	}
	return create(&statepb.Key{AccessKey: accessKey, SecretSealed: sealed, Tenant: p.String(), Created: now.UnixNano()})
}

// DeleteKey removes an access key.
func DeleteKey(cfg *state.Config, accessKey string) (*statepb.Txn, error) {
	_, revision, ok := cfg.Key(accessKey)
	if !ok {
		return nil, refuse(state.ErrNotFound, "access key %q does not exist", accessKey).
			next("see `isgwctl tenant key list`")
	}
	return remove(state.Key{Kind: statepb.Kind_KIND_KEY, Name: accessKey}, revision), nil
}
