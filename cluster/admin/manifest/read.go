package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// Tags of the scalars that are read.
const (
	nullTag = "!!null"
	textTag = "!!str"
	intTag  = "!!int"
	boolTag = "!!bool"
)

// Read reads the manifests of links in a file: YAML documents of kind ISGW,
// each in the form of Kubernetes (metadata and spec) or flat, with all fields
// beside kind. name is what faults call the file.
//
// A field that is not known, is there twice, or has a value that it cannot have
// is a fault, as is a name that two documents have. The error is a [Faults] with
// all of them, up to a bound, and then no documents are returned. What only a
// node can know, such as whether a path may be served, is not looked at.
func Read(name string, text []byte) ([]Document, error) {
	r := &reader{file: name}
	docs := r.documents(text)
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, r.faults[:min(len(r.faults), maxFaults)]
	}
	return docs, nil
}

type reader struct {
	file   string
	faults Faults
}

func (r *reader) at(n *yaml.Node) Position { return Position{r.file, n.Line, n.Column} }

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faultAt(r.at(n), format, args...)
}

func (r *reader) faultAt(at Position, format string, args ...any) {
	if !r.full() {
		r.faults = append(r.faults, Fault{at, fmt.Sprintf(format, args...)})
	}
}

// full says that no more faults are collected; they are more than are told,
// because they are sorted before they are cut.
func (r *reader) full() bool { return len(r.faults) >= 4*maxFaults }

func (r *reader) documents(text []byte) []Document {
	if len(text) > MaxSize {
		r.fault(&yaml.Node{Line: 1}, "the file is longer than %d bytes", MaxSize)
		return nil
	}
	var docs []Document
	first := map[string]Position{}
	in := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var root yaml.Node
		err := in.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.syntax(err)
			return nil
		}
		if len(root.Content) == 0 || isNull(root.Content[0]) {
			continue // a document of comments alone
		}
		if len(docs) == MaxDocuments {
			r.fault(root.Content[0], "a file has at most %d documents", MaxDocuments)
			return nil
		}
		doc := r.document(root.Content[0])
		switch was, twice := first[doc.Name()]; {
		case doc.Name() == "": // a fault already
		case twice:
			r.faultAt(doc.Position, "service %s is in line %d already", doc.Name(), was.Line)
		default:
			first[doc.Name()] = doc.Position
		}
		docs = append(docs, doc)
	}
	if len(docs) == 0 && len(r.faults) == 0 {
		r.fault(&yaml.Node{Line: 1}, "there is no manifest in it")
	}
	return docs
}

// syntax tells what the parser says, which knows the line.
func (r *reader) syntax(err error) {
	sentence := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(sentence, "line "); ok {
		if number, said, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, sentence = n, said
			}
		}
	}
	if strings.HasPrefix(sentence, "mapping values are not allowed") {
		sentence += "; all fields of the flat form begin in the column of kind"
	}
	r.fault(&yaml.Node{Line: line}, "this is no YAML: %s", sentence)
}

// pair is a field of a mapping.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs are the fields of a mapping, each once.
func (r *reader) pairs(n *yaml.Node, what string) []pair {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s has fields with values, and this is none", what)
		return nil
	}
	var all []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag != textTag {
			r.fault(key, "%s has a field whose name is no word", what)
			continue
		}
		if seen[key.Value] {
			r.fault(key, "%s has %s twice", what, clipped(key.Value))
			continue
		}
		seen[key.Value] = true
		if value.Kind == yaml.AliasNode {
			r.fault(value, "%s is an alias: write the value itself", clipped(key.Value))
			continue
		}
		all = append(all, pair{key.Value, key, value})
	}
	return all
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == nullTag }

// clipped is a word from a file for a sentence about it.
func clipped(word string) string {
	const most = 60
	if len(word) > most {
		word = strings.ToValidUTF8(word[:most], "")
	}
	if quoted := strconv.Quote(word); quoted != `"`+word+`"` || strings.ContainsAny(word, " ,;:") || word == "" {
		return quoted
	}
	return word
}

// document reads one manifest.
func (r *reader) document(n *yaml.Node) Document {
	doc := Document{
		Service:  &adminpb.PlanApplyService{Settings: &adminpb.PlanEditService{}},
		Position: r.at(n),
	}
	all := r.pairs(n, "a manifest")
	has := func(name string) bool { return slices.ContainsFunc(all, func(p pair) bool { return p.name == name }) }
	nested := has("metadata") || has("spec")
	kind, named := false, false
	for _, p := range all {
		switch {
		case p.name == "kind":
			kind = true
			if p.value.Value != Kind || p.value.Kind != yaml.ScalarNode {
				r.fault(p.value, "the kind is %s, and not %s", Kind, clipped(p.value.Value))
			}
		case p.name == "apiVersion":
			if !slices.Contains(apiVersions, p.value.Value) || p.value.Kind != yaml.ScalarNode {
				r.fault(p.value, "the apiVersion is %s, and not %s", apiVersion, clipped(p.value.Value))
			}
		case p.name == "metadata":
			for _, p := range r.pairs(p.value, p.name) {
				named = r.metadata(&doc, p) || named
			}
		case p.name == "spec":
			for _, p := range r.pairs(p.value, p.name) {
				if !r.setting(doc.Service, p) {
					r.unknown(p, "spec", specFields())
				}
			}
		case nested && (slices.Contains(metadataFields, p.name) || slices.Contains(specFields(), p.name)):
			r.fault(p.key, "%s belongs into metadata or spec where a manifest has these", p.name)
		case !nested && slices.Contains(metadataFields, p.name):
			named = r.metadata(&doc, p) || named
		case !nested && r.setting(doc.Service, p):
		default:
			known := []string{"apiVersion", "kind", "metadata", "spec"}
			if !nested {
				known = slices.Concat(known, metadataFields, specFields())
			}
			r.unknown(p, "a manifest", known)
		}
	}
	if n.Kind == yaml.MappingNode && !kind {
		r.fault(n, "the kind is missing: it is %s", Kind)
	}
	if n.Kind == yaml.MappingNode && !named {
		r.fault(n, "the name of the service is missing")
	}
	return doc
}

// metadataFields are those of metadata, which the flat form has at its top.
var metadataFields = []string{"name", "namespace", "labels", "annotations"}

// metadata reads one field that says what a manifest is about, and whether that
// is the name.
func (r *reader) metadata(doc *Document, p pair) (named bool) {
	switch p.name {
	case "name":
		if name, ok := r.text(p); ok {
			if err := state.CheckName("service", name); err != nil {
				r.fault(p.value, "%v", err)
				return true
			}
			doc.Service.Settings.Name, doc.Position = name, r.at(p.value)
		}
		return true
	case "namespace": // of Kubernetes; a site has none, so it is not kept
		if isNull(p.value) {
			return false
		}
		if namespace, ok := r.text(p); ok {
			if err := state.CheckName("namespace", namespace); err != nil {
				r.fault(p.value, "%v", err)
			}
		}
	case "labels":
		if !labels.changesNothing(p.value) {
			r.fault(p.key, "%s", labels.sentence(p.name))
		}
	case "annotations":
		r.setting(doc.Service, p)
	default:
		r.unknown(p, "metadata", metadataFields)
	}
	return false
}

// unknown is for a field that there is not, and may be another's misspelling.
func (r *reader) unknown(p pair, what string, known []string) {
	if r.full() {
		return
	}
	for _, name := range slices.Sorted(slices.Values(known)) {
		if strings.EqualFold(name, p.name) {
			r.fault(p.key, "%s has no field %s; it is written %s", what, clipped(p.name), name)
			return
		}
	}
	r.fault(p.key, "%s has no field %s", what, clipped(p.name))
}

// scalar is a value without a structure, of a kind.
func (r *reader) scalar(p pair, tag, kind string) (string, bool) {
	if p.value.Kind != yaml.ScalarNode || p.value.Tag != tag {
		r.fault(p.value, "%s is %s", p.name, kind)
		return "", false
	}
	return p.value.Value, true
}

func (r *reader) text(p pair) (string, bool) {
	if p.value.Kind == yaml.ScalarNode && (p.value.Tag == intTag || p.value.Tag == boolTag || p.value.Tag == "!!float") {
		r.fault(p.value, "%s is text, and %s is none without quotes", p.name, clipped(p.value.Value))
		return "", false
	}
	return r.scalar(p, textTag, "text")
}

// word reads one of a few words; the empty one is the default, as in the API.
func (r *reader) word(p pair, words ...string) *string {
	word, ok := r.text(p)
	if !ok {
		return nil
	}
	if word != "" && !slices.Contains(words, word) {
		r.fault(p.value, "%s is %s, and not %s", p.name, strings.Join(words, ", "), clipped(word))
		return nil
	}
	return &word
}
