package s3gate

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

// The signature of a form is among its fields, which come before the file. versitygw
// reads them into memory, line by line and whatever their length, before it knows
// whose they are. So until then a form's connection gives no more than fields can
// have; S3 takes 20 KB of them.

// maxPreamble bounds what is read of a form before it is authenticated, in bytes of
// the connection: the fields, and what TLS and two buffers read ahead.
const maxPreamble = 96 << 10

// maxObject bounds the content of one request, in bytes. versitygw bounds that of all but
// forms.
const maxObject = 5 << 30

// errPreamble is what the connection gives then.
var errPreamble = errors.New("the fields before the file of a form are too long")

// errPreambleTooLong is the answer to it.
var errPreambleTooLong = s3err.APIError{
	Code:           "MaxPostPreDataLengthExceededError",
	Description:    "Your POST request fields preceding the upload file were too large.",
	HTTPStatusCode: http.StatusBadRequest,
}

// guardedOf returns the connection of a request as the listener made it, or nil.
func guardedOf(request *fasthttp.RequestCtx) *guardedConn {
	conn := request.Conn()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, _ := conn.(*guardedConn)
	return c
}

// nextForm handles a form: it bounds what is read of it before it is authenticated.
func (g *Gate) nextForm(ctx fiber.Ctx) error {
	if length := int64(ctx.Request().Header.ContentLength()); length > maxObject+maxPreamble {
		return g.refuse(ctx, s3err.GetEntityTooLargeErr(length, maxObject))
	}
	conn := guardedOf(ctx.RequestCtx())
	if conn == nil {
		return g.refuse(ctx, errUnavailable)
	}
	conn.allow(maxPreamble)
	whole, restore := readPreamble(ctx.RequestCtx())
	defer restore()
	if !whole {
		conn.allow(unbounded)
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrMalformedPOSTRequest))
	}
	err := ctx.Next()
	if conn.allow(unbounded) {
		ctx.Response().Header.SetConnectionClose()
		return g.refuse(ctx, errPreambleTooLong)
	}
	return err
}

// authenticated lifts the bound on a request's connection, once its signature was
// found to be right.
func authenticated(request context.Context) {
	if fast, ok := request.(*fasthttp.RequestCtx); ok {
		if conn := guardedOf(fast); conn != nil {
			conn.allow(unbounded)
		}
	}
}

// unbounded is no bound on what is read.
const unbounded = -1

// allow bounds what may be read from now on, and says whether the bound before was
// met.
func (c *guardedConn) allow(n int64) (met bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	met = c.bounded && c.allowance <= 0
	c.bounded, c.allowance = n != unbounded, n
	return met
}
