package state

import (
	"encoding/hex"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Key names a config object: its kind, and its name within the kind. The one
// site is named "site", pairings and invitations are named in hexadecimal, and
// every other object by the field that its message documents.
type Key struct {
	Kind statepb.Kind
	Name string
}

// SiteKey is the key of the one site object.
var SiteKey = Key{statepb.Kind_KIND_SITE, "site"}

// AuthorityKey is the key of the one certificate authority.
var AuthorityKey = Key{statepb.Kind_KIND_AUTHORITY, "authority"}

// AppliedKey is the key of the one list of plans that were carried out.
var AppliedKey = Key{statepb.Kind_KIND_APPLIED, "applied"}

// Proto is the key's form in a transaction.
func (k Key) Proto() *statepb.ObjectKey {
	return &statepb.ObjectKey{Kind: k.Kind, Name: k.Name}
}

// Check is the condition that the object has this revision, or, with revision
// 0, that it does not exist.
func (k Key) Check(revision uint64) *statepb.Check {
	return &statepb.Check{Key: k.Proto(), Revision: revision}
}

// String is the form in messages: "tenant Hawaii/Cola".
func (k Key) String() string {
	if k.Kind == statepb.Kind_KIND_SITE {
		return "the site"
	}
	return kindWord(k.Kind) + " " + k.Name
}

func kindWord(k statepb.Kind) string {
	switch k {
	case statepb.Kind_KIND_SITE:
		return "site"
	case statepb.Kind_KIND_NODE:
		return "node"
	case statepb.Kind_KIND_PAIRING:
		return "pairing"
	case statepb.Kind_KIND_INVITATION:
		return "invitation"
	case statepb.Kind_KIND_NAMESPACE:
		return "namespace"
	case statepb.Kind_KIND_TENANT:
		return "tenant"
	case statepb.Kind_KIND_BUCKET:
		return "bucket"
	case statepb.Kind_KIND_KEY:
		return "access key"
	case statepb.Kind_KIND_SERVICE:
		return "service"
	case statepb.Kind_KIND_TOKEN:
		return "token"
	case statepb.Kind_KIND_AUTHORITY:
		return "authority"
	case statepb.Kind_KIND_APPLIED:
		return "list of applied plans"
	}
	return "object of an unknown kind"
}

// Message is any message that a config object can hold.
type Message interface {
	*statepb.Site | *statepb.Node | *statepb.Pairing | *statepb.Invitation |
		*statepb.Namespace | *statepb.Tenant | *statepb.Bucket | *statepb.Key | *statepb.Service |
		*statepb.Token | *statepb.Authority | *statepb.Applied
}

// Wrap puts a message into an Object, the form that a transaction takes.
func Wrap[M Message](m M) *statepb.Object {
	switch m := any(m).(type) {
	case *statepb.Site:
		return &statepb.Object{Object: &statepb.Object_Site{Site: m}}
	case *statepb.Node:
		return &statepb.Object{Object: &statepb.Object_Node{Node: m}}
	case *statepb.Pairing:
		return &statepb.Object{Object: &statepb.Object_Pairing{Pairing: m}}
	case *statepb.Invitation:
		return &statepb.Object{Object: &statepb.Object_Invitation{Invitation: m}}
	case *statepb.Namespace:
		return &statepb.Object{Object: &statepb.Object_Namespace{Namespace: m}}
	case *statepb.Tenant:
		return &statepb.Object{Object: &statepb.Object_Tenant{Tenant: m}}
	case *statepb.Bucket:
		return &statepb.Object{Object: &statepb.Object_Bucket{Bucket: m}}
	case *statepb.Key:
		return &statepb.Object{Object: &statepb.Object_Key{Key: m}}
	case *statepb.Token:
		return &statepb.Object{Object: &statepb.Object_Token{Token: m}}
	case *statepb.Authority:
		return &statepb.Object{Object: &statepb.Object_Authority{Authority: m}}
	case *statepb.Applied:
		return &statepb.Object{Object: &statepb.Object_Applied{Applied: m}}
	default:
		return &statepb.Object{Object: &statepb.Object_Service{Service: any(m).(*statepb.Service)}}
	}
}

// KeyOf is the key of an object's content. An object without content, or of a
// kind that this version does not know, is [ErrInvalid].
func KeyOf(o *statepb.Object) (Key, error) {
	switch o := o.GetObject().(type) {
	case *statepb.Object_Site:
		return SiteKey, nil
	case *statepb.Object_Node:
		return Key{statepb.Kind_KIND_NODE, o.Node.GetId()}, nil
	case *statepb.Object_Pairing:
		return Key{statepb.Kind_KIND_PAIRING, hex.EncodeToString(o.Pairing.GetSite())}, nil
	case *statepb.Object_Invitation:
		return Key{statepb.Kind_KIND_INVITATION, hex.EncodeToString(o.Invitation.GetTokenHash())}, nil
	case *statepb.Object_Namespace:
		return Key{statepb.Kind_KIND_NAMESPACE, o.Namespace.GetName()}, nil
	case *statepb.Object_Tenant:
		return Key{statepb.Kind_KIND_TENANT, o.Tenant.GetPath()}, nil
	case *statepb.Object_Bucket:
		return Key{statepb.Kind_KIND_BUCKET, o.Bucket.GetPath()}, nil
	case *statepb.Object_Key:
		return Key{statepb.Kind_KIND_KEY, o.Key.GetAccessKey()}, nil
	case *statepb.Object_Service:
		return Key{statepb.Kind_KIND_SERVICE, o.Service.GetName()}, nil
	case *statepb.Object_Token:
		return Key{statepb.Kind_KIND_TOKEN, o.Token.GetName()}, nil
	case *statepb.Object_Authority:
		return AuthorityKey, nil
	case *statepb.Object_Applied:
		return AppliedKey, nil
	}
	return Key{}, invalid("config object has no content that this version knows")
}
