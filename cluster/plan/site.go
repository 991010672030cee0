package plan

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// EditSite changes settings that hold for all of the site; what the request
// leaves out stays. It returns nil when everything is so already.
func EditSite(cfg *state.Config, req *adminpb.PlanEditSite) (*statepb.Txn, error) {
	old, revision, ok := cfg.Site()
	if !ok {
		return nil, refuse(state.ErrNotFound, "the site is not initialised").next("run `isgwctl system init`")
	}
	if req.Profile == nil {
		return nil, invalid("nothing is to be changed").next("name a setting: profile")
	}
	if err := checkProfile(req.GetProfile()); err != nil {
		return nil, err
	}
	if profileOf(old) == cmp.Or(req.GetProfile(), state.ProfilePerformance) {
		return nil, nil
	}
	site := proto.CloneOf(old)
	site.Profile = req.GetProfile()
	return replace(site, revision)
}

// profileOf is the profile of links that have none of their own.
func profileOf(site *statepb.Site) string { return state.EffectiveProfile(nil, site) }

// LabelNode gives a node of the site these labels and no others, as
// [ParseLabels] reads them. It returns nil when it has them already.
func LabelNode(cfg *state.Config, id string, labels []*statepb.Annotation) (*statepb.Txn, error) {
	old, revision, ok := cfg.Node(id)
	if !ok {
		return nil, refuse(state.ErrNotFound, "node %s does not exist", id)
	}
	if slices.EqualFunc(old.GetLabels(), labels, func(a, b *statepb.Annotation) bool { return proto.Equal(a, b) }) {
		return nil, nil
	}
	node := proto.CloneOf(old)
	node.Labels = labels
	return replace(node, revision)
}

// ParseLabels reads the labels of a node, each NAME=VALUE or, as kubectl writes a
// taint, NAME=VALUE:EFFECT or NAME:EFFECT. It returns them ordered by name.
// Errors are *Error of kind ErrInvalid.
func ParseLabels(texts []string) ([]*statepb.Annotation, error) {
	var labels []*statepb.Annotation
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			if i := strings.LastIndexByte(text, ':'); i >= 0 {
				name, value, ok = text[:i], text[i:], true
			}
		}
		if !ok {
			return nil, invalid("label %s is not NAME=VALUE", clipped(text)).next("a taint is NAME=VALUE:NoSchedule")
		}
		l := &statepb.Annotation{Name: name, Value: value}
		if _, is := taintOf(l); !is && strings.Contains(value, ":") {
			return nil, invalid("label %s has an effect that there is not", clipped(text)).
				next("the effects of taints are %s, %s and %s", noSchedule, preferNoSchedule, noExecute)
		}
		labels = append(labels, l)
	}
	slices.SortFunc(labels, func(a, b *statepb.Annotation) int { return strings.Compare(a.GetName(), b.GetName()) })
	for i := 1; i < len(labels); i++ {
		if labels[i-1].GetName() == labels[i].GetName() {
			return nil, invalid("label %s is given twice", labels[i].GetName())
		}
	}
	if err := state.CheckAnnotations("label", labels); err != nil {
		return nil, adopt(err)
	}
	return labels, nil
}

// servicePlaces are the nodes of the site with whether a link may run there. While
// the site has one node all links run on it; of several it is not known yet.
func servicePlaces(cfg *state.Config, s *statepb.Service, all []*statepb.Service) []Place {
	placement, _, err := ParsePlacement(s.GetPlacement())
	if err != nil {
		placement = &Placement{} // one of a later release: every node is as good
	}
	nodes := cfg.Nodes()
	var others []RunningLink
	if len(nodes) == 1 && (placement.PodAffinity != nil || placement.PodAntiAffinity != nil) {
		for _, other := range all {
			if other.GetName() != s.GetName() {
				others = append(others, RunningLink{Labels: LinkLabels(other), Node: nodes[0].GetId()})
			}
		}
	}
	return Places(placement, nodes, LinkLabels(s), others)
}
