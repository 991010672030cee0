package s3gate

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/cluster/objects"
)

// maxControlBody is the greatest body, in bytes, of a request that is no upload
// of content. It is read into memory as a whole; a list of 10,000 parts with
// checksums has less.
const maxControlBody = 4 << 20

// refuseUnsupported stands before versitygw's routes and refuses what they would
// pass over in silence: a request for encryption or for a storage class, and a body
// that they would read into memory whatever its size.
func (g *Gate) refuseUnsupported(ctx fiber.Ctx) error {
	err := unsupportedHeader(ctx)
	if err == nil {
		err = unsupportedPresigned(ctx, time.Now())
	}
	if err == nil {
		err = badPartNumber(ctx)
	}
	if err == nil {
		err = badTrailer(ctx)
	}
	if err == nil {
		err = oversizedControl(ctx)
	}
	if err == nil {
		// The signed chunks inside a body in HTTP's chunked coding end before
		// that coding does: what is left of it would be taken for the next
		// request. A client sends such a body where it does not know the
		// length, or, minio-go, where it is 0.
		if ctx.Request().Header.ContentLength() == -1 {
			defer ctx.Response().Header.SetConnectionClose()
		}
		acceptTrailer(ctx)
		checkFraming(ctx)
		checkPayload(ctx)
		return ctx.Next()
	}
	return g.refuse(ctx, err)
}

func unsupportedHeader(ctx fiber.Ctx) s3err.S3Error {
	for k, v := range ctx.Request().Header.All() {
		if len(k) < len(s3Header) || len(v) == 0 || !strings.EqualFold(string(k[:len(s3Header)]), s3Header) {
			continue
		}
		if name := strings.ToLower(string(k)); unsupported(name, string(v)) {
			return s3err.GetNotImplementedErr(name, "")
		}
	}
	return nil
}

// badPartNumber refuses a number of a part that versitygw would take for another, in
// 32 bits.
func badPartNumber(ctx fiber.Ctx) s3err.S3Error {
	args := ctx.Request().URI().QueryArgs()
	if !args.Has("partNumber") {
		return nil
	}
	number := string(args.Peek("partNumber"))
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > objects.MaxParts {
		return s3err.GetInvalidArgumentErr(s3err.InvalidArgPartNumber, number)
	}
	return nil
}

// badTrailer refuses to wait for a trailer that is no checksum. Where no body is streamed
// versitygw takes it for a fault of its own.
func badTrailer(ctx fiber.Ctx) s3err.S3Error {
	name := strings.ToLower(string(ctx.Request().Header.Peek("X-Amz-Trailer")))
	if name == "" || slices.Contains(checksumNames[:], name) {
		return nil
	}
	return s3err.GetAPIError(s3err.ErrTrailerHeaderNotSupported)
}

// unsupported says whether a header, whose name is in small letters, asks for what is
// not offered.
func unsupported(name, value string) bool {
	switch name {
	case "x-amz-mfa", "x-amz-write-offset-bytes":
		return true
	case "x-amz-storage-class":
		return value != "STANDARD"
	}
	return strings.HasPrefix(name, "x-amz-server-side-encryption") || strings.HasPrefix(name, "x-amz-copy-source-server-side-encryption")
}

// oversizedControl refuses a body that is too long, or of unknown length, unless
// it is content.
func oversizedControl(ctx fiber.Ctx) s3err.S3Error {
	length := ctx.Request().Header.ContentLength()
	if length >= 0 && length <= maxControlBody || isContent(ctx) {
		return nil
	}
	if length < 0 {
		if ctx.Method() == http.MethodGet || ctx.Method() == http.MethodHead || ctx.Method() == http.MethodDelete {
			return nil // no body, and none is read
		}
		return s3err.GetAPIError(s3err.ErrMissingContentLength)
	}
	return s3err.GetMaxMessageLengthExceeded(maxControlBody)
}

// isContent reports whether the body is an object's or a part's, which is
// streamed.
func isContent(ctx fiber.Ctx) bool {
	args := ctx.Request().URI().QueryArgs()
	path := strings.TrimPrefix(string(ctx.Request().URI().PathOriginal()), "/")
	bucket, key, _ := strings.Cut(path, "/")
	switch ctx.Method() {
	case http.MethodPut:
		if bucket == "" || key == "" || len(ctx.Request().Header.Peek("X-Amz-Copy-Source")) > 0 {
			return false
		}
		return !args.Has("tagging") && !args.Has("retention") && !args.Has("legal-hold") && !args.Has("acl")
	case http.MethodPost:
		return bucket != "" && key == "" && !args.Has("delete")
	}
	return false
}
