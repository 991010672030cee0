package state

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Config is a site's config in memory. It is safe for concurrent use; Apply
// and Load have one caller at a time, the node's apply goroutine. Messages
// that its methods return are shared: they must not be changed.
type Config struct {
	mu       sync.RWMutex
	kinds    map[statepb.Kind][]entry // each ordered by name
	revision uint64
	changed  chan struct{} // closed and replaced when the config changes
}

type entry struct {
	name   string
	stored *statepb.Stored
}

// Change is what a transaction did to one object, for whoever persists the
// config. Stored is nil when the object was deleted.
type Change struct {
	Key    Key
	Stored *statepb.Stored
}

// New makes an empty config at revision 0.
func New() *Config {
	return &Config{kinds: map[statepb.Kind][]entry{}, changed: make(chan struct{})}
}

// Load replaces the whole config by stored objects, given in any order, and
// the revision of the last transaction. On an error the config is unchanged.
func (c *Config) Load(revision uint64, stored []*statepb.Stored) error {
	kinds := map[statepb.Kind][]entry{}
	for _, s := range stored {
		key, err := KeyOf(s.GetObject())
		if err != nil {
			return fmt.Errorf("load config: %w", err)
		}
		kinds[key.Kind] = append(kinds[key.Kind], entry{key.Name, s})
	}
	for kind, entries := range kinds {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
		for i := 1; i < len(entries); i++ {
			if entries[i].name == entries[i-1].name {
				return fmt.Errorf("load config: %s is stored twice", Key{kind, entries[i].name})
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds, c.revision = kinds, revision
	c.notify()
	return nil
}

// Revision is the revision of the last transaction that was accepted.
func (c *Config) Revision() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.revision
}

// Changed returns a channel that is closed at the next change of the config.
// Take the channel before reading, so that no change falls in between.
func (c *Config) Changed() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.changed
}

// notify wakes those who wait for a change; c.mu is held.
func (c *Config) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Get returns any object by its key, with the revision that wrote it.
func (c *Config) Get(key Key) (object *statepb.Object, revision uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.get(key)
	return s.GetObject(), s.GetRevision(), s != nil
}

// Site returns the site itself; it is missing until the site was initialised.
func (c *Config) Site() (*statepb.Site, uint64, bool) {
	o, rev, ok := c.Get(SiteKey)
	return o.GetSite(), rev, ok
}

// SiteID is the id of the site itself, zero until the site was initialised.
func (c *Config) SiteID() SiteID {
	site, _, _ := c.Site()
	id, err := SiteIDFromBytes(site.GetId())
	if err != nil {
		return SiteID{} // no site: Apply admits no other id
	}
	return id
}

// Node returns a member of the site by its id.
func (c *Config) Node(id string) (*statepb.Node, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_NODE, id})
	return o.GetNode(), rev, ok
}

// Nodes returns the site's members, ordered by id.
func (c *Config) Nodes() []*statepb.Node {
	return list(c, statepb.Kind_KIND_NODE, "", (*statepb.Object).GetNode)
}

// Pairing returns what is pinned of another site.
func (c *Config) Pairing(site SiteID) (*statepb.Pairing, uint64, bool) {
	o, rev, ok := c.Get(PairingKey(site))
	return o.GetPairing(), rev, ok
}

// PairingKey is the key of the pairing with a site.
func PairingKey(site SiteID) Key { return Key{statepb.Kind_KIND_PAIRING, site.String()} }

// Pairings returns every pairing, ordered by the other site's id.
func (c *Config) Pairings() []*statepb.Pairing {
	return list(c, statepb.Kind_KIND_PAIRING, "", (*statepb.Object).GetPairing)
}

// Invitation returns an unused pairing token by its hash in hexadecimal. It
// may be expired: its times are for the caller to judge.
func (c *Config) Invitation(hashHex string) (*statepb.Invitation, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_INVITATION, strings.ToLower(hashHex)})
	return o.GetInvitation(), rev, ok
}

// InvitationKey is the key of an invitation by its token's hash.
func InvitationKey(tokenHash []byte) Key {
	return Key{statepb.Kind_KIND_INVITATION, hex.EncodeToString(tokenHash)}
}

// Invitations returns every invitation, expired ones too, ordered by hash.
func (c *Config) Invitations() []*statepb.Invitation {
	return list(c, statepb.Kind_KIND_INVITATION, "", (*statepb.Object).GetInvitation)
}

// Namespace returns a namespace by its name.
func (c *Config) Namespace(name string) (*statepb.Namespace, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_NAMESPACE, name})
	return o.GetNamespace(), rev, ok
}

// Namespaces returns every namespace, ordered by name.
func (c *Config) Namespaces() []*statepb.Namespace {
	return list(c, statepb.Kind_KIND_NAMESPACE, "", (*statepb.Object).GetNamespace)
}

// Tenant returns a tenant by its path "namespace/tenant".
func (c *Config) Tenant(path string) (*statepb.Tenant, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_TENANT, path})
	return o.GetTenant(), rev, ok
}

// Tenants returns the tenants of a namespace, or all when it is empty, ordered
// by path.
func (c *Config) Tenants(namespace string) []*statepb.Tenant {
	return list(c, statepb.Kind_KIND_TENANT, under(namespace), (*statepb.Object).GetTenant)
}

// Bucket returns a bucket by its path "namespace/tenant/bucket".
func (c *Config) Bucket(path string) (*statepb.Bucket, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_BUCKET, path})
	return o.GetBucket(), rev, ok
}

// Buckets returns the buckets of a tenant (or of a namespace), or all when the
// path is empty, ordered by path.
func (c *Config) Buckets(tenantPath string) []*statepb.Bucket {
	return list(c, statepb.Kind_KIND_BUCKET, under(tenantPath), (*statepb.Object).GetBucket)
}

// Key returns an access key by its name.
func (c *Config) Key(access string) (*statepb.Key, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_KEY, access})
	return o.GetKey(), rev, ok
}

// Keys returns the access keys of a tenant, or all when its path is empty,
// ordered by access key.
func (c *Config) Keys(tenantPath string) []*statepb.Key {
	keys := list(c, statepb.Kind_KIND_KEY, "", (*statepb.Object).GetKey)
	if tenantPath == "" {
		return keys
	}
	return slices.DeleteFunc(keys, func(k *statepb.Key) bool { return k.GetTenant() != tenantPath })
}

// Service returns a service by its name.
func (c *Config) Service(name string) (*statepb.Service, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_SERVICE, name})
	return o.GetService(), rev, ok
}

// Token is an access token or certificate of the admin API, by its name.
func (c *Config) Token(name string) (*statepb.Token, uint64, bool) {
	o, rev, ok := c.Get(Key{statepb.Kind_KIND_TOKEN, name})
	return o.GetToken(), rev, ok
}

// Tokens are all of them, by name.
func (c *Config) Tokens() []*statepb.Token {
	return list(c, statepb.Kind_KIND_TOKEN, "", (*statepb.Object).GetToken)
}

// Authority is the site's certificate authority for the admin API.
func (c *Config) Authority() (*statepb.Authority, uint64, bool) {
	o, rev, ok := c.Get(AuthorityKey)
	return o.GetAuthority(), rev, ok
}

// Services returns every service, ordered by name.
func (c *Config) Services() []*statepb.Service {
	return list(c, statepb.Kind_KIND_SERVICE, "", (*statepb.Object).GetService)
}

// under is the prefix of the names below a path.
func under(path string) string {
	if path == "" {
		return ""
	}
	return path + "/"
}

// list returns the messages of a kind whose names have a prefix, in order.
func list[M any](c *Config, kind statepb.Kind, prefix string, get func(*statepb.Object) M) []M {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := c.withPrefix(kind, prefix)
	out := make([]M, len(found))
	for i, e := range found {
		out[i] = get(e.stored.GetObject())
	}
	return out
}

// withPrefix is the part of a kind's entries whose names have a prefix; c.mu
// is held.
func (c *Config) withPrefix(kind statepb.Kind, prefix string) []entry {
	entries := c.kinds[kind]
	from, _ := find(entries, prefix)
	to := from
	for to < len(entries) && strings.HasPrefix(entries[to].name, prefix) {
		to++
	}
	return entries[from:to]
}

// get returns the stored object, or nil; c.mu is held.
func (c *Config) get(key Key) *statepb.Stored {
	entries := c.kinds[key.Kind]
	if i, ok := find(entries, key.Name); ok {
		return entries[i].stored
	}
	return nil
}

func find(entries []entry, name string) (int, bool) {
	return slices.BinarySearchFunc(entries, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
}
