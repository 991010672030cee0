package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSignature uses the examples that AWS publishes in "Authenticating
// Requests: Using the Authorization Header".
func TestSignature(t *testing.T) {
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		request
		want string
	}{
		{request{method: "GET", path: "/", query: "lifecycle="}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{request{method: "GET", path: "/", query: "max-keys=2&prefix=J"}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		k := s3{addr: "examplebucket.s3.amazonaws.com", access: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}.on(nil)
		k.sign(&c.request, now)
		if head := string(k.head); !strings.Contains(head, "Signature="+c.want+"\r\n") {
			t.Errorf("%s: want signature %s in:\n%s", c.query, c.want, head)
		}
		k.sign(&c.request, now.Add(time.Second))
		if strings.Contains(string(k.head), c.want) {
			t.Errorf("%s: the signature does not depend on the time", c.query)
		}
	}
}

// serve answers requests of a connection with what is given, whatever they are.
func serve(t *testing.T, answers ...string) *conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 64<<10)
		for _, a := range answers {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, a); err != nil {
				return
			}
		}
	})
	k, err := s3{addr: ln.Addr().String(), access: "a", secret: "s"}.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.close()
		ln.Close()
		done.Wait()
	})
	return k
}

func TestAnswers(t *testing.T) {
	c := serve(t,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
		"HTTP/1.1 404 Not Found\r\n\r\n", // of HEAD
		"HTTP/1.1 200 OK\r\nContent-Length: 77\r\netag: \"def\"\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
	)
	for range 2 {
		var out bytes.Buffer
		res, err := c.get("/b/k", &out)
		if err != nil || out.String() != "hello" || res.length != 5 {
			t.Fatalf("get: %q %+v %v", out.String(), res, err)
		}
	}
	if _, err := c.get("/b/k", nil); !notFound(err) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("get of nothing: %v", err)
	}
	if _, err := c.headObject("/b/k"); !notFound(err) {
		t.Errorf("head of nothing: %v", err)
	}
	if res, err := c.headObject("/b/k"); err != nil || res.etag != "def" || res.length != 77 {
		t.Errorf("head: %+v %v", res, err)
	}
	if err := c.delete("/b/k"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := c.put("/b/k", []byte("x"), ""); err != nil {
		t.Errorf("put: %v", err)
	}
	// The server closes after its last answer.
	if _, err := c.get("/b/k", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("get of a body that ends early: %v", err)
	}
}

// TestListing lists two pages whose token has characters that XML and URLs escape.
func TestListing(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("continuation-token"))
		if len(asked) == 1 {
			fmt.Fprint(w, "<R><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents><NextContinuationToken>x&amp;/+=</NextContinuationToken></R>")
			return
		}
		fmt.Fprint(w, "<R><Contents><Key>c</Key></Contents></R>")
	}))
	defer server.Close()
	c, err := s3{addr: server.Listener.Addr().String(), access: "a", secret: "s"}.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if n, err := c.listAll("b"); n != 3 || err != nil {
		t.Errorf("listed %d keys: %v", n, err)
	}
	if len(asked) != 2 || asked[1] != "x&/+=" {
		t.Errorf("tokens %q", asked)
	}
}

func TestEach(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	s := s3{addr: server.Listener.Addr().String()}
	var mu sync.Mutex
	seen := map[int]int{}
	if err := s.each(t.Context(), 4, 100, func(_ *conn, i int) error {
		mu.Lock()
		defer mu.Unlock()
		seen[i]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if seen[i] != 1 {
			t.Errorf("%d was called %d times", i, seen[i])
		}
	}
	broken := errors.New("broken")
	if err := s.each(t.Context(), 4, 1000, func(_ *conn, i int) error {
		if i == 10 {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Errorf("each with a failing call: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.each(ended, 4, 10, func(*conn, int) error { return nil }); err == nil {
		t.Error("each without a context that lives has no error")
	}
}

func TestComparer(t *testing.T) {
	for _, c := range []struct {
		name, want, got string
		ok              bool
	}{
		{"equal", "hello", "hello", true},
		{"different", "hello", "hellx", false},
		{"longer", "hello", "hello!", false},
	} {
		_, err := (&comparer{want: strings.NewReader(c.want)}).Write([]byte(c.got))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
