package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// absent is a setting of EdgeFS that links of this release do not have. A
// manifest may have it with a value that changes nothing.
type absent struct {
	neutral []string // values that mean the default, beside empty ones
	why     string
}

// absents are those settings, by their names in a manifest.
var absents = map[string]absent{
	"metadataOnly":     {why: "a link always carries the data with its metadata"},
	"dynamicFetchAddr": {neutral: []string{"0.0.0.0:49678"}, why: "no data is fetched on demand"},
	"serviceType":      {neutral: []string{"ClusterIP"}, why: "isgw makes no Kubernetes services"},
	"externalPort":     {neutral: []string{"0"}, why: "isgw makes no Kubernetes services"},
}

// labels are not kept either, and are refused in the same way.
var labels = absent{why: "they are not kept; annotations are"}

// sentence refuses the setting by its name.
func (a absent) sentence(name string) string {
	return name + " is not available in this release: " + a.why + "; leave it out"
}

// changesNothing says whether a value is empty all the way down, or the default.
func (a absent) changesNothing(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Tag == nullTag || n.Value == "" || slices.Contains(a.neutral, n.Value)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			if !(absent{}).changesNothing(n.Content[i]) {
				return false
			}
		}
		return true
	case yaml.SequenceNode:
		return len(n.Content) == 0
	}
	return false
}
