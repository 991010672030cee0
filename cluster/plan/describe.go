package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// The functions of this file say what the config has, in the words of the admin
// API. Numbers that are not config (objects and bytes of a bucket, the status of
// a link) are left for the caller to fill in.

// MaxPage is the most items of one page of a list.
const MaxPage = 1000

// defaultReplicas is what holds when neither bucket nor tenant says.
const defaultReplicas = 3

// PageLimit is the number of items of a page for which limit were asked.
func PageLimit(limit uint32) int {
	if limit == 0 || limit > MaxPage {
		return MaxPage
	}
	return int(limit)
}

// GetPath describes one namespace, tenant or bucket.
func GetPath(cfg *state.Config, kind adminpb.PathKind, path string) (*adminpb.Path, error) {
	p, err := ParsePath(kind, path)
	if err != nil {
		return nil, err
	}
	if err := PathExists(cfg, p); err != nil {
		return nil, err
	}
	described, ok := describe(cfg, p.Depth(), p.String())
	if !ok {
		return nil, pathMissing(p)
	}
	return described, nil
}

func describe(cfg *state.Config, depth int, name string) (*adminpb.Path, bool) {
	switch depth {
	case 1:
		n, _, ok := cfg.Namespace(name)
		return &adminpb.Path{
			Path: name, Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Created: Timestamp(n.GetCreated()),
			Children: uint64(len(cfg.Tenants(name))),
		}, ok
	case 2:
		t, _, ok := cfg.Tenant(name)
		return &adminpb.Path{
			Path: name, Kind: adminpb.PathKind_PATH_KIND_TENANT, Created: Timestamp(t.GetCreated()),
			Replicas: t.GetReplicas(), Versions: t.GetVersions(),
			EffectiveReplicas: effectiveReplicas(nil, t), EffectiveVersions: state.EffectiveVersions(nil, t),
			Children: uint64(len(cfg.Buckets(name))),
			Services: servedBy(cfg, name), Quota: t.GetQuota(),
		}, ok
	}
	b, _, ok := cfg.Bucket(name)
	t, _, _ := cfg.Tenant(name[:strings.LastIndexByte(name, '/')])
	return &adminpb.Path{
		Path: name, Kind: adminpb.PathKind_PATH_KIND_BUCKET, Created: Timestamp(b.GetCreated()),
		Replicas: b.GetReplicas(), Versions: b.GetVersions(),
		EffectiveReplicas: effectiveReplicas(b, t), EffectiveVersions: state.EffectiveVersions(b, t),
		CreatedBy: b.GetCreatedBy(), Services: servedBy(cfg, name), Incarnation: hex.EncodeToString(b.GetIncarnation()),
		Quota: b.GetQuota(),
	}, ok
}

// effectiveReplicas resolves how many copies are asked for: the bucket's own
// setting, else its tenant's, else the default. Fewer nodes keep fewer copies.
func effectiveReplicas(b *statepb.Bucket, t *statepb.Tenant) uint32 {
	if n := b.GetReplicas(); n > 0 {
		return n
	}
	if n := t.GetReplicas(); n > 0 {
		return n
	}
	return defaultReplicas
}

// servedBy names the services that serve a path, by itself or with its tenant.
func servedBy(cfg *state.Config, path string) []string {
	var names []string
	for _, s := range cfg.Services() {
		if state.Serves(s, path) {
			names = append(names, s.GetName())
		}
	}
	return names
}

// ListKeys describes the access keys of a tenant, or of all when it is empty,
// without their secrets, ordered by tenant and access key.
func ListKeys(cfg *state.Config, tenant string) ([]*adminpb.Key, error) {
	if tenant != "" {
		p, err := ParseTenant(tenant)
		if err != nil {
			return nil, err
		}
		if err := PathExists(cfg, p); err != nil {
			return nil, err
		}
	}
	var keys []*adminpb.Key
	for _, k := range cfg.Keys(tenant) {
		keys = append(keys, &adminpb.Key{
			AccessKey: k.GetAccessKey(), Tenant: k.GetTenant(), Created: Timestamp(k.GetCreated()),
			Role: state.KeyRole(k), Prefix: k.GetPrefix(),
		})
	}
	slices.SortStableFunc(keys, func(a, b *adminpb.Key) int { return strings.Compare(a.GetTenant(), b.GetTenant()) })
	return keys, nil
}

// GetService describes one service, without its status.
func GetService(cfg *state.Config, name string) (*adminpb.Service, error) {
	s, _, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	return describeService(cfg, s, cfg.Services()), nil
}

// describeService describes one of all services.
func describeService(cfg *state.Config, s *statepb.Service, all []*statepb.Service) *adminpb.Service {
	_, revision, _ := cfg.Service(s.GetName())
	out := &adminpb.Service{
		Revision: revision, LagTargetSeconds: time.Duration(s.GetLagTarget()).Seconds(),
		Name: s.GetName(), Type: s.GetType(), Remote: s.GetRemote(), Enabled: !s.GetDisabled(), Paused: s.GetPaused(),
		Direction: s.GetDirection(), Replication: s.GetReplication(), Connections: s.GetConnections(),
		Created: Timestamp(s.GetCreated()),
	}
	if out.Direction == "" {
		out.Direction = state.DirectionBoth
	}
	if out.Replication == "" {
		out.Replication = state.ReplicationBoth
	}
	for _, served := range s.GetServes() {
		out.Serves = append(out.Serves, served.GetPath())
		out.Served = append(out.Served, &adminpb.ServedPath{
			Path: served.GetPath(), Include: served.GetInclude(), Exclude: served.GetExclude(),
			Direction: served.GetDirection(), Deletes: cmp.Or(served.GetDeletes(), DeletesTravel),
		})
	}
	out.Settings = describeSettings(s)
	site, _, _ := cfg.Site()
	own := s // a link without a profile has its server's
	if server, _, ok := cfg.Service(s.GetServer()); ok && s.GetProfile() == "" {
		own = server
	}
	out.EffectiveProfile = state.EffectiveProfile(own, site)
	out.Clients = clientsOf(s.GetName(), all)
	for _, place := range servicePlaces(cfg, s, all) {
		if node, _, ok := cfg.Node(place.Node); ok && place.Runs {
			out.Nodes = append(out.Nodes, cmp.Or(node.GetName(), node.GetId()))
		}
	}
	if peer, err := state.SiteIDFromBytes(s.GetPeer()); err == nil {
		out.PeerId = peer.String()
		pairing, _, _ := cfg.Pairing(peer)
		out.PeerName = PairingName(pairing)
	}
	return out
}

// describeSettings are all settings that only links have.
func describeSettings(s *statepb.Service) *adminpb.LinkSettings {
	return &adminpb.LinkSettings{
		Tunnel: new(s.GetTunnel()), Local: new(s.GetLocal()), ChunkCache: new(s.GetChunkCache()), Profile: new(s.GetProfile()),
		SendLimit: new(FormatLimit(s.GetSendLimit())), ReceiveLimit: new(FormatLimit(s.GetReceiveLimit())), Server: new(s.GetServer()),
		Annotations: &adminpb.LinkAnnotations{Values: annotationValues(s.GetAnnotations())},
		Resources:   describeResources(s.GetResources()), Placement: new(string(s.GetPlacement())),
	}
}

// ListPairings describes the sites that this one is paired with, ordered by
// name and id.
func ListPairings(cfg *state.Config) []*adminpb.Pairing {
	var out []*adminpb.Pairing
	for _, p := range cfg.Pairings() {
		out = append(out, describePairing(cfg, p))
	}
	slices.SortStableFunc(out, func(a, b *adminpb.Pairing) int { return strings.Compare(a.GetSiteName(), b.GetSiteName()) })
	return out
}

// GetPairing describes the pairing with one site.
func GetPairing(cfg *state.Config, site state.SiteID) (*adminpb.Pairing, error) {
	p, _, ok := cfg.Pairing(site)
	if !ok {
		return nil, refuse(state.ErrNotFound, "site %s is not paired with this one", site)
	}
	return describePairing(cfg, p), nil
}

func describePairing(cfg *state.Config, p *statepb.Pairing) *adminpb.Pairing {
	out := &adminpb.Pairing{
		SiteId: hex.EncodeToString(p.GetSite()), SiteName: PairingName(p), OwnName: p.GetSiteName(), Address: p.GetAddress(),
		Created: Timestamp(p.GetCreated()), Fingerprint: Fingerprint(p.GetIdentityPublic()),
	}
	for _, s := range cfg.Services() {
		if len(s.GetPeer()) > 0 && hex.EncodeToString(s.GetPeer()) == out.SiteId {
			out.Services = append(out.Services, s.GetName())
		}
	}
	return out
}

// SiteName is what people call a site: its name where it is known, else its id.
func SiteName(cfg *state.Config, id state.SiteID) string {
	if site, _, ok := cfg.Site(); ok && id == cfg.SiteID() {
		return site.GetName()
	}
	if p, _, ok := cfg.Pairing(id); ok && PairingName(p) != "" {
		return PairingName(p)
	}
	return id.String()
}

// Fingerprint is the short form of a public key by which two people compare it:
// the first 16 bytes of its SHA-256, in hexadecimal.
func Fingerprint(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return "SHA256:" + hex.EncodeToString(sum[:16])
}

// Timestamp turns Unix nanoseconds into the form of the API; 0 is no time.
func Timestamp(nanos int64) *timestamppb.Timestamp {
	if nanos == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, nanos))
}
