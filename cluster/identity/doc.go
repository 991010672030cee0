// Package identity holds who a node and a site are, and how they prove it.
//
// A node has an ed25519 key, made once and kept in the identity file of its
// data directory ([OpenNode]). A site has an ed25519 identity key
// ([SiteIdentity]); it signs a numbered [Roster] of the keys of the site's
// nodes. A node shows peers a self-signed certificate that carries the signed
// roster ([NewCertificate]); a peer believes it when the key that answers is in
// a roster signed by an identity it has pinned, and the roster is not older
// than one it has seen ([VerifyPeer]). No certificate authority and no clock
// take part. Sites come to pin each other with a [Token] that is used once.
//
// Secrets that the site keeps in its config are sealed under the [SiteKey].
// Values that hold secrets print as their public part only.
package identity
