package manifest

import (
	"bytes"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
)

// YAML returns a message as YAML with the names, the order and the values that
// [JSON] gives it, ending in a newline.
func YAML(m proto.Message, omit ...string) (string, error) {
	text, err := JSON(m, omit...)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := WriteYAML(&out, text); err != nil {
		return "", err
	}
	return out.String(), nil
}

// WriteYAML writes JSON as YAML, in the same order.
func WriteYAML(w io.Writer, json string) error {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(json), &node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	blockStyle(&node)
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(&node); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return nil
}

// blockStyle has every value written as YAML writes it by itself; JSON's braces
// and quotes are YAML too, and would stay. A string keeps its quotes where it
// would read as something else without.
func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode && len(n.Content) > 0 {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}
