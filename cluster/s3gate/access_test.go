package s3gate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	"github.com/versity/versitygw/metrics"

	"edgefog.dev/isgw/cluster/s3gate"
)

// TestWrongKeys is refused whatever it asks for, and cannot tell a bucket that
// exists from one that does not.
func TestWrongKeys(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	for _, c := range []struct{ key, secret, want string }{
		{colaKey, "wrong", "SignatureDoesNotMatch"},
		{"NOBODY", "x", "InvalidAccessKeyId"},
		{colaKey, pepsiSecret, "SignatureDoesNotMatch"},
	} {
		cl := s.minio(t, c.key, c.secret)
		for _, bucket := range []string{"bk1", "none"} {
			_, err := cl.PutObject(t.Context(), bucket, "k", strings.NewReader("x"), 1, minio.PutObjectOptions{})
			wantCode(t, "put to "+bucket, err, c.want)
			_, err = minio.Core{Client: cl}.ListObjects(bucket, "", "", "", 10)
			wantCode(t, "list "+bucket, err, c.want)
			_, err = cl.ListBuckets(t.Context())
			wantCode(t, "list buckets", err, c.want)
			wantCode(t, "make bucket", cl.MakeBucket(t.Context(), "fresh", minio.MakeBucketOptions{}), c.want)
		}
	}
	if state, err := s.replica.Catalog().Bucket("Hawaii/Cola/bk1"); err != nil || state.GetObjects() != 0 {
		t.Errorf("bucket %v, error %v", state, err)
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	if _, err := s.minio(t, colaKey, colaSecret).PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	cl := &http.Client{Transport: transport(t)}
	answers := map[string]string{}
	for _, method := range []string{"GET", "PUT", "HEAD", "DELETE", "POST"} {
		for _, target := range []string{"/", "/BUCKET", "/BUCKET/k", "/BUCKET?policy", "/BUCKET?cors", "/BUCKET?location", "/BUCKET?versions", "/BUCKET?uploads", "/BUCKET?delete", "/BUCKET/k?acl", "/BUCKET/k?tagging", "/BUCKET/k?uploads", "/BUCKET/k?uploadId=x", "/BUCKET/k?partNumber=1&uploadId=x"} {
			for _, bucket := range []string{"bk1", "none"} {
				req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+strings.ReplaceAll(target, "BUCKET", bucket), strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Origin", "http://elsewhere.example")
				res, err := cl.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode < 400 {
					t.Errorf("%s %s in %s: status %d: %s", method, target, bucket, res.StatusCode, body)
				}
				answer := res.Status + between(string(body), "<Code>", "</Code>")
				if former, ok := answers[method+target]; ok && former != answer {
					t.Errorf("%s %s tells whether a bucket exists: %q and %q", method, target, former, answer)
				}
				answers[method+target] = answer
			}
		}
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestTenants lets each tenant see its own buckets alone, under names that both
// may have.
func TestTenants(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cola, pepsi := s.minio(t, colaKey, colaSecret), s.minio(t, pepsiKey, pepsiSecret)
	for cl, want := range map[*minio.Client]string{cola: "bk1", pepsi: "bk1 bk2"} {
		list, err := cl.ListBuckets(t.Context())
		var names []string
		for _, b := range list {
			names = append(names, b.Name)
			if time.Since(b.CreationDate) > time.Hour {
				t.Errorf("bucket %s created %v", b.Name, b.CreationDate)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("buckets %q, error %v; want %q", got, err, want)
		}
	}
	put := func(cl *minio.Client, bucket, content string) error {
		_, err := cl.PutObject(t.Context(), bucket, "k", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		return err
	}
	if err := errors.Join(put(cola, "bk1", "cola"), put(pepsi, "bk1", "pepsi"), put(pepsi, "bk2", "two")); err != nil {
		t.Fatal(err)
	}
	for cl, want := range map[*minio.Client]string{cola: "cola", pepsi: "pepsi"} {
		r, err := cl.GetObject(t.Context(), "bk1", "k", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(readBody(t, r)); got != want {
			t.Errorf("content %q, want %q", got, want)
		}
	}
	core := minio.Core{Client: cola}
	wantCode(t, "put into another tenant's bucket", put(cola, "bk2", "x"), "NoSuchBucket")
	_, err := core.ListObjects("bk2", "", "", "", 10)
	wantCode(t, "list another tenant's bucket", err, "NoSuchBucket")
	_, err = core.StatObject(t.Context(), "bk2", "k", minio.StatObjectOptions{})
	wantCode(t, "stat in another tenant's bucket", err, "NoSuchKey") // minio-go's word for 404 without a body
	_, err = core.CopyObject(t.Context(), "bk2", "k", "bk1", "stolen", nil, minio.CopySrcOptions{}, minio.PutObjectOptions{})
	wantCode(t, "copy from another tenant's bucket", err, "NoSuchBucket")
	wantCode(t, "delete another tenant's bucket", cola.RemoveBucket(t.Context(), "bk2"), "NoSuchBucket")
	if ok, err := cola.BucketExists(t.Context(), "bk2"); ok || err != nil {
		t.Errorf("another tenant's bucket exists: %v, %v", ok, err)
	}
	// Names that would lead elsewhere in the site's paths.
	for _, name := range []string{"..", "Hawaii", "Pepsi/bk2", "%2e%2e", "Hawaii%2FPepsi%2Fbk2"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+"/"+name+"/k", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("bucket %q: status %d", name, res.StatusCode)
		}
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := s.minio(t, colaKey, colaSecret)
	if err := cl.MakeBucket(t.Context(), "fresh.bucket-1", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "make it again", cl.MakeBucket(t.Context(), "fresh.bucket-1", minio.MakeBucketOptions{}), "BucketAlreadyOwnedByYou")
	if ok, err := cl.BucketExists(t.Context(), "fresh.bucket-1"); !ok || err != nil {
		t.Errorf("exists %v, error %v", ok, err)
	}
	if loc, err := cl.GetBucketLocation(t.Context(), "fresh.bucket-1"); loc != "us-east-1" || err != nil {
		t.Errorf("location %q, error %v", loc, err)
	}
	if _, err := cl.PutObject(t.Context(), "fresh.bucket-1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "delete one with an object", cl.RemoveBucket(t.Context(), "fresh.bucket-1"), "BucketNotEmpty")
	if err := cl.RemoveObject(t.Context(), "fresh.bucket-1", "k", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cl.RemoveBucket(t.Context(), "fresh.bucket-1"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "delete it again", cl.RemoveBucket(t.Context(), "fresh.bucket-1"), "NoSuchBucket")
	ac := s.aws(t, colaKey, colaSecret)
	for name, want := range map[string]string{"UPPER": "InvalidBucketName", "a": "InvalidBucketName"} {
		_, err := ac.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
		wantCode(t, "make "+name, err, want)
	}
	out, err := ac.ListBuckets(t.Context(), &s3.ListBucketsInput{Prefix: aws.String("bk")})
	if err != nil || len(out.Buckets) != 1 || *out.Owner.ID != "Hawaii/Cola" {
		t.Errorf("%v, %v", out, err)
	}
}

// TestBucketCallbacksMissing refuses what the node does not offer.
func TestBucketCallbacksMissing(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.CreateBucket, o.DeleteBucket = nil, nil })
	cl := s.minio(t, colaKey, colaSecret)
	wantCode(t, "make", cl.MakeBucket(t.Context(), "fresh", minio.MakeBucketOptions{}), "NotImplemented")
	wantCode(t, "delete", cl.RemoveBucket(t.Context(), "bk1"), "NotImplemented")
}

// TestRegion accepts the configured region, and us-east-1 only where S3 does.
func TestRegion(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(o *s3gate.Options) { o.Region = "eu-west-7" })
	cl, err := minio.New(s.addr, &minio.Options{Creds: colaCredentials(), Region: "eu-west-7", Transport: transport(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Error(err)
	}
	_, err = s.minio(t, colaKey, colaSecret).PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	wantCode(t, "another region", err, "AuthorizationHeaderMalformed")
}

// TestKeyLookupFails answers an internal error that tells nothing.
func TestKeyLookupFails(t *testing.T) {
	secret := errors.New("canary-4711")
	s := openSite(t, func(o *s3gate.Options) {
		o.Keys = func(string) (s3gate.Key, bool) {
			return s3gate.Key{Tenant: "Hawaii/Cola", Secret: func() (string, error) { return "", secret }}, true
		}
	})
	_, err := s.aws(t, colaKey, colaSecret).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	wantCode(t, "list", err, "InternalError")
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the answer tells the cause: %v", err)
	}
}

// TestRefused asks for what the endpoint does not do.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	core, ac := s.core(t), s.aws(t, colaKey, colaSecret)
	ctx, bucket, key := t.Context(), aws.String("bk1"), aws.String("k")
	if _, err := core.Client.PutObject(ctx, "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	call := func(_ any, err error) error { return err }
	body := func() io.Reader { return bytes.NewReader([]byte("x")) }
	aes, own := aws.String("AES256"), aws.String("a2V5") // what is wrong with a key nobody looks at
	for _, c := range []struct {
		what string
		err  error
		want string
	}{
		{"policy", call(ac.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket})), "NoSuchBucketPolicy"},
		{"put policy", call(ac.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bk1/*"}]}`)})), "AccessDenied"},
		{"cors", call(ac.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket})), "NoSuchCORSConfiguration"},
		{"website", call(ac.GetBucketWebsite(ctx, &s3.GetBucketWebsiteInput{Bucket: bucket})), "NoSuchWebsiteConfiguration"},
		{"tagging", call(ac.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: bucket})), "NoSuchTagSet"},
		{"lock", call(ac.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: bucket})), "ObjectLockConfigurationNotFoundError"},
		{"retention", call(ac.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: bucket, Key: key})), "InvalidRequest"},
		{"legal hold", call(ac.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: bucket, Key: key})), "InvalidRequest"},
		{"lifecycle", call(ac.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})), "NotImplemented"},
		{"encryption", call(ac.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: bucket})), "NotImplemented"},
		{"encrypted put", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), ServerSideEncryption: "AES256"})), "NotImplemented"},
		{"storage class", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), StorageClass: "GLACIER"})), "NotImplemented"},
		{"public put", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), ACL: "public-read"})), "AccessControlListNotSupported"},
		{"grants", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), GrantRead: aws.String("id=x")})), "AccessControlListNotSupported"},
		{"put ACL", call(ac.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: bucket, Key: key, ACL: "public-read"})), "AccessControlListNotSupported"},
		{"put bucket ACL", call(ac.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: bucket, ACL: "private"})), "AccessControlListNotSupported"},
		{"tags that are none", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), Tagging: aws.String("a=b%")})), "InvalidArgument"},
		{"redirect", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), WebsiteRedirectLocation: aws.String("/x")})), "NotImplemented"},
		{"lock put", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), ObjectLockLegalHoldStatus: "ON"})), "InvalidRequest"},
		{"version", call(ac.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: aws.String("3sL4kqtJlcpXroDTDmJ")})), "InvalidArgument"},
		{"restore", call(ac.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: bucket, Key: key})), "NotImplemented"},
		{"put with a key of the client's", call(ac.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body(), SSECustomerAlgorithm: aes, SSECustomerKey: own, SSECustomerKeyMD5: own})), "NotImplemented"},
		{"get with a key of the client's", call(ac.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, SSECustomerAlgorithm: aes, SSECustomerKey: own, SSECustomerKeyMD5: own})), "NotImplemented"},
		{"parts with a key of the client's", call(ac.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, SSECustomerAlgorithm: aes, SSECustomerKey: own, SSECustomerKeyMD5: own})), "NotImplemented"},
		{"copy of what has a key of the client's", call(ac.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: key, CopySource: aws.String("bk1/k"), CopySourceSSECustomerAlgorithm: aes, CopySourceSSECustomerKey: own, CopySourceSSECustomerKeyMD5: own})), "NotImplemented"},
		{"versioning by a second factor", call(ac.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: bucket, MFA: aws.String("serial 123456"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})), "NotImplemented"},
	} {
		wantCode(t, c.what, c.err, c.want)
	}
	if v, err := ac.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket}); err != nil || v.Status != "" {
		t.Errorf("versioning %v, %v", v, err)
	}
	if a, err := ac.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: bucket}); err != nil || *a.Owner.ID != "Hawaii/Cola" {
		t.Errorf("bucket ACL %v, %v", a, err)
	}
	if a, err := ac.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: bucket, Key: key}); err != nil || *a.Owner.ID != "Hawaii/Cola" {
		t.Errorf("object ACL %v, %v", a, err)
	}
	if o, err := ac.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: bucket}); err != nil || o.OwnershipControls.Rules[0].ObjectOwnership != "BucketOwnerEnforced" {
		t.Errorf("ownership %v, %v", o, err)
	}
	if tags, err := ac.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: key}); err != nil || len(tags.TagSet) != 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
	// What is refused leaves the object as it was.
	if o, err := ac.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key}); err != nil || *o.ContentLength != 1 {
		t.Errorf("head %v, %v", o, err)
	}
}

// TestStats counts what was answered.
func TestStats(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	cl := s.minio(t, colaKey, colaSecret)
	for range 3 {
		if _, err := cl.PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := cl.StatObject(t.Context(), "bk1", "none", minio.StatObjectOptions{})
	wantCode(t, "stat", err, "NoSuchKey")
	// What is refused before anybody looks at what it is for counts too.
	_, err = cl.PutObject(t.Context(), "bk1", "k", strings.NewReader("x"), 1, minio.PutObjectOptions{StorageClass: "GLACIER"})
	wantCode(t, "put in another storage class", err, "NotImplemented")
	anonymous, err := http.Get("http://" + s.addr + "/bk1/k")
	if err != nil {
		t.Fatal(err)
	}
	readBody(t, anonymous.Body)
	got := map[string]uint64{}
	st := s.gate.Stats()
	for _, r := range st.Requests {
		got[r.Operation+http.StatusText(r.Status)] = r.Count
	}
	if got["s3_PutObjectOK"] != 3 || got["s3_HeadObjectNot Found"] != 1 ||
		got[metrics.ActionUndetected+"Not Implemented"] != 1 || got[metrics.ActionUndetected+"Forbidden"] != 1 || st.BytesIn == 0 || st.BytesOut == 0 || st.Connections == 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestServeOnce refuses what cannot be served.
func TestServeOnce(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	if _, err := s.minio(t, colaKey, colaSecret).ListBuckets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.gate.Serve(context.Background(), closedListener(t)); err == nil {
		t.Error("a gate served twice")
	}
	if _, err := s3gate.New(s3gate.Options{}); err == nil {
		t.Error("a gate of nothing was made")
	}
}
