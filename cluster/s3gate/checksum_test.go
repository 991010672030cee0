package s3gate

import (
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/utils"
)

// sumOf takes a checksum the plain way.
func sumOf(t *testing.T, a types.ChecksumAlgorithm, content string) checksum {
	t.Helper()
	c, err := newChecked(strings.NewReader(content), checksum{}, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	return c.sum
}

// TestUploadSums makes the checksum of objects out of those of their parts.
func TestUploadSums(t *testing.T) {
	contents := []string{strings.Repeat("a", 70_000), "", "the end"}
	parts := func(a types.ChecksumAlgorithm) (out []partSum) {
		for _, c := range contents {
			out = append(out, partSum{sumOf(t, a, c), int64(len(c))})
		}
		return out
	}
	whole := strings.Join(contents, "")
	for _, a := range algorithms {
		if a != types.ChecksumAlgorithmCrc64nvme {
			got, err := uploadSums{a, types.ChecksumTypeComposite}.whole(parts(a))
			turned := parts(a)
			turned[0], turned[2] = turned[2], turned[0]
			other, err2 := uploadSums{a, types.ChecksumTypeComposite}.whole(turned)
			if err != nil || err2 != nil || got.kind() != types.ChecksumTypeComposite || !strings.HasSuffix(got.value, "-3") || got == other {
				t.Errorf("%s: composite %v, in another order %v, errors %v, %v", a, got, other, err, err2)
			}
		}
		got, err := uploadSums{a, types.ChecksumTypeFullObject}.whole(parts(a))
		want := checksum{}
		if utils.IsChecksumComposable(a) {
			want = sumOf(t, a, whole)
		}
		if err != nil || got != want {
			t.Errorf("%s: combined %v, want %v, error %v", a, got, want, err)
		}
		if got, err := (uploadSums{}).whole(parts(a)); err != nil || got != want {
			t.Errorf("%s: without an algorithm %v, want %v, error %v", a, got, want, err)
		}
	}
	mixed := append(parts(types.ChecksumAlgorithmCrc32)[:1], parts(types.ChecksumAlgorithmCrc32c)[1:]...)
	if got, err := (uploadSums{}).whole(mixed); err != nil || got != (checksum{}) {
		t.Errorf("of two algorithms: %v, error %v", got, err)
	}
	// The composite SHA-256 of two known parts, as S3's documentation makes it: the
	// SHA-256 of the digests one after the other.
	two := []partSum{{sumOf(t, types.ChecksumAlgorithmSha256, "hello"), 5}, {sumOf(t, types.ChecksumAlgorithmSha256, "world"), 5}}
	if got, err := composite(types.ChecksumAlgorithmSha256, two); err != nil || got.value != "cwXbmyq8zXBsJW2z2X5f9I1nfP5NOlkEr7faDjlQ4eI=-2" {
		t.Errorf("composite SHA-256 %v, error %v", got, err)
	}
}

func TestSettle(t *testing.T) {
	crc, sha := types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmSha256
	parts := func(a types.ChecksumAlgorithm) []partSum {
		return []partSum{{sumOf(t, a, "ab"), 2}, {sumOf(t, a, "c"), 1}}
	}
	full := sumOf(t, crc, "abc")
	over, err := composite(sha, parts(sha))
	if err != nil {
		t.Fatal(err)
	}
	short := checksum{sha, strings.TrimSuffix(over.value, "-2")}
	wrong := checksum{crc, "AAAAAA=="}
	composed, object := types.ChecksumTypeComposite, types.ChecksumTypeFullObject
	for _, c := range []struct {
		name   string
		upload uploadSums
		given  checksum
		kind   types.ChecksumType
		parts  []partSum
		keep   checksum
		read   bool
		status int
	}{
		{"nothing given, nothing there", uploadSums{}, checksum{}, "", []partSum{{size: 1}}, checksum{}, false, 0},
		{"nothing given, parts have one", uploadSums{}, checksum{}, "", parts(crc), full, false, 0},
		{"given and right", uploadSums{crc, object}, full, object, parts(crc), full, false, 0},
		{"given and wrong", uploadSums{crc, object}, wrong, "", parts(crc), checksum{}, false, 400},
		{"composite", uploadSums{sha, composed}, over, composed, parts(sha), over, false, 0},
		{"composite without its number", uploadSums{sha, composed}, short, "", parts(sha), over, false, 0},
		{"composite and wrong", uploadSums{sha, composed}, checksum{sha, over.value[1:]}, "", parts(sha), checksum{}, false, 400},
		{"composite, never announced", uploadSums{}, over, "", parts(sha), over, false, 0},
		{"composite of parts without checksums", uploadSums{}, over, "", []partSum{{size: 1}}, checksum{}, false, 400},
		{"another kind", uploadSums{sha, composed}, over, object, parts(sha), checksum{}, false, 400},
		{"another algorithm", uploadSums{sha, composed}, full, "", parts(sha), checksum{}, false, 400},
		{"one that the parts do not tell", uploadSums{}, full, "", parts(sha), full, true, 0},
		{"one of an object without any", uploadSums{}, short, "", []partSum{{size: 1}}, short, true, 0},
	} {
		keep, read, err := c.upload.settle(c.given, c.kind, c.parts)
		if status(err) != c.status || keep != c.keep || read != c.read {
			t.Errorf("%s: keep %v, read %v, error %v; want %v, %v, status %d", c.name, keep, read, err, c.keep, c.read, c.status)
		}
	}
}

func TestAcceptsPart(t *testing.T) {
	crc, sha := types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmSha1
	for _, c := range []struct {
		upload uploadSums
		part   types.ChecksumAlgorithm
		ok     bool
	}{
		{uploadSums{}, "", true}, {uploadSums{}, crc, true},
		{uploadSums{crc, types.ChecksumTypeFullObject}, "", true}, {uploadSums{crc, types.ChecksumTypeFullObject}, crc, true}, {uploadSums{crc, types.ChecksumTypeFullObject}, sha, false},
		{uploadSums{sha, types.ChecksumTypeComposite}, "", false}, {uploadSums{sha, types.ChecksumTypeComposite}, sha, true}, {uploadSums{sha, types.ChecksumTypeComposite}, crc, false},
	} {
		if err := c.upload.accepts(c.part); (err == nil) != c.ok {
			t.Errorf("upload %v, part %q: %v", c.upload, c.part, err)
		}
	}
}
