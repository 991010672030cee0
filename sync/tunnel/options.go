package tunnel

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// What both sides say. It is part of the protocol.
const (
	channelType    = "isgw-link@edgefog.dev"
	proofExtension = "isgw-proof@edgefog.dev"
	aliveRequest   = "isgw-alive@edgefog.dev"
	user           = "isgw"
	version        = "SSH-2.0-isgw_1"
)

// MaxProof bounds the proof that a certificate carries, in bytes.
const MaxProof = 64 << 10

// Options are what either end of a tunnel is made of. Credentials and Verify are
// required; any number of goroutines may call them at once.
type Options struct {
	// Credentials returns the key of this side and the proof that goes with it,
	// at most MaxProof bytes. It is asked for each connection.
	Credentials func() (key ed25519.PrivateKey, proof []byte, err error)
	// Verify decides whether the other side is believed, by the key that it
	// shows and the proof that came with it. What it returns is the peer of the
	// connection. The other side may not have proved yet that the key is its
	// own: Verify must not remember anything.
	Verify func(key ed25519.PublicKey, proof []byte) (peer any, err error)
	// Handshake bounds the time from the first byte of a connection to the
	// moment when it can be used; 10 s.
	Handshake time.Duration
	// Alive is how long a side says nothing at most; 15 s. A connection on which
	// the other side has said nothing for four times as long is dead.
	Alive time.Duration

	rekey uint64 // bytes after which the keys change; x/crypto's choice by default
}

func (o *Options) validate() error {
	var errs []error
	if o.Credentials == nil {
		errs = append(errs, errors.New("credentials are not set"))
	}
	if o.Verify == nil {
		errs = append(errs, errors.New("way to verify a peer is not set"))
	}
	if o.Handshake == 0 {
		o.Handshake = 10 * time.Second
	}
	if o.Alive == 0 {
		o.Alive = 15 * time.Second
	}
	if o.Handshake < 0 || o.Alive < 0 {
		errs = append(errs, errors.New("a time limit is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check options of tunnel: %w", err)
	}
	return nil
}

// common is what the two sides of the handshake have in common.
func (o *Options) common() ssh.Config {
	return ssh.Config{
		KeyExchanges:   []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
		Ciphers:        []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM},
		RekeyThreshold: o.rekey,
	}
}

// signer is this side's key with its certificate, as a host or as a user.
func (o *Options) signer(as uint32) (ssh.Signer, error) {
	key, proof, err := o.Credentials()
	if err != nil {
		return nil, fmt.Errorf("get credentials of tunnel: %w", err)
	}
	if len(proof) > MaxProof {
		return nil, fmt.Errorf("get credentials of tunnel: a proof of %d bytes is longer than %d", len(proof), MaxProof)
	}
	plain, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("use key of tunnel: %w", err)
	}
	// The certificate is only a way to carry the proof: it is signed by the key
	// that it is for, and nobody looks at its signature, names or dates.
	cert := &ssh.Certificate{
		Key: plain.PublicKey(), CertType: as, KeyId: user, ValidPrincipals: []string{user}, ValidBefore: ssh.CertTimeInfinity,
		Permissions: ssh.Permissions{Extensions: map[string]string{proofExtension: string(proof)}},
	}
	if err := cert.SignCert(noNonce{}, plain); err != nil {
		return nil, fmt.Errorf("make certificate of tunnel: %w", err)
	}
	signer, err := ssh.NewCertSigner(cert, plain)
	if err != nil {
		return nil, fmt.Errorf("make certificate of tunnel: %w", err)
	}
	return signer, nil
}

// noNonce is where a certificate's nonce comes from. It protects against
// collisions under an authority's signature, which this is not; an ed25519
// signature takes no randomness.
type noNonce struct{}

func (noNonce) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// verify takes a peer's certificate apart and asks who it is.
func (o *Options) verify(key ssh.PublicKey, as uint32) (any, error) {
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("the peer shows a bare key, without a certificate that says whose it is")
	}
	if cert.CertType != as {
		return nil, errors.New("the peer's certificate is of the wrong type")
	}
	inner, ok := cert.Key.(ssh.CryptoPublicKey)
	if !ok {
		return nil, errNotEd25519
	}
	public, ok := inner.CryptoPublicKey().(ed25519.PublicKey)
	if !ok {
		return nil, errNotEd25519
	}
	if len(cert.CriticalOptions) > 0 {
		return nil, errors.New("the peer's certificate has options that are not known")
	}
	proof, ok := cert.Extensions[proofExtension]
	if !ok {
		return nil, errors.New("the peer's certificate carries no proof: it is not of an isgw node")
	}
	if len(proof) > MaxProof {
		return nil, fmt.Errorf("the peer's proof of %d bytes is longer than %d", len(proof), MaxProof)
	}
	return o.Verify(public, []byte(proof))
}

var errNotEd25519 = errors.New("the peer's key is not an ed25519 key")
