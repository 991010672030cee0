package s3gate

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
)

// Keys that are no paths.
//
// S3 has keys and no directories: "../a", "." and "//" are names like any other.
// versitygw refuses those that would lead out of a directory, because it can also
// serve one, and fiber would take a key of slashes alone for the bucket. So such a
// key goes through both under another name, one that has no dots and slashes, and
// gets its own back where the backend sees it (see keyOf). The signature is
// verified over the path that the client sent, which versitygw lets a middleware
// put aside, as its own for virtual hosts does. What versitygw decides by keys,
// the policies of a bucket, it decides by what NormalizeObjectKey returns.

// aliasMark begins the name under which a key passes versitygw. Nobody outside can
// guess it, so it begins no key: names that come in a body are taken as they are.
var aliasMark = "~" + rand.Text() + "~"

// signedPath is where versitygw looks for the path that a client signed, when the
// path of the request is another.
const signedPath = "original-uri-path"

// alias returns the name under which a key passes versitygw; most keys' own.
func alias(key string) string {
	if key == "" || utils.IsObjectNameValid(key) {
		return key
	}
	return aliasMark + hex.EncodeToString([]byte(key))
}

// realKey is the inverse of alias.
func realKey(name string) string {
	coded, ok := strings.CutPrefix(name, aliasMark)
	if !ok {
		return name
	}
	key, err := hex.DecodeString(coded)
	if err != nil {
		return name
	}
	return string(key)
}

// keyOf returns the key that an input of the backend names, in memory of its own.
func keyOf(name *string) string { return realKey(strings.Clone(str(name))) }

// aliasKeys stands before versitygw's routes and gives the key of a request's path
// its alias.
func aliasKeys(ctx fiber.Ctx) error {
	path, err := url.PathUnescape(string(ctx.Request().URI().PathOriginal()))
	if err != nil {
		return ctx.Next() // versitygw refuses it
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name := alias(key)
	if name == key || bucket == "" {
		return ctx.Next()
	}
	if ctx.Locals(signedPath) == nil { // or the bucket came from the host
		ctx.Locals(signedPath, path)
	}
	ctx.Path("/" + bucket + "/" + name)
	if err := ctx.Next(); err != nil {
		return err
	}
	// The completion of an upload tells where the object is; versitygw makes that
	// of the request's path.
	res := ctx.Response()
	if ctx.Method() == fiber.MethodPost && !res.IsBodyStream() && bytes.Contains(res.Body(), []byte(name)) {
		var shown bytes.Buffer
		if err := xml.EscapeText(&shown, []byte(url.PathEscape(key))); err != nil {
			return err
		}
		body := bytes.ReplaceAll(res.Body(), []byte(name), shown.Bytes())
		res.SetBody(body)
		res.Header.SetContentLength(len(body))
	}
	return nil
}

// sourceRenamed marks a request whose copy source has been looked at.
type sourceRenamed struct{}

// aliasSource gives the source of a copy its alias. It must be called after the
// request's signature was verified, which covers the header. A version is named
// by a question mark that is not escaped; one that is belongs to the key.
func aliasSource(request *fasthttp.RequestCtx) {
	const header = "X-Amz-Copy-Source"
	source := string(request.Request.Header.Peek(header))
	if source == "" || request.UserValue(sourceRenamed{}) != nil {
		return
	}
	request.SetUserValue(sourceRenamed{}, true)
	version := ""
	if i := strings.LastIndex(source, versionQuery); i >= 0 {
		source, version = source[:i], source[i:]
	}
	decoded, err := url.QueryUnescape(strings.TrimPrefix(source, "/"))
	if err != nil {
		return // versitygw refuses it
	}
	bucket, key, _ := strings.Cut(decoded, "/")
	name := alias(key)
	if name == key && strings.Contains(key, versionQuery) {
		name = aliasMark + hex.EncodeToString([]byte(key))
	}
	if name != key {
		request.Request.Header.Set(header, bucket+"/"+name+version)
	}
}

// versionQuery precedes the version in the source of a copy.
const versionQuery = "?versionId="
