package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// testNow is what every clock of the tests says.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// federation is a number of sites that know each other's tokens, as if they
// could reach each other.
type federation struct {
	mu     sync.Mutex
	tokens map[string]*node // by token
}

// node is a site of one node behind the real admin server: the real config,
// changed by the real plans, with objects in memory and links whose status the
// test sets.
type node struct {
	name string
	id   state.SiteID
	all  *federation

	mu      sync.Mutex
	cfg     *state.Config
	random  byte
	objects map[string]map[string]*stored
	status  map[string]*adminpb.ServiceStatus
	faults  []*adminpb.Fault
	failing error
	asked   chan struct{} // receives, without blocking, when somebody asks for a service

	socket string
	stop   func()
}

type stored struct {
	object  *adminpb.Object
	content []byte
}

func newTestNode(all *federation, name string, id byte, dir string) *node {
	return &node{
		name: name, id: state.SiteID{15: id}, all: all, cfg: state.New(), random: id,
		objects: map[string]map[string]*stored{}, status: map[string]*adminpb.ServiceStatus{},
		asked:  make(chan struct{}, 1),
		socket: filepath.Join(dir, name+".sock"),
	}
}

// start serves the node's socket until the returned function is called.
func (n *node) start() error {
	server, err := admin.NewServer(admin.Options{
		System: nodeSystem{n}, Paths: nodePaths{n}, Keys: nodeKeys{n}, Sites: nodeSites{n},
		Services: nodeServices{n}, Objects: nodeObjects{n}, Plans: nodePlans{n}, Console: nodeConsole{n}, Faults: nodeFaults{n},
		Verification: nodeVerification{n}, Versions: nodeVersions{n}, Node: n.name,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := admin.ListenUnix(ctx, n.socket)
	if err != nil {
		cancel()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	n.stop = sync.OnceFunc(func() { cancel(); <-ended })
	return nil
}

// Read makes the node its own source of "randomness": the same every time.
func (n *node) Read(p []byte) (int, error) {
	for i := range p {
		n.random += 7
		p[i] = n.random
	}
	return len(p), nil
}

// read calls fn, locked, if the node can serve.
func (n *node) read(fn func() error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failing != nil {
		return n.failing
	}
	if _, _, ok := n.cfg.Site(); !ok {
		return admin.Errorf(admin.CodeConflict, "the node is not initialised").WithHint("run `isgwctl system init`")
	}
	return fn()
}

// change plans and applies; nil transactions are nothing to do.
func (n *node) change(plan func() (*statepb.Txn, error)) error {
	return n.read(func() error { return n.apply(plan()) })
}

func (n *node) apply(txn *statepb.Txn, err error) error {
	if err != nil || txn == nil {
		return err
	}
	_, err = n.cfg.Apply(txn, n.cfg.Revision()+1)
	return err
}

type (
	nodeSystem   struct{ *node }
	nodePaths    struct{ *node }
	nodeKeys     struct{ *node }
	nodeSites    struct{ *node }
	nodeServices struct{ *node }
	nodeObjects  struct{ *node }
	nodePlans    struct{ *node }
	nodeConsole  struct{ *node }
)

func (n nodeSystem) Init(ctx context.Context, _ *adminpb.InitRequest) (*adminpb.StatusResponse, error) {
	n.mu.Lock()
	err := n.apply(plan.Init(n.cfg,
		&statepb.Site{Id: n.id.Bytes(), Name: n.name, Created: testNow.UnixNano(), IdentityPublic: bytes.Repeat(n.id[15:], 32)},
		&statepb.Node{Id: "node-" + n.name, Name: n.name + "-1", PublicKey: bytes.Repeat(n.id[15:], 32)}))
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return n.Status(ctx)
}

func (n nodeSystem) Status(context.Context) (*adminpb.StatusResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failing != nil {
		return nil, n.failing
	}
	st := &adminpb.StatusResponse{
		Time: timestamppb.New(testNow), State: adminpb.NodeState_NODE_STATE_FRESH, NodeId: "node-" + n.name, NodeName: n.name + "-1",
		SiteName: n.name, Version: "test", Started: timestamppb.New(testNow.Add(-time.Hour)), DataDir: "/data",
		Endpoints: []*adminpb.Endpoint{
			{Name: "admin", Address: "unix:/data/admin.sock", Listening: true},
			{Name: "s3", Address: "127.0.0.1:9000"},
		},
	}
	if _, _, ok := n.cfg.Site(); !ok {
		return st, nil
	}
	st.Initialised, st.State, st.SiteId = true, adminpb.NodeState_NODE_STATE_ONLINE, n.id.String()
	st.Endpoints[1].Listening = true
	st.Raft = &adminpb.RaftStatus{State: "leader", Leader: st.NodeId, Term: 2, CommitIndex: 41, AppliedIndex: 41, Voters: []string{st.NodeId}}
	st.Storage = &adminpb.StorageStatus{Objects: 12, LogicalBytes: 5 << 20, Chunks: 80, ChunkBytes: 3 << 20, DiskCapacity: 100 << 30, DiskFree: 61 << 30}
	for _, name := range slices.Sorted(maps.Keys(n.status)) {
		if s := n.status[name]; s.GetState() == adminpb.ServiceState_SERVICE_STATE_DOWN {
			st.State = adminpb.NodeState_NODE_STATE_DEGRADED
			st.Problems = append(st.Problems, &adminpb.Problem{What: "service " + name + ": " + s.GetCause(), NextStep: s.GetNextStep()})
		}
	}
	return st, nil
}

func (n nodePaths) Create(_ context.Context, req *adminpb.CreatePathRequest) (path *adminpb.Path, err error) {
	if err := n.change(func() (*statepb.Txn, error) { return plan.CreatePath(n.cfg, req, testNow, n) }); err != nil {
		return nil, err
	}
	return plan.GetPath(n.cfg, req.GetKind(), req.GetPath())
}

func (n nodePaths) List(_ context.Context, req *adminpb.ListPathsRequest) (res *adminpb.ListPathsResponse, err error) {
	err = n.read(func() error {
		// Small pages, so that the command has to turn them.
		req.Limit = 2
		res, err = plan.ListPaths(n.cfg, req, func(string) (objects, bytes uint64, ok bool) { return 0, 0, true })
		return err
	})
	return res, err
}

func (n nodePaths) Get(_ context.Context, req *adminpb.GetPathRequest) (path *adminpb.Path, err error) {
	err = n.read(func() error {
		if path, err = plan.GetPath(n.cfg, req.GetKind(), req.GetPath()); err != nil {
			return err
		}
		for _, s := range n.objects[req.GetPath()] {
			path.Objects++
			path.Bytes += s.object.GetSize()
		}
		return nil
	})
	return path, err
}

func (n nodePaths) Delete(_ context.Context, req *adminpb.DeletePathRequest) error {
	return n.change(func() (*statepb.Txn, error) {
		if live := len(n.objects[req.GetPath()]); live > 0 {
			return nil, &state.Error{Kind: state.ErrNotEmpty, Message: fmt.Sprintf("bucket %s is not empty: it has %d objects", req.GetPath(), live)}
		}
		return plan.DeletePath(n.cfg, req)
	})
}

func (n nodePaths) Edit(ctx context.Context, req *adminpb.EditPathRequest) (*adminpb.Path, error) {
	if err := n.change(func() (*statepb.Txn, error) { return plan.EditPath(n.cfg, req) }); err != nil {
		return nil, err
	}
	return n.Get(ctx, &adminpb.GetPathRequest{Kind: req.GetKind(), Path: req.GetPath()})
}

func (n nodeKeys) Create(_ context.Context, req *adminpb.CreateKeyRequest) (key *adminpb.Key, err error) {
	made := len(n.cfg.Keys("")) + 1
	access, secret := fmt.Sprintf("ACCESS%014d", made), fmt.Sprintf("secret%034d", made)
	err = n.change(func() (*statepb.Txn, error) {
		return plan.CreateKey(n.cfg, req, access, []byte("sealed"), testNow)
	})
	return &adminpb.Key{
		AccessKey: access, SecretKey: secret, Tenant: req.GetTenant(), Created: timestamppb.New(testNow),
		Role: state.KeyRole(&statepb.Key{Role: req.GetRole()}), Prefix: req.GetPrefix(),
	}, err
}

func (n nodeKeys) List(_ context.Context, tenant string) (keys []*adminpb.Key, err error) {
	err = n.read(func() error { keys, err = plan.ListKeys(n.cfg, tenant); return err })
	return keys, err
}

func (n nodeKeys) Delete(_ context.Context, req *adminpb.DeleteKeyRequest) error {
	return n.change(func() (*statepb.Txn, error) { return plan.DeleteKey(n.cfg, req) })
}

func (n *node) pairing() *statepb.Pairing {
	return &statepb.Pairing{Site: n.id.Bytes(), SiteName: n.name, IdentityPublic: bytes.Repeat(n.id[15:], 32), Address: n.name + ":14000"}
}

func (n nodeSites) Invite(_ context.Context, req *adminpb.InviteRequest) (*adminpb.InviteResponse, error) {
	secret := make([]byte, 20)
	n.Read(secret)
	token := hex.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	address := req.GetAddress()
	if address == "" {
		address = n.name + ":14000"
	}
	err := n.change(func() (*statepb.Txn, error) { return plan.Invite(n.cfg, hash[:], address, testNow) })
	if err != nil {
		return nil, err
	}
	n.all.mu.Lock()
	n.all.tokens[token] = n.node
	n.all.mu.Unlock()
	return &adminpb.InviteResponse{Token: token, Expires: timestamppb.New(testNow.Add(plan.InvitationLife)), Address: address}, nil
}

func (n nodeSites) Pair(_ context.Context, token string) (*adminpb.Pairing, error) {
	n.all.mu.Lock()
	inviter := n.all.tokens[token]
	n.all.mu.Unlock()
	if inviter == nil {
		return nil, admin.Errorf(admin.CodeInvalid, "this is no token").WithHint("copy the whole line that `isgwctl site invite` printed")
	}
	hash := sha256.Sum256([]byte(token))
	if inviter != n.node {
		if err := inviter.change(func() (*statepb.Txn, error) { return plan.AcceptPair(inviter.cfg, hash[:], n.pairing(), testNow) }); err != nil {
			return nil, err
		}
	}
	if err := n.change(func() (*statepb.Txn, error) { return plan.Pair(n.cfg, inviter.pairing(), testNow) }); err != nil {
		return nil, err
	}
	return plan.GetPairing(n.cfg, inviter.id)
}

func (n nodeSites) Pairings(context.Context) (all []*adminpb.Pairing, err error) {
	err = n.read(func() error { all = plan.ListPairings(n.cfg); return nil })
	return all, err
}

// describe is a service with its status; n is locked.
func (n nodeServices) describe(name string, stats bool) (*adminpb.Service, error) {
	service, err := plan.GetService(n.cfg, name)
	if err != nil {
		return nil, err
	}
	status := n.status[name]
	if status == nil {
		status = &adminpb.ServiceStatus{State: adminpb.ServiceState_SERVICE_STATE_UNPAIRED, Cause: "no site is paired with this one", NextStep: "pair it with `isgwctl site invite`"}
	}
	if !service.GetEnabled() {
		status = &adminpb.ServiceStatus{State: adminpb.ServiceState_SERVICE_STATE_DISABLED, Cause: "it was disabled"}
	}
	service.Status = &adminpb.ServiceStatus{State: status.GetState(), Cause: status.GetCause(), NextStep: status.GetNextStep()}
	if stats {
		service.Status = proto.CloneOf(status)
	}
	return service, nil
}

func (n nodeServices) changed(name string, plan func() (*statepb.Txn, error)) (*adminpb.Service, error) {
	if err := n.change(plan); err != nil {
		return nil, err
	}
	return n.Get(context.Background(), name, false)
}

func (n nodeServices) Create(_ context.Context, req *adminpb.CreateServiceRequest) (*adminpb.Service, error) {
	return n.changed(req.GetName(), func() (*statepb.Txn, error) { return plan.CreateService(n.cfg, req, testNow) })
}

func (n nodeServices) Page(_ context.Context, req *adminpb.ListServicesRequest) (page *adminpb.ListServicesResponse, err error) {
	err = n.read(func() error {
		page = plan.ListServices(n.cfg, req)
		for i, s := range page.GetServices() {
			service, err := n.describe(s.GetName(), req.GetStats())
			if err != nil {
				return err
			}
			page.Services[i] = service
		}
		return nil
	})
	return page, err
}

func (n nodeServices) Get(_ context.Context, name string, stats bool) (service *adminpb.Service, err error) {
	err = n.read(func() error { service, err = n.describe(name, stats); return err })
	select {
	case n.asked <- struct{}{}:
	default:
	}
	return service, err
}

func (n nodeServices) Serve(_ context.Context, name, path string) (*adminpb.Service, error) {
	return n.changed(name, func() (*statepb.Txn, error) { return plan.Serve(n.cfg, name, path) })
}

func (n nodeServices) Unserve(_ context.Context, name, path string) (*adminpb.Service, error) {
	return n.changed(name, func() (*statepb.Txn, error) { return plan.Unserve(n.cfg, name, path) })
}

func (n nodeServices) SetEnabled(_ context.Context, name string, enabled bool) (*adminpb.Service, error) {
	return n.changed(name, func() (*statepb.Txn, error) { return plan.SetEnabled(n.cfg, name, enabled) })
}

func (n nodeServices) Delete(_ context.Context, name string) error {
	return n.change(func() (*statepb.Txn, error) { return plan.DeleteService(n.cfg, name) })
}

// bucket checks that a bucket is there; n is locked.
func (n nodeObjects) bucket(path string) error {
	p, err := plan.ParseBucket(path)
	if err != nil {
		return err
	}
	return plan.PathExists(n.cfg, p)
}

func (n nodeObjects) find(bucket, key string) (*stored, error) {
	if err := n.bucket(bucket); err != nil {
		return nil, err
	}
	s := n.objects[bucket][key]
	if s == nil {
		return nil, admin.Errorf(admin.CodeNotFound, "bucket %s has no object %q", bucket, key)
	}
	return s, nil
}

func (n nodeObjects) List(_ context.Context, req *adminpb.ListObjectsRequest) (res *adminpb.ListObjectsResponse, err error) {
	err = n.read(func() error {
		res = &adminpb.ListObjectsResponse{}
		most := 2 // small pages, so that the command has to turn them
		if req.GetLimit() > 0 {
			most = min(most, int(req.GetLimit()))
		}
		for _, key := range slices.Sorted(maps.Keys(n.objects[req.GetBucket()])) {
			if key <= req.GetAfter() || !strings.HasPrefix(key, req.GetPrefix()) || req.GetAfter() != "" && strings.HasSuffix(req.GetAfter(), "/") && strings.HasPrefix(key, req.GetAfter()) {
				continue
			}
			rest := key[len(req.GetPrefix()):]
			if i := strings.Index(rest, req.GetDelimiter()); i >= 0 && req.GetDelimiter() != "" {
				prefix := req.GetPrefix() + rest[:i+1]
				if prefix == res.GetNext() {
					continue
				}
				key = prefix
			}
			if len(res.Items) == most {
				res.More = true
				break
			}
			res.Next = key
			item := &adminpb.ObjectItem{Item: &adminpb.ObjectItem_Prefix{Prefix: key}}
			if s := n.objects[req.GetBucket()][key]; s != nil {
				item = &adminpb.ObjectItem{Item: &adminpb.ObjectItem_Object{Object: s.object}}
			}
			res.Items = append(res.Items, item)
		}
		return n.bucket(req.GetBucket())
	})
	return res, err
}

func (n nodeObjects) Show(_ context.Context, req *adminpb.ShowObjectRequest) (res *adminpb.ShowObjectResponse, err error) {
	err = n.read(func() error {
		s, err := n.find(req.GetBucket(), req.GetKey())
		if err != nil {
			return err
		}
		res = &adminpb.ShowObjectResponse{Object: s.object}
		if req.GetVersions() {
			res.Versions = []*adminpb.Object{s.object, {VersionId: "v0", Generation: 1, Deleted: true, Origin: n.id.String(), Modified: timestamppb.New(testNow.Add(-time.Minute))}}
		}
		return nil
	})
	return res, err
}

func (n nodeObjects) Put(_ context.Context, header *adminpb.PutObjectHeader, body io.Reader) (object *adminpb.Object, err error) {
	if err := n.read(func() error { return n.bucket(header.GetBucket()) }); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	err = n.read(func() error {
		sum := sha256.Sum256(content)
		object = &adminpb.Object{
			Bucket: header.GetBucket(), Key: header.GetKey(), Size: uint64(len(content)), Etag: hex.EncodeToString(sum[:8]),
			Modified: timestamppb.New(testNow), VersionId: "v1", Generation: 2, Origin: n.id.String(), ContentId: hex.EncodeToString(sum[:]),
			Headers: header.GetHeaders(), Metadata: header.GetMetadata(),
		}
		if n.objects[header.GetBucket()] == nil {
			n.objects[header.GetBucket()] = map[string]*stored{}
		}
		n.objects[header.GetBucket()][header.GetKey()] = &stored{object, content}
		return nil
	})
	return object, err
}

func (n nodeObjects) Get(_ context.Context, bucket, key string) (object *adminpb.Object, body io.ReadCloser, err error) {
	err = n.read(func() error {
		s, err := n.find(bucket, key)
		if err != nil {
			return err
		}
		object, body = s.object, io.NopCloser(bytes.NewReader(s.content))
		if key == "damaged" { // its last chunk does not verify
			body = io.NopCloser(io.MultiReader(bytes.NewReader(s.content[:len(s.content)-1]), damaged{}))
		}
		return nil
	})
	return object, body, err
}

type damaged struct{}

func (damaged) Read([]byte) (int, error) {
	return 0, admin.Errorf(admin.CodeFailed, "a chunk of the object is damaged")
}

func (n nodeObjects) Delete(_ context.Context, bucket, key string) error {
	return n.read(func() error {
		delete(n.objects[bucket], key)
		return n.bucket(bucket)
	})
}
