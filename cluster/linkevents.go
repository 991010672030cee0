package cluster

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	objsync "edgefog.dev/isgw/sync"
)

// note is how a link stood from a moment on.
type note struct {
	time     time.Time
	severity adminpb.Severity
	word     string
	cause    string
}

const (
	maxNotes  = 100 // of a link, in memory
	maxEvents = 100 // that are told of a link
)

// noteOf is how a link stands now.
func noteOf(now time.Time, st *adminpb.ServiceStatus) note {
	quarantined := st.GetSend().GetBacklog().GetQuarantined() + st.GetReceive().GetBacklog().GetQuarantined()
	n := note{time: now, cause: st.GetCause()}
	n.severity, n.word = standing(st.GetState(), lagOf(st), st.GetLagTargetSeconds(), quarantined)
	return n
}

// same says whether a link stands as it did. One that is behind by less than its
// target does as well as one that is not: a busy link is both in turn.
func (n note) same(other note) bool {
	inTime := func(word string) bool { return word == "synced" || word == "behind" }
	return n.word == other.word || inTime(n.word) && inTime(other.word)
}

// note keeps what changed of how links stand. Of the links that are remembered
// only.
func (h *history) note(now map[string]note) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range now {
		of := h.links[name]
		if of == nil {
			continue
		}
		if last := len(of.notes) - 1; last >= 0 && of.notes[last].same(n) {
			continue
		}
		of.keep(n)
	}
}

// keep adds a note, and forgets the oldest of too many.
func (of *linkHistory) keep(n note) {
	if len(of.notes) >= maxNotes {
		of.notes = append(of.notes[:0], of.notes[1:]...)
	}
	of.notes = append(of.notes, n)
}

// tell keeps what a link did by itself. Of links that are remembered only.
func (h *history) tell(name string, notices []objsync.Notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.links[name]
	if of == nil {
		return
	}
	for _, n := range notices {
		of.keep(note{time: n.Time, severity: adminpb.Severity_SEVERITY_WARNING, word: "full comparison", cause: n.Text})
	}
}

// notes are those of a link, the oldest first.
func (h *history) notes(name string) []note {
	h.mu.Lock()
	defer h.mu.Unlock()
	if of := h.links[name]; of != nil {
		return slices.Clone(of.notes)
	}
	return nil
}

// linkEvents are what happened to a link, the newest first: how it stood, and
// who changed it. Changes are given with the newest first.
func linkEvents(name string, notes []note, changes []*adminpb.AuditEntry) []*adminpb.LinkEvent {
	var out []*adminpb.LinkEvent
	for _, n := range notes {
		text := n.word
		if n.cause != "" {
			text += ": " + n.cause
		}
		out = append(out, &adminpb.LinkEvent{Time: timestamppb.New(n.time), Severity: n.severity, Glyph: glyphOf(n.severity), Text: text})
	}
	for _, c := range changes {
		if !slices.Contains(changedLinks(c), name) {
			continue
		}
		e := &adminpb.LinkEvent{Time: c.GetTime(), Severity: adminpb.Severity_SEVERITY_OK, Text: changeWords(c), Principal: c.GetPrincipal()}
		if c.GetResult() != "ok" {
			e.Severity, e.Text = adminpb.Severity_SEVERITY_WARNING, e.GetText()+" ("+c.GetResult()+")"
		}
		e.Glyph = glyphOf(e.GetSeverity())
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b *adminpb.LinkEvent) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	return out[:min(len(out), maxEvents)]
}

// changeWords says in words what was changed: "serve hawaii Hawaii/Cola/bk1",
// "create key Hawaii/Cola".
func changeWords(e *adminpb.AuditEntry) string {
	if e.GetProcedure() == "Plans.Apply" {
		return e.GetObject() // it is told in words
	}
	kind, verb, _ := strings.Cut(e.GetProcedure(), ".")
	var b strings.Builder
	for i, r := range verb { // CreateToken: create token
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	words := b.String()
	switch {
	case kind == "Services" && (verb == "Create" || verb == "Delete"):
		words += " service"
	case kind == "Keys", kind == "Objects":
		words += " " + strings.ToLower(strings.TrimSuffix(kind, "s"))
	case kind == "System":
		words += " site"
	case kind == "Resyncs":
		words = "resync"
	}
	return strings.TrimSpace(words + " " + e.GetObject())
}

// changedLinks are the names of the links that a change was about.
func changedLinks(e *adminpb.AuditEntry) []string {
	switch kind, _, _ := strings.Cut(e.GetProcedure(), "."); {
	case kind == "Services", kind == "Faults", kind == "Resyncs", kind == "Verification", e.GetProcedure() == "Plans.Apply":
	default:
		return nil
	}
	words := strings.Fields(changeWords(e))
	if len(words) > 2 && words[1] == "service" {
		switch words[0] {
		case "apply":
			return words[2:]
		case "create", "delete", "edit":
			return words[2:3]
		}
	}
	if len(words) < 2 || len(words) == 2 && words[0] == "edit" { // edit site
		return nil
	}
	return words[1:2]
}
