package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

const (
	watchEvery = 200 * time.Millisecond // status while waiting
	retryEvery = 500 * time.Millisecond // when the node went away while waiting
)

// conditions are what a service can be waited for.
var conditions = map[string]func(*adminpb.ServiceStatus) bool{
	"synced":    (*adminpb.ServiceStatus).GetSynced,
	"connected": (*adminpb.ServiceStatus).GetConnected,
	"copied": func(st *adminpb.ServiceStatus) bool {
		return st.GetSynced() || st.GetState() == adminpb.ServiceState_SERVICE_STATE_COPIED
	},
	"paused": func(st *adminpb.ServiceStatus) bool {
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_PAUSED
	},
	"received": func(st *adminpb.ServiceStatus) bool { return arrived(st.GetReceive()) },
	"sent":     func(st *adminpb.ServiceStatus) bool { return arrived(st.GetSend()) },
}

// arrived says whether nothing is left on its way in a direction, as far as it is
// known, and that it is known.
func arrived(d *adminpb.DirectionStats) bool {
	return d.GetBacklog() != nil && d.GetBacklog().LagSeconds != nil && d.GetBacklog().GetVersions() == 0
}

func (a *app) waitCommand() *cobra.Command {
	var condition string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait [service/]NAME",
		Short: "Wait until a link is in sync",
		Long: `Waits until both ends of a link have everything that is served over it
(--for=synced), or for something less: connected, copied (everything arrived
once, whatever changes since), received and sent (nothing is on its way in that
direction), paused. Meanwhile it tells on stderr how far it is. It exits with 7
when it took too long, and then says what the link waits for.`,
		Example: "isgwctl wait service/hawaii --for=synced --timeout 60s\nisgwctl wait hawaii --for=sent",
		Args:    takes("[service/]NAME"),
	}
	cmd.PreRunE = func(_ *cobra.Command, args []string) error {
		switch {
		case strings.Contains(strings.TrimPrefix(args[0], "service/"), "/") || args[0] == "service/":
			return usage("isgwctl wait knows service/NAME, not %q", args[0])
		case conditions[condition] == nil:
			return usage("--for is %s, not %q", strings.Join(slices.Sorted(maps.Keys(conditions)), ", "), condition)
		case timeout <= 0:
			return usage("--timeout is more than nothing, such as 60s, not %v", timeout)
		}
		return nil
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		w := &waiting{app: a, name: strings.TrimPrefix(args[0], "service/"), condition: condition}
		meter := a.meter(w.progress)
		err := w.wait(cmd.Context(), c, timeout)
		meter.stop()
		if err != nil {
			return err
		}
		return a.made(w.last, "service %s is %s", w.name, w.condition)
	})
	cmd.Flags().StringVar(&condition, "for", "synced", "wait for this `CONDITION`: connected, copied, paused, received, sent or synced")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "wait no longer than this `DURATION`")
	return cmd
}

// waiting is one wait for a condition of a service.
type waiting struct {
	app             *app
	name, condition string

	mu   sync.Mutex
	last *adminpb.Service // as it was seen last
	away bool             // the node, since then
}

// errMet ends a watch whose condition holds.
var errMet = errors.New("the condition holds")

func (w *waiting) wait(ctx context.Context, c *admin.Client, timeout time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := c.Services.Watch(limited, w.name, watchEvery, w.look)
		var failure *admin.Error
		switch {
		case errors.Is(err, errMet):
			return nil
		case ctx.Err() != nil || !errors.As(err, &failure):
			return err
		case limited.Err() != nil, failure.Code == admin.CodeTimeout: // the node may notice first
			return w.late(timeout)
		case w.last == nil || failure.Code != admin.CodeUnavailable:
			return err // a node that never answered is not waited for
		}
		// The node was there and went away: it may be restarting.
		w.mu.Lock()
		w.away = true
		w.mu.Unlock()
		timer := time.NewTimer(retryEvery)
		select {
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
		}
	}
}

// look judges one status.
func (w *waiting) look(service *adminpb.Service) error {
	w.mu.Lock()
	w.last, w.away = service, false
	w.mu.Unlock()
	if conditions[w.condition](service.GetStatus()) {
		return errMet
	}
	return nil
}

// progress is how far the link is; of a first copy, how much of it.
func (w *waiting) progress() progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return progress{}
	}
	p := progress{text: fmt.Sprintf("service %s is %s", w.name, w.standing())}
	var copied, total uint64
	for _, b := range w.last.GetStatus().GetBuckets() {
		if b.GetState() == "copying" {
			copied, total = copied+b.GetCopiedKeys(), total+b.GetTotalKeys()
		}
	}
	if total > 0 {
		p.text += fmt.Sprintf(", %d of %d keys copied", copied, total)
		p.share, p.known = float64(copied)/float64(total), true
	}
	if w.away {
		p.text += "; the node does not answer now"
	}
	return p
}

// late says what is still missing.
func (w *waiting) late(timeout time.Duration) error {
	if w.last == nil {
		return admin.Errorf(admin.CodeTimeout, "the node said nothing of service %s within %v", w.name, timeout)
	}
	failure := admin.Errorf(admin.CodeTimeout, "service %s is not %s after %v: it is %s", w.name, w.condition, timeout, w.standing())
	if next := w.last.GetStatus().GetNextStep(); next != "" {
		return failure.WithHint("%s", next)
	}
	return failure
}

// standing is the state in words, with its cause and what is on its way.
func (w *waiting) standing() string {
	st := w.last.GetStatus()
	text := manifest.Word(st.GetState())
	if st.GetCause() != "" {
		text += " (" + st.GetCause() + ")"
	}
	for _, d := range []struct {
		word    string
		backlog *adminpb.Backlog
	}{{"to send", st.GetSend().GetBacklog()}, {"to receive", st.GetReceive().GetBacklog()}} {
		if n := d.backlog.GetVersions(); n > 0 {
			text += fmt.Sprintf(", %d versions with %s %s, lag %s", n, roundBytes(float64(d.backlog.GetBytes())), d.word, seconds(d.backlog.LagSeconds))
		}
	}
	return text
}
