package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// tables is a catalog of which a part may be damaged: a read of a bucket's pending table,
// or of its log, fails once so many entries were read.
type tables struct {
	entries map[string]int
	damaged map[string]int
	trimmed map[string]bool
}

var errDamaged = errors.New("a row cannot be decoded")

func (c tables) Pending(bucket string, _ state.SiteID, after *catalogpb.Dot, _ int) ([]*catalogpb.Pending, error) {
	n, ok := c.entries[bucket]
	if !ok {
		return nil, fmt.Errorf("bucket %s: %w", bucket, catalog.ErrNoBucket)
	}
	at := int(after.GetSeq())
	if bad, ok := c.damaged[bucket]; ok && at >= bad {
		return nil, errDamaged
	}
	if at == n {
		return nil, nil
	}
	return []*catalogpb.Pending{{Record: &catalogpb.Record{Dot: &catalogpb.Dot{Seq: uint64(at) + 1}}}}, nil
}

func (c tables) Bucket(bucket string) (*catalogpb.BucketState, error) {
	if _, ok := c.entries[bucket]; !ok {
		return nil, fmt.Errorf("bucket %s: %w", bucket, catalog.ErrNoBucket)
	}
	return &catalogpb.BucketState{}, nil
}

func (c tables) Log(bucket string, _ uint64, _ int) (*catalog.LogPage, error) {
	page := &catalog.LogPage{}
	if _, ok := c.damaged[bucket]; ok {
		return nil, errDamaged
	}
	if c.trimmed[bucket] {
		return nil, fmt.Errorf("log of bucket %s: %w", bucket, catalog.ErrTrimmed)
	}
	if c.entries[bucket] > 0 {
		page.Entries = append(page.Entries, catalog.LogItem{Entry: &catalogpb.LogEntry{Committed: int64(time.Hour)}})
	}
	return page, nil
}

// TestPendingsOfADamagedTable goes through pending tables of which one is damaged: what is
// before is given, and then what is wrong with which bucket. One that is not here is passed.
func TestPendingsOfADamagedTable(t *testing.T) {
	all := tables{entries: map[string]int{"a": 2, "c": 3, "d": 1}}
	read := func() (found int, err error) {
		for _, err = range pendings(t.Context(), all, state.SiteID{}, []string{"a", "b", "c", "d"}, faultsPlace{}) {
			if err == nil {
				found++
			}
		}
		return found, err
	}
	if n, err := read(); n != 6 || err != nil {
		t.Errorf("sound tables: %d, %v", n, err)
	}
	all.damaged = map[string]int{"c": 1}
	if n, err := read(); n != 3 || !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "bucket c") {
		t.Errorf("with a damaged one: %d, %v", n, err)
	}
}

// TestHasOlder looks at logs that are to be trimmed.
func TestHasOlder(t *testing.T) {
	logs := tables{entries: map[string]int{"full": 1, "empty": 0, "trimmed": 1, "damaged": 1}, damaged: map[string]int{"damaged": 0}, trimmed: map[string]bool{"trimmed": true}}
	for _, c := range []struct {
		bucket string
		before time.Duration
		older  bool
		err    error
	}{
		{"full", 2 * time.Hour, true, nil},
		{"full", time.Hour, false, nil},
		{"empty", 2 * time.Hour, false, nil},
		{"trimmed", 2 * time.Hour, false, nil},
		{"deleted", 2 * time.Hour, false, nil},
		{"damaged", 2 * time.Hour, false, errDamaged},
	} {
		if older, err := hasOlder(logs, c.bucket, int64(c.before)); older != c.older || !errors.Is(err, c.err) {
			t.Errorf("%s before %s: %v, %v", c.bucket, c.before, older, err)
		}
	}
}
