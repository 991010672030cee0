package s3gate

import (
	"bytes"
	"io"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/versity/versitygw/s3response"
)

// TestFormLock reads the locks of forms.
func TestFormLock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		mode, until, hold string
		want              int
	}{
		{"", "", "", 0},
		{"", "", "ON", 0},
		{"", "", "OFF", 0},
		{"GOVERNANCE", "2026-01-02T00:00:00Z", "", 0},
		{"COMPLIANCE", "2026-01-02T00:00:00Z", "ON", 0},
		{"GOVERNANCE", "", "", 400},
		{"", "2026-01-02T00:00:00Z", "", 400},
		{"governance", "2026-01-02T00:00:00Z", "", 400},
		{"GOVERNANCE", "tomorrow", "", 400},
		{"GOVERNANCE", "2025-12-31T00:00:00Z", "", 400},
		{"", "", "yes", 400},
	} {
		var in s3response.PutObjectInput
		err := formLock(c.mode, c.until, c.hold, now, &in)
		if status(err) != c.want || err == nil && (string(in.ObjectLockMode) != c.mode || string(in.ObjectLockLegalHoldStatus) != c.hold || (in.ObjectLockRetainUntilDate != nil) != (c.until != "")) {
			t.Errorf("%+v: %v, error %v", c, in, err)
		}
	}
}

// TestScanForm reads forms that end anywhere.
func TestScanForm(t *testing.T) {
	const field = "Content-Disposition: form-data; name="
	for what, c := range map[string]struct {
		form string
		want formNames
		scan scanned
	}{
		"nothing":            {"", formNames{}, unfinished},
		"no form":            {"--x\r\n", formNames{}, noForm},
		"a file":             {"--b\r\n" + field + "file; filename=n\r\n\r\n", formNames{file: "n"}, finished},
		"a file of a path":   {"--b\r\n" + field + `file; filename="c:/d/n.txt"` + "\r\n\r\nx", formNames{file: "n.txt"}, finished},
		"a file by its name": {"--b\r\n" + field + "file\r\n\r\nx", formNames{}, finished},
		"a key":              {"--b\r\n" + field + "key\r\n\r\n..\r\n--b\r\n" + field + "file\r\n\r\nx", formNames{key: ".."}, finished},
		"an empty key":       {"--b\r\n" + field + "key\r\n\r\n\r\n--b\r\n" + field + "file\r\n\r\nx", formNames{}, finished},
		"a key without end":  {"--b\r\n" + field + "key\r\n\r\n--b\r\n" + field + "file\r\n\r\nx", formNames{}, finished},
		"two keys":           {"--b\r\n" + field + "key\r\n\r\na\r\n--b\r\n" + field + "KEY\r\n\r\nb\r\n--b\r\n" + field + "file\r\n\r\nx", formNames{key: "b"}, finished},
		"more headers":       {"--b\r\nA: b\r\n" + field + "key\r\nC: d\r\n\r\na\r\n--b\r\n" + field + "file\r\n\r\nx", formNames{key: "a"}, finished},
		"no file yet":        {"--b\r\n" + field + "key\r\n\r\n..\r\n--b\r\n", formNames{key: ".."}, unfinished},
	} {
		names, at, content, scan := scanForm([]byte(c.form), "b")
		if names != c.want || scan != c.scan || c.form[at:at+len(names.key)] != names.key {
			t.Errorf("%s: %+v at %d, %v", what, names, at, scan)
		}
		if scan == finished && strings.TrimSuffix(c.form[content-4:], "x") != "\r\n\r\n" {
			t.Errorf("%s: the file's content begins at %d", what, content)
		}
	}
}

// FuzzScanForm checks that what is found in a form is where it is said to be, and that
// it is what was written.
func FuzzScanForm(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=key\r\n\r\n..\r\n--b\r\nContent-Disposition: form-data; name=file\r\n\r\nx"), "b", "../a", "n")
	f.Add([]byte("--b\r\n\r\n\r\n--b\r\n"), "b", "", "a/b")
	f.Add([]byte{}, "", "\r\n", `"`)
	f.Fuzz(func(t *testing.T, form []byte, boundary, key, file string) {
		names, at, _, _ := scanForm(form, boundary)
		if string(form[at:at+len(names.key)]) != names.key || strings.ContainsAny(names.file, `/\`) {
			t.Fatalf("%q: %+v at %d", form, names, at)
		}
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		if w.WriteField("other", key) != nil || w.WriteField("key", key) != nil {
			t.Fatal("no form was written")
		}
		if _, err := w.CreateFormFile("file", "name.txt"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(key, w.Boundary()) {
			return
		}
		names, at, content, scan := scanForm(b.Bytes(), w.Boundary())
		if content != b.Len() || scan != finished || names.key != key || names.file != "name.txt" || string(b.Bytes()[at:at+len(key)]) != key {
			t.Fatalf("%q: %+v at %d, %v", b.Bytes(), names, at, scan)
		}
	})
}

// FuzzFileReader reads forms in steps of any size: what is passed on is the file, with
// the form's end right after it.
func FuzzFileReader(f *testing.F) {
	f.Add([]byte("content"), "--\r\n", uint8(1))
	f.Add([]byte("\r\n--bc\r\n--b \r\n"), "\r\nContent-Disposition: form-data; name=submit\r\n\r\nSend\r\n--b--\r\n", uint8(3))
	f.Add([]byte{}, "--\r\nepilogue", uint8(200))
	f.Fuzz(func(t *testing.T, file []byte, end string, step uint8) {
		const delimiter = "\r\n--b"
		if bytes.Contains(append(bytes.Clone(file), delimiter[:len(delimiter)-1]...), []byte(delimiter)) {
			return // the content of no file
		}
		form := string(file) + delimiter + end
		r := newFileReader(iotest.DataErrReader(&steps{r: strings.NewReader(form), n: int(step) + 1}), "b")
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want := form
		for i := 0; ; { // the first boundary that another field follows
			j := strings.Index(form[i:], delimiter)
			if j < 0 {
				break
			}
			if i += j + len(delimiter); strings.HasPrefix(form[i:], "\r\n") {
				want = form[:i] + "--\r\n"
				break
			}
		}
		if string(got) != want {
			t.Fatalf("%q of %q, want %q", got, form, want)
		}
	})
}

// steps reads at most n bytes at one time.
type steps struct {
	r io.Reader
	n int
}

func (s *steps) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }
