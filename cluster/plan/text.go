package plan

import (
	"fmt"
	"strings"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// lineWidth is that of a plan's text, for the narrowest screen it is read on.
const lineWidth = 76

// text writes a plan as --dry-run prints it.
func text(p *adminpb.Plan) string {
	var out strings.Builder
	fmt.Fprintf(&out, "plan %s, config revision %d\n\nWHAT WILL HAPPEN\n", p.GetId(), p.GetConfigRevision())
	if len(p.GetWhat()) == 0 {
		out.WriteString("  nothing\n")
	}
	for _, s := range p.GetWhat() {
		wrap(&out, fmt.Sprintf("  %s %-8s ", s.GetSign(), s.GetKind()), strings.Repeat(" ", 13), s.GetName()+"   "+s.GetText())
	}
	if len(p.GetChecks()) > 0 {
		out.WriteString("\nCHECKS\n")
	}
	for _, c := range p.GetChecks() {
		wrap(&out, fmt.Sprintf("  %-2s %-8s ", c.GetGlyph(), c.GetName()), strings.Repeat(" ", 14), c.GetText())
	}
	out.WriteByte('\n')
	wrap(&out, "IMPACT  ", "        ", p.GetImpact())
	if p.GetUndo() != "" {
		wrap(&out, "UNDO    ", "        ", p.GetUndo())
	}
	fmt.Fprintf(&out, "\nsame thing as a command\n  %s\n", p.GetCommand())
	return out.String()
}

// wrap writes words after a heading, indented in the lines that follow.
func wrap(out *strings.Builder, head, indent, words string) {
	line := head
	fresh := true
	for i, word := range strings.Split(words, " ") {
		switch {
		case i == 0 || fresh && word == "":
		case len([]rune(line))+1+len([]rune(word)) > lineWidth:
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line, fresh = indent, true
		default:
			line += " "
		}
		line += word
		fresh = fresh && word == ""
	}
	out.WriteString(strings.TrimRight(line, " ") + "\n")
}

// settings are those of a link in a line.
func (b *builder) settings(s *statepb.Service, token *identity.Token) string {
	there := "the other site"
	if peer, err := state.SiteIDFromBytes(s.GetPeer()); err == nil {
		there = SiteName(b.cfg, peer)
	} else if token != nil {
		if _, _, ok := b.cfg.Pairing(token.Site); ok {
			there = SiteName(b.cfg, token.Site)
		}
	} else if r := b.heard(s.GetRemote()); r != nil && r.Failure == "" {
		there = r.Name
	}
	target := time.Duration(s.GetLagTarget())
	if target == 0 {
		target = b.facts.LagTarget
	}
	parts := []string{b.facts.Site + " <-> " + there}
	if s.GetRemote() != "" {
		parts = append(parts, s.GetRemote())
	}
	parts = append(parts, "lag target "+span(target))
	for _, kind := range settings {
		if value := kind.value(s); kind.flag != "--remote" && kind.flag != "--lag-target" && value != kind.value(&statepb.Service{}) {
			parts = append(parts, kind.name+" "+short(value))
		}
	}
	return strings.Join(parts, ", ")
}

// holds says what a bucket or tenant of this site holds.
func (b *builder) holds(path string) string {
	p, err := state.ParsePath(path)
	if err != nil || PathExists(b.cfg, p) != nil {
		return "does not exist here yet"
	}
	buckets, objects, bytes := b.count([]*statepb.Served{{Path: path}})
	switch {
	case strings.Count(path, "/") == 1:
		return fmt.Sprintf("%d %s, %d %s, %s", buckets, plural(buckets, "bucket", "buckets"), objects, plural(int(objects), "object", "objects"), size(bytes))
	}
	return fmt.Sprintf("%d %s, %s", objects, plural(int(objects), "object", "objects"), size(bytes))
}

// count sums up what paths hold at this site.
func (b *builder) count(serves []*statepb.Served) (buckets int, objects, bytes uint64) {
	for _, served := range serves {
		paths := []string{served.GetPath()}
		if strings.Count(served.GetPath(), "/") == 1 {
			paths = paths[:0]
			for _, bucket := range b.cfg.Buckets(served.GetPath()) {
				paths = append(paths, bucket.GetPath())
			}
		}
		for _, path := range paths {
			if b.facts.Bucket == nil {
				continue
			}
			if n, size, ok := b.facts.Bucket(path); ok {
				buckets, objects, bytes = buckets+1, objects+n, bytes+size
			}
		}
	}
	return buckets, objects, bytes
}

// copies says what it means that a link serves these paths from now on.
func (b *builder) copies(link *statepb.Service, serves []*statepb.Served) string {
	if len(serves) == 0 {
		return "Nothing flows until a bucket is served at both sites."
	}
	const both = " Nothing flows until the other site serves it too."
	var leave []*statepb.Served
	for _, served := range serves {
		if state.ServedSends(link, served) {
			leave = append(leave, served)
		}
	}
	_, objects, bytes := b.count(leave)
	switch {
	case len(leave) == 0:
		return "Nothing leaves this site; what the other site serves comes in." + both
	case objects == 0:
		return "Nothing is here to copy yet." + both
	}
	return fmt.Sprintf("First copy of up to %d %s, %s, to the other site, of which only missing chunks cross.%s Reads and writes are not blocked.",
		objects, plural(int(objects), "object", "objects"), size(bytes), both)
}

// createCommand is the command line that makes a service. A token is a secret
// and is not shown.
func createCommand(s *statepb.Service, paired bool) string {
	words := []string{"isgwctl service create", s.GetType(), s.GetName()}
	for _, kind := range settings {
		if value := kind.value(s); value != kind.value(&statepb.Service{}) {
			words = append(words, kind.flag+" "+quoted(value))
		}
	}
	if paired {
		words = append(words, "--pair TOKEN")
	}
	var serves []string
	for _, served := range s.GetServes() {
		serves = append(serves, FormatServed(served))
	}
	if len(serves) > 0 {
		words = append(words, "--serve "+quoted(strings.Join(serves, ",")))
	}
	return strings.Join(words, " ")
}

// span writes a duration without trailing zero units: 30s, 5m, 168h.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quoted is a word as a shell takes it.
func quoted(s string) string {
	if s == "" {
		return `""`
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,=@%+", r))
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// size is a number of bytes in the unit that suits it.
func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1024; value < 1024 {
			return fmt.Sprintf("%.1f %s", value, unit)
		}
	}
	return fmt.Sprintf("%.1f PiB", value/1024)
}
