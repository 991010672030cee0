package state

import (
	"strings"
	"unicode/utf8"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Values of Key.role.
const (
	KeyReadOnly  = "read-only"
	KeyReadWrite = "read-write" // the default
	KeyAdmin     = "admin"
)

// KeyRoles are the roles of S3 access keys, from the one that may do least.
var KeyRoles = []string{KeyReadOnly, KeyReadWrite, KeyAdmin}

// Values of Bucket.ownership, as S3 names them.
const (
	OwnershipEnforced  = "BucketOwnerEnforced" // the default: ACLs are off
	OwnershipPreferred = "BucketOwnerPreferred"
	OwnershipWriter    = "ObjectWriter"
)

// maxKeyPrefix is the greatest prefix, in bytes, that a key is restricted to: a
// bucket's name, a slash and an object's key.
const maxKeyPrefix = 63 + 1 + 1024

// KeyRole is the role of an access key, the default when it names none.
func KeyRole(k *statepb.Key) string {
	if k.GetRole() == "" {
		return KeyReadWrite
	}
	return k.GetRole()
}

// SplitKeyPrefix divides what a key is restricted to into the last name of a
// bucket and the prefix of the objects' keys in it, which is empty when the key
// may use the whole bucket. The bucket is empty when the key is not restricted.
func SplitKeyPrefix(prefix string) (bucket, objects string) {
	bucket, objects, _ = strings.Cut(prefix, "/")
	return bucket, objects
}

// validateKeyRights checks an access key's role and restriction.
func validateKeyRights(k *statepb.Key) error {
	name := k.GetAccessKey()
	switch k.GetRole() {
	case "", KeyReadOnly, KeyReadWrite, KeyAdmin:
	default:
		return invalid("access key %s: unknown role %q: use %s", name, k.GetRole(), strings.Join(KeyRoles, ", "))
	}
	if k.GetPrefix() == "" {
		return nil
	}
	if len(k.GetPrefix()) > maxKeyPrefix || !utf8.ValidString(k.GetPrefix()) {
		return invalid("access key %s: its prefix is longer than %d bytes or no UTF-8", name, maxKeyPrefix)
	}
	bucket, _ := SplitKeyPrefix(k.GetPrefix())
	if p, err := ParsePath(k.GetTenant() + "/" + bucket); err != nil || p.Depth() != 3 {
		return invalid("access key %s: prefix %q does not begin with the last name of a bucket: use BUCKET or BUCKET/PREFIX", name, k.GetPrefix())
	}
	return nil
}
