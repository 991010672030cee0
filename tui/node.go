package tui

import (
	"context"
	"sync/atomic"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// Node is what the console needs of a node. Its methods are safe for
// concurrent use, and their errors are those of package admin.
type Node interface {
	// Watch calls fn with a snapshot at once and then as the site changes, with
	// heartbeats in between, until ctx ends or the node is gone.
	Watch(ctx context.Context, interval time.Duration, fn func(*adminpb.ConsoleSnapshot) error) error
	// History returns what the node remembers of a link.
	History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error)
	// Service returns a link, with the state of each of its buckets if they are asked for.
	Service(ctx context.Context, name string, buckets bool) (*adminpb.Service, error)
	// Buckets returns the site's buckets whose path contains a text: at most so many.
	Buckets(ctx context.Context, filter string, limit int) (Paths, error)
	// Faults returns a page of the versions that a link cannot apply.
	Faults(ctx context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error)
	// Plan describes a change and makes none.
	Plan(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error)
	// Apply carries a plan out.
	Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error)
	// Close lets go of the connection.
	Close()
}

// Paths are the first of those that match.
type Paths struct {
	First   []string
	Matched uint64
}

// NewNode makes a client of the admin API a Node.
func NewNode(c *admin.Client) Node { return clientNode{c} }

type clientNode struct{ c *admin.Client }

func (n clientNode) Watch(ctx context.Context, interval time.Duration, fn func(*adminpb.ConsoleSnapshot) error) error {
	return n.c.Console.Watch(ctx, interval, 0, fn)
}

func (n clientNode) History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	return n.c.Console.History(ctx, req)
}

func (n clientNode) Service(ctx context.Context, name string, buckets bool) (*adminpb.Service, error) {
	return n.c.Services.Get(ctx, name, buckets)
}

func (n clientNode) Buckets(ctx context.Context, filter string, limit int) (Paths, error) {
	res, err := n.c.Paths.List(ctx, &adminpb.ListPathsRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Filter: filter, Limit: uint32(limit)})
	if err != nil {
		return Paths{}, err
	}
	paths := Paths{Matched: res.GetMatched()}
	for _, p := range res.GetPaths() {
		paths.First = append(paths.First, p.GetPath())
	}
	return paths, nil
}

func (n clientNode) Faults(ctx context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	return n.c.Faults.List(ctx, req)
}

func (n clientNode) Plan(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error) {
	return n.c.Plans.Plan(ctx, req)
}

func (n clientNode) Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	return n.c.Plans.Apply(ctx, req)
}

func (n clientNode) Close() { n.c.Close() }

// guard is a Node that changes nothing while readOnly is set. All nodes of the
// console are behind it, and nothing else enforces the mode.
type guard struct {
	Node
	readOnly *atomic.Bool
}

// errReadOnly is why nothing is changed in read-only mode.
var errReadOnly = admin.Errorf(admin.CodeDenied, "the console is in read-only mode: nothing was changed").WithHint("ctrl-t turns it off")

func (g guard) Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error) {
	if g.readOnly.Load() {
		return nil, errReadOnly
	}
	return g.Node.Apply(ctx, req)
}
