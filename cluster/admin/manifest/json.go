package manifest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// JSON returns a message as JSON that scripts can rely on: every field is
// there, in the order of the contract; names are in camel case; numbers are
// numbers; times are RFC 3339 in UTC; words stand for enumerations; what is not
// known is null, and a list without elements is []. Of a choice between fields
// only the chosen one is there. Fields named in omit are left out everywhere.
// Characters that are not printable are escaped.
func JSON(m proto.Message, omit ...string) (string, error) {
	var compact bytes.Buffer
	w := &jsonWriter{out: &compact, omit: omit}
	w.message(m.ProtoReflect())
	if w.err != nil {
		return "", fmt.Errorf("write JSON: %w", w.err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return indented.String(), nil
}

type jsonWriter struct {
	out  *bytes.Buffer
	omit []string
	err  error
}

func (w *jsonWriter) message(m protoreflect.Message) {
	if stamp, ok := m.Interface().(*timestamppb.Timestamp); ok {
		w.text(stamp.AsTime().UTC().Format(time.RFC3339Nano))
		return
	}
	w.out.WriteByte('{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		field := fields.Get(i)
		choice := field.ContainingOneof()
		if slices.Contains(w.omit, field.JSONName()) || choice != nil && !choice.IsSynthetic() && !m.Has(field) {
			continue
		}
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		w.text(field.JSONName())
		w.out.WriteByte(':')
		w.field(m, field)
	}
	w.out.WriteByte('}')
}

func (w *jsonWriter) field(m protoreflect.Message, field protoreflect.FieldDescriptor) {
	switch {
	case field.HasPresence() && !m.Has(field):
		w.out.WriteString("null")
	case field.IsList():
		w.list(m.Get(field).List(), field)
	case field.IsMap():
		w.object(m.Get(field).Map(), field)
	default:
		w.value(m.Get(field), field)
	}
}

func (w *jsonWriter) list(l protoreflect.List, field protoreflect.FieldDescriptor) {
	w.out.WriteByte('[')
	for i := range l.Len() {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.value(l.Get(i), field)
	}
	w.out.WriteByte(']')
}

// object writes a map, ordered by key.
func (w *jsonWriter) object(m protoreflect.Map, field protoreflect.FieldDescriptor) {
	type entry struct {
		key   string
		value protoreflect.Value
	}
	var entries []entry
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		entries = append(entries, entry{k.String(), v})
		return true
	})
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	w.out.WriteByte('{')
	for i, e := range entries {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.text(e.key)
		w.out.WriteByte(':')
		w.value(e.value, field.MapValue())
	}
	w.out.WriteByte('}')
}

func (w *jsonWriter) value(v protoreflect.Value, field protoreflect.FieldDescriptor) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		w.message(v.Message())
	case protoreflect.EnumKind:
		w.text(enumWord(field.Enum(), v.Enum()))
	case protoreflect.StringKind:
		w.text(v.String())
	case protoreflect.BytesKind:
		w.text(hex.EncodeToString(v.Bytes()))
	case protoreflect.BoolKind:
		w.out.WriteString(strconv.FormatBool(v.Bool()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		w.out.WriteString(strconv.FormatUint(v.Uint(), 10))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		w.out.WriteString(strconv.FormatInt(v.Int(), 10))
	case protoreflect.DoubleKind:
		number, err := json.Marshal(v.Float())
		if err != nil { // infinite or no number
			number = []byte("null")
		}
		w.out.Write(number)
	default:
		w.err = cmp.Or(w.err, fmt.Errorf("field %s has a kind that is not known here: %v", field.FullName(), field.Kind()))
		w.out.WriteString("null")
	}
}

// text writes a string, ASCII apart from printable characters.
func (w *jsonWriter) text(s string) {
	quoted, err := json.Marshal(s)
	if err != nil {
		w.err = cmp.Or(w.err, err)
	}
	for _, r := range string(quoted) {
		switch {
		case unicode.IsPrint(r):
			w.out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(w.out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(w.out, `\u%04x`, r)
		}
	}
}

// enumWord is the short word of a value: SERVICE_STATE_NO_REMOTE is "no-remote".
func enumWord(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	value := e.Values().ByNumber(n)
	if value == nil {
		return strconv.Itoa(int(n)) // of a newer node
	}
	// The names of an enumeration share what the value 0 has before UNSPECIFIED.
	prefix := strings.TrimSuffix(string(e.Values().ByNumber(0).Name()), "UNSPECIFIED")
	word := strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix))
	if word == "unspecified" {
		return "unknown"
	}
	return strings.ReplaceAll(word, "_", "-")
}

// Word is the short word of a value of an enumeration, as JSON has it:
// SERVICE_STATE_NO_REMOTE is "no-remote".
func Word(e protoreflect.Enum) string { return enumWord(e.Descriptor(), e.Number()) }
