package state

import (
	"net"
	"strconv"
	"strings"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Limits and defaults of config values.
const (
	MaxReplicas     = 4
	DefaultVersions = 1     // history kept of a key when neither bucket nor tenant says
	MaxVersions     = 65535 // of Tenant.versions and Bucket.versions
	MaxConnections  = 32    // of Service.connections; a link opens no more
	MaxServed       = 4096  // paths that one service serves

	MaxPolicySize = 20 << 10 // bytes of Bucket.policy, as in S3

	maxText   = 1024 // bytes of a free text such as an address
	maxSealed = 4096 // bytes of a sealed secret
)

// Values of Service.type, Service.direction and Service.replication. An empty
// direction or replication is the default.
const (
	TypeLink = "isgw"
	TypeS3   = "s3"

	DirectionSend    = "send"
	DirectionReceive = "receive"
	DirectionBoth    = "send+receive" // the default

	ReplicationInitial    = "initial"
	ReplicationContinuous = "continuous"
	ReplicationBoth       = "initial+continuous" // the default
)

// Sends says whether a link lets the other side pull from this site.
func Sends(s *statepb.Service) bool { return s.GetDirection() != DirectionReceive }

// Receives says whether a link pulls from the other side.
func Receives(s *statepb.Service) bool { return s.GetDirection() != DirectionSend }

// Serves says whether a service serves a bucket, by its own path or by its
// tenant's.
func Serves(s *statepb.Service, bucketPath string) bool {
	for _, served := range s.GetServes() {
		p := served.GetPath()
		if strings.HasPrefix(bucketPath, p) && (len(p) == len(bucketPath) || bucketPath[len(p)] == '/') {
			return true
		}
	}
	return false
}

// EffectiveVersions resolves the history kept of each key: the bucket's own
// setting, else its tenant's, else DefaultVersions. Either may be nil.
func EffectiveVersions(b *statepb.Bucket, t *statepb.Tenant) uint32 {
	if n := b.GetVersions(); n > 0 {
		return n
	}
	if n := t.GetVersions(); n > 0 {
		return n
	}
	return DefaultVersions
}

// ParseRemote reads the address of a link's other end, "ccow://HOST:PORT", and
// returns HOST:PORT. Errors are [ErrInvalid].
func ParseRemote(remote string) (address string, err error) {
	scheme, rest, ok := strings.Cut(remote, "://")
	if !ok {
		return "", invalid("remote %q is not a URL of the form ccow://HOST:PORT", remote)
	}
	if scheme != "ccow" {
		return "", invalid("remote %q has scheme %q: the only one supported is ccow", remote, scheme)
	}
	if err := checkAddress("remote", strings.TrimSuffix(rest, "/")); err != nil {
		return "", err
	}
	return strings.TrimSuffix(rest, "/"), nil
}

// validate refuses an object whose values are not legal, whatever else exists.
func validate(object *statepb.Object) error {
	switch o := object.GetObject().(type) {
	case *statepb.Object_Site:
		return validateSite(o.Site)
	case *statepb.Object_Node:
		return validateNode(o.Node)
	case *statepb.Object_Pairing:
		return validatePairing(o.Pairing)
	case *statepb.Object_Invitation:
		return validateInvitation(o.Invitation)
	case *statepb.Object_Namespace:
		return checkName("namespace", o.Namespace.GetName())
	case *statepb.Object_Tenant:
		t := o.Tenant
		return validateStorage("tenant", t.GetPath(), 2, t.GetReplicas(), t.GetVersions())
	case *statepb.Object_Bucket:
		return validateBucket(o.Bucket)
	case *statepb.Object_Key:
		return validateKey(o.Key)
	case *statepb.Object_Service:
		return validateService(o.Service)
	case *statepb.Object_Token:
		return validateToken(o.Token)
	case *statepb.Object_Authority:
		return validateAuthority(o.Authority)
	case *statepb.Object_Applied:
		return nil // no transaction may put it: see plan.add
	}
	return invalid("config object has no content that this version knows")
}

func validateSite(s *statepb.Site) error {
	if _, err := SiteIDFromBytes(s.GetId()); err != nil {
		return invalid("site: %v", err)
	}
	if err := checkName("site", s.GetName()); err != nil {
		return err
	}
	if len(s.GetIdentitySealed()) > maxSealed {
		return invalid("site %s: its sealed identity is longer than %d bytes", s.GetName(), maxSealed)
	}
	if err := checkProfile("site "+s.GetName(), s.GetProfile()); err != nil {
		return err
	}
	return checkPublicKey("site "+s.GetName(), s.GetIdentityPublic())
}

func validateNode(n *statepb.Node) error {
	if err := checkName("node id", n.GetId()); err != nil {
		return err
	}
	if n.GetName() != "" {
		if err := checkName("node", n.GetName()); err != nil {
			return err
		}
	}
	if len(n.GetLinkAddress()) > maxText {
		return invalid("node %s: its link address is longer than %d bytes", n.GetId(), maxText)
	}
	if err := validateAnnotations("node "+n.GetId()+": label", n.GetLabels()); err != nil {
		return err
	}
	return checkPublicKey("node "+n.GetId(), n.GetPublicKey())
}

func validatePairing(p *statepb.Pairing) error {
	if _, err := SiteIDFromBytes(p.GetSite()); err != nil {
		return invalid("pairing: %v", err)
	}
	if p.GetSiteName() != "" {
		if err := checkName("site", p.GetSiteName()); err != nil {
			return err
		}
	}
	if len(p.GetAddress()) > maxText {
		return invalid("pairing %x: its address is longer than %d bytes", p.GetSite(), maxText)
	}
	return checkPublicKey("pairing with site "+p.GetSiteName(), p.GetIdentityPublic())
}

func validateInvitation(i *statepb.Invitation) error {
	if len(i.GetTokenHash()) != 32 {
		return invalid("invitation: token hash has %d bytes, not 32", len(i.GetTokenHash()))
	}
	if i.GetExpires() <= i.GetCreated() {
		return invalid("invitation: expires before it is created")
	}
	if len(i.GetAddress()) > maxText {
		return invalid("invitation: its address is longer than %d bytes", maxText)
	}
	return nil
}

// validateStorage checks what tenants and buckets have in common.
func validateStorage(what, path string, depth int, replicas, versions uint32) error {
	p, err := ParsePath(path)
	if err != nil {
		return err
	}
	if p.Depth() != depth {
		return invalid("%q is not the path of a %s", path, what)
	}
	if replicas > MaxReplicas {
		return invalid("%s %s: %d replicas are more than %d", what, path, replicas, MaxReplicas)
	}
	if versions > MaxVersions {
		return invalid("%s %s: %d versions are more than %d", what, path, versions, MaxVersions)
	}
	return nil
}

func validateBucket(b *statepb.Bucket) error {
	if err := validateStorage("bucket", b.GetPath(), 3, b.GetReplicas(), b.GetVersions()); err != nil {
		return err
	}
	if len(b.GetIncarnation()) != 16 {
		return invalid("bucket %s: its incarnation has %d bytes, not 16", b.GetPath(), len(b.GetIncarnation()))
	}
	if len(b.GetCreatedBy()) > maxText {
		return invalid("bucket %s: its creator's name is longer than %d bytes", b.GetPath(), maxText)
	}
	if n := len(b.GetPolicy()); n > MaxPolicySize {
		return invalid("bucket %s: its policy has %d bytes, more than %d", b.GetPath(), n, MaxPolicySize)
	}
	switch b.GetOwnership() {
	case "", OwnershipEnforced, OwnershipPreferred, OwnershipWriter:
	default:
		return invalid("bucket %s: unknown object ownership %q", b.GetPath(), b.GetOwnership())
	}
	return nil
}

func validateKey(k *statepb.Key) error {
	name := k.GetAccessKey()
	if len(name) < 3 || len(name) > 128 {
		return invalid("access key %q is not 3 to 128 characters long", name)
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return invalid("access key %q is not made of letters, digits, '-' and '_'", name)
		}
	}
	if n := len(k.GetSecretSealed()); n == 0 || n > maxSealed {
		return invalid("access key %s: its sealed secret has %d bytes, not 1 to %d", name, n, maxSealed)
	}
	if p, err := ParsePath(k.GetTenant()); err != nil {
		return err
	} else if p.Depth() != 2 {
		return invalid("access key %s: %q is not the path of a tenant", name, k.GetTenant())
	}
	return validateKeyRights(k)
}

func validateService(s *statepb.Service) error {
	name := s.GetName()
	if err := checkName("service", name); err != nil {
		return err
	}
	if t := s.GetType(); t != TypeLink && t != TypeS3 {
		return invalid("service %s: unknown type %q: use %s or %s", name, t, TypeLink, TypeS3)
	}
	if s.GetRemote() != "" {
		if _, err := ParseRemote(s.GetRemote()); err != nil {
			return err
		}
	}
	switch s.GetDirection() {
	case "", DirectionSend, DirectionReceive, DirectionBoth:
	default:
		return invalid("service %s: unknown direction %q: use %s, %s or %s", name, s.GetDirection(), DirectionSend, DirectionReceive, DirectionBoth)
	}
	switch s.GetReplication() {
	case "", ReplicationInitial, ReplicationContinuous, ReplicationBoth:
	default:
		return invalid("service %s: unknown replication type %q: use %s, %s or %s", name, s.GetReplication(), ReplicationInitial, ReplicationContinuous, ReplicationBoth)
	}
	if s.GetConnections() > MaxConnections {
		return invalid("service %s: %d connections are more than %d", name, s.GetConnections(), MaxConnections)
	}
	if s.GetLagTarget() < 0 {
		return invalid("service %s: its lag target is negative", name)
	}
	if len(s.GetPeer()) != 0 {
		if _, err := SiteIDFromBytes(s.GetPeer()); err != nil {
			return invalid("service %s: %v", name, err)
		}
	}
	if err := validateLink(s); err != nil {
		return err
	}
	return validateServes(name, s.GetServes())
}

// Roles of the admin API, as tokens have them.
const (
	RoleViewer      = "viewer"
	RoleTenantAdmin = "tenant-admin"
	RoleOperator    = "operator"
	RoleSiteAdmin   = "site-admin"
)

func validateToken(t *statepb.Token) error {
	name := t.GetName()
	if err := checkName("token", name); err != nil {
		return err
	}
	secret, key := len(t.GetSecretHash()), len(t.GetCertificateKey())
	if !(secret == 32 && key == 0 || secret == 0 && key == 32) {
		return invalid("token %s: wants either the hash of a secret or that of a certificate's key, of 32 bytes", name)
	}
	switch t.GetRole() {
	case RoleViewer, RoleOperator, RoleSiteAdmin:
		if t.GetTenant() != "" {
			return invalid("token %s: only a %s has a tenant", name, RoleTenantAdmin)
		}
	case RoleTenantAdmin:
		p, err := ParsePath(t.GetTenant())
		if err != nil {
			return err
		}
		if p.Depth() != 2 {
			return invalid("token %s: %q is not the path of a tenant", name, t.GetTenant())
		}
	default:
		return invalid("token %s: unknown role %q", name, t.GetRole())
	}
	if t.GetExpires() != 0 && t.GetExpires() <= t.GetCreated() {
		return invalid("token %s: expires before it is created", name)
	}
	if len(t.GetCreatedBy()) > maxText {
		return invalid("token %s: its creator's name is longer than %d bytes", name, maxText)
	}
	return nil
}

func validateAuthority(a *statepb.Authority) error {
	if n := len(a.GetCertificate()); n == 0 || n > maxSealed {
		return invalid("authority: its certificate has %d bytes, not 1 to %d", n, maxSealed)
	}
	if n := len(a.GetKeySealed()); n == 0 || n > maxSealed {
		return invalid("authority: its sealed key has %d bytes, not 1 to %d", n, maxSealed)
	}
	return nil
}

func validateServes(name string, serves []*statepb.Served) error {
	if len(serves) > MaxServed {
		return invalid("service %s: serves %d paths, more than %d", name, len(serves), MaxServed)
	}
	for i, served := range serves {
		p, err := ParsePath(served.GetPath())
		if err != nil {
			return err
		}
		if p.Depth() < 2 {
			return invalid("service %s: cannot serve %s: serve a tenant or a bucket", name, p)
		}
		if i > 0 && serves[i-1].GetPath() >= served.GetPath() {
			return invalid("service %s: served paths are not in order without duplicates: %s before %s", name, serves[i-1].GetPath(), served.GetPath())
		}
		if err := validateServed(name, served); err != nil {
			return err
		}
	}
	return nil
}

func checkPublicKey(what string, key []byte) error {
	if len(key) != 32 {
		return invalid("%s: public key has %d bytes, not 32", what, len(key))
	}
	return nil
}

// checkAddress wants HOST:PORT with a port from 1 to 65535.
func checkAddress(what, address string) error {
	if len(address) > maxText {
		return invalid("%s: address is longer than %d bytes", what, maxText)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(host, "/?#@ ") {
		return invalid("%s: %q is not HOST:PORT", what, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalid("%s: %q has no port from 1 to 65535", what, address)
	}
	return nil
}
