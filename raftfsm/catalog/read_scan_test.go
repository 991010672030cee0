package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// TestLongKeys reads pages with a key between others that has more records than a page
// has room for: it is a page of its own, or the error names it, and what comes before it
// and behind it is read like ever.
func TestLongKeys(t *testing.T) {
	s := testSite(t, 1).makeBucket(0).versioning(enabled)
	note := strings.Repeat("x", 16<<10)
	write := func(key string, versions int) {
		for range versions {
			s.must(1, edited(putCmd(key, "x"), func(w *pb.Write) { w.Record.Metadata = map[string]string{"note": note} }))
		}
	}
	write("a", 2)
	write("long", 100) // 1.6 MiB
	write("z", 2)
	size := 0
	long, err := s.cat.ScanThese(testPath, [][]byte{[]byte("long")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range long.Records {
		size += proto.Size(r)
	}

	pages := func(most int, read func(from []byte) (*ScanPage, error)) (out []string) {
		for from := []byte(nil); ; {
			page, err := read(from)
			if long, ok := errors.AsType[*LongKey](err); ok {
				if long.Most != most {
					t.Errorf("the key has more than %d bytes, it is said, and not %d", long.Most, most)
				}
				out = append(out, "too long: "+string(long.Key))
				from = append(long.Key, 0)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			count := make(map[string]int)
			var order []string
			for _, r := range page.Records {
				if k := string(r.GetKey()); count[k] == 0 {
					order = append(order, k)
				}
				count[string(r.GetKey())]++
			}
			text := ""
			for _, k := range order {
				text += fmt.Sprintf("%s*%d ", k, count[k])
			}
			if out = append(out, strings.TrimSpace(text)); page.Done {
				return out
			}
			from = page.NextKey
		}
	}
	all := [][]byte{nil, []byte("a"), []byte("b is not there"), []byte("long"), []byte("z")}
	for _, c := range []struct {
		most int
		want []string
	}{
		{0, []string{"*1 a*2 long*100", "z*2"}},
		{size, []string{"*1 a*2", "long*100", "z*2"}},
		{4 << 20, []string{"*1 a*2", "long*100", "z*2"}},
		{size - 1, []string{"*1 a*2", "too long: long", "z*2"}},
		{size / 2, []string{"*1 a*2", "too long: long", "z*2"}},
	} {
		got := pages(c.most, func(from []byte) (*ScanPage, error) { return s.cat.ScanKeysWithin(testPath, from, 0, c.most) })
		if !slices.Equal(got, c.want) {
			t.Errorf("most %d: pages %q, want %q", c.most, got, c.want)
		}
		got = pages(c.most, func(from []byte) (*ScanPage, error) {
			at := slices.IndexFunc(all, func(k []byte) bool { return slices.Compare(k, from) >= 0 })
			return s.cat.ScanTheseWithin(testPath, all[at:], c.most)
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("most %d: pages of keys %q, want %q", c.most, got, c.want)
		}
	}

	for from, want := range map[string]string{"": "a", "a": "a", "a\x00": "long", "long": "long", "m": "z", "z\x00": ""} {
		if got, err := s.cat.NextKey(testPath, []byte(from)); err != nil || string(got) != want {
			t.Errorf("the key from %q on is %q, want %q (%v)", from, got, want, err)
		}
	}
}
