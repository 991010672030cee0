package cluster

import (
	"strings"
	"testing"

	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

func TestVersionNames(t *testing.T) {
	origin := strings.Repeat("5", 32)
	for name, why := range map[string]string{
		origin + "-1-42":                   "",
		origin + "-4294967295-1":           "",
		"":                                 "form",
		origin + "-1":                      "form",
		origin + "-1-2-3":                  "form",
		"51-1-42":                          "",
		origin + "-x-42":                   "epoch",
		origin + "-4294967296-1":           "epoch",
		origin + "-1--1":                   "form",
		origin + "-1-18446744073709551616": "number",
	} {
		d, err := parseVersion(name)
		switch {
		case name == "51-1-42":
			if err == nil {
				t.Error("a site id of one byte is taken")
			}
		case why == "" && (err != nil || versionName(d) != name):
			t.Errorf("%s is read as %v: %v", name, d, err)
		case why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%q: %v, want a word of %s", name, err, why)
		}
	}
}

func TestWhatMayBePromoted(t *testing.T) {
	dot := func(seq uint64) *catalogpb.Dot { return &catalogpb.Dot{Origin: make([]byte, 16), Epoch: 1, Seq: seq} }
	version := func(seq uint64, kind catalogpb.RecordKind, latest, lost bool) *catalog.Version {
		return &catalog.Version{Record: &catalogpb.Record{Kind: kind, Dot: dot(seq)}, Latest: latest, Lost: lost}
	}
	const content, deletion = catalogpb.RecordKind_RECORD_VERSION, catalogpb.RecordKind_RECORD_TOMBSTONE
	settled := []*catalog.Version{version(3, content, true, false), version(2, deletion, false, false), version(1, content, false, false)}
	contested := []*catalog.Version{version(3, content, true, false), version(2, content, false, true)}
	for _, c := range []struct {
		history []*catalog.Version
		seq     uint64
		why     string
	}{
		{settled, 1, ""},
		{settled, 2, "deletion"},
		{settled, 3, "already"},
		{settled, 4, "not kept"},
		{nil, 1, "not kept"},
		{contested, 2, ""},
		{contested, 3, ""}, // it ends the conflict
	} {
		v, err := choose(c.history, dot(c.seq))
		if c.why == "" && (err != nil || v.Record.GetDot().GetSeq() != c.seq) || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("version %d: %v %v, want %q", c.seq, v, err, c.why)
		}
	}
}
