package objsync

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/sync/link/linkpb"
)

// TestPagesOfAPartNameNoOtherKey goes through a bucket of which a part is let out, in
// the shortest pages and by lists that do not fit into an answer: where the next page
// begins names no key that is left out, and every key that is let out comes, once.
func TestPagesOfAPartNameNoOtherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, 1)
		defer s.close()
		s.makeBucket(bk1, 1)
		for i := range maxListed { // the first list ends before what is hidden
			s.put(bk1, fmt.Sprintf("a/%04d", i), nil)
		}
		s.put(bk1, "m/1", nil)
		for _, dir := range []string{"hidden", "n/hidden", "z/hidden"} {
			s.put(bk1, dir+"/1", nil)
			s.put(bk1, dir+"/2", nil)
		}
		s.put(bk1, "n/open", nil)
		for name, filter := range map[string]Filter{
			"exclude": {Exclude: []string{"hidden/", "n/hidden/", "z/hidden/"}},
			"include": {Include: []string{"n/open", "m/", "a/"}},
			"both":    {Include: []string{"n/", "m/", "a/"}, Exclude: []string{"n/hidden/"}},
		} {
			l, err := NewLocal(LocalOptions{
				Site: s.site(), Service: "hawaii", Peer: peerID, Served: func() []string { return []string{bk1} },
				Terms: func(string) Terms { return Terms{Filter: filter} },
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, key := range slices.Sorted(maps.Keys(s.listing(bk1))) {
				if filter.admitsKey([]byte(key)) {
					want = append(want, key)
				}
			}
			tells := func(what string, m proto.Message) {
				if raw, err := proto.Marshal(m); err != nil || bytes.Contains(raw, []byte("hidden")) {
					t.Errorf("%s: %s tells of a key that is left out: %v %v", name, what, m, err)
				}
			}
			var scanned []string
			for from, done := []byte("a/1990"), false; !done; {
				page, err := l.Scan(context.Background(), &linkpb.ScanRequest{Path: bk1, FromKey: from, Limit: 1, Scope: filter.scope()})
				if err != nil {
					t.Fatal(err)
				}
				tells("a page", page)
				for _, r := range page.GetRecords() {
					scanned = append(scanned, string(r.GetKey()))
				}
				if done = page.GetDone(); !done && bytes.Compare(page.GetNextKey(), from) <= 0 {
					t.Fatalf("%s: the page from %q goes on at %q", name, from, page.GetNextKey())
				}
				from = page.GetNextKey()
			}
			if tail := want[slices.Index(want, "a/1990"):]; !slices.Equal(scanned, tail) {
				t.Errorf("%s: pages have %q, want %q", name, scanned, tail)
			}
			var listed []string
			for from := []byte("a"); from != nil; {
				list, err := l.Digest(context.Background(), &linkpb.DigestRequest{Path: bk1, List: true, Ranges: []*linkpb.KeyRange{{From: from}}})
				if err != nil {
					t.Fatal(err)
				}
				tells("a list", list)
				for _, k := range list.GetKeys() {
					listed = append(listed, string(k.GetKey()))
				}
				from = list.GetNextKey()
			}
			if !slices.Equal(listed, want) {
				t.Errorf("%s: lists have %d keys, want %d", name, len(listed), len(want))
			}
		}
	})
}
