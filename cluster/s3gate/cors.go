package s3gate

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
)

// Browsers ask, without a signature, whether a page may use a bucket before they
// let it: a preflight. It is answered from the CORS configuration, which is thereby
// public: anybody may ask for any origin. Nothing else is told: a bucket without a
// configuration answers as one that does not exist.
//
// Without a signature it is not known which tenant's bucket is meant, unless the
// URL is a presigned one. Then the rules of all buckets of that name are tried; what
// the page may do in the end is decided by its signature.

// preflight answers an OPTIONS request.
func (g *Gate) preflight(ctx fiber.Ctx) error {
	origin := ctx.Get(fiber.HeaderOrigin)
	if origin == "" {
		return g.refuse(ctx, s3err.GetAPIError(s3err.ErrMissingCORSOrigin))
	}
	method := auth.CORSHTTPMethod(ctx.Get(fiber.HeaderAccessControlRequestMethod))
	if !method.IsValid() {
		return g.refuse(ctx, s3err.GetInvalidCORSMethodErr(method.String()))
	}
	headers, err := auth.ParseCORSHeaders(ctx.Get(fiber.HeaderAccessControlRequestHeaders))
	if err != nil {
		var refusal s3err.S3Error = s3err.GetAPIError(s3err.ErrInvalidRequest)
		if e, ok := err.(s3err.S3Error); ok {
			refusal = e
		}
		return g.refuse(ctx, refusal)
	}
	allowed := g.corsAllows(ctx, origin, method, headers)
	if allowed == nil {
		return g.refuse(ctx, s3err.GetAccessForbiddenErr(s3err.ErrCORSForbidden, http.MethodOptions, s3err.ResourceTypeBucket))
	}
	setCORS(ctx, allowed)
	ctx.Status(http.StatusOK)
	return nil
}

// addCORS adds the headers of CORS to an answer, where the bucket's configuration
// allows the request's origin.
func (g *Gate) addCORS(ctx fiber.Ctx) {
	origin := ctx.Get(fiber.HeaderOrigin)
	if origin == "" {
		return
	}
	if allowed := g.corsAllows(ctx, origin, auth.CORSHTTPMethod(ctx.Method()), nil); allowed != nil {
		setCORS(ctx, allowed)
	}
}

func setCORS(ctx fiber.Ctx, a *auth.CORSAllowanceConfig) {
	h := &ctx.Response().Header
	for _, header := range [][2]string{
		{fiber.HeaderAccessControlAllowOrigin, a.Origin},
		{fiber.HeaderAccessControlAllowMethods, a.Methods},
		{fiber.HeaderAccessControlAllowHeaders, a.AllowHeaders},
		{fiber.HeaderAccessControlExposeHeaders, a.ExposedHeaders},
		{fiber.HeaderAccessControlAllowCredentials, a.AllowCredentials},
		{fiber.HeaderVary, middlewares.VaryHdr},
	} {
		if header[1] != "" {
			h.Set(header[0], header[1])
		}
	}
	if a.MaxAge != nil {
		h.Set(fiber.HeaderAccessControlMaxAge, strconv.Itoa(int(*a.MaxAge)))
	}
}

// corsAllows returns what the first rule allows that matches, or nil.
func (g *Gate) corsAllows(ctx fiber.Ctx, origin string, method auth.CORSHTTPMethod, headers []auth.CORSHeader) *auth.CORSAllowanceConfig {
	bucket, _ := splitPath(ctx)
	if bucket == "" {
		return nil
	}
	for _, path := range g.meant(ctx, bucket) {
		config := g.backend.corsOf(path)
		if config == nil {
			continue
		}
		if allowed, err := config.IsAllowed(origin, method, headers, s3err.ResourceTypeBucket); err == nil {
			return allowed
		}
	}
	return nil
}

// meant returns the paths of the buckets that a request may be about.
func (g *Gate) meant(ctx fiber.Ctx, bucket string) []string {
	if account, ok := ctx.Locals("account").(auth.Account); ok && account.Access != "" {
		return []string{account.Access + "/" + bucket}
	}
	if credential := string(ctx.Request().URI().QueryArgs().Peek("X-Amz-Credential")); credential != "" {
		access, _, _ := strings.Cut(credential, "/")
		if key, ok := g.backend.keys(access); ok {
			return []string{key.Tenant + "/" + bucket}
		}
	}
	if g.named == nil {
		return nil
	}
	return g.named(strings.Clone(bucket))
}

// maxCORS bounds the configurations that are kept parsed.
const maxCORS = 256

// corsCache keeps parsed CORS configurations, by bucket.
type corsCache struct {
	mu     sync.Mutex
	parsed map[string]parsedCORS
}

type parsedCORS struct {
	raw    []byte
	config *auth.CORSConfiguration // nil: it cannot be parsed
}

// get parses a configuration unless it is the one that the bucket had before.
func (c *corsCache) get(path string, raw []byte) *auth.CORSConfiguration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.parsed[path]; ok && bytes.Equal(p.raw, raw) {
		return p.config
	}
	config, err := auth.ParseCORSOutput(raw)
	if err != nil {
		config = nil // what was stored was valid; without rules nothing is allowed
	}
	if c.parsed == nil || len(c.parsed) >= maxCORS {
		c.parsed = make(map[string]parsedCORS)
	}
	c.parsed[path] = parsedCORS{raw, config}
	return config
}

// corsOf returns the CORS configuration of a bucket, or nil.
func (b *tenantBackend) corsOf(path string) *auth.CORSConfiguration {
	raw := b.objects.CORS(path)
	if len(raw) == 0 {
		return nil
	}
	return b.cors.get(path, raw)
}
