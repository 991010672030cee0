package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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
	for range requests {
		fmt.Fprintf(dial(), "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n%s", u.RequestURI(), u.Host, strings.Repeat("x", 10_000))
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
		return status == http.StatusServiceUnavailable && strings.Contains(body, "<Code>SlowDown</Code>")
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
