package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// Check reads everything that lies under a bucket, deleted or not, and returns
// what contradicts itself: counters, the set hash, the order and number of
// versions, the names of records, the sequences of the log. It takes time and
// memory in proportion to one page only, sees one consistent state, and stops
// when ctx ends. Pebble verifies its own checksums on the way.
func (c *Catalog) Check(ctx context.Context, path string) error {
	c.swap.RLock()
	defer c.swap.RUnlock()
	rows := c.db.NewSnapshot()
	defer func() { _ = rows.Close() }() // of an open Pebble it cannot fail
	k := &checker{ctx: ctx, view: &view{c: c, rows: rows, state: new(pb.BucketState)}}
	found, err := readMessage(rows, bucketKey(path), k.state)
	if err != nil {
		return err
	}
	if !found {
		return noBucket(path)
	}
	k.number = k.state.GetNumber()
	if err := errors.Join(k.add(), k.totals(), k.leaves()); err != nil {
		return fmt.Errorf("check bucket %s: %w", path, err)
	}
	return nil
}

// add reads all rows.
func (k *checker) add() error {
	for _, step := range []func() error{k.heads, k.versions, k.beside, k.dots, k.log, k.peers, k.uploads} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checker adds up what it finds.
type checker struct {
	*view
	ctx            context.Context
	sum            setSum
	hashes         hashes
	objects, bytes uint64
	stored, counts uint64
	records        uint64
	named          uint64
	keys, found    keyMeta // what the keys' rows say there is, and what was found
}

// rowsOf calls fn with every row of a kind, the key without its prefix.
func (k *checker) rowsOf(row byte, fn func(key, value []byte) error) error {
	lower, upper := bounds(row, k.number)
	return scan(k.rows, lower, upper, func(key, value []byte) (bool, error) {
		if err := k.ctx.Err(); err != nil {
			return false, err
		}
		if err := fn(key[prefixLen:], value); err != nil {
			return false, fmt.Errorf("row %c%q: %w", row, key[prefixLen:], err)
		}
		return true, nil
	})
}

func (k *checker) record(r *pb.Record) {
	k.records++
	k.sum.add(k.hashes.record(r))
	k.stored += r.GetRoot().GetSize()
	if counted(r) {
		k.counts++
	}
}

func (k *checker) heads() error {
	return k.rowsOf(rowHead, func(key, value []byte) error {
		m, head, err := decodeHead(value)
		if err != nil {
			return err
		}
		if head == nil && m.older+m.own > 0 || head == nil && m == (keyMeta{}) {
			return errors.New("it has no head, but versions, or nothing at all")
		}
		if m.floor > 0 {
			k.sum.add(k.hashes.floor(key, m.floor))
		}
		k.keys.older += m.older
		k.keys.own += m.own
		k.keys.registers += m.registers
		k.keys.attributes += m.attributes
		k.keys.contended += m.contended
		if head == nil {
			return nil
		}
		if !bytes.Equal(head.GetKey(), key) {
			return fmt.Errorf("its record is of key %q", head.GetKey())
		}
		if err := k.order(key, m, head); err != nil {
			return err
		}
		if Live(head) {
			k.objects++
			k.bytes += head.GetRoot().GetSize()
		}
		k.record(head)
		return nil
	})
}

// order checks that the head is what the key's other versions make it, and what is
// kept of the null version.
func (k *checker) order(key []byte, m keyMeta, head *pb.Record) error {
	if m.older+m.own == 0 {
		return nil
	}
	nulls, err := readNulls(k.rows, k.number, key, m, head)
	if err != nil {
		return err
	}
	for i := 1; i < len(nulls); i++ {
		if Compare(nulls[i-1], nulls[i]) <= 0 || !Live(nulls[i]) {
			return fmt.Errorf("record %d of the null version is out of order or a deletion", i)
		}
	}
	if len(nulls) > 0 && Visible(nulls[0]) && Compare(nulls[0], head) > 0 {
		return errors.New("its null version is greater than its head")
	}
	if m.own > 0 && !Visible(head) {
		return errors.New("its head is not visible, but versions below it are")
	}
	prefix := ofKey(nil, rowOwn, k.number, key)
	return scan(k.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
		r := new(pb.Record)
		if err := proto.Unmarshal(value, r); err != nil {
			return false, err
		}
		if Compare(r, head) >= 0 {
			return false, errors.New("a version is greater than its head")
		}
		return false, nil // the first is the greatest
	})
}

func (k *checker) versions() error {
	for _, row := range [...]byte{rowVersion, rowOwn} {
		err := k.rowsOf(row, func(key, value []byte) error {
			r := new(pb.Record)
			if err := proto.Unmarshal(value, r); err != nil {
				return err
			}
			want := versionKey(nil, k.number, r)
			if want[0] != row || !bytes.Equal(want[prefixLen:], key) {
				return errors.New("it does not stand where its record belongs")
			}
			if row == rowOwn {
				k.found.own++
			} else {
				k.found.older++
			}
			k.record(r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// beside checks what belongs to versions: registers and attributes; and the
// settings of the bucket.
func (k *checker) beside() error {
	one := func(r *pb.Record) {
		k.records++
		k.sum.add(k.hashes.beside(r))
	}
	err := k.rowsOf(rowRegister, func(key, value []byte) error {
		r := new(pb.Record)
		if err := proto.Unmarshal(value, r); err != nil {
			return err
		}
		if want := targetKey(nil, rowRegister, k.number, r.GetKey(), r.GetTarget()); !register(r) || !bytes.Equal(want[prefixLen:], key) {
			return errors.New("it does not stand where its record belongs")
		}
		k.found.registers++
		one(r)
		if _, kept, err := readDot(k.rows, k.number, r.GetTarget()); err != nil || kept && removes(r) {
			return errors.Join(err, errors.New("the version that it removes is kept"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = k.rowsOf(rowAttributes, func(key, value []byte) error {
		var a pb.Attributes
		if err := proto.Unmarshal(value, &a); err != nil {
			return err
		}
		if len(a.GetRecords()) == 0 {
			return errors.New("it has no attribute")
		}
		for i, r := range a.GetRecords() {
			want := targetKey(nil, rowAttributes, k.number, r.GetKey(), r.GetTarget())
			if r.GetKind() != pb.RecordKind_RECORD_ATTRIBUTE || !bytes.Equal(want[prefixLen:], key) ||
				i > 0 && a.GetRecords()[i-1].GetField() >= r.GetField() {
				return fmt.Errorf("attribute %d does not stand where it belongs", i)
			}
			one(r)
		}
		k.found.attributes++
		return k.waits(a.GetRecords()[0])
	})
	if err != nil {
		return err
	}
	if err := k.conflicts(); err != nil {
		return err
	}
	fields, err := readFields(k.rows, k.number)
	for _, r := range fields {
		one(r)
	}
	if v, lock := versioningOf(fields); err == nil && (v != k.state.GetVersioning() || !proto.Equal(lock, k.state.GetLock())) {
		err = fmt.Errorf("its settings say versioning %v, but the state says %v", v, k.state.GetVersioning())
	}
	k.keys.floor, k.found.floor = 0, 0
	if err == nil && k.keys != k.found {
		err = fmt.Errorf("rows beside the heads are %+v, but the heads say %+v", k.found, k.keys)
	}
	return err
}

// waits checks that an attribute has its version, or has reason to wait for it.
func (k *checker) waits(r *pb.Record) error {
	at, kept, err := readDot(k.rows, k.number, r.GetTarget())
	if err != nil {
		return err
	}
	if kept && at.row != rowConflict {
		if at.row != rowOwn && at.row != rowVersion || !bytes.Equal(at.key, r.GetKey()) {
			return errors.New("what it is an attribute of is no version of the key")
		}
		return nil
	}
	m, _, _, err := readHead(k.rows, k.number, r.GetKey())
	if err != nil {
		return err
	}
	reg, err := readRegister(k.rows, k.number, r.GetKey(), m, r.GetTarget())
	if err == nil && removes(reg) {
		err = errors.New("it waits for a version that was purged")
	}
	return err
}

func (k *checker) dots() error {
	return k.rowsOf(rowDot, func(key, value []byte) error {
		d, err := parseDot(key)
		if err != nil {
			return err
		}
		if _, err := k.byDot(d.dot()); err != nil {
			return err
		}
		at, err := decodeDotRow(value)
		if err != nil {
			return err
		}
		seq := at.seq
		if seq > k.state.GetSeq() {
			return fmt.Errorf("its sequence %d is above the log's, %d", seq, k.state.GetSeq())
		}
		if seq > k.state.GetTrimmed() {
			e := new(pb.LogEntry)
			if ok, err := readMessage(k.rows, logKey(nil, k.number, seq), e); err != nil || !ok || idOf(e.GetDot()) != d {
				return errors.Join(err, fmt.Errorf("log entry %d is not of this record", seq))
			}
		}
		k.named++
		return nil
	})
}

func (k *checker) log() error {
	if k.named != k.records {
		return fmt.Errorf("%d records, but %d dots", k.records, k.named)
	}
	next := k.state.GetTrimmed() + 1
	err := k.rowsOf(rowLog, func(key, value []byte) error {
		e := new(pb.LogEntry)
		if err := proto.Unmarshal(value, e); err != nil {
			return err
		}
		if seq := binary.BigEndian.Uint64(key); seq != next {
			return fmt.Errorf("log goes on at %d, not at %d", seq, next)
		}
		k.sum.add(k.hashes.entry(next, e))
		next++
		return nil
	})
	if err == nil && next != k.state.GetSeq()+1 {
		err = fmt.Errorf("log ends at %d, not at %d", next-1, k.state.GetSeq())
	}
	return err
}

func (k *checker) peers() error {
	err := k.rowsOf(rowCursor, func(key, value []byte) error {
		v := new(pb.Cursor)
		if err := proto.Unmarshal(value, v); err != nil {
			return err
		}
		k.sum.add(k.hashes.cursor(key, v))
		return nil
	})
	if err != nil {
		return err
	}
	err = k.rowsOf(rowProgress, func(_, value []byte) error {
		v := new(pb.PeerProgress)
		if err := proto.Unmarshal(value, v); err != nil {
			return err
		}
		k.sum.add(k.hashes.progress(v))
		return nil
	})
	if err != nil {
		return err
	}
	return k.rowsOf(rowPending, func(key, value []byte) error {
		v := new(pb.Pending)
		if err := proto.Unmarshal(value, v); err != nil {
			return err
		}
		if len(key) != 16+dotLen {
			return fmt.Errorf("its key has %d bytes", len(key))
		}
		if d, err := parseDot(key[16:]); err != nil || d != idOf(v.GetRecord().GetDot()) {
			return errors.Join(err, errors.New("it is not the record that its key names"))
		}
		k.sum.add(k.hashes.pending(key[:16], v))
		return nil
	})
}

func (k *checker) uploads() error {
	uploads, byKey := 0, 0
	err := k.rowsOf(rowUpload, func(_, value []byte) error {
		v := new(pb.Upload)
		if err := proto.Unmarshal(value, v); err != nil {
			return err
		}
		uploads++
		k.sum.add(k.hashes.upload(v))
		return nil
	})
	if err != nil {
		return err
	}
	err = k.rowsOf(rowUploadByKey, func(key, _ []byte) error {
		of, id, err := cutEscaped(key)
		if err != nil {
			return err
		}
		v, err := k.upload(string(id))
		if err == nil && !bytes.Equal(v.GetKey(), of) {
			err = fmt.Errorf("upload %s is of key %q", id, v.GetKey())
		}
		byKey++
		return err
	})
	if err == nil && uploads != byKey {
		err = fmt.Errorf("%d uploads, but %d are listed by key", uploads, byKey)
	}
	if err != nil {
		return err
	}
	return k.rowsOf(rowPart, func(key, value []byte) error {
		v := new(pb.Part)
		if err := proto.Unmarshal(value, v); err != nil {
			return err
		}
		id := string(key[:max(0, len(key)-5)])
		if _, err := k.upload(id); err != nil {
			return err
		}
		k.sum.add(k.hashes.part(id, v))
		return nil
	})
}

func (k *checker) totals() error {
	s := k.state
	switch {
	case k.objects != s.GetObjects():
		return fmt.Errorf("%d objects, but the state says %d", k.objects, s.GetObjects())
	case k.bytes != s.GetBytes():
		return fmt.Errorf("%d bytes, but the state says %d", k.bytes, s.GetBytes())
	case k.stored != s.GetStored():
		return fmt.Errorf("%d bytes are stored, but the state says %d", k.stored, s.GetStored())
	case k.counts != s.GetVersioned():
		return fmt.Errorf("%d versions and delete markers, but the state says %d", k.counts, s.GetVersioned())
	case k.sum != parseSum(s.GetDigest()):
		return errors.New("the rows do not have the digest that the state says")
	case s.GetDeleted() && (s.GetTrimmed() == s.GetSeq() && k.records > 0 || s.GetTrimmed() != s.GetSeq() && k.records == 0 && len(s.GetIncomplete()) == 0):
		return fmt.Errorf("it is deleted, but %d records are left, and the log above %d", k.records, s.GetTrimmed())
	}
	return nil
}
