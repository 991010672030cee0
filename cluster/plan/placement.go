package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"edgefog.dev/isgw/raftfsm/state"
)

// The types below are the placement of a pod in Kubernetes, as far as it says on
// which nodes something may run. Their JSON is Kubernetes' own.

// Placement says on which of the site's nodes a link may run.
type Placement struct {
	NodeAffinity    *NodeAffinity `json:"nodeAffinity,omitempty"`
	PodAffinity     *PodAffinity  `json:"podAffinity,omitempty"`
	PodAntiAffinity *PodAffinity  `json:"podAntiAffinity,omitempty"`
	Tolerations     []Toleration  `json:"tolerations,omitempty"`
}

// NodeAffinity is what a node must be, and had better be.
type NodeAffinity struct {
	Required  *NodeSelector   `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []PreferredNode `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// NodeSelector admits a node that one of its terms fits.
type NodeSelector struct {
	Terms []NodeTerm `json:"nodeSelectorTerms,omitempty"`
}

// NodeTerm fits a node that meets all its requirements; one without any fits none.
type NodeTerm struct {
	Expressions []Requirement `json:"matchExpressions,omitempty"` // of labels
	Fields      []Requirement `json:"matchFields,omitempty"`      // of metadata.name
}

// PreferredNode adds its weight to the nodes that its term fits.
type PreferredNode struct {
	Weight     int      `json:"weight"` // 1 to 100
	Preference NodeTerm `json:"preference"`
}

// Requirement compares the value of a label.
type Requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"` // In, NotIn, Exists, DoesNotExist, Gt, Lt
	Values   []string `json:"values,omitempty"`
}

// PodAffinity is beside which other links a link must run, or must not, and beside
// which it had better, or had better not.
type PodAffinity struct {
	Required  []PodTerm      `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []PreferredPod `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// PreferredPod weighs a term.
type PreferredPod struct {
	Weight int     `json:"weight"` // 1 to 100
	Term   PodTerm `json:"podAffinityTerm"`
}

// PodTerm is about the links that its selector fits, and the nodes that have the
// same value of a label as those on which these run.
type PodTerm struct {
	Selector    *LabelSelector `json:"labelSelector,omitempty"`
	Namespaces  []string       `json:"namespaces,omitempty"` // kept; a site has no namespaces of pods
	TopologyKey string         `json:"topologyKey"`
}

// LabelSelector fits links that meet all of it; an empty one fits all.
type LabelSelector struct {
	Labels      map[string]string `json:"matchLabels,omitempty"`
	Expressions []Requirement     `json:"matchExpressions,omitempty"`
}

// Toleration admits nodes that have a taint.
type Toleration struct {
	Key      string `json:"key,omitempty"`      // empty with Exists: every taint
	Operator string `json:"operator,omitempty"` // Exists, Equal; empty: Equal
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"` // NoSchedule, PreferNoSchedule, NoExecute; empty: every effect
	Seconds  *int64 `json:"tolerationSeconds,omitempty"`
}

// Operators and effects of Kubernetes.
const (
	opIn, opNotIn, opExists, opDoesNotExist, opGt, opLt = "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"
	opEqual                                             = "Equal"

	noSchedule, preferNoSchedule, noExecute = "NoSchedule", "PreferNoSchedule", "NoExecute"
)

// ParsePlacement reads a placement in Kubernetes' JSON and returns it with its
// canonical JSON, which is empty when it admits every node. A field that is not
// known and a value that cannot be are refused with an *Error of kind ErrInvalid.
func ParsePlacement(text []byte) (*Placement, []byte, error) {
	p := &Placement{}
	if len(text) > state.MaxPlacement {
		return nil, nil, invalid("a placement has at most %d bytes, not %d", state.MaxPlacement, len(text))
	}
	if len(bytes.TrimSpace(text)) > 0 {
		in := json.NewDecoder(bytes.NewReader(text))
		in.DisallowUnknownFields()
		if err := in.Decode(&p); err != nil {
			return nil, nil, invalid("the placement cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if _, err := in.Token(); !errors.Is(err, io.EOF) {
			return nil, nil, invalid("the placement is followed by something else")
		}
		if p == nil { // null
			p = &Placement{}
		}
	}
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	p.prune()
	canonical, err := json.Marshal(p)
	if err != nil {
		return nil, nil, invalid("the placement cannot be written: %v", err)
	}
	if string(canonical) == "{}" {
		return p, nil, nil
	}
	if len(canonical) > state.MaxPlacement { // escapes may make it longer
		return nil, nil, invalid("a placement has at most %d bytes, not %d", state.MaxPlacement, len(canonical))
	}
	return p, canonical, nil
}

// prune leaves out what says nothing, as manifests often have it.
func (p *Placement) prune() {
	if a := p.NodeAffinity; a != nil {
		if a.Required != nil && len(a.Required.Terms) == 0 {
			a.Required = nil
		}
		if a.Required == nil && len(a.Preferred) == 0 {
			p.NodeAffinity = nil
		}
	}
	for _, a := range []**PodAffinity{&p.PodAffinity, &p.PodAntiAffinity} {
		if *a != nil && len((*a).Required)+len((*a).Preferred) == 0 {
			*a = nil
		}
	}
}

func (p *Placement) check() error {
	if a := p.NodeAffinity; a != nil {
		if a.Required != nil {
			for _, term := range a.Required.Terms {
				if err := term.check(); err != nil {
					return err
				}
			}
		}
		for _, preferred := range a.Preferred {
			if err := checkWeight(preferred.Weight); err != nil {
				return err
			}
			if err := preferred.Preference.check(); err != nil {
				return err
			}
		}
	}
	for _, a := range []*PodAffinity{p.PodAffinity, p.PodAntiAffinity} {
		if err := a.check(); err != nil {
			return err
		}
	}
	for _, t := range p.Tolerations {
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}

func checkWeight(weight int) error {
	if weight < 1 || weight > 100 {
		return invalid("placement: a weight is from 1 to 100, not %d", weight)
	}
	return nil
}

func (t NodeTerm) check() error {
	for _, r := range t.Expressions {
		if err := r.check(opIn, opNotIn, opExists, opDoesNotExist, opGt, opLt); err != nil {
			return err
		}
	}
	for _, r := range t.Fields {
		if err := r.check(opIn, opNotIn); err != nil {
			return err
		}
		if r.Key != "metadata.name" {
			return invalid("placement: matchFields knows metadata.name, and not %s", clipped(r.Key))
		}
	}
	return nil
}

func (r Requirement) check(operators ...string) error {
	switch {
	case r.Key == "":
		return invalid("placement: an expression has no key")
	case !slices.Contains(operators, r.Operator):
		return invalid("placement: the operator of %s is one of %s, and not %s", r.Key, strings.Join(operators, ", "), clipped(r.Operator))
	}
	switch r.Operator {
	case opIn, opNotIn:
		if len(r.Values) == 0 {
			return invalid("placement: %s %s has no values", r.Key, r.Operator)
		}
	case opExists, opDoesNotExist:
		if len(r.Values) > 0 {
			return invalid("placement: %s %s has values, and takes none", r.Key, r.Operator)
		}
	case opGt, opLt:
		if len(r.Values) != 1 {
			return invalid("placement: %s %s has %d values, and takes one", r.Key, r.Operator, len(r.Values))
		}
		if _, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil {
			return invalid("placement: %s %s takes a whole number, and not %s", r.Key, r.Operator, clipped(r.Values[0]))
		}
	}
	return nil
}

func (a *PodAffinity) check() error {
	if a == nil {
		return nil
	}
	terms := slices.Clone(a.Required)
	for _, preferred := range a.Preferred {
		if err := checkWeight(preferred.Weight); err != nil {
			return err
		}
		terms = append(terms, preferred.Term)
	}
	for _, term := range terms {
		if term.TopologyKey == "" {
			return invalid("placement: a term about other links has no topologyKey").next("kubernetes.io/hostname means the same node")
		}
		if term.Selector == nil {
			continue
		}
		for _, r := range term.Selector.Expressions {
			if err := r.check(opIn, opNotIn, opExists, opDoesNotExist); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t Toleration) check() error {
	switch {
	case !slices.Contains([]string{"", opEqual, opExists}, t.Operator):
		return invalid("placement: the operator of a toleration is %s or %s, and not %s", opEqual, opExists, clipped(t.Operator))
	case !slices.Contains([]string{"", noSchedule, preferNoSchedule, noExecute}, t.Effect):
		return invalid("placement: the effect of a toleration is %s, %s or %s, and not %s", noSchedule, preferNoSchedule, noExecute, clipped(t.Effect))
	case t.Operator == opExists && t.Value != "":
		return invalid("placement: a toleration of %s with the operator %s has a value, and takes none", t.Key, opExists)
	case t.Key == "" && t.Operator != opExists:
		return invalid("placement: a toleration without key has the operator %s", opExists)
	}
	return nil
}
