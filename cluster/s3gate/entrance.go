package s3gate

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/metrics"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// entrance stands before everything that looks into a request. It lets in as many as
// there may be at one time, turns a bucket in the host's name into one in the path,
// answers preflights, refuses what bears no signature, and adds the headers of CORS to
// answers.
func (g *Gate) entrance(ctx fiber.Ctx) error {
	defer lingerIfRefused(ctx)
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrSlowDown))
	}
	ctx.Locals(fiberContext{}, heldContext{ctx})
	if _, err := url.PathUnescape(string(ctx.Request().URI().PathOriginal())); err != nil {
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrInvalidURI))
	}
	g.fromHost(ctx)
	if bucket, _ := splitPath(ctx); strings.Contains(bucket, "%") {
		// No bucket's name has what must be escaped. What is signed is the path without
		// escapes, of which one in the place of the slash would hide the key from all that
		// looks at the path as it was sent.
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrInvalidURI))
	}
	if ctx.Method() == http.MethodOptions {
		return g.preflight(ctx)
	}
	if args := ctx.Request().URI().QueryArgs(); args.Has("AWSAccessKeyId") && args.Has("Signature") {
		// A URL of Signature Version 2, as some clients still make it by default.
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrUnsupportedAuthorizationMechanism))
	}
	if !bearsSignature(ctx) {
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrAccessDenied))
	}
	if refusal := misdirected(ctx); refusal != nil {
		return g.refuse(ctx, refusal)
	}
	err := g.next(ctx)
	g.addCORS(ctx)
	nameOnce(ctx)
	return err
}

// lingerIfRefused has the connection of a request whose body was refused closed with
// care, if it is closed: most clients read no answer before they have sent all.
func lingerIfRefused(ctx fiber.Ctx) {
	if conn := guardedOf(ctx.RequestCtx()); conn != nil {
		length := ctx.Request().Header.ContentLength() // -1 in HTTP's chunks
		conn.lingers.Store(ctx.Response().StatusCode() >= http.StatusBadRequest && (length > 0 || length == -1))
	}
}

// nameOnce leaves an answer its IDs once. versitygw gives it them before it turns off
// that the names of headers are written in one way, and again after that.
func nameOnce(ctx fiber.Ctx) {
	h := &ctx.Response().Header
	h.DisableNormalizing()
	for _, name := range []string{utils.HeaderAmzRequestID, utils.HeaderAmzID2} {
		h.Del(http.CanonicalHeaderKey(name))
	}
	utils.EnsureRequestIDs(ctx)
}

// next goes on with a request within the bounds of what its body may take.
func (g *Gate) next(ctx fiber.Ctx) error {
	if isForm(ctx) {
		return g.nextForm(ctx)
	}
	if ctx.Request().Header.ContentLength() <= largeControl || isContent(ctx) {
		return ctx.Next()
	}
	select {
	case g.large <- struct{}{}:
		defer func() { <-g.large }()
		return ctx.Next()
	default:
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrSlowDown))
	}
}

// A body that is no content is read and parsed in memory, where it takes several
// times its length. Of those longer than largeControl bytes only so many are there
// at one time; one more is answered SlowDown.
const (
	largeControl    = 256 << 10
	maxLargeControl = 8
)

// refuse answers with an S3 error.
func (g *Gate) refuse(ctx fiber.Ctx, err s3err.S3Error) error {
	g.counts.Send(ctx, err, metrics.ActionUndetected, 0, 0)
	if err.StatusCode() == http.StatusServiceUnavailable {
		ctx.Set(fiber.HeaderRetryAfter, "1")
	}
	requestID, hostID := utils.EnsureRequestIDs(ctx)
	ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return ctx.Status(err.StatusCode()).Send(err.XMLBody(requestID, hostID))
}

// bearsSignature says whether a request has a signature at all, in the header, in
// the query or in a form. Whether it is valid is found out behind; what has none
// does not get there, so that nobody answers or parses it.
func bearsSignature(ctx fiber.Ctx) bool {
	if len(ctx.Request().Header.Peek("Authorization")) > 0 {
		return true
	}
	if signedInQuery(ctx.Request().URI().QueryArgs()) {
		return true
	}
	kind, _, err := mime.ParseMediaType(string(ctx.Request().Header.ContentType()))
	return err == nil && kind == fiber.MIMEMultipartForm && isForm(ctx)
}

// isForm says whether a request is an upload by a form, as versitygw's routes take it.
func isForm(ctx fiber.Ctx) bool {
	if ctx.Method() != http.MethodPost {
		return false
	}
	bucket, key := splitPath(ctx)
	return bucket != "" && key == "" && !ctx.Request().URI().QueryArgs().Has("delete")
}

// splitPath returns the bucket and the key in a request's path, as they were sent.
func splitPath(ctx fiber.Ctx) (bucket, key string) {
	bucket, key, _ = cutPath(string(ctx.Request().URI().PathOriginal()))
	return bucket, key
}

func cutPath(path string) (bucket, key string, hasKey bool) {
	return strings.Cut(strings.TrimPrefix(path, "/"), "/")
}
