package s3gate_test

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
)

// postForm sends a form with a file, and returns the answer; an error is one of S3.
func postForm(t testing.TB, target string, fields map[string]string, content []byte) (*http.Response, error) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("file", "name.txt")
	if err == nil {
		_, err = file.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", target, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	res, err := (&http.Client{Transport: transport(t), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 400 {
		return res, apiError(between(string(raw), "<Code>", "</Code>"))
	}
	return res, nil
}

// TestForms uploads by forms with all that they may carry.
func TestForms(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, types.BucketVersioningStatusEnabled)
	cl := s.minio(t, colaKey, colaSecret)
	form := func(key string, conditions map[string]string, edit func(p *minio.PostPolicy) error) (string, map[string]string) {
		t.Helper()
		p := minio.NewPostPolicy()
		err := errors.Join(p.SetBucket("bk1"), p.SetKey(key), p.SetExpires(time.Now().Add(time.Minute)))
		for name, value := range conditions {
			err = errors.Join(err, p.SetUserMetadata(name, value))
		}
		if edit != nil {
			err = errors.Join(err, edit(p))
		}
		if err != nil {
			t.Fatal(err)
		}
		u, fields, err := cl.PresignedPostPolicy(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return u.String(), fields
	}
	const tagging = `<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>`
	target, fields := form("dir/ü", map[string]string{"owner": "Ann"}, func(p *minio.PostPolicy) error {
		return errors.Join(p.SetContentType("text/x-thing"), p.SetSuccessStatusAction("201"), p.SetTagging(tagging), p.SetContentLengthRange(1, 100))
	})
	res, err := postForm(t, target, fields, []byte("content"))
	if err != nil || res.StatusCode != http.StatusCreated || len(res.Header.Get("x-amz-version-id")) != 45 || res.Header.Get("ETag") == "" {
		t.Fatalf("form: %v, error %v", res, err)
	}
	got, err := k.GetObject(t.Context(), &s3.GetObjectInput{Bucket: k.bucket, Key: aws.String("dir/ü")})
	if err != nil || string(readBody(t, got.Body)) != "content" || *got.ContentType != "text/x-thing" || got.Metadata["owner"] != "Ann" || *got.VersionId != res.Header.Get("x-amz-version-id") {
		t.Errorf("the object of a form: %v, error %v", got, err)
	}
	k.wantTags("of a form", "dir/ü", "", map[string]string{"a": "b c"})

	target, fields = form("redirected", nil, func(p *minio.PostPolicy) error { return p.SetSuccessActionRedirect("http://example.com/done") })
	if res, err := postForm(t, target, fields, []byte("x")); err != nil || res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "http://example.com/done?") {
		t.Errorf("redirect: %v, error %v", res, err)
	}
	target, fields = form("long", nil, func(p *minio.PostPolicy) error { return p.SetContentLengthRange(1, 3) })
	_, err = postForm(t, target, fields, []byte("four"))
	wantCode(t, "longer than its policy allows", err, "EntityTooLarge")
	target, fields = form("fields", nil, nil)
	fields["key"] = "another"
	_, err = postForm(t, target, fields, []byte("x"))
	wantCode(t, "another key than its policy's", err, "AccessDenied")
	target, fields = form("signed", nil, nil)
	fields["x-amz-signature"] = strings.Repeat("0", 64)
	_, err = postForm(t, target, fields, []byte("x"))
	wantCode(t, "another signature", err, "SignatureDoesNotMatch")
	// Keys that are no paths, and ones that hold the name of the file, which is name.txt.
	for sent, key := range map[string]string{
		"../up": "../up", "..": "..", ".": ".", "//": "//", "a/..": "a/..", "/lead": "/lead", "a/../../b": "a/../../b", "k": "k",
		"dir/${filename}": "dir/name.txt", "${filename}/../${filename}": "name.txt/../name.txt", strings.Repeat("../", 341): strings.Repeat("../", 341),
	} {
		target, fields = form(key, nil, nil)
		fields["key"] = sent
		if _, err := postForm(t, target, fields, []byte(key)); err != nil {
			t.Errorf("a form for %.40q: %v", sent, err)
		} else if content, _, err := k.get(key, ""); err != nil || content != key {
			t.Errorf("%.40q has %.40q, error %v", key, content, err)
		}
	}
	target, fields = form("../signed", nil, nil)
	fields["key"] = "../another"
	_, err = postForm(t, target, fields, []byte("x"))
	wantCode(t, "another key that is no path", err, "AccessDenied")
	target, fields = form("${filename}", nil, nil)
	_, err = postForm(t, target, fields, []byte("x"))
	wantCode(t, "a policy for the variable itself", err, "AccessDenied")
	for name, value := range map[string]string{"storage-class": "GLACIER", "server-side-encryption": "AES256"} {
		target, fields = form("extra", nil, func(p *minio.PostPolicy) error { return p.SetUserData(name, value) })
		_, err = postForm(t, target, fields, []byte("x"))
		wantCode(t, name, err, "NotImplemented")
	}
	locked := s.lockedBucket(t)
	p := minio.NewPostPolicy()
	if err := errors.Join(p.SetBucket("locked"), p.SetKey("held"), p.SetExpires(time.Now().Add(time.Minute)), p.SetUserData("object-lock-legal-hold", "ON")); err != nil {
		t.Fatal(err)
	}
	u, fields, err := cl.PresignedPostPolicy(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	res, err = postForm(t, u.String(), fields, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "purge of what a form holds", locked.purge("held", res.Header.Get("x-amz-version-id"), true), "AccessDenied")
	for _, key := range []string{"long", "fields", "another", "signed", "extra"} {
		if _, _, err := k.get(key, ""); code(err) != "NoSuchKey" {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestFormFields passes over what follows the file of a form, such as the button that
// sent it.
func TestFormFields(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	k := s.keeper(t, "")
	cl := &http.Client{Transport: transport(t)}
	for _, size := range []int{0, 1, 4091, 100_000, 3 << 20} {
		content := bytes.Repeat([]byte("\r\n--"), size/4+1)[:size]
		g := signing{access: colaKey, secret: colaSecret, kind: "form"}
		req := g.request(t, "POST", "http://"+s.addr+"/bk1", nil, content)
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, boundary, _ := strings.Cut(req.Header.Get("Content-Type"), "boundary=")
		end := []byte("--" + boundary + "--\r\n")
		for what, more := range map[string]string{
			"a button":      "--" + boundary + "\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n",
			"two fields":    strings.Repeat("--"+boundary+"\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"+strings.Repeat("b", 70_000)+"\r\n", 2),
			"another file":  "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nother\r\n",
			"nothing":       "",
			"another's end": "--" + boundary + "x\r\n",
		} {
			want := string(content)
			if what == "another's end" {
				want += "\r\n" + strings.TrimSuffix(more, "\r\n") // is of the content
			}
			body := append(append(bytes.TrimSuffix(bytes.Clone(raw), end), more...), end...)
			setBody(req, body)
			if got := s.send(t, cl, req); got.status != http.StatusNoContent {
				t.Errorf("%d bytes and %s: %d %s", size, what, got.status, got.body)
			} else if stored, _, err := k.get("form", ""); err != nil || stored != want {
				t.Errorf("%d bytes and %s: %d bytes are stored, %.200q, error %v", size, what, len(stored), stored[max(0, len(stored)-100):], err)
			}
		}
		setBody(req, raw[:len(raw)-len(end)])
		if got := s.send(t, cl, req); got.status != http.StatusBadRequest {
			t.Errorf("%d bytes without an end: %d %s", size, got.status, got.code)
		}
	}
}
