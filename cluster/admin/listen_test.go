package admin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	l, err := ListenUnix(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(t.Context(), socket); err == nil || !strings.Contains(err.Error(), "answers there already") {
		t.Errorf("a second listener: %v", err)
	}
	// The process dies: its socket stays and nobody answers.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	again, err := ListenUnix(t.Context(), socket)
	if err != nil {
		t.Fatalf("after a dead process: %v", err)
	}
	again.Close()
	if _, err := os.Stat(socket); err == nil {
		t.Error("a closed listener left its socket")
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(t.Context(), file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file now: %q, %v", content, err)
	}
	if _, err := ListenUnix(t.Context(), filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "shorter directory") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := ListenUnix(t.Context(), filepath.Join(dir, "none", "admin.sock")); err == nil {
		t.Error("listened in a directory that is not there")
	}
}

// endless is a listener to which somebody always connects.
type endless struct{ accepted atomic.Int32 }

func (l *endless) Accept() (net.Conn, error) {
	l.accepted.Add(1)
	conn, _ := net.Pipe()
	return conn, nil
}
func (l *endless) Close() error   { return nil }
func (l *endless) Addr() net.Addr { return &net.UnixAddr{} }

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &endless{}
		l := bounded(inner, 3)
		conns := make(chan net.Conn, 100)
		ended := make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					ended <- err
					return
				}
				conns <- conn
			}
		}()
		synctest.Wait()
		if n := inner.accepted.Load(); n != 3 {
			t.Errorf("%d connections at a time, want 3", n)
		}
		first := <-conns
		first.Close()
		first.Close() // twice gives back one slot
		synctest.Wait()
		if n := inner.accepted.Load(); n != 4 {
			t.Errorf("after one was closed: %d, want 4", n)
		}
		l.Close() // while Accept waits for a slot
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		for len(conns) > 0 {
			(<-conns).Close()
		}
		if n := len(l.(*boundedListener).slots); n != 0 {
			t.Errorf("%d slots were not given back", n)
		}
	})
}
