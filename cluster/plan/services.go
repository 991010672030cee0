package plan

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// CreateService makes a link. It may have no remote, and be made before the
// sites are paired.
func CreateService(cfg *state.Config, req *adminpb.CreateServiceRequest, now time.Time) (*statepb.Txn, error) {
	service, err := newService(cfg, req, now)
	if err != nil {
		return nil, err
	}
	return create(service)
}

func newService(cfg *state.Config, req *adminpb.CreateServiceRequest, now time.Time) (*statepb.Service, error) {
	if err := checkService(req); err != nil {
		return nil, err
	}
	remote, err := ParseRemote(req.GetRemote())
	if err != nil {
		return nil, err
	}
	target, err := lagTarget(req.GetLagTargetSeconds())
	if err != nil {
		return nil, err
	}
	if _, _, ok := cfg.Service(req.GetName()); ok {
		return nil, refuse(state.ErrExists, "service %s exists already", req.GetName())
	}
	return &statepb.Service{
		Name:        req.GetName(),
		Type:        req.GetType(),
		Remote:      remote,
		Direction:   req.GetDirection(),
		Replication: req.GetReplication(),
		Connections: req.GetConnections(),
		Created:     now.UnixNano(),
		LagTarget:   target,
	}, nil
}

// Serve adds a tenant or a bucket to a link. A bucket or tenant that does not
// exist yet is legal, its namespace has to be there.
func Serve(cfg *state.Config, name, path string) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	service := proto.CloneOf(old)
	if err := addServed(cfg, service, path); err != nil {
		return nil, err
	}
	return replace(service, revision)
}

// addServed puts a path into a service's list, unless another link to the same
// site serves it.
func addServed(cfg *state.Config, service *statepb.Service, path string) error {
	if err := listServed(cfg, service, path); err != nil {
		return err
	}
	return servedOnce(cfg, service)
}

// listServed puts a path into a service's list, whatever other links serve.
func listServed(cfg *state.Config, service *statepb.Service, path string) error {
	name := service.GetName()
	p, err := ParseServed(path)
	if err != nil {
		return err
	}
	if err := PathExists(cfg, state.Path{Namespace: p.Namespace}); err != nil {
		return err
	}
	path = p.String()
	i, found := slices.BinarySearchFunc(service.GetServes(), path, compareServed)
	if found {
		return refuse(state.ErrExists, "service %s serves %s already", name, path)
	}
	if tenant := p.Parent().String(); p.Depth() == 3 && serves(service, tenant) {
		return refuse(state.ErrExists, "service %s serves %s already, with all of tenant %s", name, path, tenant)
	}
	if len(service.GetServes()) >= state.MaxServed {
		return refuse(state.ErrConflict, "service %s serves %d paths already, which is the most", name, len(service.GetServes())).
			next("serve whole tenants instead of their buckets")
	}
	service.Serves = slices.Insert(service.Serves, i, &statepb.Served{Path: path})
	return nil
}

// EditService changes settings of a link; what the request leaves out stays. It
// returns nil when everything is so already.
func EditService(cfg *state.Config, req *adminpb.PlanEditService) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, req.GetName())
	if err != nil {
		return nil, err
	}
	service, err := edited(old, req)
	if err != nil {
		return nil, err
	}
	if proto.Equal(old, service) {
		return nil, nil
	}
	return replace(service, revision)
}

// edited is a service with the settings that a request names. A setting that
// means what it meant before stays as it is written.
func edited(old *statepb.Service, req *adminpb.PlanEditService) (*statepb.Service, error) {
	service := proto.CloneOf(old)
	var err error
	if req.LagTargetSeconds != nil {
		if service.LagTarget, err = lagTarget(req.GetLagTargetSeconds()); err != nil {
			return nil, err
		}
	}
	if req.Connections != nil {
		if req.GetConnections() > state.MaxConnections {
			return nil, tooManyConnections(req.GetConnections())
		}
		service.Connections = req.GetConnections()
	}
	if req.Remote != nil {
		if service.Remote, err = ParseRemote(req.GetRemote()); err != nil {
			return nil, err
		}
	}
	if req.Direction != nil && directionOf(req.GetDirection()) != directionOf(old.GetDirection()) {
		if err := checkDirection(req.GetDirection()); err != nil {
			return nil, err
		}
		service.Direction = req.GetDirection()
	}
	if req.Replication != nil && replicationOf(req.GetReplication()) != replicationOf(old.GetReplication()) {
		if err := checkReplication(req.GetReplication()); err != nil {
			return nil, err
		}
		service.Replication = req.GetReplication()
	}
	return service, nil
}

// directionOf resolves the default of a direction.
func directionOf(direction string) string { return cmp.Or(direction, state.DirectionBoth) }

// replicationOf resolves the default of a replication type.
func replicationOf(replication string) string { return cmp.Or(replication, state.ReplicationBoth) }

// maxLagTarget is the greatest lag target of a link: more is a typing error.
const maxLagTarget = 7 * 24 * time.Hour

// lagTarget reads a lag target in seconds; 0 is the node's default.
func lagTarget(seconds float64) (int64, error) {
	switch {
	case seconds == 0:
		return 0, nil
	case !(seconds >= 0.001 && seconds <= maxLagTarget.Seconds()): // NaN too
		return 0, invalid("a lag target is from 1ms to %v, not %v seconds", maxLagTarget, seconds).next("0 takes the node's default")
	}
	return int64(math.Round(seconds * float64(time.Second))), nil
}

// Unserve takes a tenant or a bucket off a link. What was copied stays.
func Unserve(cfg *state.Config, name, path string) (*statepb.Txn, error) {
	p, err := ParseServed(path)
	if err != nil {
		return nil, err
	}
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	path = p.String()
	i, found := slices.BinarySearchFunc(old.GetServes(), path, compareServed)
	if !found {
		refusal := refuse(state.ErrNotFound, "service %s does not serve %s", name, path)
		if tenant := p.Parent().String(); p.Depth() == 3 && serves(old, tenant) {
			return nil, refusal.next("it serves all of tenant %s: unserve that, and serve the other buckets one by one", tenant)
		}
		return nil, refusal.next("see `isgwctl service show %s`", name)
	}
	service := proto.CloneOf(old)
	service.Serves = slices.Delete(service.Serves, i, i+1)
	return replace(service, revision)
}

// SetEnabled starts or stops a link. It returns nil when it is so already.
func SetEnabled(cfg *state.Config, name string, enabled bool) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	if old.GetDisabled() == !enabled {
		return nil, nil
	}
	service := proto.CloneOf(old)
	service.Disabled = !enabled
	return replace(service, revision)
}

// BindPeer remembers which site answered at a link's other end; a link has one
// peer for its whole life. It returns nil when it is known already.
func BindPeer(cfg *state.Config, name string, site state.SiteID) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	pairing, _, ok := cfg.Pairing(site)
	if !ok {
		return nil, refuse(state.ErrNotFound, "site %s is not paired with this one", site).
			next("pair them: `isgwctl site invite` at one, `isgwctl site pair TOKEN` at the other")
	}
	if len(old.GetPeer()) != 0 {
		if bytes.Equal(old.GetPeer(), site[:]) {
			return nil, nil
		}
		bound, _ := state.SiteIDFromBytes(old.GetPeer()) // Apply admits valid ids only
		return nil, refuse(state.ErrConflict, "service %s is a link with site %s, but site %s (%s) answers",
			name, SiteName(cfg, bound), pairing.GetSiteName(), site).
			next("correct the remote's address, or delete the service and create it again")
	}
	service := proto.CloneOf(old)
	service.Peer = site.Bytes()
	if err := servedOnce(cfg, service); err != nil {
		return nil, err
	}
	return replace(service, revision)
}

// DeleteService ends a link. What it copied stays.
func DeleteService(cfg *state.Config, name string) (*statepb.Txn, error) {
	_, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	return remove(state.Key{Kind: statepb.Kind_KIND_SERVICE, Name: name}, revision), nil
}

func findService(cfg *state.Config, name string) (*statepb.Service, uint64, error) {
	service, revision, ok := cfg.Service(name)
	if !ok {
		return nil, 0, serviceMissing(name)
	}
	return service, revision, nil
}

func serviceMissing(name string) *Error {
	return refuse(state.ErrNotFound, "service %q does not exist", name).next("see `isgwctl service list`")
}

// servedOnce refuses a path that another link to the same site serves: both
// would carry the same records.
func servedOnce(cfg *state.Config, service *statepb.Service) error {
	return servedOnceAmong(cfg, service, cfg.Services())
}

// servedOnceAmong is servedOnce where all are the services that there will be.
func servedOnceAmong(cfg *state.Config, service *statepb.Service, all []*statepb.Service) error {
	if len(service.GetPeer()) == 0 {
		return nil
	}
	for _, other := range all {
		if other.GetName() == service.GetName() || !bytes.Equal(other.GetPeer(), service.GetPeer()) {
			continue
		}
		for _, served := range service.GetServes() {
			for _, theirs := range other.GetServes() {
				if !covers(served.GetPath(), theirs.GetPath()) && !covers(theirs.GetPath(), served.GetPath()) {
					continue
				}
				id, _ := state.SiteIDFromBytes(service.GetPeer()) // Apply admits valid ids only
				return refuse(state.ErrConflict, "service %s cannot serve %s: service %s serves %s to the same site, %s",
					service.GetName(), served.GetPath(), other.GetName(), theirs.GetPath(), SiteName(cfg, id)).
					next("unserve it there first: a bucket is on one link to a site")
			}
		}
	}
	return nil
}

// covers says whether a served path includes another.
func covers(served, path string) bool {
	return served == path || strings.HasPrefix(path, served+"/")
}

// serves says whether a path itself is in a service's list.
func serves(s *statepb.Service, path string) bool {
	_, found := slices.BinarySearchFunc(s.GetServes(), path, compareServed)
	return found
}

func compareServed(s *statepb.Served, path string) int { return strings.Compare(s.GetPath(), path) }
