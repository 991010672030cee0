package catalog

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// NullVersion is the S3 version id of whatever was written while versioning was
// not enabled. A key has at most one such version that can be seen.
const NullVersion = "null"

// Fields of attributes of versions and of buckets.
const (
	FieldTags       = "tags"       // of a version or a bucket
	FieldRetention  = "retention"  // of a version
	FieldHold       = "hold"       // of a version
	FieldVersioning = "versioning" // of a bucket
	FieldCORS       = "cors"       // of a bucket
	FieldLock       = "lock"       // of a bucket
)

// versionIDs writes ids in lower-case base 32: no character needs escaping in a
// URL, and none is taken for an option on a command line.
var versionIDs = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// versionIDLen is the length of every version id but [NullVersion].
const versionIDLen = (dotLen*8 + 4) / 5

// VersionID returns the S3 version id of a version or a delete marker: its dot as
// 45 characters when it was written while versioning was enabled, else
// [NullVersion]. It is the same at every site.
func VersionID(r *pb.Record) string {
	if !HasID(r) || CheckDot(r.GetDot()) != nil {
		return NullVersion
	}
	return versionIDs.EncodeToString(appendDot(make([]byte, 0, dotLen), r.GetDot()))
}

// ParseVersionID undoes VersionID; null says that it is the null version's, and
// dot is nil then. The error says that no site ever gives out such an id.
func ParseVersionID(id string) (dot *pb.Dot, null bool, err error) {
	if id == NullVersion {
		return nil, true, nil
	}
	if len(id) != versionIDLen {
		return nil, false, fmt.Errorf("parse version id: %d characters, not %d", len(id), versionIDLen)
	}
	raw, err := versionIDs.DecodeString(id)
	if err != nil {
		return nil, false, fmt.Errorf("parse version id: %w", err)
	}
	if versionIDs.EncodeToString(raw) != id {
		return nil, false, fmt.Errorf("parse version id: bits are set behind its end")
	}
	dot = &pb.Dot{Origin: raw[:16], Epoch: binary.BigEndian.Uint32(raw[16:20]), Seq: binary.BigEndian.Uint64(raw[20:])}
	if err := CheckDot(dot); err != nil {
		return nil, false, fmt.Errorf("parse version id: %w", err)
	}
	return dot, false, nil
}

// Version is a version of a key, or a delete marker, as S3 shows it.
type Version struct {
	Record *pb.Record        // a VERSION or a TOMBSTONE
	Tags   map[string]string // those it has now; not to be changed
	Lock   Lock              // as it is now
	Latest bool              // it is the key's head
	Lost   bool              // it is listed as a conflict; set by History alone
}

// BucketAttributes are the settings of a bucket that all sites share.
type BucketAttributes struct {
	// Versioning is enabled wherever object lock is.
	Versioning pb.Versioning
	Tags       map[string]string // not to be changed
	CORS       []byte            // as the S3 server wrote them; nil if there are none
	Lock       *pb.DefaultLock   // never nil; not enabled where object lock is not
}
