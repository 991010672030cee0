package s3gate_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signing is how a request of the matrix is signed: by whom, and wrongly in which
// way. The zero time is now.
type signing struct {
	access, secret, region string
	at                     time.Time
	kind                   string // one of kinds
	damage                 string // of a streamed body: chunk, signature, trailer
	// frame, when set, makes the chunks of a streamed body. Their length must not
	// depend on the seed of the signatures.
	frame func(g signing, seed string) []byte
	// fields are more fields of a form, each with the value "v", by the parameter of
	// their header that names them.
	fields []string
}

// kinds are all ways to sign a request.
var kinds = []string{"header", "unsigned payload", "presigned", "streaming", "streaming with trailer", "unsigned trailer", "form"}

const (
	streamingPayload  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamingTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamingUnsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// request makes a signed request. header are those that belong to the operation.
func (g signing) request(t testing.TB, method, target string, header map[string]string, body []byte) *http.Request {
	t.Helper()
	if g.at.IsZero() {
		g.at = time.Now()
	}
	if g.region == "" {
		g.region = "us-east-1"
	}
	if g.kind == "form" {
		return g.form(t, target, body)
	}
	wire := body
	payload := hashed(body)
	var chunks func(seed string) []byte
	extra := map[string]string{}
	switch g.kind {
	case "unsigned payload":
		payload = "UNSIGNED-PAYLOAD"
	case "streaming", "streaming with trailer", "unsigned trailer":
		payload = map[string]string{"streaming": streamingPayload, "streaming with trailer": streamingTrailer, "unsigned trailer": streamingUnsigned}[g.kind]
		extra["X-Amz-Decoded-Content-Length"] = fmt.Sprint(len(body))
		extra["Content-Encoding"] = "aws-chunked"
		if payload != streamingPayload {
			extra["X-Amz-Trailer"] = "x-amz-checksum-crc32"
		}
		chunks = func(seed string) []byte { return g.chunked(payload, seed, body) }
		if g.frame != nil {
			chunks = func(seed string) []byte { return g.frame(g, seed) }
		}
		wire = chunks(strings.Repeat("0", 64)) // of the same length
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(wire))
	for name, value := range extra {
		req.Header.Set(name, value)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	credentials := aws.Credentials{AccessKeyID: g.access, SecretAccessKey: g.secret}
	if g.kind == "presigned" {
		q := req.URL.Query()
		q.Set("X-Amz-Expires", "60")
		req.URL.RawQuery = q.Encode()
		signed, _, err := signer.PresignHTTP(context.Background(), credentials, req, "UNSIGNED-PAYLOAD", "s3", g.region, g.at)
		if err != nil {
			t.Fatal(err)
		}
		if req.URL, err = url.Parse(signed); err != nil {
			t.Fatal(err)
		}
		return req
	}
	req.Header.Set("X-Amz-Content-Sha256", payload)
	if err := signer.SignHTTP(context.Background(), credentials, req, payload, "s3", g.region, g.at); err != nil {
		t.Fatal(err)
	}
	if chunks != nil {
		_, seed, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
		wire = chunks(seed)
		setBody(req, wire)
	}
	return req
}

func setBody(req *http.Request, body []byte) {
	req.Body, req.GetBody = http.NoBody, nil
	if len(body) > 0 {
		req.Body = readCloser{bytes.NewReader(body)}
	}
	req.ContentLength = int64(len(body))
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func hashed(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (g signing) key() []byte {
	key := []byte("AWS4" + g.secret)
	for _, part := range []string{g.at.UTC().Format("20060102"), g.region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (g signing) scope() string {
	return g.at.UTC().Format("20060102") + "/" + g.region + "/s3/aws4_request"
}

// chunked is a body in chunks of AWS's own coding, with signatures that go on from
// the request's.
func (g signing) chunked(payload, seed string, body []byte) []byte {
	var out bytes.Buffer
	previous, trailer := seed, "x-amz-checksum-crc32:"+crc32Of(body)
	sign := func(kind, rest string) string {
		previous = hex.EncodeToString(mac(g.key(), kind+"\n"+g.at.UTC().Format("20060102T150405Z")+"\n"+g.scope()+"\n"+previous+"\n"+rest))
		if g.damage == "signature" {
			return strings.Repeat("f", 64)
		}
		return previous
	}
	for last := false; !last; { // the last chunk is empty
		piece := body[:min(len(body), 64<<10)]
		last, body = len(piece) == 0, body[len(piece):]
		if payload == streamingUnsigned {
			fmt.Fprintf(&out, "%x\r\n", len(piece))
		} else {
			fmt.Fprintf(&out, "%x;chunk-signature=%s\r\n", len(piece), sign("AWS4-HMAC-SHA256-PAYLOAD", hashed(nil)+"\n"+hashed(piece)))
		}
		sent := bytes.Clone(piece)
		if g.damage == "chunk" && len(sent) > 0 {
			sent[0] ^= 1
		}
		out.Write(sent)
		if len(piece) > 0 || payload == streamingPayload {
			out.WriteString("\r\n")
		}
	}
	if payload == streamingPayload {
		return out.Bytes()
	}
	if g.damage == "trailer" {
		trailer = "x-amz-checksum-crc32:" + base64.StdEncoding.EncodeToString([]byte{1, 2, 3, 4})
	}
	out.WriteString(trailer + "\r\n")
	if payload == streamingTrailer {
		fmt.Fprintf(&out, "x-amz-trailer-signature:%s\r\n", sign("AWS4-HMAC-SHA256-TRAILER", hashed([]byte(trailer+"\n"))))
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// chunk is one chunk of a body in signed chunks, and its signature.
func (g signing) chunk(previous string, piece []byte) (raw []byte, signature string) {
	signature = hex.EncodeToString(mac(g.key(), "AWS4-HMAC-SHA256-PAYLOAD\n"+g.at.UTC().Format("20060102T150405Z")+"\n"+g.scope()+"\n"+previous+"\n"+
		hashed(nil)+"\n"+hashed(piece)))
	return fmt.Appendf(nil, "%x;chunk-signature=%s\r\n%s\r\n", len(piece), signature, piece), signature
}

// form is an upload by a browser's form to the bucket of the target.
func (g signing) form(t testing.TB, target string, body []byte) *http.Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	credential := g.access + "/" + g.scope()
	policy := base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"expiration":%q,"conditions":[{"bucket":%q},["starts-with","$key",""],{"x-amz-credential":%q},{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-date":%q}%s]}`,
		g.at.UTC().Add(time.Minute).Format("2006-01-02T15:04:05.000Z"), strings.Trim(u.Path, "/"), credential, g.at.UTC().Format("20060102T150405Z"), allowed(g.fields)))
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, field := range [][2]string{
		{"key", "form"}, {"x-amz-credential", credential}, {"x-amz-algorithm", "AWS4-HMAC-SHA256"},
		{"x-amz-date", g.at.UTC().Format("20060102T150405Z")}, {"policy", policy},
		{"x-amz-signature", hex.EncodeToString(mac(g.key(), policy))},
	} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, field := range g.fields {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {"form-data; " + field}})
		if err == nil {
			_, err = io.WriteString(part, "v")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile("file", "x")
	if err == nil {
		_, err = part.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	setBody(req, out.Bytes())
	req.Header.Set("Content-Type", w.FormDataContentType())
	return req
}

// allowed are the conditions of a form's policy that allow more fields.
func allowed(fields []string) (conditions string) {
	for _, field := range fields {
		_, params, err := mime.ParseMediaType("form-data; " + field)
		name, err2 := json.Marshal(params["name"])
		if err == nil && err2 == nil {
			conditions += `,{` + string(name) + `:"v"}`
		}
	}
	return conditions
}

// crc32Of is a checksum as a trailer has it.
func crc32Of(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)))
}
