package raftfsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// batchBytes is the size at which a Pebble batch is committed although more
// entries wait, which bounds the memory of a batch.
const batchBytes = 4 << 20

// logEntry is a committed entry of the log. Data is nil for entries of raft's
// own, which only move the index.
type logEntry struct {
	index, term uint64
	data        []byte
}

// response is what an entry gives its proposer.
type response struct {
	results []*raftfsmpb.Result
	err     error // the node does not apply; results is nil
}

// apply carries out entries in order, in as few Pebble batches as their size
// allows. Entries that are in the state already are skipped, with an empty
// response. An error means that the node must halt: the entries before
// len(responses) are applied, and nothing of the others is.
func (m *machine) apply(entries []logEntry) (responses []response, err error) {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+len(entries[n].data) <= batchBytes) {
			size += len(entries[n].data)
			n++
		}
		part, err := m.applyBatch(entries[:n])
		responses = append(responses, part...)
		if err != nil {
			return responses, err
		}
		entries = entries[n:]
	}
	return responses, nil
}

func (m *machine) applyBatch(entries []logEntry) (responses []response, halt error) {
	batch := m.db.NewIndexedBatch()
	defer batch.Close()
	tx := &applyTx{machine: m, batch: batch, catalog: m.catalog.Begin(batch)}
	last := m.applied.Load()
	var term uint64
	responses = make([]response, 0, len(entries))
	for _, e := range entries {
		var res response
		if e.index > last && e.data != nil {
			entry, err := decodeEntry(e.data)
			if err != nil {
				// Those before it are committed: the state is of one index.
				halt = fmt.Errorf("apply entry %d: %w", e.index, err)
				break
			}
			if res.results, err = tx.entry(e.index, entry); err != nil {
				return nil, fmt.Errorf("apply entry %d: %w", e.index, err)
			}
		}
		if e.index > last {
			last, term = e.index, e.term
		}
		responses = append(responses, res)
	}
	if last == m.applied.Load() {
		return responses, halt
	}
	if err := tx.commit(last, term); err != nil {
		return nil, fmt.Errorf("commit entries up to %d: %w", last, err)
	}
	m.applied.Store(last)
	return responses, halt
}

// applyTx is entries being applied within one Pebble batch. Sessions and
// config change in memory at once; if the batch fails the node halts, so what
// is in memory does not matter any more.
type applyTx struct {
	*machine
	batch   *pebble.Batch
	catalog *catalog.Batch
}

func (tx *applyTx) commit(index, term uint64) error {
	if err := tx.batch.Set(keyApplied, encodeApplied(index, term), nil); err != nil {
		return err
	}
	if err := tx.catalog.Flush(); err != nil {
		return err
	}
	if err := tx.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	tx.catalog.Done()
	return nil
}

// entry applies one entry. An error is a fault of this node, after which the
// batch must not be committed.
func (tx *applyTx) entry(index uint64, entry *raftfsmpb.Entry) ([]*raftfsmpb.Result, error) {
	if entry.GetOpenSession() {
		return nil, tx.openSession(index)
	}
	if results, again, err := tx.recall(entry); again || err != nil {
		return results, err
	}
	results := make([]*raftfsmpb.Result, len(entry.GetCommands()))
	for i, cmd := range entry.GetCommands() {
		res, err := tx.command(cmd, entry.GetTime())
		if err != nil {
			return nil, err
		}
		res.Index = index
		results[i] = res
	}
	return results, tx.remember(entry, index, results)
}

// command carries out one command.
func (tx *applyTx) command(cmd *raftfsmpb.Command, now int64) (*raftfsmpb.Result, error) {
	switch c := cmd.GetCommand().(type) {
	case *raftfsmpb.Command_Config:
		return tx.applyConfig(c.Config, now)
	case *raftfsmpb.Command_Write:
		return tx.catalog.Write(c.Write, now), nil
	case *raftfsmpb.Command_Ingest:
		return tx.catalog.Ingest(c.Ingest, now), nil
	case *raftfsmpb.Command_CreateUpload:
		return tx.catalog.CreateUpload(c.CreateUpload, now), nil
	case *raftfsmpb.Command_PutPart:
		return tx.catalog.PutPart(c.PutPart, now), nil
	case *raftfsmpb.Command_AbortUpload:
		return tx.catalog.AbortUpload(c.AbortUpload), nil
	case *raftfsmpb.Command_Progress:
		return tx.catalog.Progress(c.Progress), nil
	case *raftfsmpb.Command_Trim:
		return tx.catalog.Trim(c.Trim, now), nil
	case *raftfsmpb.Command_Purge:
		return tx.catalog.Purge(c.Purge, now), nil
	case *raftfsmpb.Command_SetAttribute:
		return tx.catalog.SetAttribute(c.SetAttribute, now), nil
	case *raftfsmpb.Command_SetBucketAttribute:
		return tx.catalog.SetBucketAttribute(c.SetBucketAttribute, now), nil
	}
	return nil, errUnknownCommand // decodeEntry has admitted only the above
}

const (
	// sessionWindow is how many entries of a session have their results
	// remembered. It is above the number that a proposer has in flight.
	sessionWindow = 8

	// maxSessions is how many sessions are kept; the least recently used
	// expires when one more is opened.
	maxSessions = 64
)

func (tx *applyTx) openSession(index uint64) error {
	if len(tx.sessions) >= maxSessions {
		var oldest *raftfsmpb.Session
		for _, s := range tx.sessions { // indexes are unique: the order does not matter
			if oldest == nil || s.GetLastIndex() < oldest.GetLastIndex() {
				oldest = s
			}
		}
		if err := tx.dropSession(oldest.GetNumber()); err != nil {
			return err
		}
	}
	s := &raftfsmpb.Session{Number: index, LastIndex: index}
	tx.sessions[index] = s
	return tx.putSession(s)
}

func (tx *applyTx) dropSession(number uint64) error {
	delete(tx.sessions, number)
	if err := tx.batch.Delete(sessionKey(number), nil); err != nil {
		return err
	}
	from, to := windowRange(number)
	return tx.batch.DeleteRange(from, to, nil)
}

func (tx *applyTx) putSession(s *raftfsmpb.Session) error {
	return tx.put(sessionKey(s.GetNumber()), s)
}

// put stores a message. Its bytes are the same on every node, which the
// comparison of whole states in tests relies on.
func (tx *applyTx) put(key []byte, m proto.Message) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	return tx.batch.Set(key, raw, nil)
}

// recall decides whether an entry is to be applied. again is true when it is
// not: it was applied before, and results are those of then, or its session
// has expired.
func (tx *applyTx) recall(entry *raftfsmpb.Entry) (results []*raftfsmpb.Result, again bool, err error) {
	s := tx.sessions[entry.GetSession()]
	switch judge(s, entry.GetNumber()) {
	case entryNew:
		return nil, false, nil
	case entryExpired:
		results = make([]*raftfsmpb.Result, len(entry.GetCommands()))
		for i := range results {
			results[i] = &raftfsmpb.Result{Code: raftfsmpb.Code_SESSION_EXPIRED, Message: "the proposer's session has expired"}
		}
		return results, true, nil
	}
	raw, err := get(tx.batch, windowKey(s.GetNumber(), entry.GetNumber()))
	if err != nil {
		return nil, false, err
	}
	var stored raftfsmpb.Results
	if err := proto.Unmarshal(raw, &stored); err != nil {
		return nil, false, fmt.Errorf("decode remembered results: %w", err)
	}
	return stored.GetResults(), true, nil
}

type verdict int

const (
	entryNew     verdict = iota // to be applied
	entryApplied                // its results are remembered
	entryExpired                // to be refused
)

// judge says what to do with an entry of a session; s is nil when the session
// does not exist. A number below the last that is not remembered was never
// applied if the window still reaches back to it, which happens when of two
// entries in flight the second was proposed first; further back nobody knows.
func judge(s *raftfsmpb.Session, number uint64) verdict {
	switch {
	case s == nil || number == 0:
		return entryExpired
	case number > s.GetLast():
		return entryNew
	case slices.Contains(s.GetRemembered(), number):
		return entryApplied
	case number+sessionWindow > s.GetLast():
		return entryNew
	}
	return entryExpired
}

// remember notes that an entry was applied, and its results.
func (tx *applyTx) remember(entry *raftfsmpb.Entry, index uint64, results []*raftfsmpb.Result) error {
	s := tx.sessions[entry.GetSession()]
	s.Last = max(s.Last, entry.GetNumber())
	s.LastIndex = index
	s.Remembered = append(s.Remembered, entry.GetNumber())
	slices.Sort(s.Remembered)
	s.Remembered = slices.DeleteFunc(s.Remembered, func(n uint64) bool { return n+sessionWindow <= s.Last })
	if err := tx.put(windowKey(s.GetNumber(), entry.GetNumber()), &raftfsmpb.Results{Results: results}); err != nil {
		return err
	}
	return tx.putSession(s)
}

var errUnknownCommand = errors.New("it holds a command that this program does not know: it was written by a newer one; upgrade this node")

// decodeEntry reads an entry, and refuses one that this program would not
// carry out as the one that proposed it meant it.
func decodeEntry(data []byte) (*raftfsmpb.Entry, error) {
	entry := &raftfsmpb.Entry{}
	if err := proto.Unmarshal(data, entry); err != nil {
		return nil, fmt.Errorf("decode it: %w", err)
	}
	if len(entry.ProtoReflect().GetUnknown()) > 0 {
		return nil, errUnknownCommand
	}
	for _, cmd := range entry.GetCommands() {
		if cmd.GetCommand() == nil || !knownCommand(cmd) {
			return nil, errUnknownCommand
		}
	}
	return entry, nil
}
