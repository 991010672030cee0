package main

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// echo returns what it is sent, on every connection, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				io.Copy(c, c)
				c.(*net.TCPConn).CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		done.Wait()
	})
	return ln.Addr().String()
}

// roundTrip sends data through a wire to echo and expects it back.
func roundTrip(t *testing.T, address string, data []byte) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := c.Write(data); err != nil {
			t.Error(err)
		}
		c.(*net.TCPConn).CloseWrite()
	})
	back, err := io.ReadAll(c)
	sending.Wait()
	if err != nil || sha256.Sum256(back) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back of %d: %v", len(back), len(data), err)
	}
}

// TestWiresCarryAndCount sends bytes through both kinds of wire.
func TestWiresCarryAndCount(t *testing.T) {
	target := echo(t)
	counting, err := newSplice(target)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := newDelayed("127.0.0.1", target, 2*time.Millisecond, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 3<<20+123)
	fill(1, data)
	for name, w := range map[string]wire{"splice": counting, "delayed": slow} {
		for range 2 {
			roundTrip(t, w.address(), data)
		}
		var want int64 = 4 * int64(len(data))
		if got := w.crossed(); got != want {
			t.Errorf("%s counted %d bytes, want %d", name, got, want)
		}
		// A connection that is open counts too, and close ends it.
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if got := w.crossed(); got != want+10 {
			t.Errorf("%s counted %d bytes, want %d", name, got, want+10)
		}
		w.close()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: a connection outlives its wire", name)
		}
		c.Close()
		if got := w.crossed(); got != want+10 {
			t.Errorf("%s counted %d bytes after its end, want %d", name, got, want+10)
		}
	}
}

// TestDelayIsExact measures the delay in a time that does not pass by itself:
// each write arrives the delay later, the first later still, and a stream is
// not slowed by it.
func TestDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, first = 40 * time.Millisecond, 100 * time.Millisecond
		in, from := net.Pipe()
		to, out := net.Pipe()
		start := time.Now()
		var counted atomic.Int64
		var way sync.WaitGroup
		way.Go(func() { delayWay(to, from, delay, 1<<20, start.Add(first), &counted) })

		arrival := func() time.Duration {
			if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		in.Write([]byte("a"))
		if got := arrival(); got != first+delay {
			t.Errorf("the first byte arrived after %v, want %v", got, first+delay)
		}
		for range 3 {
			sent := time.Since(start)
			in.Write([]byte("b"))
			if got := arrival() - sent; got != delay {
				t.Errorf("a byte arrived after %v, want %v", got, delay)
			}
		}
		// A hundred writes one after the other are one delay, not a hundred.
		sent := time.Now()
		var writing sync.WaitGroup
		writing.Go(func() {
			for range 100 {
				in.Write(make([]byte, 1000))
			}
			in.Close()
		})
		data, err := io.ReadAll(out)
		if took := time.Since(sent); err != nil || len(data) != 100_000 || took != delay {
			t.Errorf("%d bytes arrived after %v: %v, want 100000 after %v", len(data), took, err, delay)
		}
		writing.Wait()
		way.Wait()
		if counted.Load() != 100_004 {
			t.Errorf("counted %d bytes", counted.Load())
		}
	})
}

// TestDelayIsBounded fills a way whose far end takes nothing.
func TestDelayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 10_000
		in, from := net.Pipe()
		to, out := net.Pipe()
		var counted atomic.Int64
		var way, writing sync.WaitGroup
		way.Go(func() { delayWay(to, from, time.Millisecond, bound, time.Time{}, &counted) })
		writing.Go(func() {
			for range 100 {
				if _, err := in.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		})
		time.Sleep(time.Minute) // of a clock that jumps
		synctest.Wait()
		// One segment is with the writer and one with the reader, beyond those that wait.
		if n := counted.Load(); n < bound || n > bound+2000 {
			t.Errorf("%d bytes were taken with a bound of %d", n, bound)
		}
		out.Close() // what waits is dropped, and both goroutines end
		way.Wait()
		in.Close()
		writing.Wait()
	})
}

func TestWireToNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	w, err := newSplice(nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	c, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := io.Copy(&bytes.Buffer{}, c); n != 0 {
		t.Errorf("%d bytes from nobody: %v", n, err)
	}
}
