package state

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Limits of the settings of links.
const (
	MaxPrefixes     = 64       // in each of Served.include and Served.exclude
	MaxAnnotations  = 64       // of a service, and labels of a node
	MaxPlacement    = 16 << 10 // bytes of Service.placement
	MaxLimitWindows = 16       // of Limit.windows

	// MinChunkCache is the least bound of a link's buffers and caches: less than
	// this does not hold the chunks of one request in each direction.
	MinChunkCache = 8 << 20

	maxPrefix     = 1024 // bytes of a prefix of keys, as many as a key has
	maxAnnotation = 4096 // bytes of an annotation's value
	maxQuantity   = 1 << 60
	minutesPerDay = 24 * 60
)

// Values of Service.profile and Site.profile. Empty in a service is the site's,
// and empty in the site is ProfilePerformance.
const (
	ProfilePerformance = "performance"
	ProfileEmbedded    = "embedded"
)

// DeletesKeep as Served.deletes keeps deletions from travelling, in both
// directions; empty lets them.
const DeletesKeep = "keep"

// EffectiveProfile resolves the profile of a link: its own, else the site's,
// else ProfilePerformance. Either may be nil.
func EffectiveProfile(s *statepb.Service, site *statepb.Site) string {
	switch {
	case s.GetProfile() != "":
		return s.GetProfile()
	case site.GetProfile() != "":
		return site.GetProfile()
	}
	return ProfilePerformance
}

// ServedFor returns the entry by which a service serves a bucket: the bucket's
// own, which goes before its tenant's; nil when it is not served.
func ServedFor(s *statepb.Service, bucketPath string) *statepb.Served {
	tenant, _, _ := cutLast(bucketPath)
	for _, path := range []string{bucketPath, tenant} {
		if i, found := slices.BinarySearchFunc(s.GetServes(), path, func(v *statepb.Served, path string) int {
			return strings.Compare(v.GetPath(), path)
		}); found {
			return s.GetServes()[i]
		}
	}
	return nil
}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	return path[:i], path[i+1:], true
}

// ServesKey says whether the options of a served path let a key through: it has
// one of the included prefixes, where there are such, and no excluded one.
func ServesKey(served *statepb.Served, key string) bool {
	has := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
	if slices.ContainsFunc(served.GetExclude(), has) {
		return false
	}
	return len(served.GetInclude()) == 0 || slices.ContainsFunc(served.GetInclude(), has)
}

// ServedSends says whether a path's records leave this site: its own direction
// can only narrow that of its service.
func ServedSends(s *statepb.Service, served *statepb.Served) bool {
	return Sends(s) && served.GetDirection() != DirectionReceive
}

// ServedReceives says whether a path's records come to this site, as
// [ServedSends] says of those that leave it.
func ServedReceives(s *statepb.Service, served *statepb.Served) bool {
	return Receives(s) && served.GetDirection() != DirectionSend
}

// validateLink looks at the settings that only links have.
func validateLink(s *statepb.Service) error {
	name := s.GetName()
	if err := validateResyncs(s); err != nil {
		return err
	}
	if s.GetLocal() != "" {
		if err := checkAddress("service "+name+": local address", s.GetLocal()); err != nil {
			return err
		}
	}
	if n := s.GetChunkCache(); n != 0 && (n < MinChunkCache || n > maxQuantity) {
		return invalid("service %s: a chunk cache of %d bytes is not from %d to %d", name, n, MinChunkCache, uint64(maxQuantity))
	}
	if err := checkProfile("service "+name, s.GetProfile()); err != nil {
		return err
	}
	for _, limit := range []*statepb.Limit{s.GetSendLimit(), s.GetReceiveLimit()} {
		if err := validateLimit(name, limit); err != nil {
			return err
		}
	}
	if s.GetServer() != "" {
		if err := checkName("service", s.GetServer()); err != nil {
			return err
		}
	}
	if err := validateAnnotations("service "+name+": annotation", s.GetAnnotations()); err != nil {
		return err
	}
	for _, n := range []uint64{s.GetResources().GetRequestCpu(), s.GetResources().GetRequestMemory(), s.GetResources().GetLimitCpu(), s.GetResources().GetLimitMemory()} {
		if n > maxQuantity {
			return invalid("service %s: a resource of %d is more than %d", name, n, uint64(maxQuantity))
		}
	}
	if n := len(s.GetPlacement()); n > MaxPlacement {
		return invalid("service %s: its placement has %d bytes, more than %d", name, n, MaxPlacement)
	} else if n > 0 && !json.Valid(s.GetPlacement()) {
		return invalid("service %s: its placement is no JSON", name)
	}
	return nil
}

func checkProfile(what, profile string) error {
	switch profile {
	case "", ProfilePerformance, ProfileEmbedded:
		return nil
	}
	return invalid("%s: unknown resource profile %q: use %s or %s", what, profile, ProfilePerformance, ProfileEmbedded)
}

func validateLimit(name string, limit *statepb.Limit) error {
	if n := len(limit.GetWindows()); n > MaxLimitWindows {
		return invalid("service %s: a limit has %d times of day, more than %d", name, n, MaxLimitWindows)
	}
	for _, w := range limit.GetWindows() {
		if w.GetFrom() >= minutesPerDay || w.GetTo() >= minutesPerDay {
			return invalid("service %s: a limit's time of day from minute %d to %d is not within a day", name, w.GetFrom(), w.GetTo())
		}
	}
	return nil
}

// CheckAnnotations says whether annotations may be given to a service, or labels
// to a node; what is the word for one in the error, which is [ErrInvalid].
func CheckAnnotations(what string, all []*statepb.Annotation) error {
	return validateAnnotations(what, all)
}

// validateAnnotations looks at annotations, or at the labels of a node: names as
// Kubernetes has them, in order and each once.
func validateAnnotations(what string, all []*statepb.Annotation) error {
	if len(all) > MaxAnnotations {
		return invalid("%ss: %d are more than %d", what, len(all), MaxAnnotations)
	}
	for i, a := range all {
		if err := checkQualified(what, a.GetName()); err != nil {
			return err
		}
		if len(a.GetValue()) > maxAnnotation || !utf8.ValidString(a.GetValue()) {
			return invalid("%s %s: its value is not UTF-8 of at most %d bytes", what, a.GetName(), maxAnnotation)
		}
		if i > 0 && all[i-1].GetName() >= a.GetName() {
			return invalid("%ss are not in order without duplicates: %s before %s", what, all[i-1].GetName(), a.GetName())
		}
	}
	return nil
}

// checkQualified wants a name of Kubernetes: NAME or DOMAIN/NAME.
func checkQualified(what, name string) error {
	domain, last, has := strings.Cut(name, "/")
	if !has {
		domain, last = "", name
	}
	if len(domain) > 253 || has && domain == "" || strings.ContainsFunc(domain, func(r rune) bool { return !letterOrDigit(r) && r != '.' && r != '-' }) {
		return invalid("%s %q: what is before the slash is no domain", what, name)
	}
	return checkName(what, last)
}

func letterOrDigit(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// validateServed looks at the options of one served path.
func validateServed(service string, s *statepb.Served) error {
	for _, list := range []struct {
		what     string
		prefixes []string
	}{{"included", s.GetInclude()}, {"excluded", s.GetExclude()}} {
		if n := len(list.prefixes); n > MaxPrefixes {
			return invalid("service %s: %s has %d %s prefixes, more than %d", service, s.GetPath(), n, list.what, MaxPrefixes)
		}
		for i, prefix := range list.prefixes {
			if prefix == "" || len(prefix) > maxPrefix || !utf8.ValidString(prefix) {
				return invalid("service %s: %s has an %s prefix that is not UTF-8 of 1 to %d bytes", service, s.GetPath(), list.what, maxPrefix)
			}
			if i > 0 && list.prefixes[i-1] >= prefix {
				return invalid("service %s: the %s prefixes of %s are not in order without duplicates", service, list.what, s.GetPath())
			}
		}
	}
	switch s.GetDirection() {
	case "", DirectionSend, DirectionReceive:
	default:
		return invalid("service %s: unknown direction %q of %s: use %s or %s", service, s.GetDirection(), s.GetPath(), DirectionSend, DirectionReceive)
	}
	switch s.GetDeletes() {
	case "", DeletesKeep:
		return nil
	}
	return invalid("service %s: unknown way %q of deletes of %s: use %s", service, s.GetDeletes(), s.GetPath(), DeletesKeep)
}

// serverRules keeps groups of services one level deep: a service that makes use
// of another's endpoint is no endpoint for others.
func (p *plan) serverRules(service *statepb.Service) error {
	name, server := service.GetName(), service.GetServer()
	if server == "" {
		return nil
	}
	if server == name {
		return invalid("service %s cannot be its own server", name)
	}
	of := p.get(Key{statepb.Kind_KIND_SERVICE, server}).GetService()
	switch {
	case of == nil:
		return refuse(ErrNotFound, "service %s does not exist, so it cannot be the server of service %s", server, name)
	case of.GetType() != TypeLink:
		return refuse(ErrConflict, "service %s is of type %s, so it cannot be the server of service %s", server, of.GetType(), name)
	case of.GetServer() != "":
		return refuse(ErrConflict, "service %s makes use of server %s itself, so it cannot be the server of service %s", server, of.GetServer(), name)
	}
	if client := p.client(name); client != "" {
		return refuse(ErrConflict, "service %s is the server of service %s, so it cannot make use of server %s", name, client, server)
	}
	return nil
}

// client is a service that makes use of a server, or "".
func (p *plan) client(server string) string {
	return p.first(statepb.Kind_KIND_SERVICE, "", func(o *statepb.Object) bool { return o.GetService().GetServer() == server })
}

// deleteServiceRules keeps a server while services make use of it.
func (p *plan) deleteServiceRules(name string) error {
	if client := p.client(name); client != "" {
		return refuse(ErrNotEmpty, "service %s is still the server of service %s: give that another server first", name, client)
	}
	return nil
}
