package state

import (
	"cmp"
	"slices"
	"strings"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// maxChanges bounds the objects of one transaction.
const maxChanges = 4096

// Check says whether Apply would accept a transaction now. It changes nothing.
func (c *Config) Check(txn *statepb.Txn) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, err := c.plan(txn)
	return err
}

// Apply carries out a transaction, all of it or, with an error, nothing.
// Its checks are evaluated against the config as it is; the rules hold for the
// config as the transaction leaves it, so the order of its puts and deletes
// does not matter. revision is given to every object put and becomes the
// config's; it must be greater than [Config.Revision].
//
// Apply keeps the messages of the transaction: the caller must not change them
// afterwards. The changes are returned ordered by kind and name. Errors are
// *[Error]: ErrConflict, ErrExists and ErrNotFound when a check or a needed
// object is not as expected, ErrNotEmpty when a namespace or tenant to be
// deleted has something below it, ErrInvalid for everything else.
func (c *Config) Apply(txn *statepb.Txn, revision uint64) ([]Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision <= c.revision {
		return nil, invalid("revision %d is not above the config's, %d", revision, c.revision)
	}
	p, err := c.plan(txn)
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(p.changed))
	for key, object := range p.changed {
		change := Change{Key: key}
		if object != nil {
			change.Stored = &statepb.Stored{Object: object, Revision: revision}
		}
		changes = append(changes, change)
	}
	if name := txn.GetPlan(); len(name) > 0 {
		changes = append(changes, Change{AppliedKey, c.remember(name, revision)})
	}
	slices.SortFunc(changes, func(a, b Change) int { return compareKeys(a.Key, b.Key) })
	for _, change := range changes {
		c.set(change)
	}
	c.revision = revision
	c.notify()
	return changes, nil
}

// set stores or removes one object; c.mu is held.
func (c *Config) set(change Change) {
	entries := c.kinds[change.Key.Kind]
	i, found := find(entries, change.Key.Name)
	switch {
	case change.Stored == nil:
		entries = slices.Delete(entries, i, i+1) // plan saw that it exists
	case found:
		entries[i].stored = change.Stored
	default:
		entries = slices.Insert(entries, i, entry{change.Key.Name, change.Stored})
	}
	c.kinds[change.Key.Kind] = entries
}

// plan is a transaction on top of a config: what the config would be.
type plan struct {
	base    *Config
	changed map[Key]*statepb.Object // nil: deleted
	order   []Key                   // the keys of changed, in the transaction's order
}

// plan evaluates a transaction against the config; c.mu is held. The order in
// which faults are found is fixed, so that every node gives the same refusal.
func (c *Config) plan(txn *statepb.Txn) (*plan, error) {
	if n := len(txn.GetPuts()) + len(txn.GetDeletes()); n == 0 {
		return nil, invalid("transaction changes nothing")
	} else if n > maxChanges {
		return nil, invalid("transaction changes %d objects, more than %d", n, maxChanges)
	}
	if err := c.checkPlan(txn.GetPlan()); err != nil {
		return nil, err
	}
	for _, check := range txn.GetChecks() {
		if err := c.check(check); err != nil {
			return nil, err
		}
	}
	p := &plan{base: c, changed: make(map[Key]*statepb.Object, len(txn.GetPuts())+len(txn.GetDeletes()))}
	for _, object := range txn.GetPuts() {
		key, err := KeyOf(object)
		if err != nil {
			return nil, err
		}
		if err := validate(object); err != nil {
			return nil, err
		}
		if err := p.add(key, object); err != nil {
			return nil, err
		}
	}
	for _, k := range txn.GetDeletes() {
		key := Key{k.GetKind(), k.GetName()}
		if c.get(key) == nil {
			return nil, refuse(ErrNotFound, "%s does not exist", key)
		}
		if err := p.add(key, nil); err != nil {
			return nil, err
		}
	}
	if p.get(SiteKey) == nil {
		if _, deleted := p.changed[SiteKey]; deleted {
			return nil, invalid("the site itself cannot be deleted")
		}
		return nil, invalid("the site is not initialised")
	}
	for _, key := range p.order {
		if err := p.rules(key, p.changed[key]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// check evaluates one check; c.mu is held.
func (c *Config) check(check *statepb.Check) error {
	key := Key{check.GetKey().GetKind(), check.GetKey().GetName()}
	stored := c.get(key)
	switch {
	case check.GetRevision() == 0 && stored != nil:
		return refuse(ErrExists, "%s exists already", key)
	case check.GetRevision() != 0 && stored == nil:
		return refuse(ErrNotFound, "%s does not exist any more", key)
	case check.GetRevision() != stored.GetRevision():
		return refuse(ErrConflict, "%s was changed meanwhile: it has revision %d, not %d", key, stored.GetRevision(), check.GetRevision())
	}
	return nil
}

func (p *plan) add(key Key, object *statepb.Object) error {
	if key.Kind == statepb.Kind_KIND_APPLIED {
		return invalid("the %s is kept by the state and is not changed", kindWord(key.Kind))
	}
	if _, twice := p.changed[key]; twice {
		return invalid("transaction changes %s twice", key)
	}
	p.changed[key] = object
	p.order = append(p.order, key)
	return nil
}

// get returns an object as the transaction leaves it, or nil.
func (p *plan) get(key Key) *statepb.Object {
	if object, ok := p.changed[key]; ok {
		return object
	}
	return p.base.get(key).GetObject()
}

// before returns an object as it was, or nil.
func (p *plan) before(key Key) *statepb.Object { return p.base.get(key).GetObject() }

// first returns the smallest name among the objects of a kind that the
// transaction leaves, that have a name prefix and that match, or "".
func (p *plan) first(kind statepb.Kind, prefix string, match func(*statepb.Object) bool) string {
	best := ""
	for _, e := range p.base.withPrefix(kind, prefix) {
		if object := p.get(Key{kind, e.name}); object != nil && match(object) {
			best = e.name
			break
		}
	}
	for _, key := range p.order {
		object := p.changed[key]
		if key.Kind == kind && object != nil && strings.HasPrefix(key.Name, prefix) && match(object) &&
			(best == "" || key.Name < best) {
			best = key.Name
		}
	}
	return best
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}
