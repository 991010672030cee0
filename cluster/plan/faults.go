package plan

import (
	"fmt"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Pending is what is not applied of what a link brings, by why it is not.
type Pending struct {
	Quarantined  uint64 // tried again by themselves
	Skipped      uint64 // given up by an operator
	Transferring uint64 // long on their way
}

// maxKeySteps is the most keys that a plan names one by one.
const maxKeySteps = 20

// retryFaults plans to fetch versions again at once: those of keys in a bucket, or all
// that are in quarantine.
func (b *builder) retryFaults(name, bucket string, keys []string) error {
	if (len(keys) > 0) != (bucket != "") {
		return invalid("the request does not say which versions are to be retried").next("name a bucket and keys, or neither for all that are in quarantine")
	}
	named := len(keys) > 0
	service, all, err := b.pending(name, bucket, &keys, func(p Pending) bool { return p.Quarantined+p.Skipped > 0 })
	if err != nil {
		return err
	}
	b.Plan.Command = "isgwctl link retry " + name + objects(bucket, keys)
	n := all.Quarantined
	if named {
		n += all.Skipped // which are retried by their names only
	}
	switch {
	case n == 0 && named:
		b.Plan.Impact = "Nothing: none of that is in quarantine or skipped."
		return nil
	case n == 0:
		b.Plan.Impact = "Nothing: none of that is in quarantine."
		return nil
	case named:
		b.keySteps("~", "retry", bucket, keys, "fetched again at once")
	default:
		b.step("~", "retry", name, "%d %s in quarantine: fetched again at once", n, plural(int(n), "version", "versions"))
	}
	b.Amends = true
	b.running(service)
	if service.GetPaused() {
		b.check(warning, "paused", "link %s is paused: it is fetched when the link is resumed", name)
	}
	b.Plan.Impact = "Only that is fetched again; everything else goes on beside it. What fails again is in quarantine as before, with its reason."
	b.Plan.Undo = "It cannot be called off, and leaves nothing behind."
	if named && all.Skipped > 0 {
		b.Plan.Undo = "`isgwctl link skip " + name + objects(bucket, keys) + "` gives up again what was skipped."
	}
	return nil
}

// skipFaults plans to give up the versions of keys in a bucket.
func (b *builder) skipFaults(name, bucket string, keys []string) error {
	if len(keys) == 0 || bucket == "" {
		return invalid("the request does not say which versions are to be skipped").next("name a bucket and keys: versions are given up one by one")
	}
	service, all, err := b.pending(name, bucket, &keys, func(p Pending) bool { return p.Quarantined+p.Transferring > 0 })
	if err != nil {
		return err
	}
	b.Plan.Command = "isgwctl link skip " + name + objects(bucket, keys)
	n := all.Quarantined + all.Transferring
	if n == 0 {
		b.Plan.Impact = fmt.Sprintf("Nothing: none of that waits on link %s.", name)
		if all.Skipped > 0 {
			b.Plan.Impact = "Nothing: all of that is skipped already."
		}
		return nil
	}
	b.Amends = true
	b.keySteps("-", "skip", bucket, keys, "given up")
	if all.Transferring > 0 {
		b.check(warning, "transfer", "%d of the versions %s merely long on the way, and would arrive", all.Transferring, plural(int(all.Transferring), "is", "are"))
	}
	b.running(service)
	b.Plan.Impact = fmt.Sprintf("This site goes without %d %s, and the link counts as in sync without %s. A later version of the same key is applied as ever.",
		n, plural(int(n), "version", "versions"), plural(int(n), "it", "them"))
	b.Plan.Undo = "`isgwctl link retry " + name + objects(bucket, keys) + "` takes it back."
	return nil
}

// pending finds a link, and what of it waits: in all, or of keys in a bucket. Of the
// keys those are kept of which concerned says that the change is about them, and the
// others are told by checks, unless it is about none of them.
func (b *builder) pending(name, bucket string, keys *[]string, concerned func(Pending) bool) (*statepb.Service, Pending, error) {
	service, revision, err := findService(b.cfg, name)
	if err != nil {
		return nil, Pending{}, err
	}
	if bucket != "" && !state.Serves(service, bucket) {
		return nil, Pending{}, refuse(state.ErrNotFound, "service %s does not serve %s", name, bucket).next("see `isgwctl service show %s`", name)
	}
	b.depends("service "+name, revision)
	if b.facts.Pending == nil {
		return service, Pending{}, nil
	}
	all, of, err := b.facts.Pending(name, bucket, *keys)
	if err != nil {
		return nil, Pending{}, err
	}
	var left, absent []string
	for _, key := range *keys {
		if concerned(of[key]) {
			left = append(left, key)
		} else {
			absent = append(absent, key)
		}
	}
	if len(left) == 0 {
		return service, all, nil
	}
	*keys = left
	for _, key := range absent[:min(len(absent), maxKeySteps)] {
		b.check(warning, "absent", "nothing of %s/%s waits for that", bucket, key)
	}
	if more := len(absent) - maxKeySteps; more > 0 {
		b.check(warning, "absent", "nor of %d more %s", more, plural(more, "key", "keys"))
	}
	return service, all, nil
}

// keySteps says for each of the first keys what becomes of it.
func (b *builder) keySteps(sign, kind, bucket string, keys []string, becomes string) {
	for _, key := range keys[:min(len(keys), maxKeySteps)] {
		b.step(sign, kind, bucket+"/"+key, "%s", becomes)
	}
	if more := len(keys) - maxKeySteps; more > 0 {
		b.step(sign, kind, bucket, "and %d more %s", more, plural(more, "key", "keys"))
	}
}

// objects are versions as a command names them; none are all of them.
func objects(bucket string, keys []string) string {
	if len(keys) == 0 {
		return " --all"
	}
	out := ""
	for _, key := range keys {
		out += " " + quoted(bucket+"/"+key)
	}
	return out
}
