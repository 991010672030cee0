package identity

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"edgefog.dev/isgw/raftfsm/state"
)

// FileName is the name of the identity file in a data directory.
const FileName = "node.identity"

// tempPrefix begins the names of identity files that are being written.
const tempPrefix = ".node.identity-"

// nodeIDBytes is how many random bytes name a node; the id is their hexadecimal.
const nodeIDBytes = 16

// Node is who a node is: the content of its identity file. It prints without
// its keys. Any number of goroutines may use it at once.
type Node struct {
	dir      string
	id       string
	name     string
	siteName string

	mu      sync.Mutex
	key     veil[ed25519.PrivateKey]
	next    veil[ed25519.PrivateKey] // that is to replace key; nil when none is
	site    state.SiteID
	siteKey SiteKey
}

// NodeOptions are what the operator says of the node.
type NodeOptions struct {
	SiteName string // required
	// NodeName names a new node, "node-" and the beginning of its id by
	// default. When it is given for a node that exists it must be its name.
	NodeName string
	// Rand is where a new node's id and key come from; crypto/rand by default.
	Rand io.Reader
}

// OpenNode reads the identity file of a data directory, or makes the directory
// and the file when there is none yet. It must come before anything else is
// put into the directory: files without an identity file mean that the identity
// was lost, and that is refused. Errors are one sentence for the operator with
// the path and what to do.
func OpenNode(dir string, o NodeOptions) (*Node, error) {
	if err := state.CheckName("site", o.SiteName); err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	if o.NodeName != "" {
		if err := state.CheckName("node", o.NodeName); err != nil {
			return nil, fmt.Errorf("open data directory %s: %w", dir, err)
		}
	}
	if err := MakeDir(dir); err != nil {
		return nil, err
	}
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return createNode(dir, o)
	case err != nil:
		return nil, fmt.Errorf("open identity file %s: %w", path, reason(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("identity file %s is not a regular file: move it away and restore the file from a backup", path)
	case info.Size() > maxFileBytes:
		return nil, damaged(path, fmt.Errorf("it has %d bytes", info.Size()))
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read identity file %s: %w: start the node as the user that owns its data directory", path, reason(err))
	}
	n, err := decodeNode(raw)
	if err != nil {
		return nil, damaged(path, err)
	}
	n.dir = dir
	if n.siteName != o.SiteName {
		return nil, fmt.Errorf("data directory %s belongs to site %s, not to %s: start the node with that site name, or give it another directory", dir, n.siteName, o.SiteName)
	}
	if o.NodeName != "" && n.name != o.NodeName {
		return nil, fmt.Errorf("data directory %s belongs to node %s of site %s, not to node %s: start it with that node name, or give it another directory", dir, n.name, n.siteName, o.NodeName)
	}
	// Rights may have been widened by a copy; the keys must not stay readable.
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, fmt.Errorf("identity file %s can be read by others and that cannot be changed: %w: set its mode to 0600", path, reason(err))
		}
	}
	return n, nil
}

// MakeDir makes sure that dir is a directory, durably, for whoever has something to do
// there before OpenNode: a lock. Its errors are as OpenNode's.
func MakeDir(dir string) error { return makeDir(dir, syncDir) }

// makeDir makes what is missing of dir's path, from the outermost on, and the name of each
// durable before the next. So a crash leaves at most the innermost of what there is with
// a name that is not, and that is made up for by the next call.
func makeDir(dir string, syncDir func(string) error) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("data directory %s is a file: give the path of a directory", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open data directory %s: %w", dir, reason(err))
	}
	var missing []string // the innermost first
	there := filepath.Clean(dir)
	for ; errors.Is(err, fs.ErrNotExist) && filepath.Dir(there) != there; _, err = os.Stat(there) {
		missing = append(missing, there)
		there = filepath.Dir(there)
	}
	// Whoever may not read the directory above has not made this one, and what lies on a
	// file system that does not sync directories is as durable as it gets.
	if err := syncDir(filepath.Dir(there)); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("make data directory %s: sync %s: %w", dir, filepath.Dir(there), reason(err))
	}
	for _, d := range slices.Backward(missing) {
		err := os.Mkdir(d, 0o700)
		if err == nil || errors.Is(err, fs.ErrExist) {
			err = syncDir(filepath.Dir(d))
		}
		if err != nil {
			return fmt.Errorf("make data directory %s: %w", dir, reason(err))
		}
	}
	return nil
}

// removeUnfinished removes identity files that a crash left half written.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory %s: %w: start the node as the user that owns it", dir, reason(err))
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove unfinished identity file: %w", err)
			}
		}
	}
	return nil
}

// createNode makes a new node in an empty directory.
func createNode(dir string, o NodeOptions) (*Node, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read data directory %s: %w", dir, reason(err))
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system of its own
			return nil, fmt.Errorf("data directory %s holds %s but no identity file %s: restore that file from a backup, or give the node an empty directory", dir, e.Name(), FileName)
		}
	}
	id := make([]byte, nodeIDBytes)
	if _, err := io.ReadFull(random(o.Rand), id); err != nil {
		return nil, fmt.Errorf("draw node id: %w", err)
	}
	n := &Node{dir: dir, id: hex.EncodeToString(id), name: o.NodeName, siteName: o.SiteName}
	if n.name == "" {
		n.name = "node-" + n.id[:8]
	}
	key, err := newKey(o.Rand)
	if err != nil {
		return nil, fmt.Errorf("draw node key: %w", err)
	}
	n.key = hide(key)
	if err := n.write(); err != nil {
		return nil, err
	}
	return n, nil
}

// ID is the node's random id.
func (n *Node) ID() string { return n.id }

// Name is the node's name.
func (n *Node) Name() string { return n.name }

// SiteName is the name of the node's site.
func (n *Node) SiteName() string { return n.siteName }

// Public is the node's public key.
func (n *Node) Public() ed25519.PublicKey { return public(n.Key()) }

// Key is the node's private key, for certificates. Another one takes its place
// when it is replaced, so it is asked for each time that it is used.
func (n *Node) Key() ed25519.PrivateKey {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.key()
}

// DrawKey returns the public part of a key that can take the place of the
// node's: it is durable in the identity file when DrawKey returns. A key that
// was drawn before and never taken is returned again.
func (n *Node) DrawKey(r io.Reader) (ed25519.PublicKey, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		return public(n.next()), nil
	}
	key, err := newKey(r)
	if err != nil {
		return nil, fmt.Errorf("draw node key: %w", err)
	}
	n.next = hide(key)
	if err := n.write(); err != nil {
		n.next = nil
		return nil, err
	}
	return public(key), nil
}

// TakeKey makes the node use the key of the public part given, which is the one
// it uses or the one that was drawn. It is called with what the site's config
// says, at each start too: a crash after the site took over a key is made up for
// here. The key before is forgotten.
func (n *Node) TakeKey(pub ed25519.PublicKey) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if public(n.key()).Equal(pub) {
		return nil
	}
	if n.next == nil || !public(n.next()).Equal(pub) {
		return fmt.Errorf("node %s has not the key that its site knows it by: restore %s from a backup", n.name, filepath.Join(n.dir, FileName))
	}
	key, next := n.key, n.next
	n.key, n.next = next, nil
	if err := n.write(); err != nil {
		n.key, n.next = key, next
		return err
	}
	return nil
}

// Site returns the site's id and key; the id is zero before the site is
// initialised.
func (n *Node) Site() (state.SiteID, SiteKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.site, n.siteKey
}

// SetSite puts the node into a site: the id and the key are durable in the
// identity file when it returns nil. Saying the same again changes nothing; a
// node that is in a site already does not change to another, nor to another key.
// It is called before the site is proposed, so that a crash in between leaves a
// key without a site, which a repeated init uses, and never a site without its key.
func (n *Node) SetSite(site state.SiteID, key SiteKey) error {
	if site.IsZero() || key.IsZero() {
		return errors.New("set site of node: the site id or the site key is empty")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.site.IsZero() {
		if n.site == site && n.siteKey.Equal(key) {
			return nil
		}
		return fmt.Errorf("data directory %s is in site %s (%s) already", n.dir, n.siteName, n.site)
	}
	n.site, n.siteKey = site, key
	if err := n.write(); err != nil {
		n.site, n.siteKey = state.SiteID{}, SiteKey{}
		return err
	}
	return nil
}

// Format shows who the node is and no key.
func (n *Node) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "node %s (%s) of site %s", n.name, n.id, n.siteName)
}

// LogValue shows who the node is and no key.
func (n *Node) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(n)) }

// write puts the identity file in place of the old one, durably: at every
// moment of a crash there is the old file or the new one.
func (n *Node) write() (err error) {
	path := filepath.Join(n.dir, FileName)
	defer func() {
		if err != nil {
			err = fmt.Errorf("write identity file %s: %w", path, reason(err))
		}
	}()
	f, err := os.CreateTemp(n.dir, tempPrefix+"*") // with mode 0600
	if err != nil {
		return err
	}
	placed := false
	defer func() {
		if !placed {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(n.encode()); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	placed = true
	return syncDir(n.dir)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// reason takes the path out of an error of package os: our sentences name it
// themselves.
func reason(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}
