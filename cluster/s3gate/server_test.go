package s3gate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// orphan commits a record whose chunk nobody has.
func (s *site) orphan(t testing.TB, key string) string {
	t.Helper()
	id := chunks.Sum([]byte("nobody has this"))
	res, err := s.replica.Propose(t.Context(), &raftfsmpb.Command{Command: &raftfsmpb.Command_Write{Write: &catalogpb.Write{
		Bucket: "Hawaii/Cola/bk1",
		Record: &catalogpb.Record{Key: []byte(key), Kind: catalogpb.RecordKind_RECORD_VERSION, Etag: "e", Root: &catalogpb.Root{Id: id[:], Size: 15}},
	}}})
	if err != nil || res.GetCode() != raftfsmpb.Code_OK {
		t.Fatalf("%v, %v", res, err)
	}
	return id.String()
}

func closedListener(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.2:0") // nobody else listens there
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln
}

// TestDrain ends Serve while a request is under way: the request finishes, a
// new connection is refused.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.DrainTimeout = time.Minute })
	cl := s.minio(t, colaKey, colaSecret)
	u, err := cl.PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", u.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1 << 20
	answer := make(chan string, 1)
	go func() {
		res, err := (&http.Client{Transport: transport(t)}).Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		res.Body.Close()
		answer <- res.Status
	}()
	if _, err := feed.Write(make([]byte, 1<<19)); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return s.gate.Stats().BytesIn > 1<<18 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	if _, err := feed.Write(make([]byte, 1<<19)); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	if got := <-answer; got != "200 OK" {
		t.Errorf("the request under way: %s", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := s.objects.Head(t.Context(), "Hawaii/Cola/bk1", "k"); err != nil {
		t.Errorf("the object: %v", err)
	}
}

// TestDrainEnds cuts off a request that does not finish in time.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.DrainTimeout = 50 * time.Millisecond })
	u, err := s.minio(t, colaKey, colaSecret).PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 20_000))
	poll(t, func() bool { return s.gate.Stats().BytesIn > 20_000 })
	if err := s.stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection: %v", err)
	}
}

// poll waits until a condition holds.
func poll(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

// TestStalled ends a connection whose bytes do not move, in a body and in an
// answer, and leaves one alone that is slow.
func TestStalled(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.StallTimeout = 100 * time.Millisecond })
	cl := s.minio(t, colaKey, colaSecret)
	u, err := cl.PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 20_000))
	answer, _ := io.ReadAll(conn) // ends because the server closes
	if !strings.Contains(string(answer), "RequestTimeout") {
		t.Errorf("answer to a stalled body: %q", answer)
	}
	poll(t, func() bool { return s.gate.Stats().Connections == 0 })

	// The object is there without a client that would have to keep up on a busy
	// machine, and the connection is the only one.
	const size = 64 << 20
	if _, err := s.objects.Put(t.Context(), objects.PutRequest{Bucket: "Hawaii/Cola/bk1", Key: "big", Body: bytes.NewReader(make([]byte, size)), Size: size}); err != nil {
		t.Fatal(err)
	}
	if u, err = cl.PresignedGetObject(t.Context(), "bk1", "big", time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	if conn, err = net.Dial("tcp", s.addr); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := s.gate.Stats().BytesOut // of answers that are out, as no connection is open
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host)
	poll(t, func() bool { return s.gate.Stats().BytesOut > before })
	// Nobody reads: what fits in the sockets' buffers goes, and then nothing.
	read := 0
	buf := make([]byte, 1<<20)
	poll(t, func() bool { return s.gate.Stats().Connections == 0 })
	for {
		n, err := conn.Read(buf)
		read += n
		if err != nil {
			break
		}
	}
	if read >= size {
		t.Errorf("all %d bytes came on a stalled connection", read)
	}
}

// TestLimits answers SlowDown above the bound on requests, and closes
// connections above their bound.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.MaxRequests, o.MaxConnections = 1, 3 })
	u, err := s.minio(t, colaKey, colaSecret).PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	open := func() net.Conn {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	fmt.Fprintf(open(), "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 20_000))
	poll(t, func() bool { return s.gate.Stats().BytesIn > 20_000 })
	slow := open()
	fmt.Fprintf(slow, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(slow)
	for _, part := range []string{"HTTP/1.1 503 ", "<Code>SlowDown</Code>", "Content-Type: application/xml", "Retry-After: 1\r\n"} {
		if !strings.Contains(string(answer), part) {
			t.Errorf("a request too many: %q, without %q", answer, part)
		}
	}
	poll(t, func() bool { return s.gate.Stats().Connections == 1 })
	open()
	open()
	poll(t, func() bool { return s.gate.Stats().Connections == 3 })
	if answer, _ := io.ReadAll(open()); !strings.HasPrefix(string(answer), "HTTP/1.1 503") {
		t.Errorf("a connection too many: %q", answer)
	}
}

// TestOversized refuses bodies that would be read into memory.
func TestOversized(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	var wg sync.WaitGroup
	for _, target := range []string{"PUT /bk1", "PUT /bk1?tagging", "PUT /bk1/k?tagging", "POST /bk1?delete", "POST /bk1/k?uploadId=x", "DELETE /bk1/k"} {
		wg.Go(func() {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\nContent-Length: 10000000000\r\nConnection: close\r\n\r\n%s", target, strings.Repeat("x", 10_000))
			answer, _ := io.ReadAll(conn)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 400") || !strings.Contains(string(answer), "MaxMessageLengthExceeded") {
				t.Errorf("%s: %q", target, answer)
			}
		})
	}
	defer wg.Wait()
	// A form is not taken into memory or files before anybody has signed.
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /bk1/k HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000000\r\nConnection: close\r\n\r\n--b\r\n%s", strings.Repeat("x", 10_000))
	if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 403") {
		t.Errorf("a form: %q", answer)
	}
}

// TestGarbage sends what is no request.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	for _, garbage := range []string{"\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n", "BREW /bk1/k HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(conn, garbage)
			conn.(*net.TCPConn).CloseWrite()
		}()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") && !strings.HasPrefix(string(answer), "HTTP/1.1 5") && len(answer) > 0 {
			t.Errorf("%.20q: %q", garbage, answer)
		}
	}
	if _, err := s.minio(t, colaKey, colaSecret).ListBuckets(context.Background()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}
