package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

// properties are the names that EdgeFS had for the fields of spec, and in its way
// names for the fields that it had no property for.
var properties = []struct{ name, field string }{
	{"X-ISGW-Remote", "remoteURL"},
	{"X-ISGW-Local", "localAddr"},
	{"X-ISGW-Direction", "direction"},
	{"X-ISGW-Replication", "replicationType"},
	{"X-ISGW-Encrypted-Tunnel", "useEncryptedTunnel"},
	{"X-ISGW-Number-Of-Connections", "connections"},
	{"X-ISGW-Chunk-Cache-Size", "chunkCacheSize"},
	{"X-ISGW-Resource-Profile", "resourceProfile"},
	{"X-ISGW-Lag-Target", "lagTarget"},
	{"X-ISGW-Send-Limit", "sendLimit"},
	{"X-ISGW-Receive-Limit", "receiveLimit"},
	{"X-ISGW-Server", serverField},
	{"X-ISGW-Annotations", "annotations"},
	{"X-ISGW-Resources", "resources"},
	{"X-ISGW-Placement", "placement"},
	{"X-ISGW-DFLocal", "dynamicFetchAddr"},
	{"X-ISGW-MDOnly", "metadataOnly"},
}

// serverField is the server of a group, which in a manifest is a part of config.
const serverField = "server"

// Properties are the names that [Property] knows.
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
		edit := &adminpb.PlanEditService{Name: service}
		if a, ok := absents[p.field]; ok {
			if !a.changesNothing(textNode(value)) {
				return nil, errors.New(a.sentence(p.name))
			}
			return edit, nil
		}
		if err := Set(edit, p.field, p.name, value); err != nil {
			return nil, err
		}
		return edit, nil
	}
	return nil, fmt.Errorf("there is no property %s; there are %s", clipped(name), strings.Join(Properties(), ", "))
}

// Set gives a change of a service the value of one field of spec, or of server,
// as it is written on a command line. What in a manifest has fields of its own is
// YAML in one line, or for annotations NAME=VALUE with commas between. An error is
// one sentence that calls the field label.
func Set(edit *adminpb.PlanEditService, field, label, text string) error {
	s := &adminpb.PlanApplyService{Settings: edit}
	n := textNode(text)
	switch field {
	case serverField:
		own(s).Server = &text
		return nil
	case "connections":
		n.Tag = intTag
	case "useEncryptedTunnel":
		switch strings.ToLower(text) {
		case "true", "1":
			n.Tag, n.Value = boolTag, "true"
		case "false", "0", "":
			n.Tag, n.Value = boolTag, "false"
		}
	case "annotations", "resources", "placement":
		var err error
		if n, err = structure(field, text); err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
	}
	read, ok := settings[field]
	if !ok {
		return fmt.Errorf("there is no setting %s", clipped(field))
	}
	r := &reader{}
	read(r, s, pair{label, n, n})
	if len(r.faults) > 0 {
		return errors.New(r.faults[0].Message)
	}
	return nil
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: text}
}

// structure reads a value with fields from one line.
func structure(field, text string) (*yaml.Node, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("the value is longer than %d bytes", MaxSize)
	}
	empty := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return empty, nil
	}
	if field == "annotations" && !strings.HasPrefix(trimmed, "{") {
		for item := range strings.SplitSeq(trimmed, ",") {
			name, value, ok := strings.Cut(strings.TrimSpace(item), "=")
			if !ok {
				return nil, fmt.Errorf("%s is not NAME=VALUE", clipped(item))
			}
			empty.Content = append(empty.Content, textNode(name), textNode(value))
		}
		return empty, nil
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return nil, fmt.Errorf("the value is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(root.Content) == 0 || isNull(root.Content[0]) {
		return empty, nil
	}
	return root.Content[0], nil
}

// Text is the value that a field of spec, or server, has in a link, as [Set] reads
// it; empty for a field that [Set] does not know.
func Text(s *adminpb.Service, field string) string {
	own := s.GetSettings()
	switch field {
	case "remoteURL":
		return s.GetRemote()
	case "direction":
		return s.GetDirection()
	case "replicationType":
		return s.GetReplication()
	case "connections":
		return strconv.FormatUint(uint64(s.GetConnections()), 10)
	case "lagTarget":
		return duration(s.GetLagTargetSeconds())
	case "useEncryptedTunnel":
		return strconv.FormatBool(own.GetTunnel())
	case "localAddr":
		return own.GetLocal()
	case "chunkCacheSize":
		return plan.FormatBytes(own.GetChunkCache())
	case "resourceProfile":
		return own.GetProfile()
	case "sendLimit":
		return limit(own.GetSendLimit())
	case "receiveLimit":
		return limit(own.GetReceiveLimit())
	case serverField:
		return own.GetServer()
	case "annotations":
		return compact(own.GetAnnotations().GetValues())
	case "resources":
		return compact(plan.ResourceWords(own.GetResources()))
	case "placement":
		return own.GetPlacement()
	}
	return ""
}

// compact is a mapping in one line; empty when nothing is in it.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil || string(text) == "{}" || string(text) == "null" { // a mapping of texts can always be written
		return ""
	}
	return string(text)
}
