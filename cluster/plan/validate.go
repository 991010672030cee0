package plan

import (
	"math"
	"net"
	"strconv"
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// The checks of this file need no config: they look at what was typed.

// kindWord is the word of the commands for a kind of path, and shape an example.
func kindWord(kind adminpb.PathKind) (word, shape string, depth int) {
	switch kind {
	case adminpb.PathKind_PATH_KIND_NAMESPACE:
		return "cluster", "NAMESPACE", 1
	case adminpb.PathKind_PATH_KIND_TENANT:
		return "tenant", "NAMESPACE/TENANT", 2
	case adminpb.PathKind_PATH_KIND_BUCKET:
		return "bucket", "NAMESPACE/TENANT/BUCKET", 3
	}
	return "", "", 0
}

// ParsePath reads the path of a namespace, tenant or bucket, as kind says.
func ParsePath(kind adminpb.PathKind, path string) (state.Path, error) {
	word, shape, depth := kindWord(kind)
	if depth == 0 {
		return state.Path{}, invalid("the request does not say whether %q is a cluster, a tenant or a bucket", path)
	}
	if path == "" || strings.Count(path, "/") != depth-1 {
		return state.Path{}, invalid("%q is not the path of a %s", path, word).next("give it as %s", shape)
	}
	p, err := state.ParsePath(path)
	if err != nil {
		return state.Path{}, adopt(err)
	}
	return p, nil
}

// ParseTenant reads the path of a tenant.
func ParseTenant(path string) (state.Path, error) {
	return ParsePath(adminpb.PathKind_PATH_KIND_TENANT, path)
}

// ParseBucket reads the path of a bucket.
func ParseBucket(path string) (state.Path, error) {
	return ParsePath(adminpb.PathKind_PATH_KIND_BUCKET, path)
}

// ParseServedPath reads the path of a tenant or a bucket: what a link can serve.
func ParseServedPath(path string) (state.Path, error) {
	p, err := state.ParsePath(path)
	if err != nil {
		return state.Path{}, adopt(err).next("give it as NAMESPACE/TENANT or NAMESPACE/TENANT/BUCKET")
	}
	if p.Depth() < 2 {
		return state.Path{}, invalid("a whole cluster such as %s cannot be served", path).
			next("serve its tenants or buckets one by one")
	}
	return p, nil
}

// checkStorage looks at the settings of a tenant or bucket; 0 inherits.
func checkStorage(kind adminpb.PathKind, replicas, versions uint32, quota uint64) error {
	if kind == adminpb.PathKind_PATH_KIND_NAMESPACE && (replicas != 0 || versions != 0 || quota != 0) {
		return invalid("a cluster has no replicas, versions and quota of its own").next("give them to its tenants or buckets")
	}
	if replicas > state.MaxReplicas {
		return invalid("replicas are 1 to %d, not %d", state.MaxReplicas, replicas)
	}
	if versions > state.MaxVersions {
		return invalid("the number of versions is 1 to %d, not %d", state.MaxVersions, versions)
	}
	if quota > math.MaxInt64 {
		return invalid("a quota is at most %d bytes, not %d", int64(math.MaxInt64), quota)
	}
	return nil
}

// ParseRemote reads the URL of a link's other end and returns it in its plain
// form, "ccow://HOST:PORT". The empty URL is legal: the other side dials.
func ParseRemote(remote string) (string, error) {
	if remote == "" {
		return "", nil
	}
	scheme, _, ok := strings.Cut(remote, "://")
	if ok && (scheme == "file" || scheme == "s3") {
		return "", invalid("a link to %s:// is not available yet", scheme).next("link to another site with ccow://HOST:PORT")
	}
	address, err := state.ParseRemote(remote)
	if err != nil {
		return "", adopt(err).next("give it as ccow://HOST:PORT, where the other site's link endpoint listens")
	}
	if err := checkHost(address); err != nil {
		return "", err
	}
	return "ccow://" + address, nil
}

// CheckAddress looks at an address HOST:PORT that other sites are told; the
// empty one is legal.
func CheckAddress(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return invalid("address %q is not HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalid("address %q has no port from 1 to 65535", address)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return invalid("address %s means every address of this node: nobody can dial it", address).
			next("give one that the other site can reach")
	}
	return checkHost(address)
}

// checkHost admits the characters that names and IP addresses have.
func checkHost(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || len(host) > 253 {
		return invalid("address %q is not HOST:PORT", address)
	}
	for _, c := range []byte(host) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_:%", c) >= 0) {
			return invalid("%q is not the name or address of a host", host)
		}
	}
	return nil
}

// checkService looks at the settings of a service to be made.
func checkService(req *adminpb.CreateServiceRequest) error {
	switch req.GetType() {
	case state.TypeLink:
	case state.TypeS3:
		return invalid("a service of type s3 is not available yet").
			next("every node serves S3 already: see `isgwctl system status` for its address")
	default:
		return invalid("there is no service of type %q", req.GetType()).next("the type of a link is isgw")
	}
	if err := state.CheckName("service", req.GetName()); err != nil {
		return adopt(err)
	}
	return nil
}

// checkDirection admits the directions that links have; empty is the default.
func checkDirection(direction string) error {
	switch direction {
	case "", state.DirectionBoth, state.DirectionSend, state.DirectionReceive:
		return nil
	}
	return invalid("there is no direction %s", clipped(direction)).
		next("a link is %s, %s or %s", state.DirectionSend, state.DirectionReceive, state.DirectionBoth)
}

// checkReplication admits the replication types that links have; empty is the
// default.
func checkReplication(replication string) error {
	switch replication {
	case "", state.ReplicationBoth, state.ReplicationInitial, state.ReplicationContinuous:
		return nil
	}
	return invalid("there is no replication type %s", clipped(replication)).
		next("a link is %s, %s or %s", state.ReplicationInitial, state.ReplicationContinuous, state.ReplicationBoth)
}

// checkProfile admits the resource profiles of links; empty is the site's.
func checkProfile(profile string) error {
	switch profile {
	case "", state.ProfilePerformance, state.ProfileEmbedded:
		return nil
	}
	return invalid("there is no resource profile %s", clipped(profile)).
		next("it is %s or %s, or empty for the default", state.ProfilePerformance, state.ProfileEmbedded)
}

// CheckChunkCache looks at a bound of a link's buffers and caches in bytes; 0 is
// what its profile says.
func CheckChunkCache(bytes uint64) error {
	if bytes != 0 && (bytes < state.MinChunkCache || bytes > maxQuantity) {
		return invalid("a chunk cache is from %s to %s, not %s", FormatBytes(state.MinChunkCache), FormatBytes(maxQuantity), FormatBytes(bytes)).
			next("0 takes what the profile says")
	}
	return nil
}

// CheckLocal looks at an address HOST:PORT of this node where the other site may
// connect; the empty one is legal, and so is one that means every address.
func CheckLocal(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return invalid("local address %s is not HOST:PORT", clipped(address)).next("0.0.0.0:PORT is every address of the node")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalid("local address %s has no port from 1 to 65535", clipped(address))
	}
	return checkHost(address)
}

func tooManyConnections(n uint32) *Error {
	return invalid("a link has 1 to %d connections for chunks, not %d", state.MaxConnections, n)
}
