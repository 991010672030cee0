package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

func TestParseServed(t *testing.T) {
	for _, c := range []struct {
		text string
		want *statepb.Served
		form string // as it is written; empty: as it was read
	}{
		{"Hawaii/Cola", &statepb.Served{Path: "Hawaii/Cola"}, ""},
		{
			"Hawaii/Cola/bk1,include=b/,include=a/,exclude=a/tmp,direction=send,deletes=keep",
			&statepb.Served{Path: "Hawaii/Cola/bk1", Include: []string{"a/", "b/"}, Exclude: []string{"a/tmp"}, Direction: "send", Deletes: "keep"},
			"Hawaii/Cola/bk1,include=a/,include=b/,exclude=a/tmp,direction=send,deletes=keep",
		},
		{"Hawaii/Cola,deletes=travel,direction=send+receive", &statepb.Served{Path: "Hawaii/Cola"}, "Hawaii/Cola"},
		{"Hawaii/Cola,include=a%2Cb%25=c", &statepb.Served{Path: "Hawaii/Cola", Include: []string{"a,b%=c"}}, ""},
		{"Hawaii/Cola,exclude=ü,exclude=ü", &statepb.Served{Path: "Hawaii/Cola", Exclude: []string{"ü"}}, "Hawaii/Cola,exclude=ü"},
	} {
		got, err := ParseServed(c.text)
		if c.form == "" {
			c.form = c.text
		}
		if err != nil || !proto.Equal(got, c.want) || FormatServed(got) != c.form {
			t.Errorf("%s is %v, written %s, %v", c.text, got, FormatServed(got), err)
		}
	}
	for text, says := range map[string]string{
		"Hawaii":                                           "a whole cluster",
		"Hawaii/Cola,bk1":                                  `"bk1" of Hawaii/Cola is no option`,
		"Hawaii/Cola,prefix=a":                             `Hawaii/Cola has no option "prefix"`,
		"Hawaii/Cola,include=":                             "an empty prefix",
		"Hawaii/Cola,include=%4":                           "percent sign",
		"Hawaii/Cola,include=%":                            "percent sign",
		"Hawaii/Cola,include=%+1":                          "percent sign",
		"Hawaii/Cola,include=%ff":                          "not UTF-8",
		"Hawaii/Cola,direction=up":                         `the direction "up"`,
		"Hawaii/Cola,direction=send,direction=send":        "the option direction twice",
		"Hawaii/Cola,deletes=never":                        `deletes of Hawaii/Cola are "never"`,
		"Hawaii/Cola,exclude=" + strings.Repeat("x", 1025): "1025 bytes",
		"Hawaii/Cola" + manyPrefixes():                     "65 prefixes",
	} {
		if got, err := ParseServed(text); !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), says) || got != nil {
			t.Errorf("%.60s: %v, %v; want %q", text, got, err, says)
		}
	}
}

func manyPrefixes() string {
	var out strings.Builder
	for i := range state.MaxPrefixes + 1 {
		out.WriteString(",include=" + strings.Repeat("x", i+1))
	}
	return out.String()
}

func TestSplitServed(t *testing.T) {
	for list, want := range map[string][]string{
		"":                   nil,
		"a/b":                {"a/b"},
		"a/b, a/c ,":         {"a/b", "a/c"},
		"a/b,include=x/,a/c": {"a/b,include=x/", "a/c"},
		"a/b,include=x/,deletes=keep,a/c,exclude=y/z": {"a/b,include=x/,deletes=keep", "a/c,exclude=y/z"},
		"include=x": {"include=x"}, // which is no path, and refused as such
	} {
		if got := SplitServed(list); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", list, got, want)
		}
	}
}

// TestServeOptions: the same path with other options replaces what it had, an
// exact duplicate says so, and a bucket goes before its tenant.
func TestServeOptions(t *testing.T) {
	s := newSite(t)
	s.walkThrough() // which serves Hawaii/Cola/bk1
	has := func() string {
		l, _, _ := s.Service("hawaii")
		var all []string
		for _, served := range l.GetServes() {
			all = append(all, FormatServed(served))
		}
		return strings.Join(all, " ")
	}
	for _, step := range []struct {
		serve, says string // of a refusal
		then        string
	}{
		{"Hawaii/Cola/bk1", "service hawaii serves Hawaii/Cola/bk1 already", ""},
		{"Hawaii/Cola/bk1,exclude=tmp/", "", "Hawaii/Cola/bk1,exclude=tmp/"},
		{"Hawaii/Cola/bk1,exclude=tmp/,deletes=travel", "service hawaii serves Hawaii/Cola/bk1,exclude=tmp/ already", ""},
		{"Hawaii/Cola/bk1,direction=send", "", "Hawaii/Cola/bk1,direction=send"},
		{"Hawaii/Cola,deletes=keep", "", "Hawaii/Cola,deletes=keep Hawaii/Cola/bk1,direction=send"},
		{"Hawaii/Cola/bk2,deletes=keep", "service hawaii serves Hawaii/Cola/bk2 already, with all of tenant Hawaii/Cola", ""},
		{"Hawaii/Cola/bk2", "", "Hawaii/Cola,deletes=keep Hawaii/Cola/bk1,direction=send Hawaii/Cola/bk2"},
		{"Hawaii/Cola/bk1", "", "Hawaii/Cola,deletes=keep Hawaii/Cola/bk1 Hawaii/Cola/bk2"},
	} {
		before := has()
		txn, err := Serve(s.Config, "hawaii", step.serve)
		if step.says != "" {
			refusal{state.ErrExists, step.says, ""}.check(t, txn, err)
			step.then = before
		} else {
			s.must(txn, err)
		}
		if has() != step.then {
			t.Errorf("%s: serves %s, want %s", step.serve, has(), step.then)
		}
	}
	s.must(Unserve(s.Config, "hawaii", "Hawaii/Cola/bk1"))
	d, err := GetService(s.Config, "hawaii")
	if err != nil || len(d.GetServed()) != 2 || d.GetServed()[0].GetDeletes() != "keep" || d.GetServed()[1].GetDeletes() != "travel" || !slices.Equal(d.GetServes(), []string{"Hawaii/Cola", "Hawaii/Cola/bk2"}) {
		t.Errorf("it is described as %v, %v", d.GetServed(), err)
	}
}

// TestServeOptionsPlanned: the plan of other options names both and the way back.
func TestServeOptionsPlanned(t *testing.T) {
	s, facts := previewSite(t, true)
	show := func(text string) *adminpb.Plan {
		t.Helper()
		p, err := Show(s.Config, &adminpb.PlanRequest{Change: &adminpb.PlanRequest_Serve{Serve: &adminpb.ServeRequest{Name: "hawaii", Path: text}}}, facts, now)
		if err != nil {
			t.Fatal(err)
		}
		s.must(p.Txn, nil)
		return p.Plan
	}
	p := show("Hawaii/Cola/bk1,exclude=a b/")
	if w := p.GetWhat(); len(w) != 1 || w[0].GetSign() != "~" || w[0].GetText() != "over link hawaii, no options → exclude=a%20b/" {
		t.Errorf("what happens: %v", w)
	}
	if p.GetUndo() != "`isgwctl service serve hawaii Hawaii/Cola/bk1`" || p.GetCommand() != "isgwctl service serve hawaii Hawaii/Cola/bk1,exclude=a%20b/" ||
		!strings.Contains(p.GetImpact(), "compared and sent") {
		t.Errorf("undo %s, command %s, impact %s", p.GetUndo(), p.GetCommand(), p.GetImpact())
	}
	p = show("Hawaii/Cola/bk1,direction=receive")
	if p.GetUndo() != "`isgwctl service serve hawaii Hawaii/Cola/bk1,exclude=a%20b/`" {
		t.Errorf("undo %s", p.GetUndo())
	}
	p = show("Hawaii/Cola/bk2,direction=receive")
	if !strings.HasPrefix(p.GetImpact(), "Nothing leaves this site") {
		t.Errorf("impact %s", p.GetImpact())
	}
}

// FuzzServed: what is read is written so that it reads as the same, and the config
// takes it.
func FuzzServed(f *testing.F) {
	for _, s := range []string{"Hawaii/Cola", "a/b/ccc,include=x,exclude=%2C,direction=send,deletes=keep", "a/b,=", "a/b,include=%", "a/b,include= "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		served, err := ParseServed(text)
		if err != nil {
			return
		}
		again, err := ParseServed(FormatServed(served))
		if err != nil || !proto.Equal(served, again) {
			t.Errorf("%q is %v, written %q, read %v, %v", text, served, FormatServed(served), again, err)
		}
		if split := SplitServed(FormatServed(served)); len(split) != 1 || split[0] != FormatServed(served) {
			t.Errorf("%q is taken apart: %q", FormatServed(served), split)
		}
		s := newSite(&testing.T{})
		if err := s.Check(&statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Service{Name: "x", Type: state.TypeLink, Serves: []*statepb.Served{served}})}}); err != nil {
			t.Errorf("%q is refused: %v", text, err)
		}
	})
}
