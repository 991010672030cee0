package plan

import (
	"slices"
	"strconv"
	"strings"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// servedSyntax is what refusals tell about the form of what is served.
const servedSyntax = "give it as NAMESPACE/TENANT[/BUCKET][,include=PREFIX][,exclude=PREFIX][,direction=send|receive][,deletes=keep]"

// DeletesTravel is the word for the default of what happens to deletions.
const DeletesTravel = "travel"

// ParseServed reads what a link is to serve, as EdgeFS's serve has it: the path
// of a tenant or bucket, and after commas its options. include and exclude name
// a prefix of keys each and may be repeated; a comma in a prefix is written %2C
// and a percent sign %25. direction is send or receive and narrows the link's,
// deletes is keep or travel. Errors are *Error of kind ErrInvalid.
func ParseServed(text string) (*statepb.Served, error) {
	parts := strings.Split(text, ",")
	path, err := ParseServedPath(strings.TrimSpace(parts[0]))
	if err != nil {
		return nil, err
	}
	served := &statepb.Served{Path: path.String()}
	seen := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, invalid("%s of %s is no option with a value", clipped(part), path).next(servedSyntax)
		}
		switch name {
		case "include", "exclude":
			prefix, err := unescaped(value)
			if err != nil {
				return nil, err
			}
			if name == "include" {
				served.Include = append(served.Include, prefix)
			} else {
				served.Exclude = append(served.Exclude, prefix)
			}
			continue
		case "direction":
			served.Direction = value
		case "deletes":
			served.Deletes = value
		default:
			return nil, invalid("%s has no option %s", path, clipped(name)).next(servedSyntax)
		}
		if seen[name] {
			return nil, invalid("%s has the option %s twice", path, name)
		}
		seen[name] = true
	}
	if err := CompleteServed(served); err != nil {
		return nil, err
	}
	return served, nil
}

// CompleteServed brings the options of a served path into their plain form, and
// refuses what they cannot be with an *Error of kind ErrInvalid.
func CompleteServed(s *statepb.Served) error {
	switch s.GetDirection() {
	case "", state.DirectionSend, state.DirectionReceive:
	case state.DirectionBoth: // whatever the link's is
		s.Direction = ""
	default:
		return invalid("%s has the direction %s: it is send or receive", s.GetPath(), clipped(s.GetDirection())).
			next("leave it out where it is the link's")
	}
	switch s.GetDeletes() {
	case "", state.DeletesKeep:
	case DeletesTravel:
		s.Deletes = ""
	default:
		return invalid("deletes of %s are %s: they %s or %s", s.GetPath(), clipped(s.GetDeletes()), state.DeletesKeep, DeletesTravel)
	}
	for _, list := range []*[]string{&s.Include, &s.Exclude} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		if len(*list) > state.MaxPrefixes {
			return invalid("%s has %d prefixes in one list, more than %d", s.GetPath(), len(*list), state.MaxPrefixes)
		}
		for _, prefix := range *list {
			if err := checkPrefix(s.GetPath(), prefix); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPrefix(path, prefix string) error {
	const most = 1024 // bytes that a key has
	switch {
	case prefix == "":
		return invalid("%s has an empty prefix", path).next("leave it out: without a prefix every key is meant")
	case len(prefix) > most:
		return invalid("%s has a prefix of %d bytes, more than the %d of a key", path, len(prefix), most)
	case strings.ToValidUTF8(prefix, "") != prefix:
		return invalid("%s has a prefix that is not UTF-8", path)
	}
	return nil
}

// Options writes the options of a served path as [ParseServed] reads them, with
// the comma before each; empty when there are none.
func Options(s *statepb.Served) string {
	var out strings.Builder
	for _, prefix := range s.GetInclude() {
		out.WriteString(",include=" + escaped(prefix))
	}
	for _, prefix := range s.GetExclude() {
		out.WriteString(",exclude=" + escaped(prefix))
	}
	if s.GetDirection() != "" {
		out.WriteString(",direction=" + s.GetDirection())
	}
	if s.GetDeletes() != "" {
		out.WriteString(",deletes=" + s.GetDeletes())
	}
	return out.String()
}

// FormatServed writes a served path with its options as [ParseServed] reads it.
func FormatServed(s *statepb.Served) string { return s.GetPath() + Options(s) }

// SplitServed takes apart a list of what is to be served, with commas between
// the paths as between a path and its options: what has an equals sign is an
// option, and no path has one.
func SplitServed(list string) []string {
	var all []string
	for piece := range strings.SplitSeq(list, ",") {
		piece = strings.TrimSpace(piece)
		switch n := len(all); {
		case piece == "":
		case n > 0 && strings.Contains(piece, "="):
			all[n-1] += "," + piece
		default:
			all = append(all, piece)
		}
	}
	return all
}

var prefixEscapes = strings.NewReplacer("%", "%25", ",", "%2C", " ", "%20", "\t", "%09")

func escaped(prefix string) string { return prefixEscapes.Replace(prefix) }

// unescaped reads a prefix; %HH is a byte.
func unescaped(text string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out.WriteByte(text[i])
			continue
		}
		code, err := strconv.ParseUint(text[min(i+1, len(text)):min(i+3, len(text))], 16, 8)
		if err != nil || i+2 >= len(text) {
			return "", invalid("the prefix %s has a percent sign that is not followed by two hexadecimal digits", clipped(text)).
				next("write %%25 for a percent sign and %%2C for a comma")
		}
		out.WriteByte(byte(code))
		i += 2
	}
	return out.String(), nil
}
