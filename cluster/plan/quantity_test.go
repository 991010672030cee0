package plan

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/raftfsm/state"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]uint64{
		"": 0, "0": 0, "1": 1, "1Ki": 1024, "1KiB": 1024, "512Mi": 512 << 20, "1Gi": 1 << 30, "1.5Gi": 3 << 29, "1G": 1e9, "1GB": 1e9, "2k": 2000,
		"1e9": 1e9, "1E6": 1e6, "12e-1": 2, "100m": 1, "1.": 1, ".5Ki": 512, "1Pi": 1 << 50, "0.1": 1,
	} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "+1", "x", "1 Gi", "1gi", "1Gib", ".", "1.2.3", "1e99", "1e", "Gi", "2Ei", "1e19", "1mB", "B", "1B1", strings.Repeat("1", 40)} {
		if n, err := ParseBytes(text); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("%q is read as %d, %v", text, n, err)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "2": 2000, "0.5": 500, "1500m": 1500, "100m": 100, "0.0001": 1, "1k": 1e6} {
		got, err := ParseCPU(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	if _, err := ParseCPU("two"); !errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), `"two" is no number of cores`) {
		t.Errorf("two cores in words: %v", err)
	}
}

// FuzzQuantity: what is read is written so that it reads as the same.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"1Gi", "1.5G", "12e-3", "100m", "0", ".", "1e18", "9E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseBytes(text); err == nil {
			if again, err := ParseBytes(FormatBytes(n)); err != nil || again != n {
				t.Errorf("%q is %d, written %s, read %d, %v", text, n, FormatBytes(n), again, err)
			}
		}
		if n, err := ParseCPU(text); err == nil {
			if again, err := ParseCPU(FormatCPU(n)); err != nil || again != n {
				t.Errorf("%q is %d, written %s, read %d, %v", text, n, FormatCPU(n), again, err)
			}
		}
	})
}
