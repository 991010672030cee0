package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configFlag names the file; it cannot be set in the file itself.
const configFlag = "config"

// maxConfigFile bounds the file: it has a value for each flag and no more.
const maxConfigFile = 64 << 10

// fromFile sets every flag that is not set yet from a YAML file, whose keys are
// the flags' names. What it does not know, and what a flag does not take, is
// refused with its line, and so is a second document; all faults of the settings
// are returned.
func fromFile(flags *pflag.FlagSet, name string) error {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("--%s: %w", configFlag, err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxConfigFile+1))
	if err != nil {
		return fmt.Errorf("--%s %s: %w", configFlag, name, err)
	}
	if len(raw) > maxConfigFile {
		return fmt.Errorf("--%s %s: longer than %d bytes", configFlag, name, maxConfigFile)
	}
	var document, next yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil
	case err != nil:
		return fmt.Errorf("--%s %s: %w", configFlag, name, err)
	}
	switch err := decoder.Decode(&next); {
	case err == nil:
		return fmt.Errorf("--%s %s: line %d: a second YAML document begins here: put all settings into one document, without a line of --- between them", configFlag, name, next.Line)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("--%s %s: %w", configFlag, name, err)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("--%s %s: line %d: want lines of the form NAME: VALUE", configFlag, name, root.Line)
	}
	return setAll(flags, name, root.Content)
}

// setAll sets flags from the keys and values of a mapping, which alternate.
func setAll(flags *pflag.FlagSet, name string, pairs []*yaml.Node) error {
	var faults []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, value := pairs[i], pairs[i+1]
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("--%s %s: line %d: %s", configFlag, name, key.Line, fmt.Sprintf(format, args...)))
		}
		f := flags.Lookup(key.Value)
		text, one := textOf(f, value)
		switch {
		case f == nil, key.Value == configFlag, key.Value == "help":
			fault("there is no setting %q; see isgwnode run --help for their names", key.Value)
		case seen[key.Value]:
			fault("%s is set twice", key.Value)
		case !one:
			fault("%s takes one value", key.Value)
		case f.Changed: // a flag or the environment has said it
		default:
			if err := flags.Set(key.Value, text); err != nil {
				fault("%s: %v", key.Value, err)
			}
		}
		seen[key.Value] = true
	}
	return errors.Join(faults...)
}

// textOf is a value as a flag takes it: a flag of several values also takes a list.
func textOf(f *pflag.Flag, value *yaml.Node) (text string, ok bool) {
	if value.Kind == yaml.ScalarNode {
		return value.Value, true
	}
	if f == nil || value.Kind != yaml.SequenceNode {
		return "", false
	}
	if _, several := f.Value.(pflag.SliceValue); !several {
		return "", false
	}
	var items []string
	for _, item := range value.Content {
		if item.Kind != yaml.ScalarNode {
			return "", false
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), true
}
