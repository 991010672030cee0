package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/raftfsm/state"
	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"
)

// TokenLife is how long a pairing token may be used.
const TokenLife = 15 * time.Minute

const (
	tokenVersion  = 1
	tokenSecret   = 20
	tokenChecksum = 4
	maxTokenText  = 1024
	// tokenKeyContext derives the token's key pair from its secret.
	tokenKeyContext = "isgw 2026 pairing token key"
)

// Errors of ParseToken.
var (
	ErrTokenText    = errors.New("this is not a pairing token, or part of it is missing or mistyped: copy the whole output of site invite")
	ErrTokenVersion = errors.New("this pairing token is of a newer version: upgrade this site or invite from a site of the same version")
)

// Token invites another site to pair, once. Whoever has its text can do so, so
// it prints as the inviting site only; Encode gives the text.
//
// The secret is the seed of a key pair. The inviting site keeps the hash of the
// public key, and the invited one signs with the private key what ties it to
// the connection. So neither what is stored nor what is sent can be used again.
type Token struct {
	Site     state.SiteID      // the inviting site
	Identity ed25519.PublicKey // its identity, so that the first contact is pinned already
	Address  string            // HOST:PORT of its link endpoint
	Expires  time.Time         // by the inviting site's clock, which alone decides

	secret veil[[]byte]
}

// NewToken draws a token of a site; r nil means crypto/rand.
func NewToken(site state.SiteID, identity ed25519.PublicKey, address string, now time.Time, r io.Reader) (*Token, error) {
	t := &Token{Site: site, Identity: identity, Address: address, Expires: now.Add(TokenLife)}
	secret := make([]byte, tokenSecret)
	if _, err := io.ReadFull(random(r), secret); err != nil {
		return nil, fmt.Errorf("draw pairing token: %w", err)
	}
	t.secret = hide(secret)
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("make pairing token: %w", err)
	}
	return t, nil
}

func (t *Token) check() error {
	switch {
	case t.Site.IsZero():
		return errors.New("its site id is zero")
	case len(t.Identity) != ed25519.PublicKeySize:
		return fmt.Errorf("its identity key has %d bytes, not %d", len(t.Identity), ed25519.PublicKeySize)
	case t.Address == "" || len(t.Address) > maxAddress || !utf8.ValidString(t.Address):
		return fmt.Errorf("its address %q is not 1 to %d bytes of UTF-8", t.Address, maxAddress)
	}
	return nil
}

// Encode gives the text of the token: base64url of the message and the first
// bytes of its BLAKE3.
func (t *Token) Encode() string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&identitypb.Token{
		Version: tokenVersion, Site: t.Site.Bytes(), IdentityPublic: t.Identity,
		Address: t.Address, Secret: t.secret(), Expires: t.Expires.UnixNano(),
	})
	if err != nil {
		// Only a string that is not UTF-8 can fail, and addresses are checked.
		panic(fmt.Sprintf("identity: encode token: %v", err))
	}
	sum := blake3.Sum256(raw)
	return base64.RawURLEncoding.EncodeToString(append(raw, sum[:tokenChecksum]...))
}

// ParseToken reads the text of a token; white space anywhere in it, as of a
// wrapped line, is ignored. The error is ErrTokenText or ErrTokenVersion.
// Whether a token has expired or was used is for the inviting site to say.
func ParseToken(text string) (*Token, error) {
	text = strings.Join(strings.Fields(text), "")
	if len(text) > maxTokenText {
		return nil, ErrTokenText
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= tokenChecksum {
		return nil, ErrTokenText
	}
	raw, check := raw[:len(raw)-tokenChecksum], raw[len(raw)-tokenChecksum:]
	if sum := blake3.Sum256(raw); !bytes.Equal(sum[:tokenChecksum], check) {
		return nil, ErrTokenText
	}
	var pb identitypb.Token
	if err := proto.Unmarshal(raw, &pb); err != nil {
		return nil, ErrTokenText
	}
	if pb.GetVersion() > tokenVersion {
		return nil, ErrTokenVersion
	}
	site, err := state.SiteIDFromBytes(pb.GetSite())
	if err != nil || pb.GetVersion() == 0 || len(pb.GetSecret()) != tokenSecret {
		return nil, ErrTokenText
	}
	t := &Token{Site: site, Identity: pb.GetIdentityPublic(), Address: pb.GetAddress(),
		Expires: time.Unix(0, pb.GetExpires()), secret: hide(pb.GetSecret())}
	if t.check() != nil {
		return nil, ErrTokenText
	}
	return t, nil
}

// Hash is what the inviting site stores of the token. It does not let anybody
// use the token.
func (t *Token) Hash() TokenHash { return hashTokenKey(public(t.key())) }

// Prove signs, with the key made from the token's secret, the transcript of
// one pairing; it returns the public key with the signature.
func (t *Token) Prove(transcript []byte) (pub, proof []byte) {
	key := t.key()
	return public(key), ed25519.Sign(key, transcript)
}

func (t *Token) key() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	blake3.DeriveKey(tokenKeyContext, t.secret(), seed)
	return ed25519.NewKeyFromSeed(seed)
}

// Format shows no secret.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[pairing token of site %s]", t.Site) }

// LogValue shows no secret.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// TokenHash names an invitation.
type TokenHash [32]byte

// String gives the hash in hexadecimal, the name of the invitation in the config.
func (h TokenHash) String() string { return hex.EncodeToString(h[:]) }

// VerifyProof checks what Prove made and returns the hash of the token that
// made it. Whether there is an invitation of that hash, unused and in time, is
// the caller's question.
func VerifyProof(pub, proof, transcript []byte) (TokenHash, error) {
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, transcript, proof) {
		return TokenHash{}, errors.New("the proof of the pairing token does not hold for this connection")
	}
	return hashTokenKey(pub), nil
}

func hashTokenKey(pub ed25519.PublicKey) TokenHash { return blake3.Sum256(pub) }
