package s3gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm/state"
)

// addKey gives Hawaii/Cola a key with rights.
func (s *site) addKey(name, role, prefix string) {
	bucket, objects := state.SplitKeyPrefix(prefix)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = s3gate.Key{Tenant: "Hawaii/Cola", Role: role, Bucket: bucket, Prefix: objects, Secret: secretOf("secret of " + name)}
}

func (s *site) client(t testing.TB, name string) *s3.Client { return s.aws(t, name, "secret of "+name) }

// operation is one call of the S3 API on an object of bk1, or on the bucket.
type operation struct {
	name string
	// letters of those keys of TestRoles that may do it: r(ead-only), w(rite),
	// a(dmin), b(ucket), i(n the prefix), o(ut of the prefix)
	may  string
	call func(ctx context.Context, c *s3.Client) error
}

func second[T any](_ T, err error) error { return err }

// operations are all operations that a role may allow or not.
func operations() []operation {
	bucket, key, other := aws.String("bk1"), aws.String("in/k"), aws.String("bk2")
	list := aws.String("in/")
	body := func() *strings.Reader { return strings.NewReader("x") }
	return []operation{
		{"ListBuckets", "rwabio", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListBuckets(ctx, &s3.ListBucketsInput{}))
		}},
		{"HeadBucket", "rwabio", func(ctx context.Context, c *s3.Client) error {
			return second(c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket}))
		}},
		{"HeadBucket of another", "rwa", func(ctx context.Context, c *s3.Client) error {
			return second(c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: other}))
		}},
		{"GetBucketLocation", "rwabio", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket}))
		}},
		{"GetBucketVersioning", "rwabio", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket}))
		}},
		{"GetBucketAcl", "rwab", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: bucket}))
		}},
		{"PutBucketAcl", "a", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: bucket, ACL: "private"})), "AccessControlListNotSupported")
		}},
		{"GetBucketOwnershipControls", "rwab", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: bucket}))
		}},
		{"PutBucketOwnershipControls", "a", func(ctx context.Context, c *s3.Client) error {
			return second(c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: bucket, OwnershipControls: &types.OwnershipControls{
				Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}}}}))
		}},
		{"DeleteBucketOwnershipControls", "a", func(ctx context.Context, c *s3.Client) error {
			return second(c.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: bucket}))
		}},
		{"GetBucketPolicy", "rwab", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket})), "NoSuchBucketPolicy")
		}},
		{"GetBucketPolicyStatus", "rwab", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: bucket})), "NoSuchBucketPolicy")
		}},
		{"PutBucketPolicy", "a", func(ctx context.Context, c *s3.Client) error {
			return second(c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(
				`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:RestoreObject","Resource":"arn:aws:s3:::bk1/*"}]}`)}))
		}},
		{"DeleteBucketPolicy", "a", func(ctx context.Context, c *s3.Client) error {
			return second(c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: bucket}))
		}},
		{"ListObjects", "rwab", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket}))
		}},
		{"ListObjectsV2 of a shorter prefix", "rwab", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("i")}))
		}},
		{"ListObjectsV2", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: list}))
		}},
		{"ListObjectsV2 below", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("in/deep/")}))
		}},
		{"ListObjectVersions", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket, Prefix: list}))
		}},
		{"ListMultipartUploads", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: list}))
		}},
		{"PutObject", "wabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: body()}))
		}},
		{"PutObject that leads out", "wab", func(ctx context.Context, c *s3.Client) error {
			return second(c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("inside"), Body: body()}))
		}},
		{"GetObject", "rwabi", func(ctx context.Context, c *s3.Client) error {
			out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
			if err == nil {
				err = out.Body.Close()
			}
			return err
		}},
		{"GetObject of a version", "rwabi", func(ctx context.Context, c *s3.Client) error {
			out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: aws.String("null")})
			if err == nil {
				err = out.Body.Close()
			}
			return err
		}},
		{"HeadObject", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key}))
		}},
		{"GetObjectAttributes", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: bucket, Key: key, ObjectAttributes: []types.ObjectAttributes{"ETag"}}))
		}},
		{"GetObjectAcl", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: bucket, Key: key}))
		}},
		{"PutObjectAcl", "wabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: bucket, Key: key, ACL: "private"}))
		}},
		{"GetObjectTagging", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: key}))
		}},
		{"CopyObject", "wabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("in/copy"), CopySource: aws.String("bk1/in/k")}))
		}},
		{"CopyObject from outside", "wab", func(ctx context.Context, c *s3.Client) error {
			return second(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("in/copy"), CopySource: aws.String("bk1/out/k")}))
		}},
		{"CopyObject from another bucket", "wa", func(ctx context.Context, c *s3.Client) error {
			return second(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("in/copy"), CopySource: aws.String("/bk2%2Fk?versionId=null")}))
		}},
		{"CopyObject to outside", "wabo", func(ctx context.Context, c *s3.Client) error {
			return second(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("out/copy"), CopySource: aws.String("bk1/out/k")}))
		}},
		{"CreateMultipartUpload", "wabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key}))
		}},
		{"UploadPart", "wabi", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: aws.String("x"), PartNumber: aws.Int32(1), Body: body()})), "NoSuchUpload")
		}},
		{"UploadPartCopy from outside", "wab", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: aws.String("x"), PartNumber: aws.Int32(1), CopySource: aws.String("bk1/out/k")})), "NoSuchUpload")
		}},
		{"CompleteMultipartUpload", "wabi", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: aws.String("x"),
				MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: aws.String("e"), PartNumber: aws.Int32(1)}}}})), "NoSuchUpload")
		}},
		{"AbortMultipartUpload", "wabi", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: aws.String("x")})), "NoSuchUpload")
		}},
		{"ListParts", "rwabi", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: aws.String("x")})), "NoSuchUpload")
		}},
		{"DeleteObjects", "wabi", func(ctx context.Context, c *s3.Client) error {
			out, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("in/none")}}}})
			if err == nil && len(out.Errors) > 0 {
				return apiError(*out.Errors[0].Code)
			}
			return err
		}},
		{"DeleteObject", "wabi", func(ctx context.Context, c *s3.Client) error {
			return second(c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("in/copy")}))
		}},
		{"CreateBucket", "wa", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("fresh")})), "BucketAlreadyOwnedByYou")
		}},
		{"CreateBucket with ownership", "a", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("fresh"), ObjectOwnership: types.ObjectOwnershipObjectWriter})), "BucketAlreadyOwnedByYou")
		}},
		{"DeleteBucket", "wab", func(ctx context.Context, c *s3.Client) error {
			return orCode(second(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})), "BucketNotEmpty")
		}},
	}
}

// apiError is an error by its S3 code.
type apiError string

func (e apiError) Error() string { return string(e) }

// orCode takes an answer that only who may do the operation gets for success.
func orCode(err error, accepted string) error {
	if code(err) == accepted {
		return nil
	}
	return err
}

// TestRoles lets each kind of key do what its role and its prefix allow, and
// nothing else.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ctx := t.Context()
	if err := s.createBucket(ctx, "Hawaii/Cola/bk2", s3gate.BucketAccess{}); err != nil {
		t.Fatal(err)
	}
	admin := s.aws(t, colaKey, colaSecret)
	for bucket, keys := range map[string][]string{"bk1": {"in/k", "out/k"}, "bk2": {"k"}} {
		for _, key := range keys {
			if _, err := admin.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	clients := map[rune]*s3.Client{}
	for letter, rights := range map[rune][2]string{
		'r': {state.KeyReadOnly, ""}, 'w': {"", ""}, 'a': {state.KeyAdmin, ""},
		'b': {state.KeyReadWrite, "bk1"}, 'i': {state.KeyReadWrite, "bk1/in/"}, 'o': {state.KeyReadWrite, "bk1/out/"},
	} {
		name := fmt.Sprintf("KEY-%c", letter)
		s.addKey(name, rights[0], rights[1])
		clients[letter] = s.client(t, name)
	}
	for _, op := range operations() {
		for _, letter := range "rwabio" {
			err := op.call(ctx, clients[letter])
			may := strings.ContainsRune(op.may, letter)
			switch got := code(err); {
			case may && err != nil:
				t.Errorf("%s with %c: %v", op.name, letter, err)
			case !may && got != "AccessDenied" && got != "Forbidden":
				t.Errorf("%s with %c: error %v, want AccessDenied", op.name, letter, err)
			}
		}
	}
	// A key that is restricted sees its bucket alone, and nothing of others.
	for letter, want := range map[rune]int{'w': 3, 'b': 1, 'i': 1} {
		out, err := clients[letter].ListBuckets(ctx, &s3.ListBucketsInput{})
		if err != nil || len(out.Buckets) != want {
			t.Errorf("%c lists %v, error %v; want %d", letter, out, err, want)
		}
	}
	for _, bucket := range []string{"bk2", "none"} {
		_, err := clients['b'].GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("k")})
		wantCode(t, "get from "+bucket, err, "AccessDenied")
	}
	// Of a deletion of many each key is judged by itself.
	out, err := clients['i'].DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("bk1"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("out/k")}, {Key: aws.String("in/k")}, {Key: aws.String("in")}}}})
	if err != nil || len(out.Deleted) != 1 || len(out.Errors) != 2 || *out.Errors[0].Code != "AccessDenied" {
		t.Errorf("deletion of many: %+v, %v", out, err)
	}
	if _, err := admin.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("bk1"), Key: aws.String("out/k")}); err != nil {
		t.Errorf("what may not be deleted: %v", err)
	}
	// A key that is deleted opens nothing from then on.
	s.mu.Lock()
	delete(s.keys, "KEY-w")
	s.mu.Unlock()
	_, err = clients['w'].ListBuckets(ctx, &s3.ListBucketsInput{})
	wantCode(t, "a deleted key", err, "InvalidAccessKeyId")
}

// TestPolicies lets a policy add to roles and take away from them.
func TestPolicies(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ctx, bucket := t.Context(), aws.String("bk1")
	s.addKey("READER", state.KeyReadOnly, "")
	s.addKey("WRITER", state.KeyReadWrite, "")
	s.addKey("CONFINED", state.KeyReadOnly, "bk1/in/")
	admin, reader, writer, confined := s.aws(t, colaKey, colaSecret), s.client(t, "READER"), s.client(t, "WRITER"), s.client(t, "CONFINED")
	statement := func(effect, principal, action, resource, rest string) string {
		return fmt.Sprintf(`{"Effect":%q,"Principal":%s,"Action":%q,"Resource":"arn:aws:s3:::%s"%s}`, effect, principal, action, resource, rest)
	}
	set := func(statements ...string) error {
		_, err := admin.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket,
			Policy: aws.String(`{"Version":"2012-10-17","Id":"x","Statement":[` + strings.Join(statements, ",") + `]}`)})
		return err
	}
	put := func(c *s3.Client, key string) error {
		return second(c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader("x")}))
	}
	get := func(c *s3.Client, key string) error {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
		if err == nil {
			err = out.Body.Close()
		}
		return err
	}
	if err := errors.Join(put(admin, "in/k"), put(admin, "secret/k"), put(admin, "a/../k")); err != nil {
		t.Fatal(err)
	}
	if err := set(
		statement("Allow", `{"AWS":["READER","CONFINED"]}`, "s3:PutObject", "bk1/*", ""),
		statement("Deny", `"*"`, "s3:GetObject*", "bk1/secret/*", ""),
		statement("Deny", `"*"`, "s3:GetObject", "bk1/a/../k", ""),
		statement("Deny", `{"AWS":"WRITER"}`, "s3:DeleteObject", "bk1/*", ""),
		statement("Deny", `"*"`, "s3:ListBucket", "bk1", `,"Condition":{"StringEquals":{"s3:prefix":"secret/"}}`),
	); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"a reader writes, because the policy lets it":        {put(reader, "in/r"), ""},
		"a reader still reads":                               {get(reader, "in/k"), ""},
		"a writer, of whom the policy says nothing, writes":  {put(writer, "in/w"), ""},
		"nobody reads secrets":                               {get(admin, "secret/k"), "AccessDenied"},
		"nobody copies them":                                 {second(admin.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("c"), CopySource: aws.String("bk1/secret/k")})), "AccessDenied"},
		"nobody copies a version of them":                    {second(admin.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("c"), CopySource: aws.String("bk1/secret%2Fk?versionId=null")})), "AccessDenied"},
		"a key that is no path is judged by its name":        {get(admin, "a/../k"), "AccessDenied"},
		"a writer may not delete":                            {second(writer.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("in/k")})), "AccessDenied"},
		"an administrator may":                               {second(admin.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("in/none")})), ""},
		"a condition on the prefix holds":                    {second(writer.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("secret/")})), "AccessDenied"},
		"and only then":                                      {second(writer.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})), ""},
		"a policy leads to a confined key within its prefix": {put(confined, "in/c"), ""},
		"and not out of it":                                  {put(confined, "out/c"), "AccessDenied"},
		"another tenant's bucket of that name is another":    {second(s.aws(t, pepsiKey, pepsiSecret).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("in/k")})), ""},
	} {
		if got := code(c.err); got != c.want && !(c.want == "" && c.err == nil) {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}
	status, err := admin.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: bucket})
	if err != nil || status.PolicyStatus.IsPublic == nil || *status.PolicyStatus.IsPublic {
		t.Errorf("status %+v, %v", status, err)
	}
	// Nobody locks everybody out for good.
	if err := set(statement("Deny", `"*"`, "s3:*", "bk1", "")); err != nil {
		t.Fatal(err)
	}
	_, err = admin.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	wantCode(t, "list", err, "AccessDenied")
	if got, err := admin.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket}); err != nil || !strings.Contains(*got.Policy, `"Deny"`) {
		t.Errorf("policy %v, %v", got, err)
	}
	if _, err := admin.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	_, err = admin.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket})
	wantCode(t, "a policy that was deleted", err, "NoSuchBucketPolicy")
	wantCode(t, "a reader writes", put(reader, "in/r"), "AccessDenied")

	allow := statement("Allow", `"READER"`, "s3:GetObject", "bk1/*", "")
	for policy, want := range map[string]string{
		allow: "",
		statement("Allow", `"*"`, "s3:GetObject", "bk1/*", ""):                                    "AccessDenied",
		statement("Allow", `{"AWS":"*"}`, "s3:GetObject", "bk1/*", ""):                            "AccessDenied",
		statement("Allow", `"`+pepsiKey+`"`, "s3:GetObject", "bk1/*", ""):                         "MalformedPolicy",
		statement("Allow", `{"AWS":["READER","NOBODY"]}`, "s3:GetObject", "bk1/*", ""):            "MalformedPolicy",
		statement("Allow", `{"Federated":"READER"}`, "s3:GetObject", "bk1/*", ""):                 "MalformedPolicy",
		statement("Allow", `"READER"`, "s3:GetObject", "bk2/*", ""):                               "MalformedPolicy",
		statement("Allow", `"READER"`, "s3:Nonsense", "bk1/*", ""):                                "MalformedPolicy",
		statement("Allow", `"READER"`, "s3:GetObject", "bk1/*", `,"NotAction":"s3:*"`):            "MalformedPolicy",
		`{"Effect":"Deny","NotPrincipal":"READER","Action":"s3:*","Resource":"arn:aws:s3:::bk1"}`: "MalformedPolicy",
		`{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::bk1"}`:              "MalformedPolicy",
		statement("Allow", `"READER"`, "s3:GetObject", "bk1/"+strings.Repeat("x", 21<<10), ""):    "MalformedPolicy",
		`[`: "MalformedPolicy",
	} {
		if got := code(set(policy)); got != want && want+fmt.Sprint(nil) != got {
			t.Errorf("policy %.120s: error %q, want %q", policy, got, want)
		}
	}
}

// TestOwnership takes ACLs where the bucket's ownership turns them on, as far as
// they name the owner alone.
func TestOwnership(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ctx, bucket, key, c := t.Context(), aws.String("bk1"), aws.String("k"), s.aws(t, colaKey, colaSecret)
	put := func(in s3.PutObjectInput) error {
		in.Bucket, in.Key, in.Body = bucket, key, strings.NewReader("x")
		return second(c.PutObject(ctx, &in))
	}
	owner := `id="Hawaii/Cola"`
	const off, foreign = "AccessControlListNotSupported", "AccessDenied"
	try := func(ownership string, wants map[string]string) {
		t.Helper()
		for what, err := range map[string]error{
			"private object":       put(s3.PutObjectInput{ACL: "private"}),
			"object for the owner": put(s3.PutObjectInput{ACL: "bucket-owner-full-control"}),
			"public object":        put(s3.PutObjectInput{ACL: "public-read"}),
			"grant to the owner":   put(s3.PutObjectInput{GrantFullControl: &owner}),
			"grant to another":     put(s3.PutObjectInput{GrantRead: aws.String(`id="Hawaii/Pepsi"`)}),
			"public object's ACL":  second(c.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: bucket, Key: key, ACL: "public-read"})),
			"private bucket":       second(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: bucket, ACL: "private"})),
			"public bucket":        second(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: bucket, ACL: "public-read-write"})),
			"public upload":        second(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ACL: "public-read"})),
			"public copy":          second(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: key, CopySource: aws.String("bk1/other"), ACL: "public-read"})),
		} {
			if want := wants[what]; want == "" && err != nil || want != "" && code(err) != want {
				t.Errorf("%s, %s: error %v, want %q", ownership, what, err, want)
			}
		}
	}
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("other"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	try("by default", map[string]string{
		"public object": off, "grant to the owner": off, "grant to another": off, "public object's ACL": off,
		"private bucket": off, "public bucket": off, "public upload": off, "public copy": off,
	})
	for _, ownership := range []types.ObjectOwnership{types.ObjectOwnershipObjectWriter, types.ObjectOwnershipBucketOwnerPreferred} {
		if _, err := c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: bucket,
			OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: ownership}}}}); err != nil {
			t.Fatal(err)
		}
		if o, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: bucket}); err != nil || o.OwnershipControls.Rules[0].ObjectOwnership != ownership {
			t.Errorf("ownership %v, %v", o, err)
		}
		try(string(ownership), map[string]string{
			"public object": foreign, "grant to another": foreign, "public object's ACL": foreign,
			"public bucket": foreign, "public upload": foreign, "public copy": foreign,
		})
	}
	if _, err := c.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "ACLs are off again", put(s3.PutObjectInput{ACL: "public-read"}), off)
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("fresh"), ObjectOwnership: types.ObjectOwnershipObjectWriter, ACL: "private"}); err != nil {
		t.Fatal(err)
	}
	if o, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: aws.String("fresh")}); err != nil || o.OwnershipControls.Rules[0].ObjectOwnership != types.ObjectOwnershipObjectWriter {
		t.Errorf("ownership of a new bucket %v, %v", o, err)
	}
}
