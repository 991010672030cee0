package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"edgefog.dev/isgw/raftfsm/state"
	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// The identity file is text, a field a line, in this order. The last line is
// the BLAKE3 of everything above it.
//
//	isgw node identity 1
//	node: 32 hexadecimal digits
//	node-name: NAME
//	site-name: NAME
//	node-key: base64 of the ed25519 seed
//	next-node-key: base64 of the ed25519 seed  (while the key is being replaced)
//	site: 32 hexadecimal digits       (once the site is initialised)
//	site-key: base64 of 32 bytes      (with site)
//	checksum: 64 hexadecimal digits
const (
	fileHeader    = "isgw node identity 1\n"
	checksumField = "checksum: "
	maxFileBytes  = 4096
)

// damaged is the sentence for an identity file that cannot be used.
func damaged(path string, err error) error {
	return fmt.Errorf("identity file %s is damaged (%w): restore it from a backup; without it this node cannot prove who it is", path, err)
}

// encode gives the content of the identity file.
func (n *Node) encode() []byte {
	var b bytes.Buffer
	b.WriteString(fileHeader)
	fmt.Fprintf(&b, "node: %s\nnode-name: %s\nsite-name: %s\n", n.id, n.name, n.siteName)
	fmt.Fprintf(&b, "node-key: %s\n", base64.StdEncoding.EncodeToString(n.key().Seed()))
	if n.next != nil {
		fmt.Fprintf(&b, "next-node-key: %s\n", base64.StdEncoding.EncodeToString(n.next().Seed()))
	}
	if !n.site.IsZero() {
		fmt.Fprintf(&b, "site: %s\nsite-key: %s\n", n.site, base64.StdEncoding.EncodeToString(n.siteKey.key()))
	}
	fmt.Fprintf(&b, "%s%x\n", checksumField, blake3.Sum256(b.Bytes()))
	return b.Bytes()
}

// decodeNode reads the content of an identity file. Its errors show no content.
func decodeNode(raw []byte) (*Node, error) {
	body, found := bytes.CutPrefix(raw, []byte(fileHeader))
	if !found {
		return nil, errors.New("its first line is wrong")
	}
	at := bytes.LastIndex(body, []byte(checksumField))
	if at < 0 {
		return nil, errors.New("its end is missing")
	}
	sum := blake3.Sum256(raw[:len(fileHeader)+at])
	if string(body[at:]) != checksumField+hex.EncodeToString(sum[:])+"\n" {
		return nil, errors.New("its checksum is wrong")
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(body[:at])) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if _, twice := fields[name]; !ok || twice {
			return nil, errors.New("a line is not a field")
		}
		fields[name] = value
	}
	n := &Node{id: fields["node"], name: fields["node-name"], siteName: fields["site-name"]}
	if id, err := hex.DecodeString(n.id); err != nil || len(id) != nodeIDBytes {
		return nil, errors.New("its node id is wrong")
	}
	if state.CheckName("node", n.name) != nil || state.CheckName("site", n.siteName) != nil {
		return nil, errors.New("a name in it is wrong")
	}
	var err error
	if n.key, err = decodeKey(fields["node-key"]); err != nil {
		return nil, errors.New("its node key is wrong")
	}
	if text, ok := fields["next-node-key"]; ok {
		if n.next, err = decodeKey(text); err != nil {
			return nil, errors.New("its next node key is wrong")
		}
	}
	if fields["site"] == "" {
		return n, nil
	}
	if n.site, err = state.ParseSiteID(fields["site"]); err != nil {
		return nil, errors.New("its site id is wrong")
	}
	key, err := base64.StdEncoding.DecodeString(fields["site-key"])
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, errors.New("its site key is wrong")
	}
	n.siteKey = SiteKey{hide(key)}
	return n, nil
}

// decodeKey reads the seed of a key.
func decodeKey(text string) (veil[ed25519.PrivateKey], error) {
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("not a seed")
	}
	return hide(ed25519.NewKeyFromSeed(seed)), nil
}
