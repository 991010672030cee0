package s3gate

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
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

// failing is the key of a request's value that is the error to answer with.
type failing struct{}

// fail has a request answered with an error where versitygw takes none from the
// backend.
func fail(request context.Context, err error) {
	if fast, ok := request.(*fasthttp.RequestCtx); ok {
		fast.SetUserValue(failing{}, err)
	}
}

// rewriteAnswer stands before versitygw's routes and does what rewrite and fail were
// asked for.
func rewriteAnswer(ctx fiber.Ctx) error {
	if err := ctx.Next(); err != nil {
		return err
	}
	res := ctx.Response()
	if err, ok := ctx.RequestCtx().UserValue(failing{}).(s3err.S3Error); ok {
		requestID, hostID := utils.EnsureRequestIDs(ctx)
		res.ResetBody()
		res.Header.SetContentType(fiber.MIMEApplicationXML)
		return ctx.Status(err.StatusCode()).Send(err.XMLBody(requestID, hostID))
	}
	change, ok := ctx.RequestCtx().UserValue(rewriting{}).(func([]byte) []byte)
	if !ok || res.StatusCode() != http.StatusOK || res.IsBodyStream() {
		return nil
	}
	body := change(res.Body())
	res.SetBody(body)
	res.Header.SetContentLength(len(body))
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
