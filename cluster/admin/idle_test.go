package admin

import (
	"errors"
	"io"
	"testing"
	"time"
)

// TestIdleConnectionsDoNotHoldTheNode: a client that keeps its connection open
// and asks for nothing costs the end of the node no second.
func TestIdleConnectionsDoNotHoldTheNode(t *testing.T) {
	const tries, slow = 5, 900 * time.Millisecond // HTTP/2 would wait for a second, each time
	var took time.Duration
	for range tries {
		socket, stop := serve(t, newNode().options())
		clients := []*Client{dial(t, socket), dial(t, socket), dial(t, socket)}
		for _, c := range clients {
			if _, err := c.System.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		stop()
		if took = time.Since(began); took < slow {
			break
		}
	}
	if took >= slow {
		t.Errorf("the server took %v to end", took)
	}
}

// TestCallsUnderWayAreFinished: what was asked before the end is answered whole,
// though other connections are closed meanwhile.
func TestCallsUnderWayAreFinished(t *testing.T) {
	n := newNode()
	reading, proceed := make(chan struct{}), make(chan struct{})
	const size = 3 << 20
	n.body = func([]byte) (io.Reader, uint64) {
		return io.MultiReader(io.LimitReader(zeros{}, size/2), readerFunc(func([]byte) (int, error) {
			close(reading)
			<-proceed
			return 0, io.EOF
		}), io.LimitReader(zeros{}, size/2)), size
	}
	socket, stop := serve(t, n.options())
	idle := dial(t, socket)
	if _, err := idle.System.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body, err := dial(t, socket).Objects.Get(t.Context(), "a/b/ccc", "key")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	<-reading
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	eventually(t, "no new call is taken", func() bool {
		_, err := dial(t, socket).System.Status(t.Context())
		var refused *Error
		return errors.As(err, &refused) && refused.Code == CodeUnavailable
	})
	select {
	case <-ended:
		t.Error("the server ended in the middle of a call")
	default:
	}
	close(proceed)
	rest, err := io.Copy(io.Discard, body)
	if err != nil || rest != size-1 {
		t.Errorf("%d bytes came after the end began, %v; want %d", rest, err, size-1)
	}
	<-ended
}

// zeros is content without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
