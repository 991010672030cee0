package s3gate

import (
	"bytes"
	"context"
	"io"
	"mime"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"edgefog.dev/isgw/cluster/objects"
)

// readForm adds to a write what its form says and versitygw does not hand on: the lock
// of the version. What is not offered is refused, as in headers. How long the file is
// shows when it ends: versitygw counts what follows it.
func readForm(request context.Context, in *s3response.PutObjectInput) error {
	form, ok := request.Value("object-post-result").(middlewares.PostObjectResult)
	if !ok {
		return nil
	}
	in.ContentLength = nil
	for name, value := range form.Fields {
		switch {
		case strings.HasPrefix(name, "x-amz-server-side-encryption"), name == "x-amz-storage-class" && value != "STANDARD":
			return s3err.GetNotImplementedErr(strings.Clone(name), "")
		}
	}
	return formLock(form.Fields["x-amz-object-lock-mode"], form.Fields["x-amz-object-lock-retain-until-date"],
		form.Fields["x-amz-object-lock-legal-hold"], time.Now(), in)
}

// formLock reads the lock of a form, as versitygw reads that of headers.
func formLock(mode, until, hold string, now time.Time, in *s3response.PutObjectInput) error {
	switch {
	case mode == "" && until != "":
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgMissingObjectLockMode, "")
	case mode != "" && until == "":
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgMissingObjectLockRetainDate, "")
	case mode != "" && retentionName(retentionMode(mode)) != mode:
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgObjectLockMode, strings.Clone(mode))
	case hold != "" && hold != string(types.ObjectLockLegalHoldStatusOn) && hold != string(types.ObjectLockLegalHoldStatusOff):
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgLegalHoldStatus, strings.Clone(hold))
	}
	if until != "" {
		at, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return s3err.GetInvalidArgumentErr(s3err.InvalidArgRetainUntilDate, strings.Clone(until))
		}
		if at.Before(now) {
			return s3err.GetInvalidArgumentErr(s3err.InvalidArgPastObjectLockRetainDate, strings.Clone(until))
		}
		in.ObjectLockRetainUntilDate = &at
	}
	in.ObjectLockMode, in.ObjectLockLegalHoldStatus = types.ObjectLockMode(strings.Clone(mode)), types.ObjectLockLegalHoldStatus(strings.Clone(hold))
	return nil
}

// The key of a form is its own name, also where that is no path (see names.go), and
// ${filename} in a field stands for the name of the form's file. versitygw knows
// neither. So the fields are looked through before it reads them: a key that it would
// refuse is sent to it as one of as many letters, and gets its name back, like the
// fields their file's, when the form is authenticated and before its policy is
// evaluated.

// formNames is what versitygw is not told of a form.
type formNames struct {
	key, file string
}

// fileVariable stands for the name of a form's file.
const fileVariable = "${filename}"

// readPreamble looks through the fields of a form, up to the header of its file. A
// form that it cannot read goes on as it is: versitygw refuses it. restore gives the
// request its own body back, and must be called when it is done with. whole says that the
// form is long enough for its own end; one that is not versitygw takes for a fault of its
// own.
func readPreamble(request *fasthttp.RequestCtx) (whole bool, restore func()) {
	_, params, err := mime.ParseMediaType(string(request.Request.Header.ContentType()))
	stream := request.Request.BodyStream()
	if err != nil || params["boundary"] == "" || stream == nil {
		return true, func() {}
	}
	var (
		read        []byte
		names       formNames
		at, content int
		scan        = unfinished
		block       = make([]byte, 4<<10)
	)
	for scan == unfinished && err == nil { // no more than maxPreamble bytes come
		var n int
		n, err = stream.Read(block)
		read = append(read, block[:n]...)
		names, at, content, scan = scanForm(read, params["boundary"])
	}
	if scan == finished {
		request.SetUserValue(formNames{}, names)
		if alias(names.key) != names.key {
			copy(read[at:], strings.Repeat("k", len(names.key)))
		}
	}
	var rest io.Reader = stream
	if err != nil {
		rest = failed{err}
	}
	body := bodyStream(&request.Request)
	*body = io.MultiReader(bytes.NewReader(read), rest)
	if scan == finished {
		file := newFileReader(io.MultiReader(bytes.NewReader(read[content:]), rest), params["boundary"])
		*body = io.MultiReader(bytes.NewReader(read[:content]), file)
	}
	length, end := request.Request.Header.ContentLength(), len("\r\n--")+len(params["boundary"])+len("--\r\n")
	return scan != finished || length < 0 || length >= content+end, func() { *body = stream }
}

// bodyStream is where fasthttp keeps the stream of a request's body; nil if this
// version of fasthttp keeps it elsewhere, which New finds out. SetBodyStream would
// take the stream that is back to fasthttp's store, and it is still to be read.
func bodyStream(r *fasthttp.Request) *io.Reader {
	f := reflect.ValueOf(r).Elem().FieldByName("bodyStream")
	if !f.IsValid() || f.Type() != reflect.TypeFor[io.Reader]() {
		return nil
	}
	return (*io.Reader)(f.Addr().UnsafePointer())
}

// failed is a reader that has ended.
type failed struct{ err error }

// Read implements io.Reader.
func (f failed) Read([]byte) (int, error) { return 0, f.err }

// scanned is how far the fields of a form could be read.
type scanned int

const (
	unfinished scanned = iota // there is more to come before the file
	finished                  // up to the file
	noForm                    // it is no form
)

// scanForm looks for the key, and where it is, and for the file's name and where its
// content begins in the beginning of a form. Of several keys the last counts.
func scanForm(form []byte, boundary string) (names formNames, at, content int, scan scanned) {
	delimiter := []byte("\r\n--" + boundary + "\r\n")
	first := delimiter[len("\r\n"):]
	if n := min(len(form), len(first)); !bytes.Equal(form[:n], first[:n]) {
		return names, 0, 0, noForm
	} else if n < len(first) {
		return names, 0, 0, unfinished
	}
	for pos := len(first); ; {
		end := bytes.Index(form[pos:], []byte("\r\n\r\n"))
		if end < 0 {
			return names, at, 0, unfinished
		}
		name, file, isFile := partName(string(form[pos : pos+end]))
		if isFile {
			names.file = file
			return names, at, pos + end + len("\r\n\r\n"), finished
		}
		// A value may be empty: then its delimiter begins with the header's end.
		pos += end + len("\r\n")
		if end = bytes.Index(form[pos:], delimiter); end < 0 {
			return names, at, 0, unfinished
		}
		if name == "key" {
			at = pos + len("\r\n")
			names.key = string(form[at:max(at, pos+end)])
		}
		pos += end + len(delimiter)
	}
}

// partName reads the header of a part of a form.
func partName(header string) (name, file string, isFile bool) {
	for line := range strings.SplitSeq(header, "\r\n") {
		what, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(strings.TrimSpace(what), "Content-Disposition") {
			continue
		}
		_, params, err := mime.ParseMediaType(strings.TrimSpace(value))
		if err != nil {
			continue
		}
		file, isFile = params["filename"]
		name = strings.ToLower(params["name"])
	}
	return name, file[strings.LastIndexAny(file, `/\`)+1:], isFile || name == "file"
}

// finishForm gives the fields of an authenticated form what readPreamble found.
func finishForm(request context.Context) error {
	form, ok := request.Value("object-post-result").(middlewares.PostObjectResult)
	names, found := request.Value(formNames{}).(formNames)
	if !ok || !found {
		return nil
	}
	form.Fields["key"] = names.key
	for name, value := range form.Fields {
		if !strings.Contains(value, fileVariable) {
			continue
		}
		if len(names.file) > objects.MaxKeySize {
			return s3err.GetKeyTooLongErr(int64(len(names.file)), objects.MaxKeySize)
		}
		form.Fields[name] = strings.ReplaceAll(value, fileVariable, names.file)
	}
	return nil
}
