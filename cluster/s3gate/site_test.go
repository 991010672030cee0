package s3gate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/cluster/s3gate"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestMain keeps the clients from what the environment would tell them.
func TestMain(m *testing.M) {
	for _, name := range []string{"AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_CONFIG_FILE", "HTTP_PROXY", "http_proxy"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// The keys of the test's two tenants.
const (
	colaKey, colaSecret   = "COLAKEY", "cola-secret-cola-secret"
	pepsiKey, pepsiSecret = "PEPSIKEY", "pepsi-secret-pepsi-secret"
)

// site is an S3 endpoint over a replica and a chunk store on disk.
type site struct {
	gate    *s3gate.Gate
	objects *objects.Store
	replica *raftfsm.Replica
	chunks  chunks.Store
	addr    string
	stop    func() error // ends Serve and returns its error

	barriers atomic.Int64 // that reads have asked for

	mu   sync.Mutex
	keys map[string]s3gate.Key
}

func secretOf(s string) func() (string, error) {
	return func() (string, error) { return s, nil }
}

// openSite serves two tenants, Hawaii/Cola with the bucket bk1 and
// Hawaii/Pepsi with its own bk1 and bk2.
func openSite(t testing.TB, edit func(*s3gate.Options)) *site {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	codec, err := chunks.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	cs, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Codec: codec, Logger: quiet, SegmentSize: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	replica, err := raftfsm.Open(ctx, raftfsm.Options{Dir: t.TempDir(), NodeID: "n1", Logger: quiet, CacheBytes: 8 << 20, MemtableBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(replica.Close(ctx), cs.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := replica.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	s := &site{replica: replica, chunks: cs, keys: map[string]s3gate.Key{
		colaKey:  {Tenant: "Hawaii/Cola", Role: state.KeyAdmin, Secret: secretOf(colaSecret)},
		pepsiKey: {Tenant: "Hawaii/Pepsi", Secret: secretOf(pepsiSecret)},
	}}
	if err := s.config(ctx, &statepb.Txn{Puts: []*statepb.Object{
		state.Wrap(&statepb.Site{Id: bytes.Repeat([]byte{1}, 16), Name: "east", Epoch: 1, IdentityPublic: make([]byte, 32)}),
		state.Wrap(&statepb.Namespace{Name: "Hawaii"}),
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola"}),
		state.Wrap(&statepb.Tenant{Path: "Hawaii/Pepsi"}),
	}}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"Hawaii/Cola/bk1", "Hawaii/Pepsi/bk1", "Hawaii/Pepsi/bk2"} {
		if err := s.createBucket(ctx, path, s3gate.BucketAccess{}); err != nil {
			t.Fatal(err)
		}
	}
	s.objects, err = objects.New(objects.Options{Chunks: cs, Codec: codec, Catalog: replica.Catalog(), Propose: replica.Propose, Barrier: func(ctx context.Context) error {
		s.barriers.Add(1)
		return replica.Barrier(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := s3gate.Options{
		Objects: s.objects,
		Keys: func(access string) (s3gate.Key, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			key, ok := s.keys[access]
			return key, ok
		},
		Access: func(path string) s3gate.BucketAccess {
			b, _, _ := replica.Config().Bucket(path)
			return s3gate.BucketAccess{Policy: b.GetPolicy(), Ownership: b.GetOwnership()}
		},
		SetPolicy: func(ctx context.Context, path string, policy []byte) error {
			return s.changeBucket(ctx, path, func(b *statepb.Bucket) { b.Policy = policy })
		},
		SetOwnership: func(ctx context.Context, path, ownership string) error {
			return s.changeBucket(ctx, path, func(b *statepb.Bucket) { b.Ownership = ownership })
		},
		Buckets: func(tenant string) (out []s3gate.Bucket) {
			for _, b := range replica.Config().Buckets(tenant) {
				out = append(out, s3gate.Bucket{Name: b.GetPath()[strings.LastIndexByte(b.GetPath(), '/')+1:], Created: time.Unix(0, b.GetCreated())})
			}
			return out
		},
		CreateBucket: s.createBucket,
		DeleteBucket: func(ctx context.Context, path string) error {
			return s.config(ctx, &statepb.Txn{Deletes: []*statepb.ObjectKey{{Kind: statepb.Kind_KIND_BUCKET, Name: path}}})
		},
		Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if edit != nil {
		edit(&o)
	}
	if s.gate, err = s3gate.New(o); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	serving, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.gate.Serve(serving, ln) }()
	s.stop = func() error {
		end()
		err := <-served
		served <- err
		return err
	}
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := s.gate.Stats().Connections; n != 0 {
			t.Errorf("%d connections are open after Serve", n)
		}
	})
	return s
}

// testLog writes a log to a test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (s *site) config(ctx context.Context, txn *statepb.Txn) error {
	res, err := s.replica.Propose(ctx, &raftfsmpb.Command{Command: &raftfsmpb.Command_Config{Config: txn}})
	if err != nil {
		return err
	}
	return raftfsm.ResultError(res)
}

// changeBucket changes what the config says of a bucket.
func (s *site) changeBucket(ctx context.Context, path string, change func(*statepb.Bucket)) error {
	old, _, ok := s.replica.Config().Bucket(path)
	if !ok {
		return state.ErrNotFound
	}
	b := proto.CloneOf(old)
	change(b)
	return s.config(ctx, &statepb.Txn{Puts: []*statepb.Object{state.Wrap(b)}})
}

func (s *site) createBucket(ctx context.Context, path string, access s3gate.BucketAccess) error {
	b := &statepb.Bucket{
		Path: path, Incarnation: bytes.Repeat([]byte{7}, 16), Created: time.Now().UnixNano(),
		Policy: access.Policy, Ownership: access.Ownership,
	}
	return s.config(ctx, &statepb.Txn{
		Checks: []*statepb.Check{{Key: &statepb.ObjectKey{Kind: statepb.Kind_KIND_BUCKET, Name: path}}},
		Puts:   []*statepb.Object{state.Wrap(b)},
	})
}

// transport returns one that keeps its connections, closed at the end.
func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (s *site) minio(t testing.TB, key, secret string) *minio.Client {
	t.Helper()
	c, err := minio.New(s.addr, &minio.Options{Creds: miniocreds.NewStaticV4(key, secret, ""), Region: "us-east-1", Transport: transport(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func colaCredentials() *miniocreds.Credentials {
	return miniocreds.NewStaticV4(colaKey, colaSecret, "")
}

func (s *site) core(t testing.TB) *minio.Core {
	return &minio.Core{Client: s.minio(t, colaKey, colaSecret)}
}

func (s *site) aws(t testing.TB, key, secret string) *s3.Client {
	t.Helper()
	return s3.New(s3.Options{
		BaseEndpoint:     aws.String("http://" + s.addr),
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider(key, secret, ""),
		UsePathStyle:     true,
		HTTPClient:       &http.Client{Transport: transport(t)},
		RetryMaxAttempts: 1,
	})
}

// code returns the S3 error code of an error of either client, or its text.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	var m minio.ErrorResponse
	if errors.As(err, &m) {
		return m.Code
	}
	return fmt.Sprint(err)
}

func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: error %q, want %q (%v)", what, got, want, err)
	}
}

func readBody(t testing.TB, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return raw
}
