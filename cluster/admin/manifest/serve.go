package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// serves reads the list of what a link serves: paths, with their options after
// commas or in the form of fields.
func (r *reader) serves(p pair) *adminpb.PlanServes {
	if p.value.Kind != yaml.SequenceNode {
		r.fault(p.value, "%s is a list of paths", p.name)
		return nil
	}
	list := &adminpb.PlanServes{}
	seen := map[string]bool{}
	for _, n := range p.value.Content {
		served, ok := r.served(p.name, n)
		switch {
		case !ok:
			continue
		case seen[served.GetPath()]:
			r.fault(n, "%s has %s twice", p.name, served.GetPath())
			continue
		case len(list.Paths) == state.MaxServed:
			r.fault(n, "%s has more than %d paths: serve whole tenants", p.name, state.MaxServed)
			return nil
		}
		seen[served.GetPath()] = true
		list.Paths = append(list.Paths, plan.FormatServed(served))
	}
	return list
}

// served reads one of them.
func (r *reader) served(list string, n *yaml.Node) (*statepb.Served, bool) {
	if n.Kind != yaml.MappingNode {
		text, ok := r.text(pair{"a path in " + list, n, n})
		if !ok {
			return nil, false
		}
		served, err := plan.ParseServed(text)
		if err != nil {
			r.fault(n, "%v", err)
			return nil, false
		}
		return served, true
	}
	before := len(r.faults)
	served := &statepb.Served{}
	for _, p := range r.pairs(n, "a path in "+list) {
		switch p.name {
		case "path":
			if text, ok := r.text(p); ok {
				path, err := plan.ParseServedPath(text)
				if err != nil {
					r.fault(p.value, "%v", err)
				}
				served.Path = path.String()
			}
		case "include":
			served.Include = r.prefixes(p)
		case "exclude":
			served.Exclude = r.prefixes(p)
		case "direction":
			if word := r.optionalWord(p, state.DirectionSend, state.DirectionReceive, state.DirectionBoth); word != nil {
				served.Direction = *word
			}
		case "deletes":
			if word := r.optionalWord(p, state.DeletesKeep, plan.DeletesTravel); word != nil {
				served.Deletes = *word
			}
		default:
			r.unknown(p, "a path in "+list, []string{"path", "include", "exclude", "direction", "deletes"})
		}
	}
	if len(r.faults) > before {
		return nil, false
	}
	if served.Path == "" {
		r.fault(n, "a path in %s has no path", list)
		return nil, false
	}
	if err := plan.CompleteServed(served); err != nil {
		r.fault(n, "%v", err)
		return nil, false
	}
	return served, true
}

// optionalWord is one of a few words; nil when there is none.
func (r *reader) optionalWord(p pair, words ...string) *string {
	if isNull(p.value) {
		return nil
	}
	return r.word(p, words...)
}

// prefixes reads prefixes of keys: a list, or one alone.
func (r *reader) prefixes(p pair) []string {
	if isNull(p.value) {
		return nil
	}
	nodes := []*yaml.Node{p.value}
	if p.value.Kind == yaml.SequenceNode {
		nodes = p.value.Content
	}
	var all []string
	for _, n := range nodes {
		if len(all) > state.MaxPrefixes {
			break // CompleteServed refuses so many
		}
		if text, ok := r.text(pair{"a prefix in " + p.name, n, n}); ok {
			all = append(all, text)
		}
	}
	return slices.Compact(all)
}

// ServedText writes a served path with its options in one text, as commands and
// the API take it. It checks nothing.
func ServedText(v *adminpb.ServedPath) string {
	served := &statepb.Served{Path: v.GetPath(), Include: v.GetInclude(), Exclude: v.GetExclude(), Direction: v.GetDirection(), Deletes: v.GetDeletes()}
	if served.Deletes == plan.DeletesTravel {
		served.Deletes = ""
	}
	return plan.FormatServed(served)
}

// SplitServed takes apart a list of such texts with commas between.
func SplitServed(list string) []string { return plan.SplitServed(list) }

// ResourceWords are resources as Kubernetes writes them, without what is unset:
// limits and requests, each with cpu and memory.
func ResourceWords(r *adminpb.LinkResources) map[string]map[string]string {
	return plan.ResourceWords(r)
}
