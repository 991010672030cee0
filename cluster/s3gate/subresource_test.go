package s3gate_test

import (
	"net/http"
	"testing"
)

// TestMisdirected does not delete or write an object, or a bucket, for a request that
// is about something of it.
func TestMisdirected(t *testing.T) {
	t.Parallel()
	s := openMatrix(t)
	cl := &http.Client{Transport: transport(t)}
	g := signing{access: colaKey, secret: colaSecret, kind: "header"}
	before := s.applied()
	for _, c := range []struct{ method, target string }{
		{"DELETE", "/bk1/k?acl"}, {"DELETE", "/bk1/k?retention"}, {"DELETE", "/bk1/k?legal-hold"}, {"DELETE", "/bk1/k?attributes"}, {"DELETE", "/bk1/k?uploads"},
		{"PUT", "/bk1/k?attributes"}, {"PUT", "/bk1/k?torrent"}, {"PUT", "/bk1/k?uploads"}, {"POST", "/bk1/k?acl"}, {"PUT", "/bk1/k?renameObject"}, {"PUT", "/bk1/k?annotation"}, {"DELETE", "/bk1/k?annotation"}, {"PUT", "/bk1/k?encryption"},
		{"PUT", "/fresh?location"}, {"PUT", "/fresh?versions"}, {"DELETE", "/bk1?acl"}, {"DELETE", "/bk1?versioning"}, {"DELETE", "/bk1?uploads"}, {"DELETE", "/bk1?versionId=null"},
		{"POST", "/bk1?acl"},
	} {
		if got := s.send(t, cl, g.request(t, c.method, "http://"+s.addr+c.target, nil, nil)); got.status != 405 || got.code != "MethodNotAllowed" {
			t.Errorf("%s %s: %d %s", c.method, c.target, got.status, got.code)
		}
	}
	if got := s.applied(); got != before {
		t.Errorf("the site's state went from %d to %d: something was written", before, got)
	}
	// What cannot be read so is not the object, nor the bucket's listing.
	for _, target := range []string{"/bk1/k?torrent", "/bk1/k?annotation", "/bk1?abac", "/bk1?session", "/bk1?metadataTable", "/bk1?attributes"} {
		if got := s.send(t, cl, g.request(t, "GET", "http://"+s.addr+target, nil, nil)); got.status != 501 || got.code != "NotImplemented" {
			t.Errorf("GET %s: %d %s", target, got.status, got.code)
		}
	}
	// What S3 does not know is passed over, as S3 does it.
	if got := s.send(t, cl, g.request(t, "PUT", "http://"+s.addr+"/bk1/k?x-id=PutObject&nonsense=1", nil, []byte("x"))); got.status != 200 {
		t.Errorf("an unknown query: %d %s", got.status, got.body)
	}
}
