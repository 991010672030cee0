package plan

import (
	"encoding/json"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// limitImpact says what a limit does.
func limitImpact(verb string, limit *statepb.Limit) string {
	if limit == nil {
		return "It " + verb + " as fast as the line allows."
	}
	return "It " + verb + " at most " + FormatLimit(limit) + ", from now on."
}

// Annotations are annotations as the config has them, ordered by name. What
// Kubernetes would not take as a name is refused with an *Error of kind
// ErrInvalid.
func Annotations(values map[string]string) ([]*statepb.Annotation, error) {
	var all []*statepb.Annotation
	for name, value := range values {
		all = append(all, &statepb.Annotation{Name: name, Value: value})
	}
	slices.SortFunc(all, func(a, b *statepb.Annotation) int { return strings.Compare(a.GetName(), b.GetName()) })
	if err := state.CheckAnnotations("annotation", all); err != nil {
		return nil, adopt(err)
	}
	return all, nil
}

func annotationValues(all []*statepb.Annotation) map[string]string {
	values := make(map[string]string, len(all))
	for _, a := range all {
		values[a.GetName()] = a.GetValue()
	}
	return values
}

// resources are resources as the config has them; nil when none is set.
func resources(r *adminpb.LinkResources) (*statepb.Resources, error) {
	if err := CheckResources(r); err != nil {
		return nil, err
	}
	out := &statepb.Resources{
		RequestCpu: r.GetRequestCpuMillis(), RequestMemory: r.GetRequestMemoryBytes(),
		LimitCpu: r.GetLimitCpuMillis(), LimitMemory: r.GetLimitMemoryBytes(),
	}
	if proto.Equal(out, &statepb.Resources{}) {
		return nil, nil
	}
	return out, nil
}

// CheckResources refuses resources of which more is requested than the limit
// allows, and what is no amount, with an *Error of kind ErrInvalid.
func CheckResources(r *adminpb.LinkResources) error {
	for _, of := range []struct {
		what           string
		request, limit uint64
		text           func(uint64) string
	}{
		{"cpu", r.GetRequestCpuMillis(), r.GetLimitCpuMillis(), FormatCPU},
		{"memory", r.GetRequestMemoryBytes(), r.GetLimitMemoryBytes(), FormatBytes},
	} {
		if of.request > maxQuantity || of.limit > maxQuantity {
			return invalid("resources: the amount of %s is more than anything has", of.what)
		}
		if of.limit > 0 && of.request > of.limit {
			return invalid("resources: the request of %s %s is above the limit of %s", of.text(of.request), of.what, of.text(of.limit))
		}
	}
	return nil
}

func describeResources(r *statepb.Resources) *adminpb.LinkResources {
	return &adminpb.LinkResources{
		RequestCpuMillis: r.GetRequestCpu(), RequestMemoryBytes: r.GetRequestMemory(),
		LimitCpuMillis: r.GetLimitCpu(), LimitMemoryBytes: r.GetLimitMemory(),
	}
}

// ResourceWords are resources as Kubernetes writes them, without what is unset:
// limits and requests, each with cpu and memory.
func ResourceWords(r *adminpb.LinkResources) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, of := range []struct {
		list        string
		cpu, memory uint64
	}{{"limits", r.GetLimitCpuMillis(), r.GetLimitMemoryBytes()}, {"requests", r.GetRequestCpuMillis(), r.GetRequestMemoryBytes()}} {
		words := map[string]string{}
		if of.cpu > 0 {
			words["cpu"] = FormatCPU(of.cpu)
		}
		if of.memory > 0 {
			words["memory"] = FormatBytes(of.memory)
		}
		if len(words) > 0 {
			all[of.list] = words
		}
	}
	return all
}

// inJSON writes maps of texts, which JSON always can.
func inJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(text)
}
