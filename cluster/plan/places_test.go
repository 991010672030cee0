package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestParsePlacement: what is read has one form, and what says nothing is empty.
func TestParsePlacement(t *testing.T) {
	for text, want := range map[string]string{
		"":     "",
		"null": "",
		"{}":   "",
		` {"podAffinity": null, "podAntiAffinity": {}, "tolerations": []} `:                                                                                 "",
		`{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{}}}`:                                                                            "",
		`{"tolerations":[{"operator":"Exists","key":"node230"}]}`:                                                                                           `{"tolerations":[{"key":"node230","operator":"Exists"}]}`,
		`{"tolerations":[{"operator":"Exists","effect":"NoExecute","tolerationSeconds":0}]}`:                                                                `{"tolerations":[{"operator":"Exists","effect":"NoExecute","tolerationSeconds":0}]}`,
		need(`{"key":"disk","values":["ssd"],"operator":"In"}`):                                                                                             need(`{"key":"disk","operator":"In","values":["ssd"]}`),
		`{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone","labelSelector":{"matchLabels":{"b":"2","a":"1"}}}]}}`: `{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"a":"1","b":"2"}},"topologyKey":"zone"}]}}`,
	} {
		_, got, err := ParsePlacement([]byte(text))
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
		if _, again, err := ParsePlacement(got); err != nil || string(again) != want {
			t.Errorf("%s is %s when it is read again, %v", want, again, err)
		}
	}
	for text, says := range map[string]string{
		"{":                                 "the placement cannot be read",
		"{} {}":                             "followed by something else",
		`{"nodeSelector":{}}`:               `unknown field "nodeSelector"`,
		`{"tolerations":{}}`:                "cannot be read",
		need(`{"operator":"In"}`):           "an expression has no key",
		need(`{"key":"a","operator":"Is"}`): `the operator of a is one of In, NotIn, Exists, DoesNotExist, Gt, Lt, and not "Is"`,
		need(`{"key":"a","operator":"In"}`): "a In has no values",
		need(`{"key":"a","operator":"Exists","values":["x"]}`): "a Exists has values",
		need(`{"key":"a","operator":"Gt","values":["1","2"]}`): "a Gt has 2 values",
		need(`{"key":"a","operator":"Lt","values":["x"]}`):     `a Lt takes a whole number, and not "x"`,
		`{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"spec","operator":"In","values":["x"]}]}]}}}`:                "matchFields knows metadata.name",
		`{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,"preference":{}}]}}`:                                                                        "a weight is from 1 to 100, not 0",
		`{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{}}]}}`:                                                                                  "no topologyKey",
		`{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":101,"podAffinityTerm":{"topologyKey":"a"}}]}}`:                                                 "not 101",
		`{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"a","labelSelector":{"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]}}]}}`: "one of In, NotIn, Exists, DoesNotExist",
		`{"tolerations":[{"key":"a","operator":"Is"}]}`:                     "operator of a toleration",
		`{"tolerations":[{"key":"a","effect":"Never"}]}`:                    "effect of a toleration",
		`{"tolerations":[{"key":"a","operator":"Exists","value":"x"}]}`:     "takes none",
		`{"tolerations":[{"value":"x"}]}`:                                   "without key",
		`{"tolerations":[]` + strings.Repeat(" ", state.MaxPlacement) + "}": "at most 16384 bytes",
	} {
		if _, got, err := ParsePlacement([]byte(text)); !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.120s: %s, %v; want %q", text, got, err, says)
		}
	}
}

// need is a placement with a required node affinity of these expressions.
func need(expressions ...string) string {
	return `{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[` + strings.Join(expressions, ",") + `]}]}}}`
}

// node is a member of a site with labels as isgwnode takes them.
func node(t *testing.T, id string, labels ...string) *statepb.Node {
	t.Helper()
	parsed, err := ParseLabels(labels)
	if err != nil {
		t.Fatal(err)
	}
	return &statepb.Node{Id: id, Name: id, Labels: parsed}
}

// TestPlaces: which nodes may run a link, in which order, and why others may not.
func TestPlaces(t *testing.T) {
	nodes := []*statepb.Node{
		node(t, "n1", "type=isgw", "zone=a", "cores=8"),
		node(t, "n2", "type=isgw", "zone=b", "cores=16", "dedicated=isgw:NoSchedule"),
		node(t, "n3", "type=store", "zone=b", "cores=many", "old=:PreferNoSchedule"),
	}
	beside := func(kind, list, term string) string { return fmt.Sprintf(`{%q:{%q:[%s]}}`, kind, list, term) }
	const (
		required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
		busy                = `{"labelSelector":{"matchLabels":{"team":"cola"}},"topologyKey":"zone"}`
		same                = `{"labelSelector":{"matchLabels":{"app":"isgw"}},"topologyKey":"kubernetes.io/hostname"}`
	)
	cola := RunningLink{Labels: LinkLabels(&statepb.Service{Name: "cola", Annotations: []*statepb.Annotation{{Name: "team", Value: "cola"}}}), Node: "n1"}
	for _, c := range []struct {
		name, placement string
		others          []RunningLink
		want            string // the nodes, those that may not run it in brackets
		why             string // of the last that may not
	}{
		{"anywhere", "", nil, "n1 n3 (n2)", "the taint dedicated=isgw:NoSchedule is not tolerated"},
		{"every taint is tolerated", `{"tolerations":[{"operator":"Exists"}]}`, nil, "n1 n2 n3", ""},
		{"one taint", `{"tolerations":[{"key":"dedicated","value":"isgw","effect":"NoSchedule"}]}`, nil, "n1 n2 n3", ""},
		{"another value", `{"tolerations":[{"key":"dedicated","value":"nfs"}]}`, nil, "n1 n3 (n2)", "dedicated"},
		{"another effect", `{"tolerations":[{"key":"dedicated","operator":"Exists","effect":"NoExecute"}]}`, nil, "n1 n3 (n2)", "dedicated"},
		{"in", need(`{"key":"type","operator":"In","values":["isgw","nfs"]}`), nil, "n1 (n2 n3)", "its labels do not meet type In isgw,nfs"},
		{"not in", need(`{"key":"type","operator":"NotIn","values":["store"]}`), nil, "n1 (n2 n3)", "type NotIn store"},
		{"not in what it has not", need(`{"key":"rack","operator":"NotIn","values":["r1"]}`), nil, "n1 n3 (n2)", ""},
		{"exists", need(`{"key":"rack","operator":"Exists"}`), nil, "(n1 n2 n3)", "rack Exists"},
		{"does not exist", need(`{"key":"rack","operator":"DoesNotExist"}`), nil, "n1 n3 (n2)", ""},
		{"a taint is no label", need(`{"key":"old","operator":"Exists"}`), nil, "(n1 n2 n3)", ""},
		{"more than", need(`{"key":"cores","operator":"Gt","values":["7"]}`), nil, "n1 (n2 n3)", "cores Gt 7"},
		{"less than", need(`{"key":"cores","operator":"Lt","values":["8"]}`), nil, "(n1 n2 n3)", ""},
		{"all of a term", need(`{"key":"type","operator":"In","values":["isgw"]}`, `{"key":"zone","operator":"In","values":["b"]}`), nil, "(n1 n2 n3)", ""},
		{"one of two terms", `{"nodeAffinity":{"` + required + `":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["c"]}]},{"matchFields":[{"key":"metadata.name","operator":"In","values":["n3"]}]}]}}}`, nil, "n3 (n1 n2)", "its name does not meet"},
		{"an empty term", `{"nodeAffinity":{"` + required + `":{"nodeSelectorTerms":[{}]}}}`, nil, "(n1 n2 n3)", "fits no node"},
		{"preferred", `{"nodeAffinity":{"` + preferred + `":[{"weight":50,"preference":{"matchExpressions":[{"key":"zone","operator":"In","values":["b"]}]}}]},"tolerations":[{"operator":"Exists"}]}`, nil, "n2 n3 n1", ""},
		{"beside nobody", beside("podAffinity", required, busy), nil, "(n1 n2 n3)", "no link that it must run beside is in the same zone"},
		{"beside another", beside("podAffinity", required, busy), []RunningLink{cola}, "n1 (n2 n3)", "no link that it must run beside"},
		{"the first of its kind", beside("podAffinity", required, same), nil, "n1 n3 (n2)", ""},
		{"not beside another", beside("podAntiAffinity", required, busy), []RunningLink{cola}, "n3 (n1 n2)", ""},
		{"not on one node", beside("podAntiAffinity", required, same), []RunningLink{cola}, "n3 (n1 n2)", ""},
		{"better elsewhere", beside("podAntiAffinity", preferred, `{"weight":100,"podAffinityTerm":`+same+`}`), []RunningLink{cola, cola}, "n3 n1 (n2)", ""},
		{"better beside", beside("podAffinity", preferred, `{"weight":1,"podAffinityTerm":`+busy+`}`), []RunningLink{cola}, "n1 n3 (n2)", ""},
		{"without selector", beside("podAntiAffinity", required, `{"topologyKey":"zone"}`), []RunningLink{cola}, "n1 n3 (n2)", ""},
		{"where nobody has the label", beside("podAntiAffinity", required, `{"labelSelector":{},"topologyKey":"rack"}`), []RunningLink{cola}, "n1 n3 (n2)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _, err := ParsePlacement([]byte(c.placement))
			if err != nil {
				t.Fatal(err)
			}
			var may, not []string
			why := ""
			for _, place := range Places(p, nodes, LinkLabels(&statepb.Service{Name: "x"}), c.others) {
				if place.Runs {
					may = append(may, place.Node)
				} else {
					not, why = append(not, place.Node), place.Why
				}
				if place.Runs != (place.Why == "") {
					t.Errorf("%+v", place)
				}
			}
			got := strings.Join(may, " ")
			if len(not) > 0 {
				got = strings.TrimSpace(got + " (" + strings.Join(not, " ") + ")")
			}
			if got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("places %s, because %s; want %s, because %q", got, why, c.want, c.why)
			}
		})
	}
	if places := Places(nil, nodes[:1], nil, nil); len(places) != 1 || !places[0].Runs {
		t.Errorf("without a placement: %v", places)
	}
}

func TestParseLabels(t *testing.T) {
	labels, err := ParseLabels([]string{"zone=b", "dedicated:NoSchedule", "example.com/rack=r=1", "empty="})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range labels {
		got = append(got, l.GetName()+"|"+l.GetValue())
	}
	if text := strings.Join(got, " "); text != "dedicated|:NoSchedule empty| example.com/rack|r=1 zone|b" {
		t.Errorf("labels are %s", text)
	}
	for text, says := range map[string]string{
		"zone": "not NAME=VALUE", "=b": "label name is empty", "a b=c": "label name", "a=b:Never": "an effect that there is not", "zone=a,zone=b": "zone is given twice",
	} {
		if labels, err := ParseLabels(strings.Split(text, ",")); !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want %q", text, labels, err, says)
		}
	}
}

// FuzzPlacement: what is read is written so that it reads as the same, and places
// are found by it.
func FuzzPlacement(f *testing.F) {
	f.Add(need(`{"key":"a","operator":"In","values":["x"]}`))
	f.Add(`{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"topologyKey":"z","labelSelector":{}}}]}}`)
	f.Add(`{"tolerations":[{"operator":"Exists","tolerationSeconds":-1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, canonical, err := ParsePlacement([]byte(text))
		if err != nil {
			return
		}
		if _, again, err := ParsePlacement(canonical); err != nil || string(again) != string(canonical) {
			t.Errorf("%q is %q, and that is %q, %v", text, canonical, again, err)
		}
		if places := Places(p, []*statepb.Node{{Id: "n1"}}, map[string]string{"a": "b"}, []RunningLink{{Node: "n1"}}); len(places) != 1 {
			t.Errorf("%q has places %v", text, places)
		}
	})
}
