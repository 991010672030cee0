package s3gate

import (
	"bytes"
	"context"
	"encoding/xml"
	"net/http"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// rewriting is the key of a request's value that changes its answer's body.
type rewriting struct{}

// rewrite has the body of a request's answer changed before it is sent, if the
// answer is a success. versitygw encodes what the backend returns, and its types
// cannot hold all that S3 answers.
func rewrite(request context.Context, change func(body []byte) []byte) {
	if fast, ok := request.(*fasthttp.RequestCtx); ok {
		fast.SetUserValue(rewriting{}, change)
	}
}

// rewriteAnswer stands before versitygw's routes. It does what rewrite was asked for,
// and gives answers the form that S3 gives them.
func rewriteAnswer(ctx fiber.Ctx) error {
	if err := ctx.Next(); err != nil {
		return err
	}
	res := ctx.Response()
	switch res.StatusCode() {
	case http.StatusNotModified:
		// A cache would take the type of the error for that of the object.
		res.ResetBody()
		res.Header.SetNoDefaultContentType(true)
		res.Header.SetContentType("")
		return nil
	case http.StatusOK:
		if res.IsBodyStream() || len(res.Body()) == 0 {
			return nil
		}
	default:
		return nil
	}
	body := conformed(res.Body())
	if change, ok := ctx.RequestCtx().UserValue(rewriting{}).(func([]byte) []byte); ok {
		body = change(body)
	}
	res.SetBody(body)
	res.Header.SetContentLength(len(body))
	return nil
}

// namespace is that of all answers but errors.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// Where versitygw encodes a type of its own or of the SDK as it is, the root has
// another name than S3's, and elements are there that S3 leaves out: clients that
// read an enumeration do not take an empty one.
var (
	rootNames = map[string]string{"ObjectLockRetention": "Retention", "GetObjectAclOutput": "AccessControlPolicy"}
	unsaid    = [][]byte{
		[]byte("<ChecksumType></ChecksumType>"), []byte("<EventHold></EventHold>"), []byte("<Rule></Rule>"),
		[]byte("<RequestCharged></RequestCharged>"), []byte("<ResultMetadata></ResultMetadata>"),
	}
)

// conformed returns the body of an answer with the root that S3 gives it, in S3's
// namespace. What is no XML of versitygw's it returns as it is.
func conformed(body []byte) []byte {
	rest, ok := bytes.CutPrefix(body, []byte(xml.Header+"<"))
	if !ok {
		return body
	}
	root, rest, ok := bytes.Cut(rest, []byte(">"))
	if !ok || bytes.ContainsAny(root, " /?!") { // it has its namespace, or nothing in it
		return body
	}
	inner, ok := bytes.CutSuffix(rest, append(append([]byte("</"), root...), '>'))
	if !ok {
		return body
	}
	name := string(root)
	if n, ok := rootNames[name]; ok {
		name = n
	}
	for _, element := range unsaid {
		inner = bytes.ReplaceAll(inner, element, nil)
	}
	out := append([]byte(xml.Header), "<"+name+` xmlns="`+namespace+`">`...)
	return append(append(out, inner...), "</"+name+">"...)
}

// answer has a request answered with what is encoded of v in place of what versitygw
// encodes.
func (b *tenantBackend) answer(request context.Context, op, path string, v any) error {
	body, err := xml.Marshal(v)
	if err != nil {
		return b.apiError(op, path, "", err)
	}
	rewrite(request, func([]byte) []byte { return append([]byte(xml.Header), body...) })
	return nil
}

// tell sets a header of a request's answer that versitygw leaves out.
func tell(request context.Context, name, value string) {
	if fast, ok := request.(*fasthttp.RequestCtx); ok && value != "" {
		fast.Response.Header.DisableNormalizing()
		fast.Response.Header.Set(name, value)
	}
}

// asked returns a header of a request that versitygw does not hand on.
func asked(request context.Context, name string) string {
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return ""
	}
	return string(fast.Request.Header.Peek(name))
}

// reads reports whether a request is one that reads.
func reads(request context.Context) bool {
	fast, ok := request.(*fasthttp.RequestCtx)
	return ok && (fast.IsGet() || fast.IsHead())
}
