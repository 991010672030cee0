package s3gate_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"edgefog.dev/isgw/cluster/s3gate"
)

// TestCORS answers preflights without a signature from what the bucket's owner
// said, and adds the headers to answers.
func TestCORS(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) {
		o.Named = func(bucket string) []string { return []string{"Hawaii/Cola/" + bucket, "Hawaii/Pepsi/" + bucket} }
	})
	ctx, c := t.Context(), s.aws(t, colaKey, colaSecret)
	rule := types.CORSRule{AllowedOrigins: []string{"https://app.example"}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: aws.Int32(60)}
	if _, err := c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: aws.String("bk1"), CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{rule}}}); err != nil {
		t.Fatal(err)
	}
	cl := &http.Client{Transport: transport(t)}
	do := func(method, target string, header ...string) *http.Response {
		t.Helper()
		if !strings.HasPrefix(target, "http") {
			target = "http://" + s.addr + target
		}
		req, err := http.NewRequestWithContext(ctx, method, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := cl.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		res.Header.Set("Code", between(string(body), "<Code>", "</Code>"))
		return res
	}
	preflight := func(target, origin, method string) *http.Response {
		return do("OPTIONS", target, "Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "x-amz-date, content-type")
	}
	res := preflight("/bk1/k", "https://app.example", "PUT")
	if h := res.Header; res.StatusCode != 200 || h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Methods") != "GET, PUT" ||
		h.Get("Access-Control-Allow-Headers") != "x-amz-date, content-type" || h.Get("Access-Control-Max-Age") != "60" || !strings.Contains(h.Get("Vary"), "Origin") {
		t.Errorf("preflight: %s %v", res.Status, h)
	}
	asked := s.barriers.Load()
	preflight("/bk1/k", "https://app.example", "PUT")
	if n := s.barriers.Load() - asked; n != 0 {
		t.Errorf("a preflight without a key waited %d times for the site's log", n)
	}
	presigned, err := s.minio(t, pepsiKey, pepsiSecret).PresignedPutObject(ctx, "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.minio(t, colaKey, colaSecret).PresignedPutObject(ctx, "bk1", "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if res := preflight(own.String(), "https://app.example", "PUT"); res.StatusCode != 200 {
		t.Errorf("preflight of a presigned URL: %s", res.Status)
	}
	for what, res := range map[string]*http.Response{
		"another origin":             preflight("/bk1/k", "https://evil.example", "PUT"),
		"another method":             preflight("/bk1/k", "https://app.example", "DELETE"),
		"a bucket without":           preflight("/bk2/k", "https://app.example", "PUT"),
		"a bucket that is none":      preflight("/none/k", "https://app.example", "PUT"),
		"no bucket":                  preflight("/", "https://app.example", "GET"),
		"another tenant's presigned": preflight(presigned.String(), "https://app.example", "PUT"),
	} {
		if res.StatusCode != 403 || res.Header.Get("Code") != "AccessForbidden" || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %s %v", what, res.Status, res.Header)
		}
	}
	if res := do("OPTIONS", "/bk1/k", "Access-Control-Request-Method", "PUT"); res.StatusCode != 400 {
		t.Errorf("no origin: %s", res.Status)
	}
	if res := preflight("/bk1/k", "https://app.example", "BREW"); res.StatusCode != 400 {
		t.Errorf("no method: %s", res.Status)
	}
	// The request itself: the headers come with it, also when it is refused.
	for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": ""} {
		if res := do("PUT", own.String(), "Origin", origin); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("put from %s: %s %v", origin, res.Status, res.Header)
		}
		if res := do("GET", "/bk1/none?X-Amz-Signature=x", "Origin", origin); res.StatusCode < 400 || res.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("get from %s: %s %v", origin, res.Status, res.Header)
		}
	}
	if _, err := c.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: aws.String("bk1")}); err != nil {
		t.Fatal(err)
	}
	if res := preflight("/bk1/k", "https://app.example", "PUT"); res.StatusCode != 403 {
		t.Errorf("preflight after the rules were deleted: %s", res.Status)
	}
}
