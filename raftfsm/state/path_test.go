package state

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		in    string
		depth int
		want  string // part of the error; empty: accepted
	}{
		{"Hawaii", 1, ""},
		{"Hawaii/Cola", 2, ""},
		{"Hawaii/Cola/bk1", 3, ""},
		{"h.a_w-1/2/a.b-c", 3, ""},
		{long + "/" + long + "/" + long, 3, ""},
		{"", 0, "is not NAMESPACE"},
		{"a/b/ccc/d", 0, "is not NAMESPACE"},
		{"/Cola", 0, "namespace name is empty"},
		{"Hawaii/", 0, "tenant name is empty"},
		{"Hawaii//bk1", 0, "tenant name is empty"},
		{"Hawaii/Cola/", 0, "bucket name"},
		{long + "a", 0, "longer than 63"},
		{"-a", 0, "beginning with a letter"},
		{"..", 0, "beginning with a letter"},
		{"a b", 0, "not made of"},
		{"a\x00", 0, "not made of"},
		{"Häwaii", 0, "not made of"},
		{"a/b/cc", 0, "3 to 63"},
		{"a/b/" + long + "a", 0, "3 to 63"},
		{"a/b/Bk1", 0, "lower-case"},
		{"a/b/bk_1", 0, "lower-case"},
		{"a/b/-bk", 0, "lower-case"},
		{"a/b/bk-", 0, "lower-case"},
		{"a/b/bk.", 0, "lower-case"},
		{"a/b/b..k", 0, "lower-case"},
		{"a/b/10.0.0.1", 0, "IP address"},
	} {
		p, err := ParsePath(c.in)
		if c.want != "" {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParsePath(%q): error %v, want one with %q", c.in, err, c.want)
			}
			continue
		}
		if err != nil || p.Depth() != c.depth || p.String() != c.in {
			t.Errorf("ParsePath(%q) = %v, depth %d, %v", c.in, p, p.Depth(), err)
		}
	}
}

func TestPathParent(t *testing.T) {
	p, err := ParsePath("Hawaii/Cola/bk1")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Hawaii/Cola", "Hawaii", "", ""} {
		if p = p.Parent(); p.String() != want {
			t.Fatalf("parent is %q, want %q", p, want)
		}
	}
}

func TestSiteID(t *testing.T) {
	id, err := ParseSiteID("000102030405060708090a0b0c0d0e0F")
	if err != nil || id.String() != "000102030405060708090a0b0c0d0e0f" {
		t.Fatalf("parsed %v, %v", id, err)
	}
	if again, err := SiteIDFromBytes(id.Bytes()); err != nil || again != id {
		t.Fatalf("from bytes %v, %v", again, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 32), strings.Repeat("g", 32), strings.Repeat("0", 34)} {
		if id, err := ParseSiteID(bad); err == nil {
			t.Errorf("ParseSiteID(%q) = %v", bad, id)
		}
	}
	if !(SiteID{}).IsZero() || id.IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestParseRemote(t *testing.T) {
	for in, want := range map[string]string{
		"ccow://10.3.32.240:14000": "10.3.32.240:14000",
		"ccow://host:1/":           "host:1",
		"ccow://[::1]:14000":       "[::1]:14000",
	} {
		if got, err := ParseRemote(in); err != nil || got != want {
			t.Errorf("ParseRemote(%q) = %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"host:14000":           "not a URL",
		"http://host:14000":    `scheme "http"`,
		"s3://bucket":          `scheme "s3"`,
		"ccow://":              "not HOST:PORT",
		"ccow://host":          "not HOST:PORT",
		"ccow://:14000":        "not HOST:PORT",
		"ccow://host:0":        "no port",
		"ccow://host:65536":    "no port",
		"ccow://host:x":        "no port",
		"ccow://host/path:1":   "not HOST:PORT",
		"ccow://user@host:123": "not HOST:PORT",
	} {
		if got, err := ParseRemote(in); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRemote(%q) = %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

// FuzzParsePath checks that what is accepted is read back the same and holds
// nothing that could be mistaken elsewhere.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"Hawaii", "Hawaii/Cola", "Hawaii/Cola/bk1", "../x", "a/b/1.2.3.4", "a//b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if p.String() != s || p.Depth() != strings.Count(s, "/")+1 {
			t.Fatalf("%q became %q", s, p)
		}
		if strings.Contains(s, "..") && p.Bucket != "" && strings.Contains(p.Bucket, "..") || strings.ContainsAny(s, "\x00\\ \n") {
			t.Fatalf("%q was accepted", s)
		}
	})
}

// FuzzParseRemote checks that an accepted address is one that can be dialled.
func FuzzParseRemote(f *testing.F) {
	for _, s := range []string{"ccow://host:14000", "ccow://[::1]:1", "ccow://a:b:c", "://", "ccow:///"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, err := ParseRemote(s)
		if err == nil && (address == "" || strings.ContainsAny(address, "/ ")) {
			t.Fatalf("%q gave %q", s, address)
		}
	})
}
