package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// node implements the interfaces: it records what reaches it, answers with what
// it was asked, and fails with fail when that is set.
type node struct {
	mu      sync.Mutex
	calls   []string
	ids     []string // request ids
	fail    error
	stored  map[string][]byte
	putErrs []error // what the body of a failed Put ended with
	state   map[string]adminpb.ServiceState

	reading chan struct{}                            // closed when an upload is being read
	body    func(content []byte) (io.Reader, uint64) // what Get sends; nil: the content
}

func newNode() *node {
	return &node{stored: map[string][]byte{}, state: map[string]adminpb.ServiceState{}}
}

// saw records a call and returns the failure that was planned.
func (n *node) saw(ctx context.Context, format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, fmt.Sprintf(format, args...))
	n.ids = append(n.ids, RequestID(ctx))
	return n.fail
}

func (n *node) failWith(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

func (n *node) last() (call, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.calls) == 0 {
		return "", ""
	}
	return n.calls[len(n.calls)-1], n.ids[len(n.ids)-1]
}

func (n *node) set(service string, state adminpb.ServiceState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state[service] = state
}

type (
	nodeSystem   struct{ *node }
	nodePaths    struct{ *node }
	nodeKeys     struct{ *node }
	nodeSites    struct{ *node }
	nodeServices struct{ *node }
	nodeObjects  struct{ *node }
)

func (n nodeSystem) Init(ctx context.Context, req *adminpb.InitRequest) (*adminpb.StatusResponse, error) {
	return &adminpb.StatusResponse{Initialised: true, NodeName: "n1"}, n.saw(ctx, "init %v", req.GetForce())
}

func (n nodeSystem) Status(ctx context.Context) (*adminpb.StatusResponse, error) {
	return &adminpb.StatusResponse{NodeName: "n1"}, n.saw(ctx, "status")
}

func (n nodePaths) Create(ctx context.Context, req *adminpb.CreatePathRequest) (*adminpb.Path, error) {
	if req.GetPath() == "panic" {
		panic("planned")
	}
	return &adminpb.Path{Path: req.GetPath(), Kind: req.GetKind(), Replicas: req.GetReplicas(), Versions: req.GetVersions()},
		n.saw(ctx, "create path %v %s %d %d", req.GetKind(), req.GetPath(), req.GetReplicas(), req.GetVersions())
}

func (n nodePaths) List(ctx context.Context, req *adminpb.ListPathsRequest) (*adminpb.ListPathsResponse, error) {
	return &adminpb.ListPathsResponse{Paths: []*adminpb.Path{{Path: req.GetParent() + "/x"}}, More: true},
		n.saw(ctx, "list paths %v %s %s %d", req.GetKind(), req.GetParent(), req.GetAfter(), req.GetLimit())
}

func (n nodePaths) Get(ctx context.Context, req *adminpb.GetPathRequest) (*adminpb.Path, error) {
	return &adminpb.Path{Path: req.GetPath()}, n.saw(ctx, "get path %v %s", req.GetKind(), req.GetPath())
}

func (n nodePaths) Delete(ctx context.Context, req *adminpb.DeletePathRequest) error {
	return n.saw(ctx, "delete path %v %s", req.GetKind(), req.GetPath())
}

func (n nodePaths) Edit(ctx context.Context, req *adminpb.EditPathRequest) (*adminpb.Path, error) {
	return &adminpb.Path{Path: req.GetPath(), Quota: req.GetQuota()}, n.saw(ctx, "edit path %v %s %d", req.GetKind(), req.GetPath(), req.GetQuota())
}

func (n nodeKeys) Create(ctx context.Context, req *adminpb.CreateKeyRequest) (*adminpb.Key, error) {
	return &adminpb.Key{AccessKey: "AK", SecretKey: "SK", Tenant: req.GetTenant()}, n.saw(ctx, "create key %s", req.GetTenant())
}

func (n nodeKeys) List(ctx context.Context, tenant string) ([]*adminpb.Key, error) {
	return []*adminpb.Key{{AccessKey: "AK", Tenant: tenant}}, n.saw(ctx, "list keys %s", tenant)
}

func (n nodeKeys) Delete(ctx context.Context, req *adminpb.DeleteKeyRequest) error {
	return n.saw(ctx, "delete key %s", req.GetAccessKey())
}

func (n nodeSites) Invite(ctx context.Context, req *adminpb.InviteRequest) (*adminpb.InviteResponse, error) {
	return &adminpb.InviteResponse{Token: "token", Address: req.GetAddress()}, n.saw(ctx, "invite %s", req.GetAddress())
}

func (n nodeSites) Pair(ctx context.Context, token string) (*adminpb.Pairing, error) {
	return &adminpb.Pairing{SiteName: "south"}, n.saw(ctx, "pair %s", token)
}

func (n nodeSites) Pairings(ctx context.Context) ([]*adminpb.Pairing, error) {
	return []*adminpb.Pairing{{SiteName: "south"}}, n.saw(ctx, "pairings")
}

func (n nodeServices) one(name string, enabled bool) *adminpb.Service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &adminpb.Service{Name: name, Enabled: enabled, Status: &adminpb.ServiceStatus{State: n.state[name]}}
}

func (n nodeServices) Create(ctx context.Context, req *adminpb.CreateServiceRequest) (*adminpb.Service, error) {
	return n.one(req.GetName(), true), n.saw(ctx, "create service %s %s %s", req.GetType(), req.GetName(), req.GetRemote())
}

func (n nodeServices) Page(ctx context.Context, req *adminpb.ListServicesRequest) (*adminpb.ListServicesResponse, error) {
	if req.GetAfter() != "" {
		return &adminpb.ListServicesResponse{Services: []*adminpb.Service{n.one("maui", true)}}, n.saw(ctx, "list services after %s", req.GetAfter())
	}
	return &adminpb.ListServicesResponse{Services: []*adminpb.Service{n.one("hawaii", true)}, More: req.GetFilter() == ""},
		n.saw(ctx, "list services %v %s", req.GetStats(), req.GetFilter())
}

func (n nodeServices) Get(ctx context.Context, name string, stats bool) (*adminpb.Service, error) {
	return n.one(name, true), n.saw(ctx, "get service %s %v", name, stats)
}

func (n nodeServices) Serve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	return n.one(name, true), n.saw(ctx, "serve %s %s", name, path)
}

func (n nodeServices) Unserve(ctx context.Context, name, path string) (*adminpb.Service, error) {
	return n.one(name, true), n.saw(ctx, "unserve %s %s", name, path)
}

func (n nodeServices) SetEnabled(ctx context.Context, name string, enabled bool) (*adminpb.Service, error) {
	return n.one(name, enabled), n.saw(ctx, "enable %s %v", name, enabled)
}

func (n nodeServices) Delete(ctx context.Context, name string) error {
	return n.saw(ctx, "delete service %s", name)
}

func (n nodeObjects) List(ctx context.Context, req *adminpb.ListObjectsRequest) (*adminpb.ListObjectsResponse, error) {
	return &adminpb.ListObjectsResponse{Next: "n"}, n.saw(ctx, "list objects %s %s %s %s %d", req.GetBucket(), req.GetPrefix(), req.GetDelimiter(), req.GetAfter(), req.GetLimit())
}

func (n nodeObjects) Show(ctx context.Context, req *adminpb.ShowObjectRequest) (*adminpb.ShowObjectResponse, error) {
	return &adminpb.ShowObjectResponse{Object: &adminpb.Object{Key: req.GetKey()}}, n.saw(ctx, "show %s %s %v", req.GetBucket(), req.GetKey(), req.GetVersions())
}

func (n nodeObjects) Put(ctx context.Context, header *adminpb.PutObjectHeader, body io.Reader) (*adminpb.Object, error) {
	if err := n.saw(ctx, "put %s %s", header.GetBucket(), header.GetKey()); err != nil {
		return nil, err // without reading the body
	}
	if n.reading != nil {
		close(n.reading)
	}
	content, err := io.ReadAll(body)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.putErrs = append(n.putErrs, err)
		return nil, fmt.Errorf("put object: %w", err)
	}
	n.stored[header.GetBucket()+"/"+header.GetKey()] = content
	return &adminpb.Object{Bucket: header.GetBucket(), Key: header.GetKey(), Size: uint64(len(content)), Metadata: header.GetMetadata()}, nil
}

func (n nodeObjects) Get(ctx context.Context, bucket, key string) (*adminpb.Object, io.ReadCloser, error) {
	if err := n.saw(ctx, "get %s %s", bucket, key); err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	content := n.stored[bucket+"/"+key]
	var r io.Reader = bytes.NewReader(content)
	size := uint64(len(content))
	if n.body != nil {
		r, size = n.body(content)
	}
	return &adminpb.Object{Bucket: bucket, Key: key, Size: size}, io.NopCloser(r), nil
}

func (n nodeObjects) Delete(ctx context.Context, bucket, key string) error {
	return n.saw(ctx, "delete %s %s", bucket, key)
}

func (n *node) options() Options {
	return Options{
		System: nodeSystem{n}, Paths: nodePaths{n}, Keys: nodeKeys{n}, Sites: nodeSites{n},
		Services: nodeServices{n}, Objects: nodeObjects{n}, Node: "n1",
	}
}

// serve starts a server of n and returns its socket, and what ends it.
func serve(t *testing.T, o Options) (socket string, stop func()) {
	t.Helper()
	server, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "admin.sock")
	l, err := ListenUnix(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return socket, stop
}

// dial returns a client of a served node.
func dial(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := Dial("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func mentions(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s, part) })
}
