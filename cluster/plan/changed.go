package plan

import (
	"cmp"
	"fmt"
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// The functions of this file say in words what changed settings and options are.

const (
	// goesOn ends what is said of settings that change.
	goesOn = "The link goes on where it was with the new settings; what arrived is not sent again."
	// optionImpact is what other options of a served path do.
	optionImpact = "What the new options let through and the old ones did not is compared and sent, in both directions. " +
		"What they do not let through any more stays where it is."
)

// changed tells each setting in which a link differs from what it was.
func (b *builder) changed(was, is *statepb.Service) {
	moves := false
	for _, s := range different(was, is) {
		b.step("~", "setting", is.GetName(), "%s %s → %s", s.name, short(s.value(was)), short(s.value(is)))
		moves = moves || s.flag == "--placement" || s.flag == "--annotations"
	}
	if moves {
		b.placed(is)
	}
}

// impacts are what changed settings do, a sentence each.
func impacts(was, is *statepb.Service) []string {
	var all []string
	for _, s := range different(was, is) {
		if s.impact != nil {
			all = append(all, s.impact(is))
		}
	}
	return all
}

// flagsBack are the flags that bring back the settings a link had.
func flagsBack(was, is *statepb.Service) string {
	var out strings.Builder
	for _, s := range different(was, is) {
		out.WriteString(" " + s.flag + " " + quoted(s.value(was)))
	}
	return out.String()
}

// short is the value of a setting in a line of a plan.
func short(value string) string {
	const most = 48
	if value == "" {
		return `""`
	}
	if letters := []rune(value); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return value
}

// entry is how a link serves a path by itself, or nil.
func entry(s *statepb.Service, path string) *statepb.Served {
	for _, served := range s.GetServes() {
		if served.GetPath() == path {
			return served
		}
	}
	return nil
}

// optionWords are the options of a served path in a line of a plan.
func optionWords(s *statepb.Served) string {
	if words := strings.TrimPrefix(Options(s), ","); words != "" {
		return short(words)
	}
	return "no options"
}

// what says of a served path what it holds, and its options.
func (b *builder) what(s *statepb.Served) string {
	if Options(s) == "" {
		return b.holds(s.GetPath())
	}
	return b.holds(s.GetPath()) + ", " + optionWords(s)
}

// placed says which nodes of the site a link's placement admits.
func (b *builder) placed(s *statepb.Service) {
	if len(s.GetPlacement()) == 0 {
		return
	}
	places := servicePlaces(b.cfg, s, b.cfg.Services())
	var fit, not []string
	for _, p := range places {
		name := p.Node
		if node, _, ok := b.cfg.Node(p.Node); ok {
			name = cmp.Or(node.GetName(), name)
		}
		if p.Runs {
			fit = append(fit, name)
		} else {
			not = append(not, name+": "+p.Why)
		}
	}
	switch {
	case len(fit) > 0:
		b.check(passes, "place", "it may run on %s", strings.Join(fit, ", "))
	case len(places) == 1:
		b.check(warning, "place", "%s; it runs there all the same, because the site has no other node", not[0])
	default:
		b.check(warning, "place", "no node fits: %s", strings.Join(not, "; "))
	}
}

// editSite changes settings that hold for all of the site.
func (b *builder) editSite(req *adminpb.PlanEditSite) error {
	txn, err := EditSite(b.cfg, req)
	if err != nil {
		return err
	}
	b.Txn = txn
	old, revision, _ := b.cfg.Site()
	b.depends("site", revision)
	b.Plan.Command = "isgwctl system edit"
	if req.Profile != nil {
		b.Plan.Command += " --resource-profile " + quoted(req.GetProfile())
	}
	if txn == nil {
		b.Plan.Impact = "Nothing: the settings are so already."
		return nil
	}
	was, is := profileOf(old), profileOf(txn.GetPuts()[0].GetSite())
	b.step("~", "setting", old.GetName(), "profile %s → %s", was, is)
	n := 0
	for _, s := range b.cfg.Services() {
		if s.GetProfile() == "" {
			n++
		}
	}
	b.Plan.Impact = fmt.Sprintf("%d %s no profile of their own and take this one. %s", n, plural(n, "link has", "links have"), goesOn)
	if n == 1 {
		b.Plan.Impact = "1 link has no profile of its own and takes this one. " + goesOn
	}
	b.Plan.Undo = "`isgwctl system edit --resource-profile " + was + "`"
	return nil
}
