package plan

import (
	"errors"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

func TestParseRemote(t *testing.T) {
	for _, c := range []struct{ remote, want, says string }{
		{"", "", ""},
		{"ccow://10.3.32.240:14000", "ccow://10.3.32.240:14000", ""},
		{"ccow://10.3.32.240:14000/", "ccow://10.3.32.240:14000", ""},
		{"ccow://site-2.example.com:1", "ccow://site-2.example.com:1", ""},
		{"ccow://[fe80::1%eth0]:14000", "ccow://[fe80::1%eth0]:14000", ""},
		{"ccow://[::1]:65535", "ccow://[::1]:65535", ""},
		{"ccow://", "", "HOST:PORT"},
		{"ccow://host", "", "HOST:PORT"},
		{"ccow://:14000", "", "HOST:PORT"},
		{"ccow://host:0", "", "port"},
		{"ccow://host:65536", "", "port"},
		{"ccow://host:http", "", "port"},
		{"ccow://ho\x1bst:14000", "", "host"},
		{"ccow://hôst:14000", "", "host"},
		{"ccow://user@host:14000", "", "HOST:PORT"},
		{"ccow://host:14000/path", "", "port"},
		{"ccow://" + strings.Repeat("a", 300) + ":14000", "", "HOST:PORT"},
		{"CCOW://host:14000", "", "scheme"},
		{"file:///srv/data", "", "file:// is not available yet"},
		{"s3://bucket", "", "s3:// is not available yet"},
		{"http://host:14000", "", "scheme"},
		{"host:14000", "", "URL"},
	} {
		got, err := ParseRemote(c.remote)
		checkParsed(t, c.remote, got, err, c.want, c.says)
	}
}

func TestCheckAddress(t *testing.T) {
	for _, c := range []struct{ address, says string }{
		{"", ""},
		{"10.3.30.75:14000", ""},
		{"[2001:db8::1]:14000", ""},
		{"north.example.com:14000", ""},
		{"north.example.com", "is not HOST:PORT"},
		{":14000", "is not HOST:PORT"},
		{"north:0", "no port"},
		{"north:99999", "no port"},
		{"0.0.0.0:14000", "nobody can dial it"},
		{"[::]:14000", "nobody can dial it"},
		{"no rth:14000", "not the name or address of a host"},
		{"north;id:14000", "not the name or address of a host"},
	} {
		checkParsed(t, c.address, "", CheckAddress(c.address), "", c.says)
	}
}

func TestCheckService(t *testing.T) {
	ok := func(change func(*adminpb.CreateServiceRequest)) *adminpb.CreateServiceRequest {
		req := &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}
		change(req)
		return req
	}
	for _, c := range []struct {
		change func(*adminpb.CreateServiceRequest)
		says   string
	}{
		{func(*adminpb.CreateServiceRequest) {}, ""},
		{func(r *adminpb.CreateServiceRequest) {
			r.Direction, r.Replication = "send+receive", "initial+continuous"
		}, ""},
		{func(r *adminpb.CreateServiceRequest) { r.Connections = 32 }, ""},
		{func(r *adminpb.CreateServiceRequest) { r.Connections = 65 }, "1 to 32 connections"},
		{func(r *adminpb.CreateServiceRequest) { r.Type = "" }, `no service of type ""`},
		{func(r *adminpb.CreateServiceRequest) { r.Type = "nfs" }, `no service of type "nfs"`},
		{func(r *adminpb.CreateServiceRequest) { r.Type = "s3" }, "type s3 is not available yet"},
		{func(r *adminpb.CreateServiceRequest) { r.Name = "" }, "service name is empty"},
		{func(r *adminpb.CreateServiceRequest) { r.Name = "a/b" }, `service name "a/b"`},
		{func(r *adminpb.CreateServiceRequest) { r.Direction = "send" }, ""},
		{func(r *adminpb.CreateServiceRequest) { r.Direction = "up" }, `no direction "up"`},
		{func(r *adminpb.CreateServiceRequest) { r.Replication = "initial" }, ""},
		{func(r *adminpb.CreateServiceRequest) { r.Replication = "never" }, `no replication type "never"`},
	} {
		req := ok(c.change)
		_, err := newService(state.New(), req, now)
		checkParsed(t, req.String(), "", err, "", c.says)
	}
}

func TestParseServedPath(t *testing.T) {
	for _, c := range []struct{ path, want, says string }{
		{"Hawaii/Cola", "Hawaii/Cola", ""},
		{"Hawaii/Cola/bk1", "Hawaii/Cola/bk1", ""},
		{"Hawaii", "", "whole cluster"},
		{"", "", "NAMESPACE"},
		{"Hawaii/Cola/bk1,option", "", "bucket name"},
		{"/Cola/bk1", "", "namespace name is empty"},
	} {
		got, err := ParseServedPath(c.path)
		checkParsed(t, c.path, got.String(), err, c.want, c.says)
	}
}

// checkParsed wants either a value or a refusal of kind ErrInvalid.
func checkParsed(t *testing.T, input, got string, err error, want, says string) {
	t.Helper()
	switch {
	case says == "" && err != nil:
		t.Errorf("%q: refused: %v", input, err)
	case says == "" && got != want:
		t.Errorf("%q: got %q, want %q", input, got, want)
	case says != "" && err == nil:
		t.Errorf("%q: accepted as %q", input, got)
	case says != "" && (!errors.Is(err, state.ErrInvalid) || !strings.Contains(err.Error(), says)):
		t.Errorf("%q: refused with %q, want something with %q", input, err, says)
	}
	var typed *Error
	if err != nil && !errors.As(err, &typed) {
		t.Errorf("%q: %T is no *Error", input, err)
	}
}

// FuzzParse feeds the parsers of what is typed: their plain form is stable.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"ccow://host:14000", "ccow://[::1]:1/", "Hawaii/Cola/bk1", "s3://x", "a//b", "\x00", "ccow://%:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if remote, err := ParseRemote(s); err == nil && remote != "" {
			again, err := ParseRemote(remote)
			if err != nil || again != remote {
				t.Errorf("ParseRemote(%q) = %q, and of that %q, %v", s, remote, again, err)
			}
		}
		if p, err := ParseServedPath(s); err == nil && p.String() != s {
			t.Errorf("ParseServedPath(%q) = %q", s, p)
		}
		_ = CheckAddress(s)
	})
}
