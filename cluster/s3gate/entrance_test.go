package s3gate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/cluster/s3gate"
)

// TestVirtualHosts names the bucket by the host, with keys of any kind.
func TestVirtualHosts(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.Domains = []string{"other.test", "s3.test"} })
	ctx := t.Context()
	tr := transport(t)
	var hosts sync.Map
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		hosts.Store(addr, true)
		return (&net.Dialer{}).DialContext(ctx, network, s.addr)
	}
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://s3.test:9000"), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(colaKey, colaSecret, ""),
		HTTPClient:  &http.Client{Transport: tr},
	})
	for _, key := range []string{"k", "a b/ü?&=+%", "../x", "a//b", "/lead", strings.Repeat("d/", 500)} {
		if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bk1"), Key: &key, Body: strings.NewReader("content of " + key)}); err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bk1"), Key: &key})
		if err != nil {
			t.Errorf("get %q: %v", key, err)
			continue
		}
		if got := string(readBody(t, out.Body)); got != "content of "+key {
			t.Errorf("content of %q: %q", key, got)
		}
		// The same object in the path.
		if _, err := s.aws(t, colaKey, colaSecret).HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("bk1"), Key: &key}); err != nil {
			t.Errorf("head %q by its path: %v", key, err)
		}
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("bk1"), Delimiter: aws.String("/")})
	if err != nil || len(list.Contents) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	if out, err := c.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil || len(out.Buckets) != 1 {
		t.Errorf("buckets %v, %v", out, err)
	}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("bk1"), Key: aws.String("big")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("bk1"), Key: aws.String("big"), UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String("bk1"), Key: aws.String("big"), UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}}}); err != nil {
		t.Error(err)
	}
	_, err = c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("bk2")})
	wantCode(t, "another tenant's bucket", err, "NotFound")
	u, err := s3.NewPresignClient(c).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bk1"), Key: aws.String("../x")})
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: tr}).Get(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(readBody(t, res.Body)); got != "content of ../x" {
		t.Errorf("presigned: %s %q", res.Status, got)
	}
	if _, ok := hosts.Load("bk1.s3.test:9000"); !ok {
		t.Error("the client did not use a virtual host")
	}
	// The bucket of a path cannot be reached under the signature for one of a host.
	res, err = http.Get(strings.Replace(u.URL, "bk1.s3.test:9000/", s.addr+"/bk1/", 1))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusForbidden {
		t.Errorf("a signature for another host: %s", res.Status)
	}
}

// TestSlowClients ends those that send or read a little now and then, and leaves
// alone those that are slow and get on.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.StallTimeout, o.HeaderTimeout = 4*time.Second, 2*time.Second })
	cl := s.minio(t, colaKey, colaSecret)
	u, err := cl.PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	// trickle sends a byte every 20 ms until the server has had enough, and returns
	// its answer.
	trickle := func(conn net.Conn) string {
		answer := make(chan []byte, 1)
		go func() {
			raw, _ := io.ReadAll(conn)
			answer <- raw
		}()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(time.Minute)
		for {
			select {
			case raw := <-answer:
				return string(raw)
			case <-tick.C:
				_, _ = conn.Write([]byte("x"))
			case <-deadline:
				return "it went on"
			}
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn := dial()
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nX-Slow: ", u.RequestURI(), u.Host)
		if got := trickle(conn); !strings.Contains(got, "RequestTimeout") {
			t.Errorf("a trickling header: %q", got)
		}
	})
	wg.Go(func() {
		conn := dial()
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n", u.RequestURI(), u.Host)
		if got := trickle(conn); !strings.Contains(got, "RequestTimeout") {
			t.Errorf("a trickling body: %q", got)
		}
	})
	wg.Go(func() {
		// A hundred times as slow as any line, but it gets on: 500 bytes every 50 ms
		// take longer than the limit in all.
		slow, err := cl.PresignedPutObject(t.Context(), "bk1", "slow", time.Minute)
		if err != nil {
			t.Error(err)
			return
		}
		conn := dial()
		const pieces = 100
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", slow.RequestURI(), slow.Host, pieces*500)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range pieces {
			<-tick.C
			if _, err := conn.Write(bytes.Repeat([]byte("x"), 500)); err != nil {
				t.Errorf("a slow upload: %v", err)
				return
			}
		}
		if raw, _ := io.ReadAll(conn); !strings.HasPrefix(string(raw), "HTTP/1.1 200") {
			t.Errorf("a slow upload: %q", raw)
		}
	})
}

// TestOverload keeps answering at once when more comes than may, and is as it was
// when that is over.
func TestOverload(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.MaxRequests, o.MaxConnections = 4, 16 })
	u, err := s.minio(t, colaKey, colaSecret).PresignedPutObject(t.Context(), "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 20_000))
	}
	poll(t, func() bool { return s.gate.Stats().BytesIn > 80_000 })
	_, err = s.aws(t, colaKey, colaSecret).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	wantCode(t, "one request more", err, "SlowDown")
	for range 40 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	poll(t, func() bool { return s.gate.Stats().TurnedAway >= 27 })
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if raw, _ := io.ReadAll(conn); !bytes.HasPrefix(raw, []byte("HTTP/1.1 503 ")) || !bytes.Contains(raw, []byte("<Code>SlowDown</Code>")) {
		t.Errorf("one connection more: %q", raw)
	}
	conn.Close()
	for _, c := range held {
		c.Close()
	}
	poll(t, func() bool { return s.gate.Stats().Connections <= 1 })
	poll(t, func() bool {
		_, err := s.minio(t, colaKey, colaSecret).PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err == nil
	})
}
