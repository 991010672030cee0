package manifest

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func TestJSON(t *testing.T) {
	status := &adminpb.ServiceStatus{
		State:   adminpb.ServiceState_SERVICE_STATE_NO_REMOTE,
		Time:    timestamppb.New(time.Date(2026, 11, 22, 12, 0, 0, 5, time.FixedZone("", 3600))),
		Send:    &adminpb.DirectionStats{WireBytes: math.MaxUint64, Throughput: math.Inf(1), Backlog: &adminpb.Backlog{LagSeconds: new(0.0)}},
		Buckets: []*adminpb.BucketStatus{{Path: "a"}, {Path: "b"}},
	}
	text, err := JSON(status)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	send := got["send"].(map[string]any)
	for what, pair := range map[string][2]any{
		"state":             {got["state"], "no-remote"},
		"time":              {got["time"], "2026-11-22T11:00:00.000000005Z"},
		"a large number":    {send["wireBytes"], json.Number("18446744073709551615")},
		"an infinite one":   {send["throughput"], nil},
		"an unknown one":    {send["latencySeconds"], nil},
		"a known zero":      {send["backlog"].(map[string]any)["lagSeconds"], json.Number("0")},
		"an absent message": {got["receive"], nil},
		"elements":          {len(got["buckets"].([]any)), 2},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	if strings.Index(text, `"time"`) > strings.Index(text, `"state"`) {
		t.Error("the fields are not in the order of the contract")
	}
}

func TestJSONText(t *testing.T) {
	hostile := "k\x1b[31m \u202e \u009b \U000e0041 \"<&>\" \\ é"
	text, err := JSON(&adminpb.Object{Key: hostile, Metadata: map[string]string{"b": "2", "a\x07": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("unprintable characters in %q", text)
	}
	var back struct {
		Key      string
		Metadata map[string]string
	}
	if err := json.Unmarshal([]byte(text), &back); err != nil || back.Key != hostile || back.Metadata["a\x07"] != "1" {
		t.Errorf("came back as %q, %v", back, err)
	}
	if text, err := JSON(&adminpb.Key{AccessKey: "AK", SecretKey: "canary"}, "secretKey"); err != nil || strings.Contains(text, "canary") || strings.Contains(text, "secret") {
		t.Errorf("an omitted field is there: %s, %v", text, err)
	}
}

func TestEnumWords(t *testing.T) {
	for e, want := range map[interface{ String() string }]string{
		adminpb.ServiceState_SERVICE_STATE_UNSPECIFIED: "unknown",
		adminpb.ServiceState_SERVICE_STATE_SYNCED:      "synced",
		adminpb.ServiceState(99):                       "99",
	} {
		if got := Word(e.(adminpb.ServiceState)); got != want {
			t.Errorf("%v is %q, want %q", e, got, want)
		}
	}
	if got := Word(adminpb.PathKind_PATH_KIND_BUCKET); got != "bucket" {
		t.Errorf("a kind is %q", got)
	}
}

// YAML has the values of the JSON, and strings that look like something else
// keep their quotes.
func TestYAML(t *testing.T) {
	text, err := YAML(&adminpb.Service{Name: "12", Enabled: true, Serves: []string{"a/b/c"}, Remote: "ccow://10.0.0.1:14000"}, "status", "created")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: \"12\"\n", "enabled: true\n", "serves:\n  - a/b/c\n", "remote: ccow://10.0.0.1:14000\n", "peerName: \"\"\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "status") || !strings.HasSuffix(text, "\n") {
		t.Errorf("got\n%s", text)
	}
	if err := WriteYAML(io.Discard, "{"); err == nil {
		t.Error("what is no JSON was written")
	}
}
