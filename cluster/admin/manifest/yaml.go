package manifest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

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
	if err := yaml.Unmarshal([]byte(wideEscapes(json)), &node); err != nil {
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

// wideEscapes is JSON with each character that it escapes as two surrogates escaped
// as one, the only way in which YAML reads it.
func wideEscapes(json string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(json, '\\')
		if i < 0 || i+1 >= len(json) {
			break
		}
		out.WriteString(json[:i])
		json = json[i:]
		escape := 2 // bytes of it
		if high, ok := unit(json); ok {
			escape = 6
			if low, ok := unit(json[6:]); ok {
				if r := utf16.DecodeRune(high, low); r != unicode.ReplacementChar {
					fmt.Fprintf(&out, `\U%08x`, r)
					json = json[12:]
					continue
				}
			}
		}
		out.WriteString(json[:escape])
		json = json[escape:]
	}
	out.WriteString(json)
	return out.String()
}

// unit is the number of the escape \uXXXX that a text begins with.
func unit(s string) (rune, bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
