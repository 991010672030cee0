package state

import (
	"net/netip"
	"strings"
)

// Path names a namespace, a tenant or a bucket: "Hawaii", "Hawaii/Cola" or
// "Hawaii/Cola/bk1". A Path made by [ParsePath] holds valid names only; the
// zero Path names nothing.
type Path struct {
	Namespace string
	Tenant    string // empty for a namespace
	Bucket    string // empty for a namespace or a tenant
}

// ParsePath splits and validates a path of one to three names. Namespaces and
// tenants are 1 to 63 of the characters A-Z a-z 0-9 . _ - and begin with a
// letter or a digit. A bucket follows the rules of S3, so that every S3 client
// can use it. Errors are [ErrInvalid] and name the part that is wrong.
func ParsePath(s string) (Path, error) {
	parts := strings.Split(s, "/")
	if s == "" || len(parts) > 3 {
		return Path{}, invalid("path %q is not NAMESPACE[/TENANT[/BUCKET]]", s)
	}
	p := Path{Namespace: parts[0]}
	if err := checkName("namespace", p.Namespace); err != nil {
		return Path{}, err
	}
	if len(parts) > 1 {
		p.Tenant = parts[1]
		if err := checkName("tenant", p.Tenant); err != nil {
			return Path{}, err
		}
	}
	if len(parts) > 2 {
		p.Bucket = parts[2]
		if err := checkBucketName(p.Bucket); err != nil {
			return Path{}, err
		}
	}
	return p, nil
}

// String joins the names with slashes; ParsePath reads it back.
func (p Path) String() string {
	switch p.Depth() {
	case 0:
		return ""
	case 1:
		return p.Namespace
	case 2:
		return p.Namespace + "/" + p.Tenant
	}
	return p.Namespace + "/" + p.Tenant + "/" + p.Bucket
}

// Depth is 1 for a namespace, 2 for a tenant, 3 for a bucket and 0 for the
// zero Path.
func (p Path) Depth() int {
	switch {
	case p.Bucket != "":
		return 3
	case p.Tenant != "":
		return 2
	case p.Namespace != "":
		return 1
	}
	return 0
}

// Parent is the tenant of a bucket and the namespace of a tenant; the parent
// of a namespace is the zero Path.
func (p Path) Parent() Path {
	switch p.Depth() {
	case 3:
		return Path{Namespace: p.Namespace, Tenant: p.Tenant}
	case 2:
		return Path{Namespace: p.Namespace}
	}
	return Path{}
}

// CheckName says whether a name may be given to a namespace, tenant, site,
// node or service; what is the word for it in the error, which is [ErrInvalid].
func CheckName(what, name string) error { return checkName(what, name) }

const maxName = 63

func checkName(what, name string) error {
	if name == "" {
		return invalid("%s name is empty", what)
	}
	if len(name) > maxName {
		return invalid("%s name %q is longer than %d characters", what, name, maxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum || i > 0 && (c == '.' || c == '_' || c == '-') {
			continue
		}
		return invalid("%s name %q is not made of letters, digits, '.', '_' and '-', beginning with a letter or digit", what, name)
	}
	return nil
}

func checkBucketName(name string) error {
	if len(name) < 3 || len(name) > maxName {
		return invalid("bucket name %q is not 3 to %d characters long", name, maxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1
		if alnum || inner && (c == '-' || c == '.' && name[i-1] != '.') {
			continue
		}
		return invalid("bucket name %q is not made of lower-case letters, digits, '.' and '-', beginning and ending with a letter or digit", name)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return invalid("bucket name %q looks like an IP address", name)
	}
	return nil
}
