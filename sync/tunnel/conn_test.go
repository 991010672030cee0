package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/sync/link/linktest"
	"golang.org/x/net/nettest"
)

// TestConn is Go's conformance suite of net.Conn.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		here, there := pair(t, nil)
		return &patient{here}, &patient{there}, func() { here.Close(); there.Close() }, nil
	})
}

// patient closes as one does who wants everything to arrive. One test of the suite has
// nobody at the other end, and waits for all of this time.
type patient struct{ *Conn }

func (p *patient) Close() error {
	_ = p.CloseWrite()
	if err := p.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, p.Conn)
	return p.Conn.Close()
}

// TestRekey moves much more than the keys are good for, both ways at once.
func TestRekey(t *testing.T) {
	here, there := pair(t, func(o *Options) { o.rekey = 256 << 10 })
	const size = 4 << 20
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	ends := make(chan error, 4)
	for _, c := range []*Conn{here, there} {
		go func() {
			_, err := c.Write(content)
			ends <- err
		}()
		go func() {
			got := make([]byte, size)
			_, err := io.ReadFull(c, got)
			if err == nil && !bytes.Equal(got, content) {
				err = errors.New("what arrived is something else")
			}
			ends <- err
		}()
	}
	for range 4 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

// TestNothingLostAtTheEnd writes and ends its direction at once: everything
// arrives, and the end after it.
func TestNothingLostAtTheEnd(t *testing.T) {
	for range 20 {
		here, there := pair(t, nil)
		last := bytes.Repeat([]byte("last words "), 10_000)
		got := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(there)
			got <- b
		}()
		if _, err := here.Write(last); err != nil {
			t.Fatal(err)
		}
		if err := here.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b := <-got; !bytes.Equal(b, last) {
			t.Fatalf("%d of %d bytes arrived", len(b), len(last))
		}
		there.Close()
		here.Close()
	}
}

// TestCloseWrite ends one direction: the other goes on.
func TestCloseWrite(t *testing.T) {
	here, there := pair(t, nil)
	if _, err := here.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := here.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after the end: %v", err)
	}
	if b, err := io.ReadAll(there); err != nil || string(b) != "question" {
		t.Fatalf("read %q, %v", b, err)
	}
	if _, err := there.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	there.Close()
	if b, err := io.ReadAll(here); err != nil || string(b) != "answer" {
		t.Fatalf("read %q, %v", b, err)
	}
}

// TestWriteDeadline stops reading at the other side: writing ends at its
// deadline, says how much is on its way, goes on when there is room again, and
// nothing is lost or comes twice.
func TestWriteDeadline(t *testing.T) {
	here, there := pair(t, nil)
	content := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	sent := 0
	for {
		if err := here.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := here.Write(content[sent:])
		sent += n
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes were written to somebody who does not read: %v", sent, err)
		}
		if n == 0 {
			break // full
		}
	}
	// The window of the channel and a ring at each end; not what the kernel would hold.
	if most := 2<<20 + inRing + outRing; sent > most {
		t.Errorf("%d bytes were taken, more than %d", sent, most)
	}
	_ = here.SetWriteDeadline(time.Time{})
	rest := make(chan error, 1)
	go func() {
		_, err := here.Write(content[sent:])
		rest <- err
	}()
	got := make([]byte, len(content))
	if _, err := io.ReadFull(there, got); err != nil {
		t.Fatal(err)
	}
	if err := <-rest; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Error("what arrived is something else")
	}
}

// TestBroken breaks the connection beneath: both directions say why.
func TestBroken(t *testing.T) {
	here, there := pair(t, nil)
	if err := there.raw.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Read(make([]byte, 1)); err == nil {
		t.Error("reading from nobody succeeds")
	}
	until(t, "writing fails", func() bool {
		_, err := here.Write(make([]byte, outRing))
		return err != nil
	})
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

// TestSilentPeer lets the other side fall silent: the connection ends after four
// times the longest silence that is allowed. One that is idle lives on.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := twoParties()
		line := &linktest.Line{Delay: 50 * time.Millisecond, Rate: 125e6, Window: 3 << 20}
		inner, dial := line.Listen()
		hush := make(chan struct{})
		l, _ := listenOn(t, &silencing{Listener: inner, hush: hush}, far, nil)
		here, there := connect(t, l, dialer(t, near, dial, nil))
		if err := here.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("an idle connection ended: %v", err)
		}
		_ = here.SetReadDeadline(time.Time{})
		close(hush)
		began := time.Now()
		if _, err := here.Read(make([]byte, 1)); !errors.Is(err, errSilent) {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(began); took < 45*time.Second || took > 75*time.Second {
			t.Errorf("silence was noticed after %s", took)
		}
		here.Close()
		there.Close()
		l.Close()
	})
}

// silencing makes the connections that it accepts swallow what is written once
// hush is closed.
type silencing struct {
	net.Listener
	hush chan struct{}
}

func (s *silencing) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &silenced{c, s.hush}, nil
}

type silenced struct {
	net.Conn
	hush chan struct{}
}

func (s *silenced) Write(p []byte) (int, error) {
	select {
	case <-s.hush:
		return len(p), nil
	default:
		return s.Conn.Write(p)
	}
}

// TestLongLine fills a line of 1 Gbit/s and 100 ms with eight tunnels, as many as
// a link has connections for chunks, each of which has a TCP window of 3 MiB.
func TestLongLine(t *testing.T) {
	const tunnels, rate = 8, 125e6
	for _, way := range []string{"from the side that dialled", "to the side that dialled"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := twoParties()
				line := &linktest.Line{Delay: 50 * time.Millisecond, Rate: rate, Window: 3 << 20}
				inner, dial := line.Listen()
				l, _ := listenOn(t, inner, far, nil)
				d := dialer(t, near, dial, nil)
				began := time.Now()
				var from, to []*Conn
				for range tunnels {
					here, there := connect(t, l, d)
					if way[0] == 't' {
						here, there = there, here
					}
					from, to = append(from, here), append(to, there)
				}
				t.Logf("a tunnel is made in %s", time.Since(began)/tunnels)
				type mark struct {
					at time.Time
					n  int
				}
				count := make(chan mark, 1<<16)
				for i := range tunnels {
					go func() {
						block := make([]byte, 256<<10)
						for {
							if _, err := from[i].Write(block); err != nil {
								return
							}
						}
					}()
					go func() {
						block := make([]byte, 256<<10)
						for {
							n, err := to[i].Read(block)
							if err != nil {
								return
							}
							count <- mark{time.Now(), n}
						}
					}()
				}
				var total int
				start := time.Now()
				for total < 64<<20 {
					m := <-count
					if m.at.Sub(start) < time.Second { // the windows open
						continue
					}
					total += m.n
				}
				took := time.Since(start) - time.Second
				share := float64(total) / took.Seconds() / rate
				t.Logf("%.1f %% of the line", 100*share)
				if share < 0.95 {
					t.Errorf("only %.1f %% of the line are filled", 100*share)
				}
				go func() {
					for range count {
					}
				}()
				for i := range tunnels {
					from[i].Close()
					to[i].Close()
				}
				l.Close()
				synctest.Wait()
				close(count)
			})
		})
	}
}

// TestNotesAreGathered receives at a tenth of 1 Gbit/s over a long line: what is said
// of the window goes out in about a third of the writes that it would take one by one.
func TestNotesAreGathered(t *testing.T) {
	const size, rate = 16 << 20, 12.5e6
	synctest.Test(t, func(t *testing.T) {
		near, far := twoParties()
		line := &linktest.Line{Delay: 50 * time.Millisecond, Rate: rate, Window: 3 << 20}
		inner, dial := line.Listen()
		l, _ := listenOn(t, inner, far, nil)
		var writes atomic.Int64
		here, there := connect(t, l, dialer(t, near, func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return &writeCounter{c, &writes}, err
		}, nil))
		writes.Store(0)
		sent := make(chan error, 1)
		go func() {
			block := make([]byte, outRing)
			for range size / outRing {
				if _, err := there.Write(block); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		began := time.Now()
		if _, err := io.ReadFull(here, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took.Seconds() > 1.15*size/rate {
			t.Errorf("it took %s, though the line takes %.2f s", took, size/rate)
		}
		const alone = size / (128 << 10)
		t.Logf("%d writes; %d one by one", writes.Load(), alone)
		if n := writes.Load(); n > alone/2 {
			t.Errorf("%d writes are more than half of the %d that it would take one by one", n, alone)
		}
		here.Close()
		there.Close()
		l.Close()
	})
}

// writeCounter counts the writes of a connection.
type writeCounter struct {
	net.Conn
	writes *atomic.Int64
}

func (c *writeCounter) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// BenchmarkTunnel measures both ends of a tunnel over loopback.
func BenchmarkTunnel(b *testing.B) {
	here, there := pair(b, nil)
	for _, size := range []int{4 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			done := make(chan error, 1)
			go func() {
				_, err := io.CopyN(io.Discard, there, int64(size)*int64(b.N))
				done <- err
			}()
			block := make([]byte, size)
			for range b.N {
				if _, err := here.Write(block); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
