package state

import (
	"bytes"
	"strings"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// rules refuses a change that would break the relations between objects. It
// sees the config as the whole transaction leaves it.
func (p *plan) rules(key Key, object *statepb.Object) error {
	if object == nil {
		return p.deleteRules(key)
	}
	switch o := object.GetObject().(type) {
	case *statepb.Object_Site:
		return p.siteRules(o.Site)
	case *statepb.Object_Pairing:
		return p.pairingRules(o.Pairing)
	case *statepb.Object_Tenant:
		return p.needParent(o.Tenant.GetPath())
	case *statepb.Object_Bucket:
		return p.bucketRules(o.Bucket)
	case *statepb.Object_Key:
		return p.keyRules(o.Key)
	case *statepb.Object_Service:
		return p.serviceRules(o.Service)
	case *statepb.Object_Token:
		return p.tokenRules(o.Token)
	}
	return nil
}

func (p *plan) deleteRules(key Key) error {
	any := func(*statepb.Object) bool { return true }
	switch key.Kind {
	case statepb.Kind_KIND_SITE:
		return invalid("the site itself cannot be deleted")
	case statepb.Kind_KIND_NAMESPACE:
		if child := p.first(statepb.Kind_KIND_TENANT, key.Name+"/", any); child != "" {
			return refuse(ErrNotEmpty, "namespace %s still has tenant %s: delete its tenants first", key.Name, child)
		}
	case statepb.Kind_KIND_TENANT:
		if child := p.first(statepb.Kind_KIND_BUCKET, key.Name+"/", any); child != "" {
			return refuse(ErrNotEmpty, "tenant %s still has bucket %s: delete its buckets first", key.Name, child)
		}
		// A key that outlived its tenant would open a later tenant of that name, and
		// so would a token.
		owned := func(o *statepb.Object) bool { return o.GetKey().GetTenant() == key.Name }
		if child := p.first(statepb.Kind_KIND_KEY, "", owned); child != "" {
			return refuse(ErrNotEmpty, "tenant %s still has access key %s: delete its keys first", key.Name, child)
		}
		confined := func(o *statepb.Object) bool { return o.GetToken().GetTenant() == key.Name }
		if child := p.first(statepb.Kind_KIND_TOKEN, "", confined); child != "" {
			return refuse(ErrNotEmpty, "tenant %s still has token %s: revoke its tokens first", key.Name, child)
		}
	case statepb.Kind_KIND_SERVICE:
		return p.deleteServiceRules(key.Name)
	}
	return nil
}

func (p *plan) needParent(path string) error {
	parsed, err := ParsePath(path)
	if err != nil {
		return err
	}
	parent := parsed.Parent()
	key := Key{statepb.Kind_KIND_NAMESPACE, parent.String()}
	if parent.Depth() == 2 {
		key.Kind = statepb.Kind_KIND_TENANT
	}
	if p.get(key) == nil {
		return refuse(ErrNotFound, "%s does not exist", key)
	}
	return nil
}

func (p *plan) siteRules(site *statepb.Site) error {
	old := p.before(SiteKey).GetSite()
	if old == nil {
		return nil
	}
	if !bytes.Equal(old.GetId(), site.GetId()) {
		return refuse(ErrExists, "the site is initialised already, as %s (%x)", old.GetName(), old.GetId())
	}
	if site.GetEpoch() < old.GetEpoch() {
		return refuse(ErrConflict, "the site's epoch cannot fall from %d to %d", old.GetEpoch(), site.GetEpoch())
	}
	if Since(site) < Since(old) || Since(site) > site.GetEpoch() {
		return refuse(ErrConflict, "the site's epochs cannot go on from %d: they go on from %d, and the present one is %d", Since(site), Since(old), site.GetEpoch())
	}
	if site.GetRosterNumber() < old.GetRosterNumber() {
		return refuse(ErrConflict, "the site's roster number cannot fall from %d to %d", old.GetRosterNumber(), site.GetRosterNumber())
	}
	return nil
}

func (p *plan) pairingRules(pairing *statepb.Pairing) error {
	if bytes.Equal(p.get(SiteKey).GetSite().GetId(), pairing.GetSite()) {
		return invalid("a site cannot be paired with itself")
	}
	return nil
}

func (p *plan) bucketRules(bucket *statepb.Bucket) error {
	if err := p.needParent(bucket.GetPath()); err != nil {
		return err
	}
	old := p.before(Key{statepb.Kind_KIND_BUCKET, bucket.GetPath()}).GetBucket()
	if old != nil && !bytes.Equal(old.GetIncarnation(), bucket.GetIncarnation()) {
		return refuse(ErrConflict, "bucket %s exists with another incarnation: it was created again meanwhile", bucket.GetPath())
	}
	return nil
}

func (p *plan) keyRules(key *statepb.Key) error {
	if p.get(Key{statepb.Kind_KIND_TENANT, key.GetTenant()}) == nil {
		return refuse(ErrNotFound, "tenant %s does not exist", key.GetTenant())
	}
	old := p.before(Key{statepb.Kind_KIND_KEY, key.GetAccessKey()}).GetKey()
	if old != nil && old.GetTenant() != key.GetTenant() {
		return refuse(ErrExists, "access key %s exists already and belongs to tenant %s", key.GetAccessKey(), old.GetTenant())
	}
	return nil
}

func (p *plan) tokenRules(token *statepb.Token) error {
	if tenant := token.GetTenant(); tenant != "" && p.get(Key{statepb.Kind_KIND_TENANT, tenant}) == nil {
		return refuse(ErrNotFound, "tenant %s does not exist", tenant)
	}
	return nil
}

// serviceRules refuses a server that cannot be one, and a bucket on two links to
// the same site: both would carry the same records.
func (p *plan) serviceRules(service *statepb.Service) error {
	if err := p.serverRules(service); err != nil {
		return err
	}
	if len(service.GetPeer()) == 0 {
		return nil
	}
	var shared string
	other := p.first(statepb.Kind_KIND_SERVICE, "", func(o *statepb.Object) bool {
		s := o.GetService()
		if s.GetName() == service.GetName() || !bytes.Equal(s.GetPeer(), service.GetPeer()) {
			return false
		}
		shared = overlap(s.GetServes(), service.GetServes())
		return shared != ""
	})
	if other != "" {
		return refuse(ErrConflict, "service %s would serve %s, which service %s serves to the same site already", service.GetName(), shared, other)
	}
	return nil
}

// overlap is the first path that both lists serve, or "". A tenant's path
// covers its buckets.
func overlap(a, b []*statepb.Served) string {
	for _, x := range a {
		for _, y := range b {
			switch {
			case x.GetPath() == y.GetPath(), strings.HasPrefix(y.GetPath(), x.GetPath()+"/"):
				return y.GetPath()
			case strings.HasPrefix(x.GetPath(), y.GetPath()+"/"):
				return x.GetPath()
			}
		}
	}
	return ""
}

// Since is the epoch at which a site was restored from a backup last, or its first: the
// epochs since then go on from each other.
func Since(site *statepb.Site) uint32 {
	if s := site.GetSince(); s != 0 {
		return s
	}
	return site.GetEpoch()
}
