package identity

import (
	"fmt"
	"io"
)

// Alphabets of S3 keys: no character needs escaping anywhere.
const (
	accessAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// NewS3Key draws an access key of 20 characters (100 bits) and a secret of 40
// (238 bits); r nil means crypto/rand.
func NewS3Key(r io.Reader) (accessKey, secret string, err error) {
	if accessKey, err = drawText(random(r), accessAlphabet, 20); err == nil {
		secret, err = drawText(random(r), secretAlphabet, 40)
	}
	if err != nil {
		return "", "", fmt.Errorf("draw S3 key: %w", err)
	}
	return accessKey, secret, nil
}

// drawText draws n characters, each equally likely: bytes beyond the largest
// multiple of the alphabet's length are thrown away.
func drawText(r io.Reader, alphabet string, n int) (string, error) {
	bound := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		if _, err := io.ReadFull(r, buf[:]); err != nil {
			return "", err
		}
		for _, b := range buf {
			if int(b) < bound && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}
