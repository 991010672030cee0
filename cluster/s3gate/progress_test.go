package s3gate

import (
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	for name, c := range map[string]struct {
		moved  int           // at each step
		waited time.Duration // at each step
		steps  int           // until there is no time left, or 0 if it goes on
	}{
		"nothing moves":             {0, 10 * time.Second, 6},
		"a byte a second":           {1, time.Second, 60},
		"just below the least rate": {511, time.Second, 60},
		"at the least rate":         {512, time.Second, 0},
		"rarely, but enough":        {64 << 10, 59 * time.Second, 0},
		"the server is slow":        {16, 0, 0}, // it is not the client that is waited for
	} {
		p := newProgress(time.Minute)
		steps := 0
		for range 1000 {
			if p.left() == 0 {
				break
			}
			p.add(c.moved, c.waited)
			steps++
		}
		if c.steps == 0 && p.left() == 0 || c.steps != 0 && steps != c.steps {
			t.Errorf("%s: it ended after %d steps, want %d", name, steps, c.steps)
		}
	}
	p := newProgress(time.Minute)
	p.add(5, 59*time.Second)
	if p.reset(); p.left() != time.Minute {
		t.Errorf("another request has %v", p.left())
	}
	if p := newProgress(time.Millisecond); p.need != 1 {
		t.Errorf("a short limit needs %d bytes", p.need)
	}
}

func TestBucketOfHost(t *testing.T) {
	domains := []string{"example.com", "s3.example.com", "s3.local"}
	for host, want := range map[string]string{
		"bk1.s3.example.com":       "bk1",
		"bk1.s3.example.com:9000":  "bk1",
		"BK1.S3.Example.COM":       "bk1",
		"bk1.s3.example.com.":      "bk1",
		"my.bucket.s3.example.com": "my.bucket",
		"bk1.example.com":          "bk1",
		"bk1.s3.local:80":          "bk1",
		"s3.example.com":           "",
		"s3.example.com:9000":      "",
		"example.com":              "",
		"127.0.0.1:9000":           "",
		"[::1]:9000":               "",
		"bk1.s3.example.com.evil":  "",
		"xs3.local":                "",
		".s3.local":                "",
		"a.s3.local":               "", // no bucket's name
		"a%2fb.s3.local":           "",
		"../x.s3.local":            "",
		"":                         "",
	} {
		if got, ok := bucketOfHost(host, domains); ok != (want != "") || ok && got != want {
			t.Errorf("host %q: bucket %q, %v; want %q", host, got, ok, want)
		}
	}
}

func TestCheckDomain(t *testing.T) {
	for domain, ok := range map[string]bool{
		"s3.example.com": true, "localhost": true, "a-b.c1": true,
		"": false, "s3.example.com:9000": false, ".s3": false, "s3.": false, "S3.example.com": false, "a..b": false, "-a.b": false, "a_b": false, "http://a": false,
	} {
		if err := CheckDomain(domain); (err == nil) != ok {
			t.Errorf("%q: %v", domain, err)
		}
	}
}

func FuzzBucketOfHost(f *testing.F) {
	for _, host := range []string{"bk1.s3.example.com", "bk1.s3.example.com:9000", "[::1]:80", ".s3.example.com", "%"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if bucket, ok := bucketOfHost(host, []string{"s3.example.com"}); ok {
			if _, key, _ := cutPath("/" + bucket); key != "" || bucket == "" {
				t.Errorf("host %q gives bucket %q", host, bucket)
			}
		}
	})
}
