package s3gate_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"edgefog.dev/isgw/raftfsm/state"
)

// TestPresignedHeaders has headers of S3 that a URL was signed with count, although
// nobody sends them as headers.
func TestPresignedHeaders(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ac := s.aws(t, colaKey, colaSecret)
	cl := &http.Client{Transport: transport(t)}
	const content = "content"
	put := func(query, header string) answer {
		t.Helper()
		g := signing{access: colaKey, secret: colaSecret, kind: "presigned"}
		sent := map[string]string{}
		if name, value, ok := strings.Cut(header, ": "); ok {
			sent[name] = value
		}
		return s.send(t, cl, g.request(t, "PUT", "http://"+s.addr+"/bk1/k?"+query, sent, []byte(content)))
	}
	if got := put("x-amz-meta-One=a%20b&X-Amz-Meta-Two=2&x-amz-tagging=tag%3Dvalue&x-id=PutObject", "X-Amz-Meta-Two: header"); got.status != http.StatusOK {
		t.Fatalf("metadata and tags: %d %s", got.status, got.code)
	}
	head, err := ac.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bk1"), Key: aws.String("k")})
	if err != nil || len(head.Metadata) != 2 || head.Metadata["one"] != "a b" || head.Metadata["two"] != "header" {
		t.Errorf("metadata %v, error %v", head, err)
	}
	tags, err := ac.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String("bk1"), Key: aws.String("k")})
	if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Key != "tag" || *tags.TagSet[0].Value != "value" {
		t.Errorf("tags %v, error %v", tags, err)
	}
	for query, want := range map[string]string{
		// What SDKs put there that do not have the content.
		"x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32": "",
		"x-amz-storage-class=STANDARD":                                         "",
		"X-Amz-Content-Sha256=UNSIGNED-PAYLOAD":                                "",
		"x-amz-storage-class=GLACIER":                                          "NotImplemented",
		"x-amz-server-side-encryption=AES256":                                  "NotImplemented",
		"x-amz-copy-source=bk1%2Fk":                                            "NotImplemented",
		"X-Amz-Content-Sha256=" + streamingUnsigned:                            "NotImplemented",
		"x-amz-acl=public-read":                                                "AccessControlListNotSupported",
		"x-amz-expected-bucket-owner=Hawaii%2FPepsi":                           "AccessDenied",
		"x-amz-expected-bucket-owner=" + url.QueryEscape("Hawaii/Cola"):        "",
		"x-amz-meta-long=" + strings.Repeat("x", 2000):                         "",
		"x-amz-meta-long=" + strings.Repeat("x", 2045):                         "MetadataTooLarge",
		"X-Amz-Content-Sha256=" + hashed([]byte("other")):                      "XAmzContentSHA256Mismatch",
		"X-Amz-Content-Sha256=" + hashed([]byte(content)):                      "",
	} {
		before := s.applied()
		got := put(query, "")
		if got.code != want || (got.status == http.StatusOK) != (want == "") || (s.applied() != before) != (want == "") {
			t.Errorf("%s: %d %s, want %q", query, got.status, got.code, want)
		}
	}
	if got := put("", "X-Amz-Content-Sha256: "+hashed([]byte("other"))); got.code != "XAmzContentSHA256Mismatch" {
		t.Errorf("other content than was signed: %d %s", got.status, got.code)
	}
}

// TestPresignedBypass lifts a retention by a parameter for who may do it by a header,
// and for nobody else.
func TestPresignedBypass(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.lockedBucket(t)
	s.addKey("writer", state.KeyReadWrite, "")
	cl := &http.Client{Transport: transport(t)}
	id := k.put("k", "x")
	if err := k.retain("k", id, types.ObjectLockRetentionModeGovernance, time.Now().Add(time.Hour), false); err != nil {
		t.Fatal(err)
	}
	const bypass = "&x-amz-bypass-governance-retention=true"
	for _, c := range []struct {
		access, secret, query string
		want                  int
	}{
		{"writer", "secret of writer", bypass, http.StatusForbidden},
		{colaKey, colaSecret, "", http.StatusForbidden},
		{colaKey, colaSecret, bypass, http.StatusNoContent},
	} {
		g := signing{access: c.access, secret: c.secret, kind: "presigned"}
		got := s.send(t, cl, g.request(t, "DELETE", "http://"+s.addr+"/"+*k.bucket+"/k?versionId="+id+c.query, nil, nil))
		if got.status != c.want {
			t.Errorf("deletion by %s with %q: %d %s", c.access, c.query, got.status, got.code)
		}
	}
}

// TestPresignedAhead refuses URLs that are signed for a time to come: with them a URL
// would be good for longer than a week.
func TestPresignedAhead(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	for ahead, want := range map[time.Duration]int{10 * time.Minute: http.StatusOK, 20 * time.Minute: http.StatusForbidden, 365 * 24 * time.Hour: http.StatusForbidden} {
		g := signing{access: colaKey, secret: colaSecret, kind: "presigned", at: time.Now().Add(ahead)}
		if got := s.send(t, cl, g.request(t, "GET", "http://"+s.addr+"/bk1", nil, nil)); got.status != want {
			t.Errorf("%v ahead: %d %s", ahead, got.status, got.code)
		}
	}
}

// TestSignatureVersion2 tells a client that signs so that it should sign otherwise.
func TestSignatureVersion2(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := &http.Client{Transport: transport(t)}
	for what, header := range map[string]string{"/bk1/k?AWSAccessKeyId=" + colaKey + "&Expires=1&Signature=x": "", "/bk1/k": "AWS " + colaKey + ":x"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+what, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Authorization", header)
			req.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
		}
		if got := s.send(t, cl, req); got.code != "InvalidRequest" || !strings.Contains(got.body, "AWS4-HMAC-SHA256") {
			t.Errorf("%s %s: %d %s", what, header, got.status, got.body)
		}
	}
}
