package s3gate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
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
