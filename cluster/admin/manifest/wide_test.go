package manifest

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestYAMLOfAnyText: a key may have any character, and what is written of it reads
// as it was.
func TestYAMLOfAnyText(t *testing.T) {
	for _, text := range []string{"\U000E0001", "\U000F0000x", "\U0010FFFF", "\u2028", "\u0085", "\x00", "\x7f", "\ufeff", "\ufffe", "😀", "null", "1e3", "- x", "a: b", "\u00a0", " x ", "x\ny\n", "~", "0x1f", "yes", `\ud83d\ude00`, `\\ud83d`, `a\`, "2026-11-23"} {
		written, err := YAML(&adminpb.Object{Key: text})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var back struct{ Key string }
		if err := yaml.Unmarshal([]byte(written), &back); err != nil || back.Key != text {
			t.Errorf("%q reads as %q, %v\n%s", text, back.Key, err, written)
		}
	}
}
