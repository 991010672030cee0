package ccow

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"edgefog.dev/isgw/cluster/identity/identitypb"
	"edgefog.dev/isgw/sync/link"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// testdata/fields-1.txt has every field of every message that two sites of protocol
// version 1 exchange, with its number and type, and the values of the enumerations. A
// recorded session shows what the messages in it have; this shows that nothing else
// of them changes either. Lines are added, never changed.
const fieldsFile = "testdata/fields-1.txt"

// docFile is the page from which others implement the protocol.
const docFile = "../../../docs/protocol.md"

// wire is all that travels: messages by their names, and the enumerations in them.
type wire struct {
	messages map[string]protoreflect.MessageDescriptor
	enums    map[string]protoreflect.EnumDescriptor
}

// wireOf finds the messages of the files that are about links and identities, and what
// these have from others.
func wireOf() wire {
	w := wire{make(map[string]protoreflect.MessageDescriptor), make(map[string]protoreflect.EnumDescriptor)}
	var add func(m protoreflect.MessageDescriptor)
	add = func(m protoreflect.MessageDescriptor) {
		if name := string(m.Name()); w.messages[name] != nil || m.IsMapEntry() {
			return
		}
		w.messages[string(m.Name())] = m
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if f.Message() != nil {
				add(f.Message())
			}
			if e := f.Enum(); e != nil {
				w.enums[string(e.Name())] = e
			}
		}
	}
	for _, file := range []protoreflect.FileDescriptor{linkpb.File_sync_link_linkpb_link_proto, linkpb.File_sync_link_linkpb_digest_proto, identitypb.File_cluster_identity_identitypb_identity_proto} {
		for i := range file.Messages().Len() {
			add(file.Messages().Get(i))
		}
	}
	return w
}

// typeOf names the type of a field.
func typeOf(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return fmt.Sprintf("map %s to %s", typeOf(f.MapKey()), typeOf(f.MapValue()))
	}
	name := f.Kind().String()
	switch {
	case f.Message() != nil:
		name = string(f.Message().Name())
	case f.Enum() != nil:
		name = string(f.Enum().Name())
	}
	if f.IsList() {
		name = "repeated " + name
	}
	return name
}

// fieldLines are the lines of the recording as the present messages would have it.
func (w wire) fieldLines() []string {
	var out []string
	for name, m := range w.messages {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			out = append(out, fmt.Sprintf("%s.%s %d %s", name, f.Name(), f.Number(), typeOf(f)))
		}
	}
	for name, e := range w.enums {
		for i := range e.Values().Len() {
			v := e.Values().Get(i)
			out = append(out, fmt.Sprintf("%s.%s %d", name, v.Name(), v.Number()))
		}
	}
	slices.Sort(out)
	return out
}

// TestFieldsStay holds the messages against those that were recorded.
func TestFieldsStay(t *testing.T) {
	present := wireOf().fieldLines()
	raw, err := os.ReadFile(fieldsFile)
	if err != nil && !*record {
		t.Fatal(err)
	}
	recorded := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	for _, line := range recorded {
		if line != "" && !slices.Contains(present, line) {
			t.Errorf("%s has %q, and the messages have not: what was once said keeps its name, number and type", fieldsFile, line)
		}
	}
	var fresh []string
	for _, line := range present {
		if !slices.Contains(recorded, line) {
			fresh = append(fresh, line)
		}
	}
	if len(fresh) == 0 || t.Failed() {
		return
	}
	if !*record {
		t.Fatalf("%s lacks %q: add them by `go test ./sync/link/ccow -run TestFieldsStay -record`", fieldsFile, fresh)
	}
	all := append(slices.DeleteFunc(recorded, func(s string) bool { return s == "" }), fresh...)
	slices.Sort(all)
	if err := os.WriteFile(fieldsFile, []byte(strings.Join(all, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section is the text of the page from a heading to the next of the same or a higher
// level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", docFile, heading)
	}
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	if next := regexp.MustCompile(fmt.Sprintf(`(?m)^#{2,%d} `, level)).FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}

// firstCells are the code words in the first column of a table.
func firstCells(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return out
}

var fieldRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| `([a-z_]+)` \\| ([A-Za-z0-9 ]+) \\|")

// TestProtocolIsDocumented holds docs/protocol.md against the code: it has each
// message, field, number, type, value of an enumeration, request, refusal code, ALPN,
// kind of frame and feature, and none that there is not.
func TestProtocolIsDocumented(t *testing.T) {
	raw, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	w := wireOf()
	messages := section(t, page, "## Messages")
	for name, m := range w.messages {
		var want, got []string
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			want = append(want, fmt.Sprintf("%d %s %s", f.Number(), f.Name(), typeOf(f)))
		}
		for _, row := range fieldRow.FindAllStringSubmatch(section(t, messages, "### "+name), -1) {
			got = append(got, strings.Join(row[1:], " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the fields of %s are\n%q, want\n%q", docFile, name, got, want)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(messages, -1) {
		if w.messages[heading[1]] == nil {
			t.Errorf("%s: there is no message %s", docFile, heading[1])
		}
	}
	enums := section(t, messages, "### Values of the enumerations")
	for name, e := range w.enums {
		var values []string
		for i := range e.Values().Len() {
			v := e.Values().Get(i)
			values = append(values, fmt.Sprintf("`%s` %d", v.Name(), v.Number()))
		}
		if line := "| " + name + " | " + strings.Join(values, ", ") + " |"; !strings.Contains(enums, line) {
			t.Errorf("%s: there is no line %q", docFile, line)
		}
	}

	same := func(what, heading string, want []string) {
		t.Helper()
		slices.Sort(want)
		got := firstCells(section(t, page, heading))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the %s are %q, want %q", docFile, what, got, want)
		}
	}
	same("refusal codes", "### Refusals", stringsOf(t, "../errors.go", "Code"))
	var requests []string
	for path := range calls {
		requests = append(requests, path[strings.LastIndexByte(path, '/')+1:])
	}
	same("requests", "### Requests", requests)
	alpns := section(t, page, "## Connections")
	for _, alpn := range []string{alpnLink, alpnReverse, alpnPair} {
		if !strings.Contains(alpns, "| `"+alpn+"` |") {
			t.Errorf("%s: the ALPN %s is not in the table", docFile, alpn)
		}
	}
	frames := section(t, page, "### Frames")
	for kind := frameMessage; ; kind++ {
		_, known := maxPayload(kind, MaxMessage)
		if listed := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d [a-z]`, kind)).MatchString(frames); listed != known {
			t.Errorf("%s: frames of kind %d: in the table %v, in the code %v", docFile, kind, !known, known)
		}
		if !known {
			break
		}
	}
	for _, feature := range link.Features() {
		if !strings.Contains(section(t, page, "### hello"), "`"+feature+"`") {
			t.Errorf("%s: the feature %s is not named with hello", docFile, feature)
		}
	}
}

// stringsOf are the values of the constants of a type in a file.
func stringsOf(t *testing.T, file, typ string) (out []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); ok && name.Name == typ {
			for _, value := range v.Values {
				s, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
		}
		return true
	})
	if len(out) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typ)
	}
	return out
}
