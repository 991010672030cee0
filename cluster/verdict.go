package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// standing is how a link stands to an operator: what it is called in a word,
// and how much attention it wants.
func standing(state adminpb.ServiceState, lag *float64, target float64, quarantined uint64) (severity adminpb.Severity, word string) {
	late := lag != nil && *lag > target
	switch state {
	case adminpb.ServiceState_SERVICE_STATE_DISABLED:
		return adminpb.Severity_SEVERITY_PAUSED, "disabled"
	case adminpb.ServiceState_SERVICE_STATE_PAUSED:
		return adminpb.Severity_SEVERITY_PAUSED, "paused"
	case adminpb.ServiceState_SERVICE_STATE_UNPAIRED:
		return adminpb.Severity_SEVERITY_WARNING, "unpaired"
	case adminpb.ServiceState_SERVICE_STATE_NO_REMOTE:
		return adminpb.Severity_SEVERITY_WARNING, "no remote"
	case adminpb.ServiceState_SERVICE_STATE_DOWN:
		return adminpb.Severity_SEVERITY_FAILED, "down"
	case adminpb.ServiceState_SERVICE_STATE_REFUSED:
		return adminpb.Severity_SEVERITY_FAILED, "refused"
	case adminpb.ServiceState_SERVICE_STATE_STALLED:
		return adminpb.Severity_SEVERITY_FAILED, "stalled"
	}
	switch {
	case quarantined > 0:
		return adminpb.Severity_SEVERITY_WARNING, "quarantine"
	case state == adminpb.ServiceState_SERVICE_STATE_CONNECTING:
		return adminpb.Severity_SEVERITY_BUSY, "connecting"
	case state == adminpb.ServiceState_SERVICE_STATE_WAITING:
		return adminpb.Severity_SEVERITY_BUSY, "waiting"
	case state == adminpb.ServiceState_SERVICE_STATE_COPYING:
		return adminpb.Severity_SEVERITY_BUSY, "copying"
	case late, state == adminpb.ServiceState_SERVICE_STATE_LAGGING:
		return adminpb.Severity_SEVERITY_WARNING, "lagging"
	case state == adminpb.ServiceState_SERVICE_STATE_BEHIND:
		return adminpb.Severity_SEVERITY_BUSY, "behind"
	case state == adminpb.ServiceState_SERVICE_STATE_SYNCED:
		return adminpb.Severity_SEVERITY_OK, "synced"
	case state == adminpb.ServiceState_SERVICE_STATE_COPIED:
		return adminpb.Severity_SEVERITY_OK, "copied"
	}
	return adminpb.Severity_SEVERITY_UNKNOWN, "unknown"
}

// glyphOf is the sign of a severity; it never stands without a word.
func glyphOf(s adminpb.Severity) string {
	switch s {
	case adminpb.Severity_SEVERITY_OK:
		return "ok"
	case adminpb.Severity_SEVERITY_WARNING:
		return "!"
	case adminpb.Severity_SEVERITY_FAILED:
		return "X"
	case adminpb.Severity_SEVERITY_PAUSED:
		return "||"
	case adminpb.Severity_SEVERITY_BUSY:
		return ".."
	}
	return "?"
}

// alertsOf lists what wants attention, the worst first.
func alertsOf(initialised, quorum bool, problems []*adminpb.Problem, links []*adminpb.ConsoleLink) []*adminpb.Alert {
	alert := func(severity adminpb.Severity, word, service, cause, next, key string) *adminpb.Alert {
		return &adminpb.Alert{Severity: severity, Glyph: glyphOf(severity), Word: word, Service: service, Cause: cause, NextStep: next, Key: key}
	}
	if !initialised {
		return []*adminpb.Alert{alert(adminpb.Severity_SEVERITY_FAILED, "not initialised", "", "this node is not initialised", "run `isgwctl system init`", "init")}
	}
	var failed, warned []*adminpb.Alert
	if !quorum {
		failed = append(failed, alert(adminpb.Severity_SEVERITY_FAILED, "no quorum", "", "the site has no leader: nothing can be changed or written", "see the node's log", "quorum"))
	}
	for _, p := range problems {
		warned = append(warned, alert(adminpb.Severity_SEVERITY_WARNING, "node", "", p.GetWhat(), p.GetNextStep(), "node "+p.GetWhat()))
	}
	for _, l := range links {
		cause := l.GetCause()
		switch l.GetStateWord() {
		case "lagging":
			cause = fmt.Sprintf("lag %s > target %s", shortSpan(l.GetLagSeconds()), shortSpan(l.GetLagTargetSeconds()))
			if l.DrainSeconds != nil {
				cause += ", drains in ~" + shortSpan(l.GetDrainSeconds())
				if l.GetHeld() != "" {
					cause += ", " + l.GetHeld()
				}
			} else if l.GetCause() != "" {
				cause += ": " + l.GetCause()
			}
		case "quarantine":
			if cause == "" {
				cause = counted(l.GetQuarantined(), "version is", "versions are") + " in quarantine"
			}
		}
		a := alert(l.GetSeverity(), l.GetStateWord(), l.GetName(), cause, l.GetNextStep(), "link "+l.GetName())
		switch l.GetSeverity() {
		case adminpb.Severity_SEVERITY_FAILED:
			failed = append(failed, a)
		case adminpb.Severity_SEVERITY_WARNING:
			warned = append(warned, a)
		}
	}
	return slices.Concat(failed, warned)
}

// verdictOf answers whether replication is healthy: it is when nothing wants
// attention. A link that an operator disabled is not looked at, one that copies
// or is behind by less than its target is healthy.
func verdictOf(initialised, quorum bool, alerts []*adminpb.Alert, links []*adminpb.ConsoleLink) *adminpb.Verdict {
	if len(alerts) > 0 {
		v := &adminpb.Verdict{NextStep: alerts[0].GetNextStep()}
		switch {
		case !initialised:
			v.Sentence = "NOT HEALTHY: this node is not initialised"
		case !quorum:
			v.Sentence = "NOT HEALTHY: the site has no leader"
		default:
			v.Sentence = "NOT HEALTHY: " + strings.Join(complaints(alerts, links), ", ")
		}
		return v
	}
	v := &adminpb.Verdict{Healthy: true}
	count := map[string]int{}
	for _, l := range links {
		count[l.GetStateWord()]++
	}
	switch synced := count["synced"]; {
	case len(links) == 0:
		v.Sentence = "HEALTHY: this site has no links yet"
		v.NextStep = "make one with `isgwctl service create`"
	case synced == len(links) && synced == 1:
		v.Sentence = "HEALTHY: the link is in sync"
	case synced == len(links):
		v.Sentence = fmt.Sprintf("HEALTHY: all %d links are in sync", synced)
	default:
		parts := []string{fmt.Sprintf("%d of %d links in sync", synced, len(links))}
		for _, word := range []string{"copying", "behind", "connecting", "waiting", "copied", "paused", "disabled"} {
			n := count[word]
			if word == "behind" {
				word = "catching up" // within its target: a busy link is hardly ever anything else
			}
			if n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, word))
			}
		}
		v.Sentence = "HEALTHY: " + strings.Join(parts, ", ")
	}
	return v
}

// complaints counts what wants attention, in words.
func complaints(alerts []*adminpb.Alert, links []*adminpb.ConsoleLink) []string {
	count := map[string]int{}
	for _, a := range alerts {
		count[a.GetWord()]++
	}
	var worst float64
	for _, l := range links {
		if l.GetStateWord() == "lagging" {
			worst = max(worst, l.GetLagSeconds())
		}
	}
	var out []string
	for _, c := range []struct{ word, one, many string }{
		{"down", "1 link is down", "%d links are down"},
		{"refused", "1 link is refused by its other end", "%d links are refused by their other ends"},
		{"stalled", "1 link makes no progress", "%d links make no progress"},
		{"lagging", "1 link outside its lag target", "%d links outside their lag targets"},
		{"quarantine", "1 link has versions in quarantine", "%d links have versions in quarantine"},
		{"unpaired", "1 link with a site that is not paired", "%d links with sites that are not paired"},
		{"no remote", "1 link without remote", "%d links without remote"},
		{"node", "1 problem of the node", "%d problems of the node"},
	} {
		n := count[c.word]
		if n == 0 {
			continue
		}
		text := c.one
		if n > 1 {
			text = fmt.Sprintf(c.many, n)
		}
		if c.word == "lagging" {
			text += " (worst " + shortSpan(worst) + ")"
		}
		out = append(out, text)
	}
	return out
}

// shortSpan writes seconds for people: 0.4s, 41s, 14m02s, 2h11m, 3d04h.
func shortSpan(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
