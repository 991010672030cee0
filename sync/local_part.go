package objsync

import "bytes"

// nextLetOut is the first key from one on that a filter lets out; nil when there is
// none, and for nil. A page of a part of a bucket says with it where the next one
// begins: to name the key at which it ended would tell of keys that are left out.
func (l *Local) nextLetOut(path string, filter Filter, key []byte) ([]byte, error) {
	for key != nil && !filter.admitsKey(key) {
		from := filter.beyond(key)
		if from == nil {
			return nil, nil
		}
		next, err := l.o.Catalog.NextKey(path, from)
		if err != nil {
			return nil, err
		}
		key = next
	}
	return key, nil
}

// beyond is where, after a key that does not pass, the first one may be that does;
// nil when there can be none. It is greater than the key.
func (f Filter) beyond(key []byte) []byte {
	for _, prefix := range f.Exclude {
		if bytes.HasPrefix(key, []byte(prefix)) {
			return prefixEnd([]byte(prefix))
		}
	}
	var next []byte
	for _, prefix := range f.Include {
		if p := []byte(prefix); bytes.Compare(p, key) > 0 && (next == nil || bytes.Compare(p, next) < 0) {
			next = p
		}
	}
	return next
}
