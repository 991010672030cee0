package s3gate_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
)

// ops is what the cases of operations work with: a bucket that keeps versions, one
// with object lock, and an object.
type ops struct {
	keeper
	s      *site
	ctx    context.Context
	locked *string
	fresh  int
}

// key returns a key of an object that is there, of its own for each call.
func (o *ops) key() *string {
	o.fresh++
	key := fmt.Sprint("key ", o.fresh)
	o.put(key, "content")
	return &key
}

// upload begins an upload and gives it a part.
func (o *ops) upload() (key, id *string, part types.CompletedPart) {
	o.fresh++
	key = aws.String(fmt.Sprint("upload ", o.fresh))
	create, err := o.CreateMultipartUpload(o.ctx, &s3.CreateMultipartUploadInput{Bucket: o.bucket, Key: key})
	if err != nil {
		o.t.Fatal(err)
	}
	p, err := o.UploadPart(o.ctx, &s3.UploadPartInput{Bucket: o.bucket, Key: key, UploadId: create.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("part")})
	if err != nil {
		o.t.Fatal(err)
	}
	return key, create.UploadId, types.CompletedPart{PartNumber: aws.Int32(1), ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32}
}

// lockedKey returns a key and a version of the bucket with object lock.
func (o *ops) lockedKey() (key, version *string) {
	out, err := o.PutObject(o.ctx, &s3.PutObjectInput{Bucket: o.locked, Key: aws.String("k"), Body: strings.NewReader("x")})
	if err != nil {
		o.t.Fatal(err)
	}
	return aws.String("k"), out.VersionId
}

func failed(_ any, err error) error { return err }

// supported has a case for every operation that docs/s3.md calls supported, wholly
// or partly; the details have tests of their own.
var supported = map[string]func(o *ops) error{
	"ListBuckets": func(o *ops) error { return failed(o.ListBuckets(o.ctx, &s3.ListBucketsInput{})) },
	"CreateBucket": func(o *ops) error {
		return failed(o.CreateBucket(o.ctx, &s3.CreateBucketInput{Bucket: aws.String("created")}))
	},
	"HeadBucket": func(o *ops) error { return failed(o.HeadBucket(o.ctx, &s3.HeadBucketInput{Bucket: o.bucket})) },
	"GetBucketLocation": func(o *ops) error {
		return failed(o.GetBucketLocation(o.ctx, &s3.GetBucketLocationInput{Bucket: o.bucket}))
	},
	"DeleteBucket": func(o *ops) error {
		if _, err := o.CreateBucket(o.ctx, &s3.CreateBucketInput{Bucket: aws.String("deleted")}); err != nil {
			return err
		}
		return failed(o.DeleteBucket(o.ctx, &s3.DeleteBucketInput{Bucket: aws.String("deleted")}))
	},
	"ListObjects":   func(o *ops) error { return failed(o.ListObjects(o.ctx, &s3.ListObjectsInput{Bucket: o.bucket})) },
	"ListObjectsV2": func(o *ops) error { return failed(o.ListObjectsV2(o.ctx, &s3.ListObjectsV2Input{Bucket: o.bucket})) },
	"ListObjectVersions": func(o *ops) error {
		return failed(o.ListObjectVersions(o.ctx, &s3.ListObjectVersionsInput{Bucket: o.bucket}))
	},
	"PutObject": func(o *ops) error {
		return failed(o.PutObject(o.ctx, &s3.PutObjectInput{Bucket: o.bucket, Key: aws.String("k"), Body: strings.NewReader("x"), Tagging: aws.String("a=b")}))
	},
	"PostObject": func(o *ops) error { return o.form("posted") },
	"GetObject": func(o *ops) error {
		return failed(o.GetObject(o.ctx, &s3.GetObjectInput{Bucket: o.bucket, Key: o.key()}))
	},
	"HeadObject": func(o *ops) error {
		return failed(o.HeadObject(o.ctx, &s3.HeadObjectInput{Bucket: o.bucket, Key: o.key()}))
	},
	"DeleteObject": func(o *ops) error {
		return failed(o.DeleteObject(o.ctx, &s3.DeleteObjectInput{Bucket: o.bucket, Key: o.key()}))
	},
	"DeleteObjects": func(o *ops) error {
		return failed(o.DeleteObjects(o.ctx, &s3.DeleteObjectsInput{Bucket: o.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: o.key()}}}}))
	},
	"GetObjectAttributes": func(o *ops) error {
		return failed(o.GetObjectAttributes(o.ctx, &s3.GetObjectAttributesInput{Bucket: o.bucket, Key: o.key(), ObjectAttributes: []types.ObjectAttributes{"ETag"}}))
	},
	"CopyObject": func(o *ops) error {
		return failed(o.CopyObject(o.ctx, &s3.CopyObjectInput{Bucket: o.bucket, Key: aws.String("copy"), CopySource: aws.String("bk1/" + strings.ReplaceAll(*o.key(), " ", "%20"))}))
	},
	"CreateMultipartUpload": func(o *ops) error {
		return failed(o.CreateMultipartUpload(o.ctx, &s3.CreateMultipartUploadInput{Bucket: o.bucket, Key: aws.String("begun")}))
	},
	"UploadPart": func(o *ops) error {
		key, id, _ := o.upload()
		return failed(o.UploadPart(o.ctx, &s3.UploadPartInput{Bucket: o.bucket, Key: key, UploadId: id, PartNumber: aws.Int32(2), Body: strings.NewReader("x")}))
	},
	"UploadPartCopy": func(o *ops) error {
		key, id, _ := o.upload()
		return failed(o.UploadPartCopy(o.ctx, &s3.UploadPartCopyInput{Bucket: o.bucket, Key: key, UploadId: id, PartNumber: aws.Int32(2), CopySource: aws.String("bk1/" + strings.ReplaceAll(*o.key(), " ", "%20"))}))
	},
	"CompleteMultipartUpload": func(o *ops) error {
		key, id, part := o.upload()
		return failed(o.CompleteMultipartUpload(o.ctx, &s3.CompleteMultipartUploadInput{Bucket: o.bucket, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part}}}))
	},
	"AbortMultipartUpload": func(o *ops) error {
		key, id, _ := o.upload()
		return failed(o.AbortMultipartUpload(o.ctx, &s3.AbortMultipartUploadInput{Bucket: o.bucket, Key: key, UploadId: id}))
	},
	"ListMultipartUploads": func(o *ops) error {
		return failed(o.ListMultipartUploads(o.ctx, &s3.ListMultipartUploadsInput{Bucket: o.bucket}))
	},
	"ListParts": func(o *ops) error {
		key, id, _ := o.upload()
		return failed(o.ListParts(o.ctx, &s3.ListPartsInput{Bucket: o.bucket, Key: key, UploadId: id}))
	},
	"GetBucketVersioning": func(o *ops) error {
		return failed(o.GetBucketVersioning(o.ctx, &s3.GetBucketVersioningInput{Bucket: o.bucket}))
	},
	"PutBucketVersioning": func(o *ops) error {
		return failed(o.PutBucketVersioning(o.ctx, &s3.PutBucketVersioningInput{Bucket: o.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	},
	"GetObjectTagging": func(o *ops) error {
		return failed(o.GetObjectTagging(o.ctx, &s3.GetObjectTaggingInput{Bucket: o.bucket, Key: o.key()}))
	},
	"PutObjectTagging": func(o *ops) error {
		return failed(o.PutObjectTagging(o.ctx, &s3.PutObjectTaggingInput{Bucket: o.bucket, Key: o.key(), Tagging: tagSet(map[string]string{"a": "b"})}))
	},
	"DeleteObjectTagging": func(o *ops) error {
		return failed(o.DeleteObjectTagging(o.ctx, &s3.DeleteObjectTaggingInput{Bucket: o.bucket, Key: o.key()}))
	},
	"GetBucketTagging": func(o *ops) error {
		if err := o.tagBucket(); err != nil {
			return err
		}
		return failed(o.GetBucketTagging(o.ctx, &s3.GetBucketTaggingInput{Bucket: o.bucket}))
	},
	"PutBucketTagging": (*ops).tagBucket,
	"DeleteBucketTagging": func(o *ops) error {
		return failed(o.DeleteBucketTagging(o.ctx, &s3.DeleteBucketTaggingInput{Bucket: o.bucket}))
	},
	"GetBucketCors": func(o *ops) error {
		if err := o.shareBucket(); err != nil {
			return err
		}
		return failed(o.GetBucketCors(o.ctx, &s3.GetBucketCorsInput{Bucket: o.bucket}))
	},
	"PutBucketCors": (*ops).shareBucket,
	"DeleteBucketCors": func(o *ops) error {
		return failed(o.DeleteBucketCors(o.ctx, &s3.DeleteBucketCorsInput{Bucket: o.bucket}))
	},
	"GetObjectLockConfiguration": func(o *ops) error {
		return failed(o.GetObjectLockConfiguration(o.ctx, &s3.GetObjectLockConfigurationInput{Bucket: o.locked}))
	},
	"PutObjectLockConfiguration": func(o *ops) error {
		return failed(o.PutObjectLockConfiguration(o.ctx, &s3.PutObjectLockConfigurationInput{Bucket: o.locked, ObjectLockConfiguration: &types.ObjectLockConfiguration{ObjectLockEnabled: types.ObjectLockEnabledEnabled}}))
	},
	"GetObjectRetention": func(o *ops) error {
		key, id := o.lockedKey()
		if err := o.retainFor(key, id); err != nil {
			return err
		}
		return failed(o.GetObjectRetention(o.ctx, &s3.GetObjectRetentionInput{Bucket: o.locked, Key: key, VersionId: id}))
	},
	"PutObjectRetention": func(o *ops) error { return o.retainFor(o.lockedKey()) },
	"GetObjectLegalHold": func(o *ops) error {
		key, id := o.lockedKey()
		return failed(o.GetObjectLegalHold(o.ctx, &s3.GetObjectLegalHoldInput{Bucket: o.locked, Key: key, VersionId: id}))
	},
	"PutObjectLegalHold": func(o *ops) error {
		key, id := o.lockedKey()
		return failed(o.PutObjectLegalHold(o.ctx, &s3.PutObjectLegalHoldInput{Bucket: o.locked, Key: key, VersionId: id, LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn}}))
	},
	"GetBucketPolicy": func(o *ops) error {
		if err := o.allow(); err != nil {
			return err
		}
		return failed(o.GetBucketPolicy(o.ctx, &s3.GetBucketPolicyInput{Bucket: o.bucket}))
	},
	"PutBucketPolicy": (*ops).allow,
	"GetBucketPolicyStatus": func(o *ops) error {
		if err := o.allow(); err != nil {
			return err
		}
		return failed(o.GetBucketPolicyStatus(o.ctx, &s3.GetBucketPolicyStatusInput{Bucket: o.bucket}))
	},
	"DeleteBucketPolicy": func(o *ops) error {
		return failed(o.DeleteBucketPolicy(o.ctx, &s3.DeleteBucketPolicyInput{Bucket: o.bucket}))
	},
	"GetBucketOwnershipControls": func(o *ops) error {
		return failed(o.GetBucketOwnershipControls(o.ctx, &s3.GetBucketOwnershipControlsInput{Bucket: o.bucket}))
	},
	"PutBucketOwnershipControls": (*ops).own,
	"DeleteBucketOwnershipControls": func(o *ops) error {
		return failed(o.DeleteBucketOwnershipControls(o.ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: o.bucket}))
	},
	"GetBucketAcl": func(o *ops) error { return failed(o.GetBucketAcl(o.ctx, &s3.GetBucketAclInput{Bucket: o.bucket})) },
	"GetObjectAcl": func(o *ops) error {
		return failed(o.GetObjectAcl(o.ctx, &s3.GetObjectAclInput{Bucket: o.bucket, Key: o.key()}))
	},
	"PutBucketAcl": func(o *ops) error {
		if err := o.own(); err != nil {
			return err
		}
		return failed(o.PutBucketAcl(o.ctx, &s3.PutBucketAclInput{Bucket: o.locked, ACL: types.BucketCannedACLPrivate}))
	},
	"PutObjectAcl": func(o *ops) error {
		return failed(o.PutObjectAcl(o.ctx, &s3.PutObjectAclInput{Bucket: o.bucket, Key: o.key(), ACL: types.ObjectCannedACLPrivate}))
	},
}

func (o *ops) own() error {
	return failed(o.PutBucketOwnershipControls(o.ctx, &s3.PutBucketOwnershipControlsInput{Bucket: o.locked,
		OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerPreferred}}}}))
}

func (o *ops) tagBucket() error {
	return failed(o.PutBucketTagging(o.ctx, &s3.PutBucketTaggingInput{Bucket: o.bucket, Tagging: tagSet(map[string]string{"a": "b"})}))
}

func (o *ops) shareBucket() error {
	return failed(o.PutBucketCors(o.ctx, &s3.PutBucketCorsInput{Bucket: o.bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"*"}}}}}))
}

func (o *ops) retainFor(key, id *string) error {
	return failed(o.PutObjectRetention(o.ctx, &s3.PutObjectRetentionInput{Bucket: o.locked, Key: key, VersionId: id,
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeGovernance, RetainUntilDate: aws.Time(time.Now().Add(time.Hour))}}))
}

func (o *ops) allow() error {
	return failed(o.PutBucketPolicy(o.ctx, &s3.PutBucketPolicyInput{Bucket: o.bucket, Policy: aws.String(fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":"s3:*","Resource":["arn:aws:s3:::bk1","arn:aws:s3:::bk1/*"]}]}`, colaKey))}))
}

// form uploads by a form.
func (o *ops) form(key string) error {
	policy := minio.NewPostPolicy()
	err := errors.Join(policy.SetBucket("bk1"), policy.SetKey(key), policy.SetExpires(time.Now().Add(time.Minute)))
	if err != nil {
		return err
	}
	u, fields, err := o.s.minio(o.t, colaKey, colaSecret).PresignedPostPolicy(o.ctx, policy)
	if err != nil {
		return err
	}
	return failed(postForm(o.t, u.String(), fields, []byte("content")))
}

// refuse asks for an operation with as little as the SDK lets it be asked for with.
func (o *ops) refuse(name string) error {
	method := reflect.ValueOf(o.Client).MethodByName(name)
	if !method.IsValid() {
		return errors.New("the SDK has no such operation")
	}
	in := reflect.New(method.Type().In(1).Elem())
	// Some operations go to a host of their own.
	here := &meddler{next: transport(o.t), meddle: func(req *http.Request) {
		req.Host, req.URL.Host = cmp.Or(req.Host, req.URL.Host), o.s.addr
	}}
	options := func(so *s3.Options) {
		so.HTTPClient, so.DisableS3ExpressSessionAuth = &http.Client{Transport: here}, aws.Bool(true)
	}
	for {
		results := method.Call([]reflect.Value{reflect.ValueOf(o.ctx), in, reflect.ValueOf(options)})
		err, _ := results[1].Interface().(error)
		var missing smithy.InvalidParamsError
		if !errors.As(err, &missing) {
			if here.last == nil {
				return fmt.Errorf("nothing was sent: %w", err)
			}
			return err
		}
		for _, e := range missing.Errs() {
			var param smithy.InvalidParamError
			if !errors.As(e, &param) {
				return err
			}
			_, path, _ := strings.Cut(param.Field(), ".") // behind the name of the type
			if err := fill(in, path); err != nil {
				return err
			}
		}
	}
}

// fill gives a field, or one of a structure within, a value.
func fill(in reflect.Value, path string) error {
	at := in
	for name := range strings.SplitSeq(path, ".") {
		name, index, _ := strings.Cut(name, "[")
		at = reflect.Indirect(at).FieldByName(name)
		if at.IsValid() && index != "" {
			at = at.Index(0) // of the only one there is
		}
		if !at.IsValid() {
			return fmt.Errorf("%v has no field %s", in.Type(), path)
		}
	}
	if !at.IsZero() {
		return fmt.Errorf("%s of %v is %v and missing", path, in.Type(), at)
	}
	switch text := map[string]string{"Bucket": "bk1", "Key": "k"}[path]; {
	case at.Kind() == reflect.String:
		at.SetString(cmp.Or(text, "x"))
	case at.Type() == reflect.TypeFor[*string]():
		at.Set(reflect.ValueOf(aws.String(cmp.Or(text, "x"))))
	case at.Type() == reflect.TypeFor[types.ObjectEncryption]():
		at.Set(reflect.ValueOf(&types.ObjectEncryptionMemberSSEKMS{Value: types.SSEKMSEncryption{KMSKeyArn: aws.String("x")}}))
	case at.Type() == reflect.TypeFor[io.Reader]():
		at.Set(reflect.ValueOf(strings.NewReader("x")))
	case at.Kind() == reflect.Pointer:
		at.Set(reflect.New(at.Type().Elem()))
	case at.Kind() == reflect.Slice:
		at.Set(reflect.MakeSlice(at.Type(), 1, 1))
	default:
		return fmt.Errorf("%s of %v is a %v", path, in.Type(), at.Type())
	}
	return nil
}

// operationRow is a row of the table of operations of docs/s3.md.
type operationRow struct{ name, support, remark string }

// operationRows reads the table: each operation of a row by itself.
func operationRows(t *testing.T) []operationRow {
	t.Helper()
	raw, err := os.ReadFile("../../docs/s3.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := bytes.Cut(raw, []byte("| operation | | |\n|---|---|---|\n"))
	if !ok {
		t.Fatal("docs/s3.md has no table of operations")
	}
	var rows []operationRow
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 {
			break
		}
		for name := range strings.SplitSeq(cells[0], ",") {
			rows = append(rows, operationRow{strings.TrimSpace(name), strings.TrimSpace(cells[1]), strings.TrimSpace(strings.Join(cells[2:], "|"))})
		}
	}
	return rows
}

// TestOperations does what docs/s3.md says of every operation that the AWS SDK has.
func TestOperations(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	o := &ops{keeper: s.keeper(t, types.BucketVersioningStatusEnabled), s: s, ctx: t.Context()}
	o.locked = s.lockedBucket(t).bucket
	o.put("k", "x")
	listed := map[string]bool{}
	for _, row := range operationRows(t) {
		if listed[row.name] {
			t.Errorf("%s is listed twice", row.name)
		}
		listed[row.name] = true
		switch row.support {
		case "yes", "partly":
			do := supported[row.name]
			if do == nil {
				t.Errorf("%s is called supported and has no case", row.name)
			} else if err := do(o); err != nil {
				t.Errorf("%s is called supported: %v", row.name, err)
			}
		case "no":
			_, code, _ := strings.Cut(row.remark, "`")
			code, _, _ = strings.Cut(code, "`")
			before := s.applied()
			wantCode(t, row.name, o.refuse(row.name), code)
			if s.applied() != before {
				t.Errorf("%s was refused, and something was written", row.name)
			}
		default:
			t.Errorf("%s: support is %q", row.name, row.support)
		}
	}
	for name := range supported {
		if !listed[name] {
			t.Errorf("%s has a case and is not listed", name)
		}
	}
	client := reflect.TypeFor[*s3.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() == 4 && m.Type.In(1) == reflect.TypeFor[context.Context]() && !listed[m.Name] {
			t.Errorf("%s is an operation of S3 and is not listed", m.Name)
		}
	}
}
