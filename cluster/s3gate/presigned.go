package s3gate

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/cluster/objects"
)

// A presigned URL holds headers of S3 as parameters: signers put those there that the
// client needs not send, such as user metadata and tags. versitygw verifies them as a part
// of the query and passes them over. So they are made headers once the signature was
// verified; what would be refused as a header is refused before.

// maxAhead is how far a signature's time may lie in the future. With the week that a URL
// may be valid for, it bounds how long somebody who has one can use it.
const maxAhead = 15 * time.Minute

// errNotYetValid is the answer to a URL that is signed for later.
var errNotYetValid = s3err.APIError{
	Code:           "AccessDenied",
	Description:    "Request is not valid yet.",
	HTTPStatusCode: http.StatusForbidden,
}

// signedInQuery says whether a request is signed in its query.
func signedInQuery(args *fasthttp.Args) bool {
	return args.Has("X-Amz-Signature") || args.Has("X-Amz-Credential")
}

// s3Header is what the names of S3's own headers begin with.
const s3Header = "x-amz-"

// asHeader says whether a parameter of a presigned URL stands for a header, and gives the
// header's name in small letters. Those of the signature do not, nor does what tells how
// the body is to be read, which is settled before. A checksum does not either: SDKs put
// that of no content there when they sign for a content that they do not have, and S3
// passes it over.
func asHeader(parameter string) (name string, ok bool) {
	name = strings.ToLower(parameter)
	switch name {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
		"x-amz-security-token", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-sdk-checksum-algorithm":
		return "", false
	case "x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type":
		return name, true
	}
	return name, strings.HasPrefix(name, s3Header) && !strings.HasPrefix(name, objects.ChecksumPrefix)
}

// unsupportedPresigned refuses what a presigned URL asks for and is not offered, and one
// that is signed for a time to come.
func unsupportedPresigned(ctx fiber.Ctx, now time.Time) s3err.S3Error {
	args := ctx.Request().URI().QueryArgs()
	if !signedInQuery(args) {
		return nil
	}
	if at, err := time.Parse("20060102T150405Z", string(args.Peek("X-Amz-Date"))); err == nil && at.After(now.Add(maxAhead)) {
		return errNotYetValid
	}
	for parameter, value := range args.All() {
		name, ok := asHeader(string(parameter))
		if !ok || len(value) == 0 {
			continue
		}
		if unsupported(name, string(value)) || name == "x-amz-copy-source" { // which the routes depend on
			return s3err.GetNotImplementedErr(name, "")
		}
	}
	if strings.HasPrefix(payloadOf(ctx), streamingPrefix) {
		return s3err.GetNotImplementedErr("x-amz-content-sha256", "")
	}
	return nil
}

// payloadOf returns what a presigned request says of its payload.
func payloadOf(ctx fiber.Ctx) string {
	if header := ctx.Request().Header.Peek("X-Amz-Content-Sha256"); len(header) > 0 {
		return string(header)
	}
	return string(ctx.Request().URI().QueryArgs().Peek("X-Amz-Content-Sha256"))
}

// checkPayload has the content of a presigned request compared with the hash that was
// signed with it, if there is one.
func checkPayload(ctx fiber.Ctx) {
	hash := payloadOf(ctx)
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) == 0 || !signedInQuery(ctx.Request().URI().QueryArgs()) || !isContent(ctx) {
		return
	}
	var body io.Reader = strings.NewReader("")
	if stream := ctx.Request().BodyStream(); stream != nil {
		body = stream
	}
	if checked, err := utils.NewHashReader(body, hash, utils.HashTypeSha256Hex); err == nil {
		utils.ContextKeyBodyReader.Set(ctx, checked)
	}
}

// metaHeader is what the names of headers with user metadata begin with.
const metaHeader = s3Header + "meta-"

// maxMetadata bounds the names and values of an object's user metadata, in bytes;
// versitygw bounds what comes in headers alike.
const maxMetadata = 2 << 10

// hoistedMetadata is the key of a request's value that is the user metadata of its
// query. versitygw reads metadata from the header as it was sent.
type hoistedMetadata struct{}

// hoist gives a presigned request, whose signature is verified, the headers that its
// query stands for. A header that is sent as well was signed on its own, and counts.
func hoist(request *fasthttp.RequestCtx) {
	if !signedInQuery(request.QueryArgs()) {
		return
	}
	metadata := make(map[string]string)
	for parameter, value := range request.QueryArgs().All() {
		name, ok := asHeader(string(parameter))
		if key, isMeta := strings.CutPrefix(name, metaHeader); isMeta {
			metadata[key] = string(value)
		} else if ok && len(request.Request.Header.Peek(name)) == 0 {
			request.Request.Header.SetBytesV(name, value)
		}
	}
	request.SetUserValue(hoistedMetadata{}, metadata)
}

// metadataOf returns the user metadata of a write, in memory of its own: that of the
// headers and that of a presigned URL.
func metadataOf(request context.Context, headers map[string]string) (map[string]string, error) {
	out := cloneMap(headers)
	hoisted, _ := request.Value(hoistedMetadata{}).(map[string]string)
	for key, value := range hoisted {
		if _, ok := out[key]; ok {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(hoisted))
		}
		out[key] = value
	}
	size := 0
	for key, value := range out {
		size += len(key) + len(value)
	}
	if len(hoisted) > 0 && size > maxMetadata {
		return nil, s3err.GetMetadataTooLargeErr(size, maxMetadata)
	}
	return out, nil
}
