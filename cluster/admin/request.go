package admin

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
)

// requestHeader carries a call's request id, both ways.
const requestHeader = "X-Request-Id"

type requestKey struct{}

// RequestID is the id of the call that a context belongs to, or "". The server
// puts it into the context of every call that it makes on an implementation.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// WithRequestID sets the request id of the calls that a client makes with the
// context; without it each call draws its own.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// validRequestID says whether an id from outside is fit for logs and headers.
func validRequestID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':') {
			return false
		}
	}
	return true
}

func newRequestID(rand io.Reader) (string, error) {
	var raw [12]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return "", fmt.Errorf("draw a request id: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}
