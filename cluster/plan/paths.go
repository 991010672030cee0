package plan

import (
	"fmt"
	"io"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// CreatePath makes a namespace, a tenant or a bucket. rand gives a bucket its
// incarnation.
func CreatePath(cfg *state.Config, req *adminpb.CreatePathRequest, now time.Time, rand io.Reader) (*statepb.Txn, error) {
	p, err := ParsePath(req.GetKind(), req.GetPath())
	if err != nil {
		return nil, err
	}
	if err := checkStorage(req.GetKind(), req.GetReplicas(), req.GetVersions(), req.GetQuota()); err != nil {
		return nil, err
	}
	if err := pathAbsent(cfg, p); err != nil {
		return nil, err
	}
	if err := parentExists(cfg, p); err != nil {
		return nil, err
	}
	switch p.Depth() {
	case 1:
		return create(&statepb.Namespace{Name: p.Namespace, Created: now.UnixNano()})
	case 2:
		return create(&statepb.Tenant{
			Path: p.String(), Replicas: req.GetReplicas(), Versions: req.GetVersions(), Quota: req.GetQuota(), Created: now.UnixNano(),
		})
	}
	bucket, err := newBucket(p, now, rand)
	if err != nil {
		return nil, err
	}
	bucket.Replicas, bucket.Versions, bucket.Quota = req.GetReplicas(), req.GetVersions(), req.GetQuota()
	return create(bucket)
}

// CreateForLink makes a bucket that another site served over a link, with its
// namespace and tenant where they are missing. The bucket has no settings of its
// own, so those of this site's tenant hold. It returns nil when the bucket is
// there.
func CreateForLink(cfg *state.Config, path, link string, now time.Time, rand io.Reader) (*statepb.Txn, error) {
	p, err := ParseBucket(path)
	if err != nil {
		return nil, err
	}
	if _, _, ok := cfg.Bucket(p.String()); ok {
		return nil, nil
	}
	txn := &statepb.Txn{}
	add := func(key state.Key, object *statepb.Object) {
		txn.Checks = append(txn.Checks, key.Check(0))
		txn.Puts = append(txn.Puts, object)
	}
	if _, _, ok := cfg.Namespace(p.Namespace); !ok {
		add(keyOf(state.Path{Namespace: p.Namespace}), state.Wrap(&statepb.Namespace{Name: p.Namespace, Created: now.UnixNano()}))
	}
	tenant := p.Parent()
	if _, _, ok := cfg.Tenant(tenant.String()); !ok {
		add(keyOf(tenant), state.Wrap(&statepb.Tenant{Path: tenant.String(), Created: now.UnixNano()}))
	}
	bucket, err := newBucket(p, now, rand)
	if err != nil {
		return nil, err
	}
	bucket.CreatedBy = "link " + link
	add(keyOf(p), state.Wrap(bucket))
	return txn, nil
}

// DeletePath removes a namespace without tenants, a tenant without buckets or a
// bucket. A tenant's keys and tokens go with it. That a bucket has no objects is for Apply
// to judge, which sees the catalog; links that serve it go on and wait for it.
func DeletePath(cfg *state.Config, req *adminpb.DeletePathRequest) (*statepb.Txn, error) {
	p, err := ParsePath(req.GetKind(), req.GetPath())
	if err != nil {
		return nil, err
	}
	key := keyOf(p)
	_, revision, ok := cfg.Get(key)
	if !ok {
		return nil, pathMissing(p)
	}
	txn := remove(key, revision)
	switch p.Depth() {
	case 1:
		if tenants := cfg.Tenants(p.Namespace); len(tenants) > 0 {
			return nil, notEmpty("cluster", p, "tenant", len(tenants), tenants[0].GetPath())
		}
	case 2:
		if buckets := cfg.Buckets(p.String()); len(buckets) > 0 {
			return nil, notEmpty("tenant", p, "bucket", len(buckets), buckets[0].GetPath())
		}
		for _, k := range cfg.Keys(p.String()) {
			txn.Deletes = append(txn.Deletes, state.Key{Kind: statepb.Kind_KIND_KEY, Name: k.GetAccessKey()}.Proto())
		}
		for _, t := range cfg.Tokens() {
			if t.GetTenant() == p.String() {
				txn.Deletes = append(txn.Deletes, state.Key{Kind: statepb.Kind_KIND_TOKEN, Name: t.GetName()}.Proto())
			}
		}
	}
	return txn, nil
}

func notEmpty(word string, p state.Path, below string, n int, first string) *Error {
	what := below
	if n != 1 {
		what += "s"
	}
	return refuse(state.ErrNotEmpty, "%s %s is not empty: it has %d %s", word, p, n, what).
		next("delete what is below it first, beginning with %s", first)
}

func newBucket(p state.Path, now time.Time, rand io.Reader) (*statepb.Bucket, error) {
	incarnation := make([]byte, 16)
	if _, err := io.ReadFull(rand, incarnation); err != nil {
		return nil, fmt.Errorf("draw an incarnation for bucket %s: %w", p, err)
	}
	return &statepb.Bucket{Path: p.String(), Created: now.UnixNano(), Incarnation: incarnation}, nil
}

// keyOf is the config key of a path.
func keyOf(p state.Path) state.Key {
	kind := statepb.Kind_KIND_NAMESPACE
	switch p.Depth() {
	case 2:
		kind = statepb.Kind_KIND_TENANT
	case 3:
		kind = statepb.Kind_KIND_BUCKET
	}
	return state.Key{Kind: kind, Name: p.String()}
}

// wordOf is the word of the commands for a path.
func wordOf(p state.Path) string {
	return [...]string{"path", "cluster", "tenant", "bucket"}[p.Depth()]
}

func pathAbsent(cfg *state.Config, p state.Path) error {
	if _, _, ok := cfg.Get(keyOf(p)); ok {
		return refuse(state.ErrExists, "%s %s exists already", wordOf(p), p)
	}
	return nil
}

// PathExists says whether a namespace, tenant or bucket is there; if not, its
// error names the highest missing part.
func PathExists(cfg *state.Config, p state.Path) error {
	if _, _, ok := cfg.Get(keyOf(p)); ok {
		return nil
	}
	if err := parentExists(cfg, p); err != nil {
		return err
	}
	return pathMissing(p)
}

func parentExists(cfg *state.Config, p state.Path) error {
	parent := p.Parent()
	if parent.Depth() == 0 {
		return nil
	}
	return PathExists(cfg, parent)
}

func pathMissing(p state.Path) *Error {
	return refuse(state.ErrNotFound, "%s %s does not exist", wordOf(p), p).
		next("see `isgwctl %s list`, or make it with `isgwctl %s create %s`", wordOf(p), wordOf(p), p)
}
