package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"edgefog.dev/isgw/raftfsm/state"
	"golang.org/x/crypto/chacha20poly1305"
)

// sealVersion is the first byte of everything that is sealed.
const sealVersion = 1

// sealDomain stands before the purpose in the associated data.
const sealDomain = "isgw seal 1\x00"

// ErrSealed says that sealed bytes did not open: another site key sealed them,
// they were sealed for another purpose, or they are damaged.
var ErrSealed = errors.New("the sealed secret does not open under this site's key: it belongs to another site or purpose, or is damaged")

// SiteKey wraps the secrets of a site. It never leaves the site's nodes and is
// never in the replicated state. It prints as a placeholder.
type SiteKey struct {
	key veil[[]byte] // nil when there is no key
}

// veil hides a value from package fmt, which prints the unexported fields of a
// struct, and what their pointers point to, without asking their methods.
type veil[T any] func() T

func hide[T any](v T) veil[T] { return func() T { return v } }

// NewSiteKey draws a site key; r nil means crypto/rand.
func NewSiteKey(r io.Reader) (SiteKey, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := io.ReadFull(random(r), key); err != nil {
		return SiteKey{}, fmt.Errorf("draw site key: %w", err)
	}
	return SiteKey{hide(key)}, nil
}

// IsZero reports whether there is no key.
func (k SiteKey) IsZero() bool { return k.key == nil }

// Equal reports whether both are the same key.
func (k SiteKey) Equal(o SiteKey) bool {
	if k.IsZero() || o.IsZero() {
		return k.IsZero() && o.IsZero()
	}
	return subtle.ConstantTimeCompare(k.key(), o.key()) == 1
}

// Format hides the key from every verb of package fmt.
func (k SiteKey) Format(f fmt.State, _ rune) { io.WriteString(f, "[site key]") }

// LogValue hides the key from slog.
func (k SiteKey) LogValue() slog.Value { return slog.StringValue("[site key]") }

// Seal encrypts a secret with XChaCha20-Poly1305 under the site key. It opens
// again only with the same purpose: SealFor… name those in use. r nil means
// crypto/rand.
func (k SiteKey) Seal(r io.Reader, purpose string, secret []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("seal secret: this node has no site key yet")
	}
	aead, err := chacha20poly1305.NewX(k.key())
	if err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	const head = 1 + chacha20poly1305.NonceSizeX
	out := make([]byte, head, head+len(secret)+chacha20poly1305.Overhead)
	out[0] = sealVersion
	if _, err := io.ReadFull(random(r), out[1:]); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return aead.Seal(out, out[1:head], secret, []byte(sealDomain+purpose)), nil
}

// Open decrypts what Seal made for the same purpose. The error is ErrSealed
// when it does not open.
func (k SiteKey) Open(purpose string, sealed []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("open sealed secret: this node has no site key yet")
	}
	const head = 1 + chacha20poly1305.NonceSizeX
	if len(sealed) < head+chacha20poly1305.Overhead || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	aead, err := chacha20poly1305.NewX(k.key())
	if err != nil {
		return nil, fmt.Errorf("open sealed secret: %w", err)
	}
	secret, err := aead.Open(nil, sealed[1:head], sealed[head:], []byte(sealDomain+purpose))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

// SealForIdentity is the purpose of a site's sealed identity key.
func SealForIdentity(site state.SiteID) string { return "site identity " + site.String() }

// SealForS3Key is the purpose of the sealed secret of an S3 access key.
func SealForS3Key(site state.SiteID, accessKey string) string {
	return "s3 key " + site.String() + " " + accessKey
}

// random is r, or the system's source when r is nil.
func random(r io.Reader) io.Reader {
	if r == nil {
		return rand.Reader
	}
	return r
}
