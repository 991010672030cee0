package identity

import (
	"encoding/hex"
	"testing"

	"github.com/zeebo/blake3"
)

// TestGolden holds the bytes that other sites and stored files rely on. A change
// here is a change of the protocol or of a file format.
func TestGolden(t *testing.T) {
	site, key, member := testSite(t, 1)
	signed := sign(t, site, Roster{Number: 7, Members: []Member{member}})
	cert, err := NewCertificate(key, signed)
	if err != nil {
		t.Fatal(err)
	}
	var extension []byte
	for _, e := range cert.Leaf.Extensions {
		if e.Id.String() == "2.25.1769170807.1" {
			extension = e.Value
		}
	}
	token, err := NewToken(site.Site(), site.Public(), "hilo:14000", testTime, fixed(3))
	if err != nil {
		t.Fatal(err)
	}
	siteKey, err := NewSiteKey(fixed(4))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := siteKey.Seal(fixed(5), SealForS3Key(site.Site(), "AK"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	node := &Node{id: hex.EncodeToString(make([]byte, nodeIDBytes)), name: "n1", siteName: "hilo", key: hide(key), site: site.Site(), siteKey: siteKey}
	_, proof := token.Prove([]byte("transcript"))
	sum := func(b []byte) string { s := blake3.Sum256(b); return hex.EncodeToString(s[:8]) }
	for _, c := range []struct{ what, got, want string }{
		{"roster", sum(signed.Roster), "8c26feac114bce17"},
		{"signature", sum(signed.Signature), "654ca720bec94cd0"},
		{"extension", sum(extension), "a36a0170a233e108"},
		{"token", sum([]byte(token.Encode())), "bbd99c9e69e0fd9e"},
		{"token hash", token.Hash().String()[:16], "700defa3e657596f"},
		{"token proof", sum(proof), "b7c7b6ec98e94dd2"},
		{"sealed secret", sum(sealed), "b66ad4c1ae5ef5fe"},
		{"identity file", sum(node.encode()), "b1ba1b0550d59c22"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
}
