package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

const (
	auditName    = "audit.log"
	auditMost    = 1000     // entries in memory
	auditBytes   = 4 << 20  // of the file, after which the next one begins
	maxAuditLine = 64 << 10 // two texts of 4 KiB take at most 48 when all of both is escaped
)

// auditLog keeps the record of changes: one JSON object a line in the data
// directory, and the last ones in memory. The file is begun anew at 4 MiB and
// the one before it is kept, so the record takes at most 8 MiB. It is written
// before the answer to the change, and not synced: a power cut may lose the
// last lines, never a change. It is safe for concurrent use.
type auditLog struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	size    int64
	torn    bool                  // the file ends within a line, of which what is added next would be a part
	entries []*adminpb.AuditEntry // the oldest first
}

// openAudit opens the record in a path, and reads its last entries.
func openAudit(path string, log *slog.Logger) (*auditLog, error) {
	a := &auditLog{path: path, log: log}
	for _, name := range []string{path + ".1", path} {
		if err := a.read(name); err != nil {
			return nil, err
		}
	}
	return a, a.open()
}

func (a *auditLog) read(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read record of changes: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(io.LimitReader(file, 2*auditBytes), maxAuditLine)
	for rest := false; ; { // rest: of a line that is none of ours, being too long
		line, err := lines.ReadSlice('\n')
		whole := !rest && (err == nil || errors.Is(err, io.EOF))
		if e := new(adminpb.AuditEntry); whole && protojson.Unmarshal(bytes.TrimSpace(line), e) == nil {
			a.keep(e) // any other line was cut short by a crash
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !rest:
			return fmt.Errorf("read record of changes: %w", err)
		}
	}
}

func (a *auditLog) open() error {
	file, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open record of changes: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open record of changes: %w", err), file.Close())
	}
	a.file, a.size, a.torn = file, info.Size(), false
	if a.size == 0 {
		return nil
	}
	var end [1]byte
	if written, err := os.Open(a.path); err == nil {
		_, err = written.ReadAt(end[:], a.size-1)
		a.torn = err == nil && end[0] != '\n'
		written.Close()
	}
	return nil
}

func (a *auditLog) keep(e *adminpb.AuditEntry) {
	if a.entries = append(a.entries, e); len(a.entries) > 2*auditMost {
		a.entries = append(a.entries[:0:0], a.entries[len(a.entries)-auditMost:]...)
	}
}

// rotate begins the file anew. Until that works what is added goes into the old one.
func (a *auditLog) rotate() error {
	if err := os.Rename(a.path, a.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := a.file
	if err := a.open(); err != nil {
		return err
	}
	return old.Close()
}

// add records an entry. A change is not undone because its record cannot be
// written; the fault is in the node's log.
func (a *auditLog) add(e *adminpb.AuditEntry) {
	line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(e)
	if err == nil && a.file != nil {
		if a.size > auditBytes {
			if err := a.rotate(); err != nil {
				a.log.Error("record of changes is not begun anew and goes on growing", "path", a.path, "error", err)
			}
		}
		line = append(line, '\n')
		if a.torn {
			line = slices.Insert(line, 0, '\n')
		}
		var n int
		n, err = a.file.Write(line)
		a.size += int64(n)
		a.torn = n > 0 && n < len(line) || n == 0 && a.torn
	}
	if err != nil {
		a.log.Error("record of changes is not written", "request", e.GetRequestId(), "error", err)
	}
}

// last returns the last entries, the newest first. They are shared and are not
// changed.
func (a *auditLog) last(n int) []*adminpb.AuditEntry {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*adminpb.AuditEntry, 0, min(n, len(a.entries)))
	for i := len(a.entries) - 1; i >= 0 && len(out) < min(n, auditMost); i-- {
		out = append(out, a.entries[i])
	}
	return out
}

// close closes the file; what is added later is kept in memory only.
func (a *auditLog) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
