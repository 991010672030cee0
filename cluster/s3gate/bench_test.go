package s3gate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/chunks/chunkstest"
)

// The benchmarks use presigned URLs, so that the client costs little.

func (s *site) presigned(b *testing.B, method string, n int) []string {
	b.Helper()
	cl := s.minio(b, colaKey, colaSecret)
	urls := make([]string, n)
	for i := range urls {
		u, err := cl.Presign(b.Context(), method, "bk1", fmt.Sprint("k", i), time.Hour, nil)
		if err != nil {
			b.Fatal(err)
		}
		urls[i] = u.String()
	}
	return urls
}

func do(client *http.Client, method, url string, body []byte, buf []byte) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, url, res.Status)
	}
	return nil
}

func BenchmarkHTTP(b *testing.B) {
	for _, size := range []int{4 << 10, 8 << 20} {
		const objects = 64
		s := openSite(b, nil)
		client := &http.Client{Transport: transport(b)}
		puts, gets := s.presigned(b, "PUT", objects), s.presigned(b, "GET", objects)
		for i, u := range puts {
			if err := do(client, "PUT", u, chunkstest.Random(uint64(i), size), make([]byte, 1<<10)); err != nil {
				b.Fatal(err)
			}
		}
		for _, method := range []string{"PUT", "GET"} {
			b.Run(fmt.Sprintf("%s/%d/8-at-once", method, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.SetParallelism(4) // of two processors
				b.ReportAllocs()
				var n atomic.Int64
				b.RunParallel(func(pb *testing.PB) {
					raw, buf := chunkstest.Random(uint64(n.Add(1))<<32, size), make([]byte, 256<<10)
					for pb.Next() {
						i := n.Add(1)
						var err error
						if method == "PUT" {
							// New content each time, at the cost of a few bytes.
							for at := 0; at < len(raw); at += 16 << 10 {
								raw[at], raw[at+1], raw[at+2] = byte(i), byte(i>>8), byte(i>>16)
							}
							err = do(client, "PUT", puts[i%objects], raw, buf)
						} else {
							err = do(client, "GET", gets[i%objects], nil, buf)
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkListObjectsV2 walks a bucket in pages of 1,000 keys, as a client that
// does not look at the answers. The processor time is that of the whole process,
// the client's part included.
func BenchmarkListObjectsV2(b *testing.B) {
	const keys, page = 20_000, 1000
	s := openSite(b, nil)
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("photos/2026/%02d/%02d/IMG_%08d.jpg", i%12+1, i%28+1, i)
	}
	s.fill(b, names)
	client := &http.Client{Transport: transport(b)}
	buf := make([]byte, 64<<10)
	listed := 0
	token := ""
	list := func() {
		u, err := s.minio(b, colaKey, colaSecret).Presign(b.Context(), "GET", "bk1", "", time.Hour, url.Values{
			"list-type": {"2"}, "max-keys": {fmt.Sprint(page)}, "encoding-type": {"url"}, "continuation-token": {token}})
		if err != nil {
			b.Fatal(err)
		}
		res, err := client.Get(u.String())
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		tail, n := make([]byte, 0, 4<<10), 0
		for {
			m, err := res.Body.Read(buf)
			if n == 0 {
				tail = append(tail, buf[:min(m, 2<<10)]...)
			}
			n += m
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		listed += page
		token = ""
		if _, rest, ok := strings.Cut(string(tail), "<NextContinuationToken>"); ok {
			token, _, _ = strings.Cut(rest, "<")
		}
		if res.StatusCode != http.StatusOK || !strings.Contains(string(tail), fmt.Sprintf("<KeyCount>%d</KeyCount>", page)) {
			b.Fatalf("%s with %d bytes", res.Status, n)
		}
	}
	list()
	listed = 0
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	for b.Loop() {
		list()
	}
	spent := processorTime(b) - before
	b.ReportMetric(spent.Seconds()*100_000/float64(listed), "cpu-s/100k-keys")
	b.ReportMetric(float64(listed)/spent.Seconds(), "keys/cpu-s")
}

// processorTime is what the process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
