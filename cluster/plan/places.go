package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// hostnameLabel is a label that every node has: its name.
const hostnameLabel = "kubernetes.io/hostname"

// RunningLink is a link on a node, for placements that are about other links.
type RunningLink struct {
	Labels map[string]string // as LinkLabels gives them
	Node   string            // id of the node
}

// Place says of one node whether a link may run there.
type Place struct {
	Node   string // its id
	Runs   bool
	Why    string // why not, in words
	Weight int    // the greater, the better the node fits
}

// LinkLabels are the labels by which placements select links: app is isgw,
// service is the link's name, and each annotation is one.
func LinkLabels(s *statepb.Service) map[string]string {
	labels := map[string]string{}
	for _, a := range s.GetAnnotations() {
		labels[a.GetName()] = a.GetValue()
	}
	labels["app"], labels["service"] = "isgw", s.GetName()
	return labels
}

// Places says of each node whether a link may run there: first those where it
// may, the best first and equal ones by id, then the others by id. own are the
// link's labels, others the other links of the site with the nodes they run on.
//
// The rules are those of Kubernetes' scheduler. Node affinity compares labels of
// nodes. A taint is a label whose value ends in a colon and an effect, as kubectl
// writes taints: KEY=VALUE:NoSchedule or KEY=:NoSchedule. Pod affinity compares
// labels of links; a term that the link fits itself is met while no link fits it
// anywhere, so that the first of a group finds a place.
func Places(p *Placement, nodes []*statepb.Node, own map[string]string, others []RunningLink) []Place {
	if p == nil {
		p = &Placement{}
	}
	s := &scheduler{own: own, others: others, labels: map[string]map[string]string{}}
	for _, n := range nodes {
		s.labels[n.GetId()] = nodeLabels(n)
	}
	var places []Place
	for _, n := range nodes {
		place := Place{Node: n.GetId()}
		place.Why = s.hinders(p, n)
		if place.Runs = place.Why == ""; place.Runs {
			place.Weight = s.weight(p, n)
		}
		places = append(places, place)
	}
	slices.SortFunc(places, func(a, b Place) int {
		if a.Runs != b.Runs {
			if a.Runs {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Node, b.Node))
	})
	return places
}

// scheduler is what Places knows of the site.
type scheduler struct {
	own    map[string]string
	others []RunningLink
	labels map[string]map[string]string // of nodes, by id
}

// taint keeps links away from a node that do not tolerate it.
type taint struct{ key, value, effect string }

func (t taint) String() string { return t.key + "=" + t.value + ":" + t.effect }

// nodeLabels are the labels of a node that are no taints, with its name.
func nodeLabels(n *statepb.Node) map[string]string {
	name := n.GetName()
	if name == "" {
		name = n.GetId()
	}
	labels := map[string]string{hostnameLabel: name}
	for _, l := range n.GetLabels() {
		if _, is := taintOf(l); !is {
			labels[l.GetName()] = l.GetValue()
		}
	}
	return labels
}

func taintOf(label *statepb.Annotation) (taint, bool) {
	i := strings.LastIndexByte(label.GetValue(), ':')
	if i < 0 {
		return taint{}, false
	}
	t := taint{label.GetName(), label.GetValue()[:i], label.GetValue()[i+1:]}
	return t, slices.Contains([]string{noSchedule, preferNoSchedule, noExecute}, t.effect)
}

// hinders is why a link may not run on a node, or "".
func (s *scheduler) hinders(p *Placement, n *statepb.Node) string {
	labels := s.labels[n.GetId()]
	if a := p.NodeAffinity; a != nil && a.Required != nil && len(a.Required.Terms) > 0 {
		why := ""
		for _, term := range a.Required.Terms {
			if why = term.hinders(labels); why == "" {
				break
			}
		}
		if why != "" {
			return why
		}
	}
	for _, l := range n.GetLabels() {
		if t, is := taintOf(l); is && t.effect != preferNoSchedule && !p.tolerates(t) {
			return fmt.Sprintf("the taint %s is not tolerated", t)
		}
	}
	if p.PodAffinity != nil {
		for _, term := range p.PodAffinity.Required {
			if s.near(term, labels) == 0 && !s.first(term) {
				return fmt.Sprintf("no link that it must run beside is in the same %s", term.TopologyKey)
			}
		}
	}
	if p.PodAntiAffinity != nil {
		for _, term := range p.PodAntiAffinity.Required {
			if s.near(term, labels) > 0 {
				return fmt.Sprintf("a link that it must not run beside is in the same %s", term.TopologyKey)
			}
		}
	}
	return ""
}

// weight is how well a node fits that a link may run on.
func (s *scheduler) weight(p *Placement, n *statepb.Node) int {
	labels, sum := s.labels[n.GetId()], 0
	if p.NodeAffinity != nil {
		for _, preferred := range p.NodeAffinity.Preferred {
			if preferred.Preference.hinders(labels) == "" {
				sum += preferred.Weight
			}
		}
	}
	if p.PodAffinity != nil {
		for _, preferred := range p.PodAffinity.Preferred {
			sum += preferred.Weight * s.near(preferred.Term, labels)
		}
	}
	if p.PodAntiAffinity != nil {
		for _, preferred := range p.PodAntiAffinity.Preferred {
			sum -= preferred.Weight * s.near(preferred.Term, labels)
		}
	}
	for _, l := range n.GetLabels() {
		if t, is := taintOf(l); is && t.effect == preferNoSchedule && !p.tolerates(t) {
			sum -= 100
		}
	}
	return sum
}

// near counts the links that a term is about, where a node is.
func (s *scheduler) near(term PodTerm, node map[string]string) int {
	where, has := node[term.TopologyKey]
	if !has {
		return 0
	}
	n := 0
	for _, link := range s.others {
		there, known := s.labels[link.Node][term.TopologyKey]
		if known && there == where && term.Selector.fits(link.Labels) {
			n++
		}
	}
	return n
}

// first says whether the link is the first that a term is about.
func (s *scheduler) first(term PodTerm) bool {
	return term.Selector.fits(s.own) &&
		!slices.ContainsFunc(s.others, func(l RunningLink) bool { return term.Selector.fits(l.Labels) })
}

// hinders is why a term does not fit a node, or "".
func (t NodeTerm) hinders(labels map[string]string) string {
	for _, r := range t.Expressions {
		if !r.fits(labels) {
			return "its labels do not meet " + r.String()
		}
	}
	for _, r := range t.Fields {
		if !(Requirement{hostnameLabel, r.Operator, r.Values}).fits(labels) {
			return "its name does not meet " + r.String()
		}
	}
	if len(t.Expressions)+len(t.Fields) == 0 {
		return "an empty term of the node affinity fits no node"
	}
	return ""
}

// String is the requirement in words, as kubectl shows it.
func (r Requirement) String() string {
	if len(r.Values) == 0 {
		return r.Key + " " + r.Operator
	}
	return r.Key + " " + r.Operator + " " + strings.Join(r.Values, ",")
}

// fits says whether labels meet a requirement.
func (r Requirement) fits(labels map[string]string) bool {
	value, has := labels[r.Key]
	switch r.Operator {
	case opIn:
		return has && slices.Contains(r.Values, value)
	case opNotIn:
		return !has || !slices.Contains(r.Values, value)
	case opExists:
		return has
	case opDoesNotExist:
		return !has
	case opGt, opLt:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || len(r.Values) != 1 {
			return false
		}
		bound, err := strconv.ParseInt(r.Values[0], 10, 64)
		return err == nil && (r.Operator == opGt && n > bound || r.Operator == opLt && n < bound)
	}
	return false
}

// fits says whether labels meet a selector; without one there is nothing to meet,
// which as in Kubernetes nothing does.
func (s *LabelSelector) fits(labels map[string]string) bool {
	if s == nil {
		return false
	}
	for name, value := range s.Labels {
		if own, has := labels[name]; !has || own != value {
			return false
		}
	}
	return !slices.ContainsFunc(s.Expressions, func(r Requirement) bool { return !r.fits(labels) })
}

// tolerates says whether one of the tolerations is about a taint.
func (p *Placement) tolerates(t taint) bool {
	return slices.ContainsFunc(p.Tolerations, func(tol Toleration) bool {
		return (tol.Effect == "" || tol.Effect == t.effect) &&
			(tol.Key == "" || tol.Key == t.key) &&
			(tol.Operator == opExists || tol.Value == t.value)
	})
}
