package tui

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/tui/screen"
	"edgefog.dev/isgw/tui/table"
)

// maxFaults bounds what the section Failed lists; the command lists all.
const maxFaults = 1000

// faultList is the section Failed of a link: the versions that it cannot apply, by
// name. They are asked for while the section is seen and at no other time.
type faultList struct {
	m     *Model
	table *table.Table[*adminpb.Fault]

	asked  asked
	got    *adminpb.ListFaultsResponse // nil until it came
	failed error                       // why the last request had no answer; what came before stays
}

func newFaultList(m *Model) *faultList {
	f := &faultList{m: m}
	f.table = table.New(faultID, func(f *adminpb.Fault) string {
		return faultName(f) + " " + f.GetReason() + " " + f.GetKind() + " " + f.GetCause()
	}, f.columns()...)
	return f
}

// faultID tells faults apart: a key may have several versions that wait, and one
// version several changes.
func faultID(f *adminpb.Fault) string {
	return strings.Join([]string{f.GetBucket(), f.GetKey(), f.GetVersion(), f.GetKind(), f.GetSince().AsTime().String()}, "\x00")
}

// faultName is what a fault is of.
func faultName(f *adminpb.Fault) string {
	if f.GetKey() == "" {
		return f.GetBucket() + " (a setting)"
	}
	return f.GetBucket() + "/" + f.GetKey()
}

func (f *faultList) columns() []table.Column[*adminpb.Fault] {
	type fault = adminpb.Fault
	// What is never tried again comes last.
	next := func(a *fault) int64 {
		if a.GetNextRetry() == nil {
			return math.MaxInt64
		}
		return a.GetNextRetry().AsTime().UnixNano()
	}
	return []table.Column[*fault]{
		{Title: "KEY", Width: 20, Flex: true, Draw: func(r screen.Rect, a *fault) { r.Text(0, 0, screen.Plain, screen.TruncateStart(faultName(a), r.W)) },
			Compare: func(a, b *fault) int { return strings.Compare(faultName(a), faultName(b)) }},
		{Title: "REASON", Width: 11, Draw: table.Text(false, func(a *fault) (string, screen.Role) {
			if a.GetReason() == "quarantined" {
				return a.GetReason(), screen.Warn
			}
			return a.GetReason(), screen.Dim
		}), Compare: func(a, b *fault) int { return strings.Compare(a.GetReason(), b.GetReason()) }},
		{Title: "TRIES", Width: 5, Right: true, Priority: 2, Draw: table.Text(true, func(a *fault) (string, screen.Role) {
			return scaled(float64(a.GetAttempts())), screen.Plain
		}), Compare: func(a, b *fault) int { return cmp.Compare(a.GetAttempts(), b.GetAttempts()) }},
		{Title: "SINCE", Width: 6, Right: true, Priority: 3, Draw: table.Text(true, func(a *fault) (string, screen.Role) {
			if a.GetSince() == nil {
				return unknown, screen.Dim
			}
			return coarse(math.Floor(f.m.nodeTime().Sub(a.GetSince().AsTime()).Seconds())), screen.Plain
		}), Compare: func(a, b *fault) int { return b.GetSince().AsTime().Compare(a.GetSince().AsTime()) }},
		{Title: "NEXT RETRY", Width: 10, Right: true, Priority: 1, Draw: table.Text(true, func(a *fault) (string, screen.Role) {
			return untilRetry(a.GetNextRetry(), f.m.nodeTime()), screen.Plain
		}), Compare: func(a, b *fault) int { return cmp.Compare(next(a), next(b)) }},
		{Title: "CAUSE", Width: 16, Flex: true, Priority: 4, Draw: table.Text(false, func(a *fault) (string, screen.Role) {
			if a.GetCause() == "" {
				return unknown, screen.Dim
			}
			return a.GetCause(), screen.Plain
		})},
	}
}

// coarse writes seconds, and from a minute on minutes: a list of spans that moved
// every second would never be at rest.
func coarse(seconds float64) string {
	if seconds = math.Max(seconds, 0); seconds >= 60 && seconds < 3600 {
		return fmt.Sprintf("%dm", int(seconds)/60)
	}
	return span(seconds)
}

// untilRetry says when a version is tried again by itself.
func untilRetry(at *timestamppb.Timestamp, now time.Time) string {
	if at == nil {
		return unknown
	}
	left := math.Ceil(at.AsTime().Sub(now).Seconds())
	if left <= 0 {
		return "now"
	}
	return "in " + coarse(left)
}

// load asks for what a link cannot apply, unless that is on its way.
func (f *faultList) load(name string) tea.Cmd {
	if f.asked.waits() {
		return nil
	}
	ask := func(ctx context.Context, node Node) (*adminpb.ListFaultsResponse, error) {
		return node.Faults(ctx, &adminpb.ListFaultsRequest{Name: name, Limit: maxFaults})
	}
	return call(f.m, &f.asked, ask, func(res *adminpb.ListFaultsResponse, err error) tea.Cmd {
		if f.failed = err; err == nil {
			f.got = res
			f.table.SetRows(res.GetFaults())
		}
		return nil
	})
}

// bindings are the changes of the selected version, by its key.
func (f *faultList) bindings(name string) []binding {
	a, ok := f.table.Selected()
	key, keys := screen.TruncateStart(faultName(a), 40), []string{a.GetKey()}
	retry := f.m.changing("R", "retry", "retry the selected key", func() tea.Cmd {
		return f.m.change("retry "+key, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{
			RetryFaults: &adminpb.RetryFaultsRequest{Name: name, Bucket: a.GetBucket(), Keys: keys}}})
	})
	skip := f.m.changing("S", "skip", "skip the selected key", func() tea.Cmd {
		return f.m.change("skip "+key, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{
			SkipFaults: &adminpb.SkipFaultsRequest{Name: name, Bucket: a.GetBucket(), Keys: keys}}})
	})
	switch {
	case !ok:
		retry.off = cmp.Or(retry.off, "no version is selected")
		skip.off = cmp.Or(skip.off, "no version is selected")
	case a.GetReason() == "skipped":
		skip.off = cmp.Or(skip.off, "it is skipped already; R retries it")
	}
	return []binding{retry, skip}
}

// render draws the section: what is counted, the list, and at its foot the whole of
// the selected one.
func (p *linkPage) renderFaults(r screen.Rect, l *adminpb.ConsoleLink) {
	f := p.faults
	y := f.head(r, l, p.service.GetStatus())
	seen, all := f.table.Counts()
	switch {
	case f.got == nil && f.failed != nil:
		drawFailure(r, y+1, f.failed)
		return
	case f.got == nil:
		r.Text(1, y+1, screen.Dim, ".. loading what failed")
		return
	case f.failed != nil:
		for _, line := range wrapped("! this is as it was before: "+reason(f.failed), r.W-2, failureRows) {
			r.Text(1, y, screen.Warn, line)
			y++
		}
	}
	if all == 0 {
		y = prose(r, 1, y+1, r.W-2, screen.Plain, "No version is in quarantine and none was skipped. One that cannot be applied at this site is listed here with its cause, and is tried again by itself.")
		prose(r, 1, y, r.W-2, screen.Dim, "isgwctl link failed "+p.name)
		return
	}
	if f.got.GetNext() != "" {
		y = prose(r, 1, y, r.W-2, screen.Dim, fmt.Sprintf("The first %d are listed; isgwctl link failed %s lists all.", all, p.name))
	}
	if seen == 0 {
		f.table.Render(r.Sub(0, y, r.W, r.H-y))
		r.Text(2, y+1, screen.Dim, "nothing matches the filter")
		return
	}
	// The foot is as high whichever version is selected, and higher only where the
	// list has nothing: no row moves when the selection does.
	foot, whole := 0, []string(nil)
	if a, ok := f.table.Selected(); ok && r.H >= 10 {
		whole = faultWhole(a, r.W-4)
		foot = max(min(r.H/3, 6), min(len(whole)+1, r.H-y-1-seen))
	}
	f.table.Render(r.Sub(0, y, r.W, r.H-y-foot))
	drawWhole(r.Sub(0, r.H-foot, r.W, foot), whole)
}

// head is what is counted, in two lines.
func (f *faultList) head(r screen.Rect, l *adminpb.ConsoleLink, st *adminpb.ServiceStatus) int {
	count := func(n uint64, what string) string { return scaled(float64(n)) + " " + what }
	quarantined, words := l.GetQuarantined(), []string{count(l.GetQuarantined(), "in quarantine")}
	if f.got != nil {
		quarantined = f.got.GetQuarantined()
		words = []string{count(quarantined, "in quarantine"), count(f.got.GetSkipped(), "skipped"), count(f.got.GetTransferring(), "long on their way")}
	}
	role := screen.Plain
	if quarantined > 0 {
		role = screen.Warn
	}
	r.Text(1, 0, role, fitting(r.W-2, words...))
	r.Text(1, 1, screen.Dim, fitting(r.W-2, "errors: network "+scaled(float64(st.GetNetworkErrors())), "store here "+scaled(float64(st.GetLocalIoErrors())),
		"store there "+scaled(float64(st.GetRemoteIoErrors())), "since the node started"))
	return 2
}

// faultWhole is what the list has no room for, in lines of w cells: the name, and
// then what it is, since when, and why.
func faultWhole(a *adminpb.Fault, w int) []string {
	text := faultWhat(a)
	if since := instant(a.GetSince()); since != "" {
		text += ", since " + since
	}
	if a.GetCause() != "" {
		text += ": " + a.GetCause()
	}
	return append([]string{screen.TruncateStart(faultName(a), w)}, screen.Wrap(text, w)...)
}

// faultWhat says what kind of change a fault is, of which version, and how large.
func faultWhat(a *adminpb.Fault) string {
	text := a.GetKind()
	if a.GetVersion() != "" && a.GetKind() == "version" {
		text += " " + a.GetVersion()
	}
	if a.GetBytes() > 0 {
		text += ", " + size(float64(a.GetBytes()))
	}
	return text
}

// see shows all of a fault, however long its cause is.
func (f *faultList) see(link string, a *adminpb.Fault) {
	f.m.see("what failed on "+link, "isgwctl link failed "+link, [][2]string{
		{"bucket", a.GetBucket()}, {"key", a.GetKey()}, {"what", faultWhat(a)}, {"cause", a.GetCause()},
		{"reason", a.GetReason()}, {"tries", fmt.Sprint(a.GetAttempts())}, {"since", instant(a.GetSince())}, {"next retry", instant(a.GetNextRetry())},
	})
}

// drawWhole draws the lines at the foot of the section, with a row above them where
// there is one to spare.
func drawWhole(r screen.Rect, lines []string) {
	if len(lines) > r.H {
		lines = append(lines[:max(r.H-1, 0):max(r.H-1, 0)], screen.Truncate(strings.Join(lines[max(r.H-1, 0):], " "), r.W-4))
	}
	y := min(1, r.H-len(lines))
	for i, line := range lines {
		role := screen.Plain
		if i == 0 {
			role = screen.Strong
		}
		r.Text(2, y+i, role, line)
	}
}

// rows are the listed faults for a file, with exact numbers and times.
func (f *faultList) rows() [][]string {
	at := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return ""
		}
		return t.AsTime().UTC().Format(time.RFC3339)
	}
	out := [][]string{{"bucket", "key", "version", "kind", "reason", "attempts", "since", "next_retry", "bytes", "cause"}}
	for _, a := range f.table.Seen() {
		out = append(out, []string{a.GetBucket(), a.GetKey(), a.GetVersion(), a.GetKind(), a.GetReason(), fmt.Sprint(a.GetAttempts()),
			at(a.GetSince()), at(a.GetNextRetry()), fmt.Sprint(a.GetBytes()), a.GetCause()})
	}
	return out
}

// faultsDone says what a retry or a skip did, and whether that is not all that was
// asked for.
func faultsDone(change *adminpb.PlanRequest, did *adminpb.FaultsChanged) (text string, short bool) {
	skip := change.GetSkipFaults() != nil
	bucket := change.GetRetryFaults().GetBucket() + change.GetSkipFaults().GetBucket() // one of them
	name := func(key string) string {
		return screen.TruncateStart(faultName(&adminpb.Fault{Bucket: bucket, Key: key}), 48)
	}
	absent, unsound := did.GetAbsent(), did.GetUnsound()
	var parts []string
	switch n := did.GetVersions(); {
	case n == 1:
		parts = append(parts, "1 version is "+map[bool]string{false: "fetched again", true: "skipped"}[skip])
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d versions are %s", n, map[bool]string{false: "fetched again", true: "skipped"}[skip]))
	case len(absent)+len(unsound) > 0:
	case skip:
		parts = append(parts, "it was skipped already")
	default:
		parts = append(parts, "nothing is in quarantine any more")
	}
	if len(absent) > 0 {
		more := ""
		if len(absent) > 1 {
			more = fmt.Sprintf(" and %d more", len(absent)-1)
		}
		parts = append(parts, "nothing of "+name(absent[0])+more+" waits any more")
	}
	if len(unsound) > 0 {
		first, such := unsound[0], ""
		if len(unsound) > 1 {
			such = fmt.Sprintf("%d keys, such as ", len(unsound))
		}
		parts = append(parts, "no retry can help "+such+screen.TruncateStart(first.GetKey(), 48)+": "+first.GetCause())
	}
	return strings.Join(parts, "; "), len(absent)+len(unsound) > 0
}
