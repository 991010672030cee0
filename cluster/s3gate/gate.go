package s3gate

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"edgefog.dev/isgw/cluster/objects"
)

// The defaults of Options.
const (
	DefaultRegion         = "us-east-1"
	DefaultMaxConnections = 1024
	DefaultMaxRequests    = 128
	DefaultStallTimeout   = time.Minute
	DefaultHeaderTimeout  = 30 * time.Second
	DefaultDrainTimeout   = 10 * time.Second
)

// Bucket is a bucket of a tenant.
type Bucket struct {
	Name    string // its last name
	Created time.Time
}

// Options are what a Gate is made of. The functions are called by many
// goroutines at once.
type Options struct {
	// Objects is where everything is read and written. Required.
	Objects *objects.Store
	// Keys returns what the config says of an access key, or false when there is no
	// such key. Required. It is called several times for every request, so it must
	// be fast.
	Keys func(accessKey string) (Key, bool)
	// Access returns what the config says of who may use the bucket with the path;
	// of one that does not exist nothing. It is called for every request. Without
	// it buckets have no policies.
	Access func(path string) BucketAccess
	// Buckets returns the buckets of a tenant, in any order. Required.
	Buckets func(tenant string) []Bucket
	// CreateBucket and DeleteBucket change the config; path is
	// Namespace/Tenant/bucket. Their errors are those of raftfsm/state:
	// ErrExists, ErrNotFound, ErrNotEmpty, ErrInvalid; others are answered as
	// internal errors. Without them the operations are refused.
	CreateBucket func(ctx context.Context, path string, access BucketAccess) error
	DeleteBucket func(ctx context.Context, path string) error
	// SetPolicy and SetOwnership change what Access returns of a bucket; an empty
	// value is the default. Their errors are those of CreateBucket. Without them
	// the operations are refused.
	SetPolicy    func(ctx context.Context, path string, policy []byte) error
	SetOwnership func(ctx context.Context, path, ownership string) error
	// Named returns the paths of all buckets with a last name, of any tenant, for
	// preflights. Without it a preflight is only answered for presigned URLs.
	Named func(bucket string) []string
	// Domains are those under which a bucket may be named by the host, as in
	// bk1.s3.example.com; see CheckDomain.
	Domains []string
	// TLS makes Serve speak TLS; its GetCertificate is asked for every connection.
	TLS *tls.Config
	// Region is the one that clients must sign for; DefaultRegion by default,
	// which is always accepted where S3 accepts it.
	Region string
	// Logger takes failures of requests that are the site's and not the
	// client's; slog.Default by default.
	Logger *slog.Logger
	// MaxConnections bounds the connections; one above it is answered SlowDown and
	// closed. MaxRequests bounds the requests under way; one above it is answered
	// SlowDown.
	MaxConnections, MaxRequests int
	// StallTimeout ends a connection on which fewer than 512 bytes a second of a
	// request or an answer have moved for as long; DefaultStallTimeout by default.
	StallTimeout time.Duration
	// HeaderTimeout bounds the time from a connection's, or a request's, first byte
	// to the end of its header, the handshake of TLS included;
	// DefaultHeaderTimeout by default.
	HeaderTimeout time.Duration
	// DrainTimeout is how long requests under way may go on when Serve is told
	// to end; DefaultDrainTimeout by default.
	DrainTimeout time.Duration
}

// Gate is an S3 endpoint.
type Gate struct {
	app     *fiber.App
	backend *tenantBackend
	counts  *counters
	logger  *slog.Logger

	places  chan struct{} // a place for each request under way
	large   chan struct{} // a place for each large body that is parsed
	domains []string
	named   func(bucket string) []string
	tls     *tls.Config

	maxConnections       int
	stall, header, drain time.Duration
}

// New returns a gate, which serves nothing yet.
func New(o Options) (*Gate, error) {
	if o.Objects == nil || o.Keys == nil || o.Buckets == nil {
		return nil, errors.New("make S3 gate: Objects, Keys and Buckets are required")
	}
	if bodyStream(new(fasthttp.Request)) == nil {
		return nil, errors.New("make S3 gate: fasthttp.Request has no field bodyStream of type io.Reader: this version of fasthttp is not supported")
	}
	for _, domain := range o.Domains {
		if err := CheckDomain(domain); err != nil {
			return nil, fmt.Errorf("make S3 gate: %w", err)
		}
	}
	if o.Access == nil {
		o.Access = func(string) BucketAccess { return BucketAccess{} }
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = DefaultMaxRequests
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = DefaultHeaderTimeout
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	g := &Gate{
		counts: newCounters(), logger: o.Logger,
		places: make(chan struct{}, o.MaxRequests), large: make(chan struct{}, maxLargeControl),
		domains: o.Domains, named: o.Named, tls: o.TLS,
		maxConnections: o.MaxConnections, stall: o.StallTimeout, header: o.HeaderTimeout, drain: o.DrainTimeout,
	}
	g.backend = newTenantBackend(o)
	// s3api wants a root account, which may do everything. Nobody knows this
	// one: there are no default credentials, and it has no tenant, so that it
	// would find no bucket either.
	root := middlewares.RootUserConfig{Access: "root-" + rand.Text(), Secret: rand.Text() + rand.Text()}
	srv, err := s3api.New(&guard{inner: g.backend, keys: o.Keys}, root, o.Region, &identities{keys: o.Keys, logger: o.Logger}, nil, nil, nil, g.counts,
		s3api.WithQuiet(),
		s3api.WithKeepAlive(),
		// The bounds are kept here, where an answer can be given that is XML; versitygw
		// gives one of text.
		s3api.WithConcurrencyLimiter(math.MaxInt32, math.MaxInt32),
		s3api.WithMiddleware("/", g.entrance),
		s3api.WithMiddleware("/", g.refuseUnsupported),
		s3api.WithMiddleware("/", rewriteAnswer),
		s3api.WithMiddleware("/", aliasKeys),
	)
	if err != nil {
		return nil, fmt.Errorf("make S3 gate: %w", err)
	}
	if g.app, err = fiberApp(srv); err != nil {
		return nil, fmt.Errorf("make S3 gate: %w", err)
	}
	return g, nil
}

// fiberApp returns the application that s3api built. s3api.Server only listens
// on addresses that it is given as strings, and keeps the application to itself;
// a node needs its own listener, timeouts and draining. See
// docs/decisions/004-s3-server.md.
func fiberApp(srv *s3api.S3ApiServer) (*fiber.App, error) {
	f := reflect.ValueOf(srv).Elem().FieldByName("app")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*fiber.App]() || f.IsNil() {
		return nil, errors.New("s3api.S3ApiServer has no field app of type *fiber.App: this version of versitygw is not supported")
	}
	return (*fiber.App)(f.UnsafePointer()), nil
}

// Stats returns counts since New.
func (g *Gate) Stats() Stats { return g.counts.stats() }
