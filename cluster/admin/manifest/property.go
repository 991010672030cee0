package manifest

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// properties are the names that EdgeFS had for the fields of spec.
var properties = []struct{ name, field string }{
	{"X-ISGW-Remote", "remoteURL"},
	{"X-ISGW-Direction", "direction"},
	{"X-ISGW-Replication", "replicationType"},
	{"X-ISGW-Number-Of-Connections", "connections"},
	{"X-ISGW-Local", "localAddr"},
	{"X-ISGW-DFLocal", "dynamicFetchAddr"},
	{"X-ISGW-MDOnly", "metadataOnly"},
	{"X-ISGW-Encrypted-Tunnel", "useEncryptedTunnel"},
}

// Properties are the names that [Property] knows, those of settings that links
// have first.
func Properties() []string {
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.name
	}
	return names
}

// Property is the change of a service that sets a property by the name that it
// had in EdgeFS, in letters of either case. The error is one sentence.
func Property(service, name, value string) (*adminpb.PlanEditService, error) {
	switch strings.ToLower(name) {
	case "x-isgw-remote-segid":
		return nil, fmt.Errorf("%s cannot be set: the pairing says which site is at the other end", name)
	case "x-isgw-emergency-lookup":
		return nil, fmt.Errorf("%s is not available in this release: no data is fetched on demand", name)
	}
	for _, p := range properties {
		if !strings.EqualFold(p.name, name) {
			continue
		}
		node := &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: value}
		if p.field == "connections" {
			node.Tag = intTag
		}
		r := &reader{}
		if a, ok := absents[p.field]; ok {
			if value == "0" && p.field == "useEncryptedTunnel" {
				node.Value = "false"
			}
			if !a.changesNothing(node) {
				return nil, fmt.Errorf("%s", a.sentence(p.name))
			}
		}
		change := &adminpb.PlanApplyService{Settings: &adminpb.PlanEditService{Name: service}}
		r.setting(change, pair{p.field, node, node})
		if len(r.faults) > 0 {
			return nil, fmt.Errorf("%s: %s", p.name, r.faults[0].Message)
		}
		return change.Settings, nil
	}
	return nil, fmt.Errorf("there is no property %s; there are %s", clipped(name), strings.Join(Properties(), ", "))
}
