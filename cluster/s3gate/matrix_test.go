package s3gate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/metrics"

	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/state"
)

// route is one way into versitygw's routes.
type route struct {
	method, target string // with BUCKET
	header         map[string]string
	body           string
	content        bool // the body is an object's or a part's
}

const goodXML = `<?xml version="1.0" encoding="UTF-8"?><Delete><Object><Key>k</Key></Object></Delete>`

// routes are all of them, for operations that are offered and for those that are
// refused.
func routes() []route {
	list := []route{{method: "GET", target: "/"}, {method: "HEAD", target: "/BUCKET"}, {method: "PATCH", target: "/BUCKET"},
		{method: "GET", target: "/BUCKET?list-type=2"}, {method: "GET", target: "/BUCKET"}, {method: "GET", target: "/BUCKET/"},
		{method: "PUT", target: "/BUCKET"}, {method: "PUT", target: "/BUCKET", body: goodXML}, {method: "DELETE", target: "/BUCKET"},
		{method: "POST", target: "/BUCKET?delete", body: goodXML}, {method: "POST", target: "/BUCKET"},
		{method: "GET", target: "/BUCKET/k"}, {method: "HEAD", target: "/BUCKET/k"}, {method: "GET", target: "/BUCKET/k?versionId=null"},
		{method: "HEAD", target: "/BUCKET/k?partNumber=1"}, {method: "DELETE", target: "/BUCKET/k"}, {method: "DELETE", target: "/BUCKET/k?versionId=null"},
		{method: "GET", target: "/BUCKET/..%2fBUCKET%2fk"}, {method: "PUT", target: "/BUCKET/a/../b", body: "content", content: true},
		{method: "PUT", target: "/BUCKET/k", body: "content", content: true},
		{method: "PUT", target: "/BUCKET/k?partNumber=1&uploadId=x", body: "content", content: true},
		{method: "PUT", target: "/BUCKET/k?partNumber=1"}, {method: "PUT", target: "/BUCKET/k?uploadId=x"},
		{method: "PUT", target: "/BUCKET/copy", header: map[string]string{"X-Amz-Copy-Source": "BUCKET/k"}},
		{method: "PUT", target: "/BUCKET/k?partNumber=1&uploadId=x", header: map[string]string{"X-Amz-Copy-Source": "BUCKET/k"}},
		{method: "POST", target: "/BUCKET/k?uploads"}, {method: "POST", target: "/BUCKET/k?uploadId=x", body: goodXML},
		{method: "POST", target: "/BUCKET/k?restore", body: goodXML}, {method: "POST", target: "/BUCKET/k?select&select-type=2", body: goodXML},
		{method: "POST", target: "/BUCKET/k"},
	}
	for _, what := range []string{"tagging", "ownershipControls", "versioning", "object-lock", "cors", "policy", "policyStatus", "acl", "analytics", "analytics&id=1", "encryption",
		"intelligent-tiering", "intelligent-tiering&id=1", "inventory", "inventory&id=1", "lifecycle", "logging", "requestPayment", "metrics", "metrics&id=1", "replication",
		"publicAccessBlock", "notification", "accelerate", "website", "location", "uploads", "versions"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			list = append(list, route{method: method, target: "/BUCKET?" + what, body: map[bool]string{true: goodXML}[method == "PUT"]})
		}
	}
	for _, what := range []string{"tagging", "retention", "legal-hold", "acl", "attributes", "uploadId=x"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if what != "uploadId=x" || method != "PUT" {
				list = append(list, route{method: method, target: "/BUCKET/k?" + what, body: map[bool]string{true: goodXML}[method == "PUT"]})
			}
		}
	}
	for i, r := range list {
		if r.method == "GET" && strings.Contains(r.target, "attributes") {
			list[i].header = map[string]string{"X-Amz-Object-Attributes": "ETag"}
		}
	}
	return list
}

// answer is what a client gets to see.
type answer struct {
	status int
	code   string
	body   string
}

// send sends a request on a connection of its own and reads the answer, of which
// there may be none when the server closed.
func (s *site) send(t testing.TB, cl *http.Client, req *http.Request) answer {
	t.Helper()
	res, err := cl.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return answer{res.StatusCode, between(string(body), "<Code>", "</Code>"), string(body)}
}

const canary = "canary-4711"

// openMatrix is a site with something in a bucket of Cola's that both have by that
// name, and in one that only Cola has.
func openMatrix(t testing.TB) *site {
	s := openSite(t, nil)
	if err := s.createBucket(t.Context(), "Hawaii/Cola/onlycola", s3gate.BucketAccess{}); err != nil {
		t.Fatal(err)
	}
	c := s.aws(t, colaKey, colaSecret)
	for _, bucket := range []string{"bk1", "onlycola"} {
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: strings.NewReader(canary), Metadata: map[string]string{"m": canary}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// applied is a number that rises with everything that is written.
func (s *site) applied() uint64 { return s.replica.Status().AppliedIndex }

// TestMatrix sends every route with every kind of signature, wrong in every way. Each
// is refused; the answer does not depend on whether what it names exists, nor on the
// body, so that nobody has parsed it; and nothing is written.
func TestMatrix(t *testing.T) {
	t.Parallel()
	s := openMatrix(t)
	cl := &http.Client{Transport: transport(t)}
	before, now := s.applied(), time.Now()
	wrong := map[string]signing{
		"wrong secret":        {access: colaKey, secret: "wrong"},
		"another's secret":    {access: colaKey, secret: pepsiSecret},
		"unknown key":         {access: "NOBODY", secret: colaSecret},
		"too old":             {access: colaKey, secret: colaSecret, at: now.Add(-2 * time.Hour)},
		"another region":      {access: colaKey, secret: colaSecret, region: "eu-west-9"},
		"root of versitygw's": {access: "root", secret: "root"},
	}
	requests := 0
	try := func(t *testing.T, r route, make func(target, body string, header map[string]string) *http.Request) answer {
		t.Helper()
		var first answer
		for i, bucket := range []string{"bk1", "onlycola", "none"} {
			for j, body := range []string{r.body, "<<<&not xml"} {
				if j > 0 && (r.body == "" || r.content) {
					continue
				}
				header := map[string]string{}
				for name, value := range r.header {
					header[name] = strings.ReplaceAll(value, "BUCKET", bucket)
				}
				got := s.send(t, cl, make("http://"+s.addr+strings.ReplaceAll(r.target, "BUCKET", bucket), body, header))
				requests++
				if got.status < 400 || got.status == 404 || strings.Contains(got.body, canary) || strings.Contains(got.code, "XML") {
					t.Errorf("%s %s in %s: %d %s", r.method, r.target, bucket, got.status, got.body)
				}
				if i == 0 && j == 0 {
					first = got
				} else if got.status != first.status || got.code != first.code {
					t.Errorf("%s %s: %d %s for bk1, but %d %s for %s with the body %.20q", r.method, r.target, first.status, first.code, got.status, got.code, bucket, body)
				}
			}
		}
		return first
	}
	for _, r := range routes() {
		// Without any signature.
		got := try(t, r, func(target, body string, header map[string]string) *http.Request {
			req, err := http.NewRequestWithContext(t.Context(), r.method, target, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range header {
				req.Header.Set(name, value)
			}
			return req
		})
		if got.status != 403 || got.code != "AccessDenied" && r.method != "HEAD" {
			t.Errorf("%s %s without a signature: %d %s", r.method, r.target, got.status, got.code)
		}
		// With what looks like one.
		for _, authorization := range []string{"x", "Basic Og==", "AWS " + colaKey + ":x", "AWS4-HMAC-SHA256 Credential=" + colaKey} {
			try(t, r, func(target, body string, header map[string]string) *http.Request {
				req := signing{access: colaKey, secret: colaSecret, kind: "header"}.request(t, r.method, target, header, []byte(body))
				req.Header.Set("Authorization", authorization)
				return req
			})
		}
		for _, query := range []string{"X-Amz-Credential=" + colaKey, "X-Amz-Signature=x", "X-Amz-Signature=x&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x", "AWSAccessKeyId=" + colaKey + "&Signature=x&Expires=9999999999"} {
			try(t, r, func(target, body string, header map[string]string) *http.Request {
				separator := map[bool]string{true: "&", false: "?"}[strings.Contains(target, "?")]
				req, err := http.NewRequestWithContext(t.Context(), r.method, target+separator+query, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				for name, value := range header {
					req.Header.Set(name, value)
				}
				return req
			})
		}
		for what, g := range wrong {
			for _, g.kind = range kinds {
				if g.kind == "form" {
					continue
				}
				if r.target == "/" && what == "another region" {
					continue
				}
				got := try(t, r, func(target, body string, header map[string]string) *http.Request {
					return g.request(t, r.method, target, header, []byte(body))
				})
				if got.status != 403 && got.status != 400 && got.status != 405 && got.status != 412 {
					t.Errorf("%s %s, %s, %s: %d %s", r.method, r.target, g.kind, what, got.status, got.code)
				}
			}
		}
	}
	// Forms, on the one route that takes them.
	for what, g := range wrong {
		g.kind = "form"
		if got := try(t, route{method: "POST", target: "/BUCKET"}, func(target, _ string, _ map[string]string) *http.Request {
			return g.request(t, "POST", target, nil, []byte("content"))
		}); got.status != 403 && got.status != 400 {
			t.Errorf("form, %s: %d %s", what, got.status, got.code)
		}
	}
	if got := s.applied(); got != before {
		t.Errorf("the site's state went from %d to %d: something was written", before, got)
	}
	// Every handler was reached.
	seen := map[string]bool{}
	for _, r := range s.gate.Stats().Requests {
		seen[r.Operation] = true
	}
	for name := range metrics.ActionMap {
		if strings.HasPrefix(name, "s3_") && !seen[name] && name != metrics.ActionOptions {
			t.Errorf("no request was for %s", name)
		}
	}
	t.Logf("%d requests were refused", requests)
}

// TestMatrixOfTenants signs every route rightly, with another tenant's key: what is
// not its own does not exist.
func TestMatrixOfTenants(t *testing.T) {
	t.Parallel()
	s := openMatrix(t)
	s.mu.Lock()
	key := s.keys[pepsiKey]
	key.Role = state.KeyAdmin
	s.keys[pepsiKey] = key
	s.mu.Unlock()
	cl := &http.Client{Transport: transport(t)}
	before := s.applied()
	for _, r := range routes() {
		if r.target == "/" || r.method == "PUT" && r.target == "/BUCKET" {
			continue // these are about its own
		}
		for _, kind := range kinds {
			if kind == "form" {
				continue
			}
			var first answer
			for i, bucket := range []string{"onlycola", "none"} {
				header := map[string]string{}
				for name, value := range r.header {
					header[name] = strings.ReplaceAll(value, "BUCKET", bucket)
				}
				g := signing{access: pepsiKey, secret: pepsiSecret, kind: kind}
				got := s.send(t, cl, g.request(t, r.method, "http://"+s.addr+strings.ReplaceAll(r.target, "BUCKET", bucket), header, []byte(r.body)))
				if got.status < 400 || strings.Contains(got.body, canary) {
					t.Errorf("%s %s, %s: %d %s", r.method, r.target, kind, got.status, got.body)
				}
				if i == 0 {
					first = got
				} else if got.status != first.status || got.code != first.code {
					t.Errorf("%s %s, %s: %d %s for another's bucket, but %d %s for none", r.method, r.target, kind, first.status, first.code, got.status, got.code)
				}
			}
		}
	}
	g := signing{access: pepsiKey, secret: pepsiSecret, kind: "form"}
	if got := s.send(t, cl, g.request(t, "POST", "http://"+s.addr+"/onlycola", nil, []byte("x"))); got.code != "NoSuchBucket" {
		t.Errorf("form into another's bucket: %d %s", got.status, got.code)
	}
	if got := s.applied(); got != before {
		t.Errorf("the site's state went from %d to %d: something was written", before, got)
	}
}

// TestMatrixOfStreaming signs every route that takes no content rightly, and streams
// its body all the same: nothing comes of it.
func TestMatrixOfStreaming(t *testing.T) {
	t.Parallel()
	s := openMatrix(t)
	cl := &http.Client{Transport: transport(t)}
	for _, r := range routes() {
		if r.content {
			continue
		}
		header := map[string]string{}
		for name, value := range r.header {
			header[name] = strings.ReplaceAll(value, "BUCKET", "bk1")
		}
		for _, kind := range kinds {
			if !strings.Contains(kind, "trailer") && kind != "streaming" {
				continue
			}
			before := s.applied()
			g := signing{access: colaKey, secret: colaSecret, kind: kind}
			got := s.send(t, cl, g.request(t, r.method, "http://"+s.addr+strings.ReplaceAll(r.target, "BUCKET", "bk1"), header, []byte(r.body)))
			if got.status < 400 || strings.Contains(got.body, canary) {
				t.Errorf("%s %s, %s: %d %s", r.method, r.target, kind, got.status, got.body)
			}
			if s.applied() != before {
				t.Errorf("%s %s, %s: something was written", r.method, r.target, kind)
			}
		}
	}
}

// TestMatrixOfBodies stores what is signed rightly, by every kind of signature, and
// nothing of what is damaged on the way or does not come to its end.
func TestMatrixOfBodies(t *testing.T) {
	t.Parallel()
	s := openMatrix(t)
	cl := &http.Client{Transport: transport(t)}
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	up, err := s.aws(t, colaKey, colaSecret).CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("bk1"), Key: aws.String("up")})
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]string{"object": "/bk1/sent", "part": "/bk1/up?partNumber=1&uploadId=" + *up.UploadId}
	damages := map[string][]string{
		"header": {"content"}, "streaming": {"chunk", "signature"},
		"streaming with trailer": {"chunk", "signature", "trailer"}, "unsigned trailer": {"chunk", "trailer"},
	}
	for _, kind := range kinds {
		g := signing{access: colaKey, secret: colaSecret, kind: kind}
		for what, target := range targets {
			method := "PUT"
			if kind == "form" {
				if what == "part" {
					continue
				}
				method, target = "POST", "/bk1"
			}
			make := func(damage string) *http.Request {
				g := g
				g.damage = damage
				req := g.request(t, method, "http://"+s.addr+target, nil, content)
				if damage == "content" {
					other := bytes.Clone(content)
					other[len(other)/2] ^= 1
					setBody(req, other)
				}
				return req
			}
			before := s.applied()
			for _, damage := range damages[kind] {
				if got := s.send(t, cl, make(damage)); got.status < 400 {
					t.Errorf("%s by %s with a damaged %s: %d", what, kind, damage, got.status)
				}
			}
			if got := s.cutOff(t, make("")); got >= 200 && got < 300 {
				t.Errorf("%s by %s that ends early: %d", what, kind, got)
			}
			if got := s.applied(); got != before {
				t.Errorf("%s by %s: something was written", what, kind)
			}
			if got := s.send(t, cl, make("")); got.status/100 != 2 {
				t.Errorf("%s by %s: %d %s", what, kind, got.status, got.body)
			}
			if s.applied() == before {
				t.Errorf("%s by %s: nothing was written", what, kind)
			}
		}
	}
	for _, key := range []string{"sent", "form"} {
		out, err := s.aws(t, colaKey, colaSecret).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bk1"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if got := readBody(t, out.Body); !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes of other content", key, len(got))
		}
	}
}

// cutOff sends half of a request's body and ends, and returns the status of the
// answer, or 0.
func (s *site) cutOff(t testing.TB, req *http.Request) int {
	t.Helper()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n", req.Method, req.URL.RequestURI(), s.addr, len(body))
	for name := range req.Header {
		fmt.Fprintf(conn, "%s: %s\r\n", name, req.Header.Get(name))
	}
	fmt.Fprintf(conn, "\r\n%s", body[:len(body)/2])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}
