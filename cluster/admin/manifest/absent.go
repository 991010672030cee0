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
	"metadataOnly":       {why: "a link always carries the data with its metadata"},
	"dynamicFetchAddr":   {neutral: []string{"0.0.0.0:49678"}, why: "no data is fetched on demand"},
	"localAddr":          {neutral: []string{"0.0.0.0:14000"}, why: "where links are accepted is a setting of the node, `isgwnode run --link ADDRESS`"},
	"useEncryptedTunnel": {neutral: []string{"false"}, why: "there is no SSH tunnel; every link is encrypted with TLS and pinned by the pairing"},
	"chunkCacheSize":     {why: "links have buffers of a fixed size and no cache of chunks"},
	"config":             {why: "a node runs all links of its site in one process"},
	"resourceProfile":    {neutral: []string{"performance"}, why: "links have one profile"},
	"resources":          {why: "the limits of a process are those of whatever starts isgwnode"},
	"placement":          {why: "where a node runs is said by whatever starts isgwnode"},
	"annotations":        {why: "they are not kept"},
	"serviceType":        {neutral: []string{"ClusterIP"}, why: "isgw makes no Kubernetes services"},
	"externalPort":       {neutral: []string{"0"}, why: "isgw makes no Kubernetes services"},
}

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
