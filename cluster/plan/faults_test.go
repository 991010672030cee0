package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func retryOf(bucket string, keys ...string) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_RetryFaults{
		RetryFaults: &adminpb.RetryFaultsRequest{Name: "hawaii", Bucket: bucket, Keys: keys},
	}}
}

func skipOf(bucket string, keys ...string) *adminpb.PlanRequest {
	return &adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{
		SkipFaults: &adminpb.SkipFaultsRequest{Name: "hawaii", Bucket: bucket, Keys: keys},
	}}
}

// TestFaultPlans shows what becomes of versions that wait before it is asked for.
func TestFaultPlans(t *testing.T) {
	const bk1 = "Hawaii/Cola/bk1"
	s, facts := previewSite(t, true)
	many := make([]string, maxKeySteps+5)
	for i := range many {
		many[i] = fmt.Sprintf("key-%02d", i)
	}
	for _, c := range []struct {
		name                  string
		req                   *adminpb.PlanRequest
		pending               Pending
		what                  []string
		command, impact, undo string
	}{
		{
			"retry all", retryOf(""), Pending{Quarantined: 3, Skipped: 2}, []string{"~ retry hawaii: 3 versions in quarantine: fetched again at once"},
			"isgwctl link retry hawaii --all", "is in quarantine as before", "cannot be called off",
		},
		{"retry all of none", retryOf(""), Pending{Skipped: 2, Transferring: 4}, nil, "isgwctl link retry hawaii --all", "Nothing: none of that is in quarantine.", ""},
		{
			"retry one", retryOf(bk1, "it's"), Pending{Quarantined: 1}, []string{"~ retry Hawaii/Cola/bk1/it's: fetched again at once"},
			`isgwctl link retry hawaii 'Hawaii/Cola/bk1/it'\''s'`, "everything else goes on", "cannot be called off",
		},
		{
			"retry what was skipped", retryOf(bk1, "k"), Pending{Skipped: 1}, []string{"~ retry Hawaii/Cola/bk1/k: fetched again at once"},
			"isgwctl link retry hawaii Hawaii/Cola/bk1/k", "everything else goes on", "`isgwctl link skip hawaii Hawaii/Cola/bk1/k`",
		},
		{"retry what is fetched", retryOf(bk1, "k"), Pending{Transferring: 1}, nil, "isgwctl link retry hawaii Hawaii/Cola/bk1/k", "Nothing: none of that is in quarantine or skipped.", ""},
		{
			"skip", skipOf(bk1, "k"), Pending{Quarantined: 1}, []string{"- skip Hawaii/Cola/bk1/k: given up"},
			"isgwctl link skip hawaii Hawaii/Cola/bk1/k", "goes without 1 version, and the link counts as in sync without it", "`isgwctl link retry hawaii Hawaii/Cola/bk1/k`",
		},
		{"skip again", skipOf(bk1, "k"), Pending{Skipped: 1}, nil, "isgwctl link skip hawaii Hawaii/Cola/bk1/k", "Nothing: all of that is skipped already.", ""},
		{"skip what is not there", skipOf(bk1, "k"), Pending{}, nil, "isgwctl link skip hawaii Hawaii/Cola/bk1/k", "Nothing: none of that waits on link hawaii.", ""},
	} {
		facts.Pending = func(service, bucket string, keys []string) (Pending, map[string]Pending, error) {
			if service != "hawaii" {
				t.Errorf("%s: asked about service %s", c.name, service)
			}
			of := map[string]Pending{}
			if len(keys) > 0 {
				of[keys[0]] = c.pending
			}
			return c.pending, of, nil
		}
		p, err := Show(s.Config, c.req, facts, now)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var what []string
		for _, step := range p.Plan.GetWhat() {
			what = append(what, step.GetSign()+" "+step.GetKind()+" "+step.GetName()+": "+step.GetText())
		}
		if !slices.Equal(what, c.what) || p.Plan.GetCommand() != c.command {
			t.Errorf("%s: %q, command %s", c.name, what, p.Plan.GetCommand())
		}
		if p.Txn != nil || p.Amends != (len(c.what) > 0) || len(p.Plan.GetBound()) != 1 || Subject(c.req) != "hawaii" {
			t.Errorf("%s: a transaction %v, amends %v, bound to %v, about %q", c.name, p.Txn, p.Amends, p.Plan.GetBound(), Subject(c.req))
		}
		if !strings.Contains(p.Plan.GetImpact(), c.impact) || !strings.Contains(p.Plan.GetUndo(), c.undo) {
			t.Errorf("%s:\n%s", c.name, p.Plan.GetText())
		}
	}

	facts.Pending = func(_, _ string, keys []string) (Pending, map[string]Pending, error) {
		of := map[string]Pending{}
		for _, key := range keys {
			of[key] = Pending{Quarantined: 1}
		}
		delete(of, "none")
		return Pending{Quarantined: 1, Transferring: 2}, of, nil
	}
	p, err := Show(s.Config, skipOf(bk1, many...), facts, now)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Plan.GetWhat()); n != maxKeySteps+1 || p.Plan.GetWhat()[n-1].GetText() != "and 5 more keys" {
		t.Errorf("of many keys are told:\n%s", p.Plan.GetText())
	}
	if checks := p.Plan.GetChecks(); len(checks) != 1 || !strings.Contains(checks[0].GetText(), "2 of the versions are merely long on the way") {
		t.Errorf("what is on its way is not told:\n%s", p.Plan.GetText())
	}

	if p, err = Show(s.Config, skipOf(bk1, "none", "k"), facts, now); err != nil {
		t.Fatal(err)
	}
	if len(p.Plan.GetWhat()) != 1 || p.Plan.GetCommand() != "isgwctl link skip hawaii Hawaii/Cola/bk1/k" || p.Plan.GetChecks()[0].GetText() != "nothing of Hawaii/Cola/bk1/none waits for that" {
		t.Errorf("with a key of which nothing waits:\n%s", p.Plan.GetText())
	}

	for name, c := range map[string]struct {
		req  *adminpb.PlanRequest
		kind error
	}{
		"keys of no bucket":        {retryOf("", "k"), state.ErrInvalid},
		"a bucket without keys":    {retryOf(bk1), state.ErrInvalid},
		"skip without keys":        {skipOf(bk1), state.ErrInvalid},
		"a bucket that it has not": {retryOf("Hawaii/Cola/bk2", "k"), state.ErrNotFound},
		"no such link": {&adminpb.PlanRequest{Change: &adminpb.PlanRequest_SkipFaults{
			SkipFaults: &adminpb.SkipFaultsRequest{Name: "none", Bucket: bk1, Keys: []string{"k"}},
		}}, state.ErrNotFound},
	} {
		if _, err := Show(s.Config, c.req, facts, now); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}

	damaged := errors.New("a row cannot be decoded")
	facts.Pending = func(_, _ string, _ []string) (Pending, map[string]Pending, error) { return Pending{}, nil, damaged }
	if _, err := Show(s.Config, retryOf(bk1, "k"), facts, now); !errors.Is(err, damaged) {
		t.Errorf("of a table that cannot be read: %v", err)
	}
}
