package catalog

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Contest is a version that lost against another of its key that was written
// without knowledge of it.
type Contest struct {
	// Loser is content; it is kept, and can be read.
	Loser *pb.Record
	// Winner is what it lost against: the key's head, or the greatest record of its
	// null version, which may be a deletion.
	Winner *pb.Record
}

// ConflictsPage is a page of a bucket's conflicts, by key and then by the loser's
// dot. The next page begins after NextKey and NextDot, unless NextKey is empty.
type ConflictsPage struct {
	Contests []Contest
	NextKey  []byte
	NextDot  *pb.Dot
}

// Conflicts returns a page of the conflicts of a bucket whose keys begin with prefix,
// after a key and a dot if that is set, at most limit of them (0: 1000). It reads
// what it returns, however large the bucket is. A conflict ends when somebody writes
// or deletes the key who has seen the loser, and when the loser or the winner is
// kept no longer.
func (c *Catalog) Conflicts(path string, prefix, afterKey []byte, afterDot *pb.Dot, limit int) (*ConflictsPage, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	limit = pageLimit(limit)
	lower, upper := bounds(rowConflict, v.number)
	switch {
	case len(afterKey) > 0 && afterDot != nil:
		lower = append(targetKey(nil, rowConflict, v.number, afterKey, afterDot), 0)
	case len(prefix) > 0:
		// Escaped keys sort as the keys do.
		lower = append(lower, appendEscaped(nil, prefix)[:len(appendEscaped(nil, prefix))-2]...)
	}
	page := &ConflictsPage{}
	err = scan(v.rows, lower, upper, func(row, _ []byte) (bool, error) {
		key, rest, err := cutEscaped(bytes.Clone(row[prefixLen:]))
		if err != nil {
			return false, err
		}
		if !bytes.HasPrefix(key, prefix) {
			return bytes.Compare(key, prefix) < 0, nil
		}
		d, err := parseDot(rest)
		if err != nil {
			return false, err
		}
		if len(page.Contests) == limit {
			last := page.Contests[limit-1].Loser
			page.NextKey, page.NextDot = last.GetKey(), last.GetDot()
			return false, nil
		}
		contest, err := v.contest(key, d.dot())
		page.Contests = append(page.Contests, contest)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("list conflicts of bucket %s: %w", path, err)
	}
	return page, nil
}

// readAside returns a version that no lane of its key has a place for; nil if it is
// not kept so.
func readAside(r pebble.Reader, number uint64, key []byte, d *pb.Dot) (*pb.Record, error) {
	rec := new(pb.Record)
	found, err := read(r, targetKey(nil, rowConflict, number, key, d), func(value []byte) error {
		if len(value) == 0 {
			rec = nil
			return nil
		}
		return proto.Unmarshal(value, rec)
	})
	if err != nil || !found {
		return nil, err
	}
	return rec, nil
}

// Contends reports whether a null version that a peer offers, and that has no place
// here, is worth its content: it has lost against one that was written without
// knowledge of it, and is not listed yet.
func (c *Catalog) Contends(path string, r *pb.Record) (bool, error) {
	if !Live(r) || HasID(r) {
		return false, nil
	}
	v, err := c.view(path)
	if err != nil {
		return false, err
	}
	defer v.close()
	m, head, _, err := readHead(v.rows, v.number, r.GetKey())
	if err != nil {
		return false, err
	}
	nulls, err := readNulls(v.rows, v.number, r.GetKey(), m, head)
	if err != nil {
		return false, err
	}
	listed, err := v.aside(r.GetKey(), m)
	if err != nil {
		return false, err
	}
	for _, l := range listed {
		if sameDot(l.rec, r.GetDot()) {
			return false, nil
		}
	}
	return contends(nulls, listed, r), nil
}

// aside returns the versions of a key that no lane has a place for.
func (v *view) aside(key []byte, m keyMeta) ([]lost, error) {
	if m.contended == 0 {
		return nil, nil
	}
	var out []lost
	prefix := ofKey(nil, rowConflict, v.number, key)
	err := scan(v.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
		if len(value) == 0 {
			return true, nil
		}
		rec := new(pb.Record)
		out = append(out, lost{rec: rec, aside: true})
		return true, proto.Unmarshal(value, rec)
	})
	return out, err
}

// contest reads a loser and what it lost against.
func (v *view) contest(key []byte, dot *pb.Dot) (Contest, error) {
	loser, err := v.byDot(dot)
	if err != nil {
		return Contest{}, err
	}
	m, head, _, err := readHead(v.rows, v.number, key)
	if err != nil {
		return Contest{}, err
	}
	winner := head
	if nullLane(loser) {
		nulls, err := readNulls(v.rows, v.number, key, m, head)
		if err != nil {
			return Contest{}, err
		}
		if len(nulls) > 0 && !sameDot(nulls[0], dot) {
			winner = nulls[0]
		}
	}
	return Contest{Loser: loser, Winner: proto.CloneOf(winner)}, nil
}

// History returns every version of a key that is kept, greatest first: those with an
// id, the null version with its history, and what lost against it; with what each
// carries. Latest is set for the head alone, Lost for what is listed as a conflict.
func (c *Catalog) History(path string, key []byte) ([]*Version, error) {
	v, err := c.view(path)
	if err != nil {
		return nil, err
	}
	defer v.close()
	records, err := readKey(v.rows, v.number, key)
	if err != nil {
		return nil, fmt.Errorf("read history of key %q in bucket %s: %w", key, path, err)
	}
	m, head, _, err := readHead(v.rows, v.number, key)
	if err != nil {
		return nil, fmt.Errorf("read history of key %q in bucket %s: %w", key, path, err)
	}
	aside, err := v.aside(key, m)
	if err != nil {
		return nil, fmt.Errorf("read history of key %q in bucket %s: %w", key, path, err)
	}
	for _, l := range aside {
		records = Insert(records, l.rec)
	}
	out := make([]*Version, 0, len(records))
	for _, r := range records {
		if r.GetKind() == pb.RecordKind_RECORD_PURGE {
			continue
		}
		all, err := readAttributes(v.rows, v.number, key, m, r.GetDot())
		if err != nil {
			return nil, fmt.Errorf("read history of key %q in bucket %s: %w", key, path, err)
		}
		shown := newVersion(r, all, head != nil && sameDot(head, r.GetDot()))
		if m.contended > 0 {
			shown.Lost, err = read(v.rows, targetKey(nil, rowConflict, v.number, key, r.GetDot()), func([]byte) error { return nil })
			if err != nil {
				return nil, fmt.Errorf("read history of key %q in bucket %s: %w", key, path, err)
			}
		}
		out = append(out, shown)
	}
	return out, nil
}
