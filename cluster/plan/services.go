package plan

import (
	"bytes"
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
	service, err := edited(&statepb.Service{Name: req.GetName(), Type: req.GetType(), Created: now.UnixNano()}, &adminpb.PlanEditService{
		Remote: &req.Remote, Direction: &req.Direction, Replication: &req.Replication, Connections: &req.Connections,
		LagTargetSeconds: &req.LagTargetSeconds, Settings: req.GetSettings(),
	})
	if err != nil {
		return nil, err
	}
	if _, _, ok := cfg.Service(req.GetName()); ok {
		return nil, refuse(state.ErrExists, "service %s exists already", req.GetName())
	}
	if err := checkServer(service, append(cfg.Services(), service)); err != nil {
		return nil, err
	}
	return service, nil
}

// Serve has a link serve a tenant or a bucket, with the options that follow the
// path as [ParseServed] reads them; they replace those that it had. A bucket or
// tenant that does not exist yet is legal, its namespace has to be there.
func Serve(cfg *state.Config, name, text string) (*statepb.Txn, error) {
	old, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	service := proto.CloneOf(old)
	if err := addServed(cfg, service, text); err != nil {
		return nil, err
	}
	return replace(service, revision)
}

// addServed puts a path into a service's list, unless another link to the same
// site serves it.
func addServed(cfg *state.Config, service *statepb.Service, text string) error {
	served, err := ParseServed(text)
	if err != nil {
		return err
	}
	if err := listServed(cfg, service, served); err != nil {
		return err
	}
	return servedOnce(cfg, service)
}

// listServed puts a path into a service's list, whatever other links serve. A
// path that is there with other options gets the new ones.
func listServed(cfg *state.Config, service *statepb.Service, served *statepb.Served) error {
	name, path := service.GetName(), served.GetPath()
	p, err := ParseServedPath(path)
	if err != nil {
		return err
	}
	if err := PathExists(cfg, state.Path{Namespace: p.Namespace}); err != nil {
		return err
	}
	i, found := slices.BinarySearchFunc(service.GetServes(), path, compareServed)
	if found {
		if Options(service.Serves[i]) == Options(served) {
			return refuse(state.ErrExists, "service %s serves %s already", name, FormatServed(served))
		}
		service.Serves[i] = served
		return nil
	}
	// A bucket's own entry goes before its tenant's, so it has to say something else.
	if tenant := p.Parent().String(); p.Depth() == 3 && serves(service, tenant) && Options(state.ServedFor(service, tenant)) == Options(served) {
		return refuse(state.ErrExists, "service %s serves %s already, with all of tenant %s", name, path, tenant)
	}
	if len(service.GetServes()) >= state.MaxServed {
		return refuse(state.ErrConflict, "service %s serves %d paths already, which is the most", name, len(service.GetServes())).
			next("serve whole tenants instead of their buckets")
	}
	service.Serves = slices.Insert(service.Serves, i, served)
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
	all := replaced(cfg.Services(), service)
	if err := checkServer(service, all); err != nil {
		return nil, err
	}
	if service.GetRemote() != old.GetRemote() {
		if err := servedOnceAmong(cfg, service, all); err != nil {
			return nil, err
		}
	}
	return replace(service, revision)
}

// Unserve takes a tenant or a bucket off a link. What was copied stays.
func Unserve(cfg *state.Config, name, path string) (*statepb.Txn, error) {
	p, err := ParseServedPath(path)
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
			name, SiteName(cfg, bound), PairingName(pairing), site).
			next("correct the remote's address, or delete the service and create it again")
	}
	if err := CheckPeer(cfg, old, site); err != nil {
		return nil, err
	}
	service := proto.CloneOf(old)
	service.Peer = site.Bytes()
	return replace(service, revision)
}

// CheckPeer refuses a site as a link's peer, with an *Error, when another link to
// it serves what this one does: until the sites met nobody knew that.
func CheckPeer(cfg *state.Config, service *statepb.Service, site state.SiteID) error {
	service = proto.CloneOf(service)
	service.Peer = site.Bytes()
	return servedOnce(cfg, service)
}

// DeleteService ends a link. What it copied stays. A server of others has to
// lose them first.
func DeleteService(cfg *state.Config, name string) (*statepb.Txn, error) {
	_, revision, err := findService(cfg, name)
	if err != nil {
		return nil, err
	}
	if clients := clientsOf(name, cfg.Services()); len(clients) > 0 {
		return nil, refuse(state.ErrNotEmpty, "service %s is still the server of %s", name, strings.Join(clients, ", ")).
			next(`give them another server first: isgwctl service edit %s --server ""`, clients[0])
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

// replaced are services with one of them as it is to be.
func replaced(all []*statepb.Service, service *statepb.Service) []*statepb.Service {
	all = slices.Clone(all)
	for i, s := range all {
		if s.GetName() == service.GetName() {
			all[i] = service
		}
	}
	return all
}

// clientsOf are the names of the services whose server one is.
func clientsOf(server string, all []*statepb.Service) []string {
	var names []string
	for _, s := range all {
		if s.GetServer() == server {
			names = append(names, s.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// checkServer refuses a server that a service cannot have, where all are the
// services that there will be. Groups are one level deep.
func checkServer(service *statepb.Service, all []*statepb.Service) error {
	name, server := service.GetName(), service.GetServer()
	if server == "" {
		return nil
	}
	if server == name {
		return invalid("service %s cannot be its own server", name).next("leave the server empty: a service has its own endpoint then")
	}
	i := slices.IndexFunc(all, func(s *statepb.Service) bool { return s.GetName() == server })
	switch {
	case i < 0:
		return refuse(state.ErrNotFound, "service %s does not exist, so it cannot be the server of service %s", server, name).
			next("make it first: isgwctl service create isgw %s", server)
	case all[i].GetType() != state.TypeLink:
		return refuse(state.ErrConflict, "service %s is of type %s, so it cannot be the server of service %s", server, all[i].GetType(), name)
	case all[i].GetServer() != "":
		return refuse(state.ErrConflict, "service %s makes use of server %s itself, so it cannot be the server of service %s", server, all[i].GetServer(), name).
			next("take %s as the server", all[i].GetServer())
	}
	if clients := clientsOf(name, all); len(clients) > 0 {
		return refuse(state.ErrConflict, "service %s is the server of %s, so it cannot make use of server %s", name, strings.Join(clients, ", "), server).
			next("give these another server first")
	}
	return nil
}

// servedOnce refuses a path that another link to the same site serves: both
// would carry the same records.
func servedOnce(cfg *state.Config, service *statepb.Service) error {
	return servedOnceAmong(cfg, service, cfg.Services())
}

// servedOnceAmong is servedOnce where all are the services that there will be.
// Links that have not met their peers yet are to the same site when they dial the
// same address.
func servedOnceAmong(cfg *state.Config, service *statepb.Service, all []*statepb.Service) error {
	there := service.GetRemote()
	if id, err := state.SiteIDFromBytes(service.GetPeer()); err == nil {
		there = SiteName(cfg, id)
	}
	for _, other := range all {
		if other.GetName() == service.GetName() || !sameEnd(service, other) {
			continue
		}
		for _, served := range service.GetServes() {
			for _, theirs := range other.GetServes() {
				if !covers(served.GetPath(), theirs.GetPath()) && !covers(theirs.GetPath(), served.GetPath()) {
					continue
				}
				return refuse(state.ErrConflict, "service %s cannot serve %s: service %s serves %s to the same site, %s",
					service.GetName(), served.GetPath(), other.GetName(), theirs.GetPath(), there).
					next("unserve it there first: a bucket is on one link to a site")
			}
		}
	}
	return nil
}

// sameEnd says whether two links are to the same site, as far as that is known.
func sameEnd(a, b *statepb.Service) bool {
	if len(a.GetPeer()) > 0 && len(b.GetPeer()) > 0 {
		return bytes.Equal(a.GetPeer(), b.GetPeer())
	}
	return a.GetRemote() != "" && a.GetRemote() == b.GetRemote()
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
