package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestOverload holds every connection and every request that a site's S3 endpoint
// takes, by clients that send nothing more. What comes beyond is told to slow down,
// and everything else works as before: the admin API answers, and the link carries
// what the other site writes.
func TestOverload(t *testing.T) {
	e, a, b, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "before", []byte("before"))
	l.WaitSynced()
	u, err := a.S3("Hawaii/Cola").PresignedPutObject(e.Context(), "bk1", "held", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", a.S3Address())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		return c
	}
	const requests, connections = 128, 1024 // that an endpoint takes
	hold := func() {
		fmt.Fprintf(dial(), "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 10_000))
	}
	for range requests {
		hold()
	}
	get := func() (int, string) {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + a.S3Address() + "/")
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	e.Eventually("a request too many to be refused", func() bool {
		status, body := get()
		if status == http.StatusServiceUnavailable && strings.Contains(body, "<Code>SlowDown</Code>") {
			return true
		}
		hold() // one of those before may have been refused for the sake of this get
		return false
	})
	for range connections - requests {
		dial()
	}
	e.Eventually("a connection too many to be turned away", func() bool {
		c := dial()
		raw, _ := io.ReadAll(c)
		return bytes.Contains(raw, []byte("<Code>SlowDown</Code>"))
	})

	// The node goes on.
	slowest := time.Duration(0)
	for i := range 20 {
		began := time.Now()
		if _, err := a.Admin.System.Status(e.Context()); err != nil {
			t.Fatalf("status under load: %v", err)
		}
		slowest = max(slowest, time.Since(began))
		e.mustPut(b, fmt.Sprintf("during/%d", i), []byte("during"))
	}
	if slowest > 5*time.Second {
		t.Errorf("the admin API took up to %v under load", slowest)
	}
	l.WaitSynced()
	page, err := a.Admin.Objects.List(e.Context(), &adminpb.ListObjectsRequest{Bucket: bucketPath, Prefix: "during/"})
	if err != nil || len(page.GetItems()) != 20 {
		t.Errorf("alpha has %d of 20 objects that the link carried, %v", len(page.GetItems()), err)
	}

	// And serves again when the others have gone.
	for _, c := range held {
		c.Close()
	}
	held = nil
	e.Eventually("S3 to be served again", func() bool {
		status, _ := get()
		return status == http.StatusForbidden
	})
	e.mustHave(a, "before", []byte("before"))
	e.mustHave(a, "during/7", []byte("during"))
}

// serveTLS lets the site serve S3 over TLS, and returns what trusts its certificate.
func (s *Site) serveTLS() *tls.Config {
	t := s.env.t
	t.Helper()
	known := httptest.NewTLSServer(nil) // which has a certificate
	defer known.Close()
	pair := known.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	s.options.S3Cert, s.options.S3Key = s.env.Dir(s.Name+".pem"), s.env.Dir(s.Name+".key")
	for file, block := range map[string]*pem.Block{
		s.options.S3Cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		s.options.S3Key:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	s.Resume()
	pool := x509.NewCertPool()
	pool.AddCert(known.Certificate())
	return &tls.Config{RootCAs: pool, ServerName: known.Certificate().DNSNames[0]}
}

// crowd is what many clients have done together.
type crowd struct {
	mu       sync.Mutex
	kept     map[string]made // by key, what was acknowledged
	gets     int             // of what was put, byte by byte
	refused  int             // told to slow down
	problems map[string]int  // anything else
}

// made is content that randomBytes makes again.
type made struct {
	seed uint64
	size int64
}

// client puts and gets over TLS until it is told to end, and finishes what it has begun:
// what is acknowledged is kept. Every second one makes a connection for each request.
func (c *crowd) client(ctx context.Context, until <-chan struct{}, s *Site, trust *tls.Config, n int, key *adminpb.Key) {
	transport := &http.Transport{TLSClientConfig: trust.Clone(), DisableKeepAlives: n%2 == 0}
	defer transport.CloseIdleConnections()
	to, err := minio.New(s.S3Address(), &minio.Options{
		Creds:  credentials.NewStaticV4(key.GetAccessKey(), key.GetSecretKey(), ""),
		Region: "us-east-1", Secure: true, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		c.count(err)
		return
	}
	sizes := []int64{8 << 20, 4 << 10, 1 << 20, 64 << 10, 1 << 20, 4 << 10, 1 << 20, 64 << 10}
	if raced {
		sizes = sizes[1:] // memory is not looked at, and time is dear
	}
	for i := 0; ; i++ {
		select {
		case <-until:
			return
		default:
		}
		name := fmt.Sprintf("load/%03d/%05d", n, i)
		m := made{uint64(n)<<32 + uint64(i), sizes[(n+i)%len(sizes)]}
		body := randomBytes(m.seed, m.size)
		_, err := to.PutObject(ctx, "bk1", name, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{DisableMultipart: true})
		if c.count(err) {
			continue
		}
		c.mu.Lock()
		c.kept[name] = m
		c.mu.Unlock()
		object, err := to.GetObject(ctx, "bk1", name, minio.GetObjectOptions{})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(object)
			object.Close()
		}
		if c.count(err) {
			continue
		}
		if !bytes.Equal(got, body) {
			c.count(fmt.Errorf("%d bytes that are not the %d that were put", len(got), len(body)))
			continue
		}
		c.mu.Lock()
		c.gets++
		c.mu.Unlock()
	}
}

// count counts an error; false when there is none.
func (c *crowd) count(err error) bool {
	if err == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := minio.ToErrorResponse(err); answer.Code == "SlowDown" {
		c.refused++
	} else {
		c.problems[err.Error()]++
	}
	return true
}

// TestLoad lets more clients than a site serves at a time put and get over TLS for some
// seconds. What is too much is told to slow down, the admin API answers meanwhile,
// neither node takes more memory than is promised, and what was acknowledged is at
// both sites.
func TestLoad(t *testing.T) {
	const clients, lasts, promptly = 192, 2 * time.Second, 20 * time.Second
	e, a, b, l := twoSites(t, SiteOptions{Process: true})
	trust, key := a.serveTLS(), a.Key("Hawaii/Cola")
	ctx := e.Context()
	c := &crowd{kept: map[string]made{}, problems: map[string]int{}}
	var group sync.WaitGroup
	defer group.Wait()
	load, end := context.WithTimeout(ctx, lasts)
	defer end()
	for n := range clients {
		group.Go(func() { c.client(ctx, load.Done(), a, trust, n, key) })
	}
	answers, slowest := 0, time.Duration(0)
	for ; load.Err() == nil; answers++ {
		began := time.Now()
		if _, err := a.Admin.System.Status(ctx); err != nil {
			t.Fatalf("status under load: %v", err)
		}
		slowest = max(slowest, time.Since(began))
		pause(10 * time.Millisecond)
	}
	group.Wait()
	t.Logf("%d puts and %d gets, %d told to slow down; the admin API answered %d times, within %v", len(c.kept), c.gets, c.refused, answers, slowest)
	if len(c.kept) == 0 || c.gets == 0 || c.refused == 0 {
		t.Error("some of that is nothing")
	}
	if slowest > promptly {
		t.Errorf("the admin API took up to %v under load", slowest)
	}
	for what, n := range c.problems {
		t.Errorf("%d times: %s", n, what)
	}
	l.WaitSynced()
	for name, m := range c.kept {
		e.mustHave(b, name, randomBytes(m.seed, m.size))
	}
	if !raced { // the race detector takes as much again
		e.checkMemory(a, b)
	}
}
