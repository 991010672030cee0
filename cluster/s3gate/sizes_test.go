package s3gate_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"edgefog.dev/isgw/cluster/s3gate"
)

// TestFormWithoutEnd sends forms whose fields never end, before anybody has signed:
// they are refused after a bounded number of bytes, which are not kept.
func TestFormWithoutEnd(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.MaxConnections = 8 })
	field := "--b\r\nContent-Disposition: form-data; name=\"x-amz-meta-a\"\r\n\r\n"
	for what, next := range map[string]func(int) string{
		"one line":    func(int) string { return strings.Repeat("x", 8<<10) },
		"one field":   func(i int) string { return map[bool]string{true: field}[i == 0] + strings.Repeat("x", 1000) + "\r\n" },
		"many fields": func(int) string { return field + strings.Repeat("x", 1000) + "\r\n" },
		"headers": func(i int) string {
			return map[bool]string{true: "--b\r\n"}[i == 0] + "A: " + strings.Repeat("x", 1000) + "\r\n"
		},
	} {
		before := s.gate.Stats().BytesIn
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan []byte, 1)
		go func() {
			raw, _ := io.ReadAll(conn)
			answer <- raw
		}()
		fmt.Fprintf(conn, "POST /bk1 HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000000\r\n\r\n")
		sent := 0
		for i := 0; sent < 64<<20; i++ {
			n, err := io.WriteString(conn, next(i))
			if sent += n; err != nil {
				break
			}
		}
		conn.Close()
		raw := <-answer
		if !bytes.HasPrefix(raw, []byte("HTTP/1.1 400")) || !bytes.Contains(raw, []byte("MaxPostPreDataLengthExceededError")) {
			// The answer may be lost to the client's own bytes on their way.
			if len(raw) > 0 {
				t.Errorf("%s: %.200q", what, raw)
			}
		}
		if sent >= 64<<20 {
			t.Errorf("%s: all %d bytes were taken", what, sent)
		}
		// What is drained of a refused body, so that its sender sees the answer, is
		// bounded too.
		if took := s.gate.Stats().BytesIn - before; took > 10<<20 {
			t.Errorf("%s: %d bytes were read", what, took)
		}
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /bk1 HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n", int64(5<<30+100<<10))
	if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := string(readBody(t, res.Body)); !strings.Contains(body, "<Code>EntityTooLarge</Code>") {
		t.Errorf("a form of more than 5 GiB: %s %s", res.Status, body)
	}
	// A form with fields of a size that S3 takes, and a file far beyond the bound.
	g := signing{access: colaKey, secret: colaSecret, kind: "form"}
	if got := s.send(t, &http.Client{Transport: transport(t)}, g.request(t, "POST", "http://"+s.addr+"/bk1", nil, bytes.Repeat([]byte("x"), 3<<20))); got.status != http.StatusNoContent {
		t.Errorf("a form: %d %s", got.status, got.body)
	}
}

// TestTooLarge announces more content than one request may have, in every way that a
// content is announced: it is refused before it is sent.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	create, err := s.aws(t, colaKey, colaSecret).CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("bk1"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 5 << 30
	for _, kind := range kinds {
		if kind == "form" {
			continue // see TestFormWithoutEnd
		}
		for what, target := range map[string]string{"object": "/bk1/k", "part": "/bk1/k?partNumber=1&uploadId=" + *create.UploadId} {
			for size, tooLarge := range map[int64]bool{limit: false, limit + 1: true} {
				header, length := map[string]string{}, size
				streamed := strings.Contains(kind, "streaming") || strings.Contains(kind, "trailer")
				if streamed {
					header["X-Amz-Decoded-Content-Length"] = fmt.Sprint(size)
				}
				req := signing{access: colaKey, secret: colaSecret, kind: kind}.request(t, "PUT", "http://"+s.addr+target, header, nil)
				if streamed {
					length = req.ContentLength // which is signed
				}
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", req.URL.RequestURI(), s.addr, length)
				for name := range req.Header {
					fmt.Fprintf(conn, "%s: %s\r\n", name, req.Header.Get(name))
				}
				body := io.Reader(bytes.NewReader(make([]byte, 64<<10))) // before which nothing is said
				if streamed {
					body = req.Body
				}
				if _, err := io.Copy(conn, io.MultiReader(strings.NewReader("\r\n"), body)); err != nil {
					t.Fatal(err)
				}
				if !tooLarge {
					if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
						t.Fatal(err)
					}
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), req)
				if err != nil {
					t.Fatal(err)
				}
				raw := string(readBody(t, res.Body))
				if got := between(raw, "<Code>", "</Code>"); got == "" || (got == "EntityTooLarge") != tooLarge {
					t.Errorf("%s by %s, %d bytes: %s %s", what, kind, size, res.Status, raw)
				}
				conn.Close()
			}
		}
	}
}

// TestSizes bounds headers and bodies that are parsed.
func TestSizes(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	g := signing{access: colaKey, secret: colaSecret, kind: "header"}
	url := "http://" + s.addr + "/bk1"
	if got := s.send(t, cl, g.request(t, "GET", url, map[string]string{"X-Long": strings.Repeat("x", 9<<10)}, nil)); got.status != http.StatusBadRequest || got.code != "RequestHeaderSectionTooLarge" {
		t.Errorf("a long header: %d %s", got.status, got.code)
	}
	list := func(n int, rest string) []byte {
		return []byte("<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", n) + rest + "</Delete>")
	}
	const limit = 4 << 20
	for what, c := range map[string]struct {
		body []byte
		want string
	}{
		"1,000 keys":            {list(1000, ""), ""},
		"1,001 keys":            {list(1001, ""), "MalformedXML"},
		"as long as it may be":  {append(list(1, ""), bytes.Repeat([]byte(" "), limit-len(list(1, "")))...), ""},
		"a byte longer":         {append(list(1, ""), bytes.Repeat([]byte(" "), limit+1-len(list(1, "")))...), "MaxMessageLengthExceeded"},
		"nested without an end": {bytes.Repeat([]byte("<Delete>"), limit/8), "MalformedXML"},
		"nested":                {list(1, strings.Repeat("<a>", 100_000)+strings.Repeat("</a>", 100_000)), ""}, // what is not known is passed over
	} {
		sum := md5.Sum(c.body)
		header := map[string]string{"Content-Type": "application/xml", "Content-Md5": base64.StdEncoding.EncodeToString(sum[:])}
		if len(c.body) > limit {
			// The answer may be lost to the client's own bytes on their way.
			if res, err := cl.Do(g.request(t, "POST", url+"?delete", header, c.body)); err == nil {
				raw := string(readBody(t, res.Body))
				if got := between(raw, "<Code>", "</Code>"); got != c.want {
					t.Errorf("%s: %d %s, want %q", what, res.StatusCode, got, c.want)
				}
			}
			continue
		}
		if got := s.send(t, cl, g.request(t, "POST", url+"?delete", header, c.body)); got.code != c.want || c.want == "" && got.status != http.StatusOK {
			t.Errorf("%s: %d %s, want %q", what, got.status, got.code, c.want)
		}
	}
}

// TestLargeBodies parses only so many large bodies at one time; small ones go on.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	g := signing{access: colaKey, secret: colaSecret, kind: "header"}
	request := func(n int) *http.Request {
		body := append([]byte("<Delete><Object><Key>k</Key></Object></Delete>"), bytes.Repeat([]byte(" "), n)...)
		sum := md5.Sum(body)
		return g.request(t, "POST", "http://"+s.addr+"/bk1?delete", map[string]string{"Content-Md5": base64.StdEncoding.EncodeToString(sum[:])}, body)
	}
	var held []net.Conn
	hold := func() {
		req := request(1 << 20)
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		fmt.Fprintf(conn, "POST /bk1?delete HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", s.addr, req.ContentLength)
		for name := range req.Header {
			fmt.Fprintf(conn, "%s: %s\r\n", name, req.Header.Get(name))
		}
		fmt.Fprintf(conn, "\r\n%s", strings.Repeat(" ", 100_000))
	}
	for range 8 {
		hold()
	}
	poll(t, func() bool {
		// The answer may be lost to the client's own bytes on their way.
		res, err := cl.Do(request(1 << 20))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusOK {
			hold() // this one was before one of those, which was turned away
		}
		return err == nil && strings.Contains(string(raw), "<Code>SlowDown</Code>")
	})
	if got := s.send(t, cl, request(1000)); got.status != http.StatusOK {
		t.Errorf("a small body meanwhile: %d %s", got.status, got.code)
	}
	for _, conn := range held {
		conn.Close()
	}
	poll(t, func() bool {
		res, err := cl.Do(request(1 << 20))
		if err != nil {
			return false
		}
		readBody(t, res.Body)
		return res.StatusCode == http.StatusOK
	})
}
