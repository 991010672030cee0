package admin

import (
	"context"
	"io"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// The interfaces stand for what a node can do. Every method may be called by
// any number of goroutines at once and returns when its context ends. Errors
// are *Error, *plan.Error or the typed errors of raftfsm/state, wrapped as
// often as is useful; anything else is an internal error to the caller. Names
// and paths in requests are what an operator typed and are not validated yet.

// System is the node and its site.
type System interface {
	// Init makes the site on a node that has none. Where there is one it
	// returns an error of CodeExists and changes nothing.
	Init(ctx context.Context, req *adminpb.InitRequest) (*adminpb.StatusResponse, error)
	// Status describes the node, also before Init.
	Status(ctx context.Context) (*adminpb.StatusResponse, error)
}

// Paths are the namespaces, tenants and buckets of the site.
type Paths interface {
	// Create makes a namespace, tenant or bucket and returns it.
	Create(ctx context.Context, req *adminpb.CreatePathRequest) (*adminpb.Path, error)
	// List returns a page of those below a parent that have a filter.
	List(ctx context.Context, req *adminpb.ListPathsRequest) (*adminpb.ListPathsResponse, error)
	// Get returns one of them.
	Get(ctx context.Context, req *adminpb.GetPathRequest) (*adminpb.Path, error)
	// Edit changes the settings of a tenant or bucket that the request names, and
	// returns it.
	Edit(ctx context.Context, req *adminpb.EditPathRequest) (*adminpb.Path, error)
	// Delete removes an empty one.
	Delete(ctx context.Context, req *adminpb.DeletePathRequest) error
}

// Keys are the S3 access keys of tenants.
type Keys interface {
	// Create makes a key; its secret is in this answer and in no other.
	Create(ctx context.Context, req *adminpb.CreateKeyRequest) (*adminpb.Key, error)
	// List returns the keys of a tenant, or all of them when it is empty,
	// without secrets, ordered by tenant and access key.
	List(ctx context.Context, tenant string) ([]*adminpb.Key, error)
	// Delete removes a key, which belongs to the tenant that the request names if
	// it names one. Requests signed with it are refused from then on.
	Delete(ctx context.Context, req *adminpb.DeleteKeyRequest) error
}

// Sites are the other sites.
type Sites interface {
	// Invite makes a token that pairs another site with this one, once.
	Invite(ctx context.Context, req *adminpb.InviteRequest) (*adminpb.InviteResponse, error)
	// Pair uses a token: both sites have pinned each other when it returns.
	Pair(ctx context.Context, token string) (*adminpb.Pairing, error)
	// Pairings returns the sites this one is paired with, ordered by name and id.
	Pairings(ctx context.Context) ([]*adminpb.Pairing, error)
}

// Pairings are what becomes of pairings after they were made. Sites are named by
// what this one calls them, or by their id.
type Pairings interface {
	// Rename changes what this site calls another one.
	Rename(ctx context.Context, req *adminpb.RenamePairingRequest) (*adminpb.Pairing, error)
	// Revoke ends a pairing, and returns it as it was. What was open with the site
	// is closed when it returns.
	Revoke(ctx context.Context, req *adminpb.RevokePairingRequest) (*adminpb.Pairing, error)
	// Rotate replaces the site's identity key and the node's key.
	Rotate(ctx context.Context, req *adminpb.RotateKeysRequest) (*adminpb.RotateKeysResponse, error)
	// Fingerprint returns this site's fingerprint and, of a paired site, the
	// number of the pairing.
	Fingerprint(ctx context.Context, req *adminpb.FingerprintRequest) (*adminpb.FingerprintResponse, error)
}

// Services are what the site serves.
type Services interface {
	// Create makes a service and returns it.
	Create(ctx context.Context, req *adminpb.CreateServiceRequest) (*adminpb.Service, error)
	// Page returns a page of the services that have a filter, ordered by name.
	// Their status always has the state with its cause and next step; the rest
	// only with stats.
	Page(ctx context.Context, req *adminpb.ListServicesRequest) (*adminpb.ListServicesResponse, error)
	// Get returns one service; stats as in Page. Watch calls it repeatedly.
	Get(ctx context.Context, name string, stats bool) (*adminpb.Service, error)
	// Serve adds a tenant or bucket to what a service serves.
	Serve(ctx context.Context, name, path string) (*adminpb.Service, error)
	// Unserve takes it out again.
	Unserve(ctx context.Context, name, path string) (*adminpb.Service, error)
	// SetEnabled starts or stops a service. Setting what is set is no error.
	SetEnabled(ctx context.Context, name string, enabled bool) (*adminpb.Service, error)
	// Delete ends a service. What it copied stays.
	Delete(ctx context.Context, name string) error
}

// Faults are the versions that links know of and have not applied.
type Faults interface {
	// List returns a page of those of one link.
	List(ctx context.Context, req *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error)
	// Retry has versions in quarantine, and skipped ones, fetched again at once.
	// What the answer counts is committed.
	Retry(ctx context.Context, req *adminpb.RetryFaultsRequest) (*adminpb.FaultsChanged, error)
	// Skip gives versions up, until they are retried.
	Skip(ctx context.Context, req *adminpb.SkipFaultsRequest) (*adminpb.FaultsChanged, error)
}

// Objects are the contents of buckets.
type Objects interface {
	// List returns a page of the live objects of a bucket, ordered by key.
	List(ctx context.Context, req *adminpb.ListObjectsRequest) (*adminpb.ListObjectsResponse, error)
	// Show describes an object.
	Show(ctx context.Context, req *adminpb.ShowObjectRequest) (*adminpb.ShowObjectResponse, error)
	// Put stores what body has until io.EOF as a new version. Any other error
	// of body means that nothing may be stored. The object is durable when
	// Put returns.
	Put(ctx context.Context, header *adminpb.PutObjectHeader, body io.Reader) (*adminpb.Object, error)
	// Get returns an object and its bytes, which the caller closes.
	Get(ctx context.Context, bucket, key string) (*adminpb.Object, io.ReadCloser, error)
	// Delete deletes an object. A key that is not there is no error, as in S3.
	Delete(ctx context.Context, bucket, key string) error
}

// Console is what a screen shows of the site.
type Console interface {
	// Snapshot returns the site as it is now, with its revision. Watch calls
	// it repeatedly, for any number of watchers; the message is shared and is
	// not changed.
	Snapshot(ctx context.Context) (*adminpb.ConsoleSnapshot, error)
	// History returns what the node remembers of a link, or of all of them.
	History(ctx context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error)
}

// Plans are changes that are shown before they are made.
type Plans interface {
	// Plan describes a change and makes none.
	Plan(ctx context.Context, req *adminpb.PlanRequest) (*adminpb.Plan, error)
	// Apply carries a plan out. A plan that something overtook is no error:
	// the outcome says so, and the answer has the plan as it is then.
	Apply(ctx context.Context, req *adminpb.ApplyRequest) (*adminpb.ApplyResponse, error)
}

// Access is who may use the API from elsewhere, and what was done with it.
type Access interface {
	// WhoAmI describes the caller and where the API is served.
	WhoAmI(ctx context.Context) (*adminpb.WhoAmIResponse, error)
	// CreateToken makes a token; its secret is in this answer and in no other.
	CreateToken(ctx context.Context, req *adminpb.CreateTokenRequest) (*adminpb.CreateTokenResponse, error)
	// ListTokens returns the tokens and certificates, ordered by name.
	ListTokens(ctx context.Context) ([]*adminpb.Token, error)
	// RevokeToken ends a token or certificate: calls with it are refused from then on.
	RevokeToken(ctx context.Context, name string) error
	// IssueCertificate signs a client's key.
	IssueCertificate(ctx context.Context, req *adminpb.IssueCertificateRequest) (*adminpb.IssueCertificateResponse, error)
	// Audit returns the last changes, the newest first.
	Audit(ctx context.Context, limit int) ([]*adminpb.AuditEntry, error)
}
