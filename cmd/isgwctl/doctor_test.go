package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// TestDoctor breaks each step of the way to a node: the doctor says which one
// failed, why and what to do, goes on no further, and exits as scripts go by.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, filepath.Join(dir, "n"))
	socket := "unix:" + n.Socket()
	s := &realSite{t, n, map[string]string{"XDG_CONFIG_HOME": filepath.Join(dir, "config"), connectVariable: socket}}
	if out, _ := s.ctl(8, "doctor"); !strings.Contains(out, "\nfailed   node         node alpha-1 is not initialised\n                      > run `isgwctl system init`\nskipped  clock        not tried, because node failed\n") {
		t.Errorf("of a fresh node: %s", out)
	}
	s.ctl(0, "system", "init")
	s.ctl(0, "cluster", "create", "Hawaii")
	s.ctl(0, "tenant", "create", "Hawaii/Cola")
	if out, _ := s.ctl(0, "doctor", "-o", "name"); out != "" {
		t.Errorf("of a node that is well: %s", out)
	}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := func(args ...string) string {
		secret, _ := s.ctl(0, append([]string{"admin", "token", "create"}, args...)...)
		return file(args[0], secret)
	}
	ca, told := s.ctl(0, "admin", "ca")
	caFile, fingerprint := file("ca.pem", ca), strings.TrimSpace(strings.TrimPrefix(told, "fingerprint "))
	eye, cola := token("eye", "--role", "viewer"), token("cola", "--role", "tenant-admin", "--tenant", "Hawaii/Cola")
	gone := token("gone", "--role", "viewer")
	s.ctl(0, "admin", "token", "revoke", "gone")
	cert, key := filepath.Join(dir, "ops.pem"), filepath.Join(dir, "ops.key")
	s.ctl(0, "admin", "certificate", "create", "ops", "--role", "operator", "--out-cert", cert, "--out-key", key)
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	t.Cleanup(other.Close)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	otherCA := file("other.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})))
	plainFile := file("plain", "")

	tls := []string{"--ca", caFile, "--token-file", eye}
	way := []string{"address", "name", "tcp", "tls", "certificate", "api", "credential", "role", "node", "clock", "leader", "disk", "replication", "links"}
	cases := []struct {
		name, address string
		args          []string
		exit          int
		failed        string // the step that fails; those after it are skipped
		text, next    string
	}{
		{"a viewer", n.AdminAddress(), tls, 0, "", "known as token:eye: shown is a token", ""},
		{"a name", "localhost" + n.AdminAddress()[strings.LastIndex(n.AdminAddress(), ":"):], tls, 0, "", "localhost is ", ""},
		{"by fingerprint", n.AdminAddress(), []string{"--fingerprint", fingerprint, "--token-file", eye}, 0, "", "from the authority that you trust, fingerprint " + fingerprint, ""},
		{"an operator by certificate", n.AdminAddress(), []string{"--ca", caFile, "--cert", cert, "--key", key}, 0, "", "shown is the client certificate ops, valid from ", ""},
		{"no name", "nowhere.invalid:7443", append([]string{"--timeout", "1s"}, tls...), 6, "name", "nowhere.invalid", " "},
		{"nobody", "127.0.0.1:1", tls, 6, "tcp", "nothing listens at https://127.0.0.1:1", "is isgwnode running there"},
		{"swallowed packets", blackHole(t), append([]string{"--timeout", "200ms"}, tls...), 6, "tcp", "something drops the packets on the way", "firewalls"},
		{"silence", silent(t), append([]string{"--timeout", "200ms"}, tls...), 6, "tls", "takes connections at", "is it the port of the admin API"},
		{"the port of S3", n.S3Address(), tls, 6, "tls", "does not speak TLS", "is it the port of the admin API"},
		{"the port of links", n.LinkAddress(), tls, 6, "tls", "is no admin API", "and not of links"},
		{"a web server", web.Listener.Addr().String(), tls, 6, "tls", "does not speak TLS", "is it the port of the admin API"},
		{"another authority", n.AdminAddress(), []string{"--ca", otherCA, "--token-file", eye}, 4, "certificate", "is from another authority; the one that you trust has the fingerprint ", "trust the authority with fingerprint " + fingerprint},
		{"another site", other.Listener.Addr().String(), tls, 4, "certificate", "is from another authority", "`isgwctl admin ca`"},
		{"nothing to trust", n.AdminAddress(), []string{"--token-file", eye}, 2, "certificate", "nothing says which site to trust", "`isgwctl admin ca`"},
		{"a web server that is trusted", other.Listener.Addr().String(), []string{"--ca", otherCA, "--token-file", eye}, 6, "api", "no admin API", "is it the port of the admin API"},
		{"a revoked token", n.AdminAddress(), []string{"--ca", caFile, "--token-file", gone}, 4, "credential", "the token is not known at site alpha: it was revoked, or is of another site; shown is a token", "admin token create"},
		{"no credential", n.AdminAddress(), []string{"--ca", caFile}, 4, "credential", "neither a token nor a client certificate", "admin token create"},
		{"no port", "127.0.0.1", tls, 2, "address", "is not the address of a node", "https://HOST:PORT"},
		{"no file", n.AdminAddress(), []string{"--ca", filepath.Join(dir, "absent")}, 2, "address", "there is no file", ""},
	}
	t.Run("way", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := &realSite{t, n, map[string]string{"XDG_CONFIG_HOME": t.TempDir()}}
				out, errs := s.ctl(c.exit, append([]string{"doctor", "--connect", "https://" + c.address, "-o", "json", "--timeout", "1m"}, c.args...)...)
				var all []finding
				if err := json.Unmarshal([]byte(out), &all); err != nil {
					t.Fatal(err)
				}
				var steps []string
				var failed *finding
				for i, f := range all {
					steps = append(steps, f.Step)
					switch want := map[bool]string{false: resultOK, true: resultSkipped}[failed != nil]; {
					case f.Result == resultFailed && failed == nil:
						failed = &all[i]
					case f.Result != want:
						t.Errorf("%+v, want it %s", f, want)
					}
				}
				want := way
				if c.exit == 0 {
					want = way[:len(way)-1] // there are none
				}
				if !slices.Equal(steps, want) {
					t.Errorf("the steps are %q", steps)
				}
				if c.failed == "" {
					if failed != nil || !strings.Contains(out, c.text) {
						t.Errorf("failed %v, want %q in %s", failed, c.text, out)
					}
					return
				}
				if failed == nil || failed.Step != c.failed || !strings.Contains(failed.Text, c.text) || !strings.Contains(failed.NextStep+" ", c.next) {
					t.Errorf("failed %+v, want step %s with %q and %q", failed, c.failed, c.text, c.next)
				}
				if errs != "isgwctl: failed: "+c.failed+"\n" {
					t.Errorf("it ends with %q", errs)
				}
			})
		}
	})

	// The socket, and a caller that may not see the node.
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--connect", "unix:" + dir + "/absent.sock"}, 6, "\nfailed   socket       no node answers at unix:" + dir + "/absent.sock: there is no such socket\n                      > is isgwnode running"},
		{[]string{"--connect", "unix:" + plainFile}, 6, "\nfailed   socket       " + plainFile + " is no socket\n"},
		{[]string{"--connect", "nowhere"}, 2, "failed   address      \"nowhere\" is not the address of a node\n"},
		{[]string{"--profile", "none"}, 3, "failed   address      there is no profile none\n"},
		{[]string{"--connect", "https://" + n.AdminAddress(), "--ca", caFile, "--token-file", cola}, 0, "\nok       role         tenant-admin: everything inside tenant Hawaii/Cola, and nothing outside it\nskipped  node         a tenant-admin does not see the node"},
	} {
		if out, _ := s.ctl(c.exit, append([]string{"doctor"}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%q tells %s", c.args, out)
		}
	}
	s.ctl(2, "doctor", "--timeout", "0s")

	// Every node of a profile, and links with their causes.
	s.ctl(0, "profile", "add", "both", "--connect", "https://127.0.0.1:1,https://"+n.AdminAddress(), "--ca", caFile, "--token-file", eye)
	s.ctl(0, "service", "create", "isgw", "hawaii", "--remote", "ccow://127.0.0.1:1")
	s.ctl(0, "service", "create", "isgw", "maui")
	s.ctl(0, "service", "disable", "maui")
	s.env[connectVariable] = ""
	out, errs := s.ctl(6, "doctor")
	first, second, ok := strings.Cut(out, "\n\n")
	if !ok || !strings.HasPrefix(first, "ok       address      https://127.0.0.1:1, by profile both\n") || !strings.Contains(first, "failed   tcp") ||
		!strings.HasPrefix(second, "ok       address      https://"+n.AdminAddress()+", by profile both\n") ||
		!strings.Contains(second, "\nfailed   replication  NOT HEALTHY: 1 link with a site that is not paired\n") ||
		!strings.Contains(second, "\nfailed   link hawaii  unpaired: this site is not paired with the one at the other end\n                      > ") ||
		!strings.Contains(second, "\nskipped  link maui    disabled: ") {
		t.Errorf("of two nodes: %s", out)
	}
	if errs != "isgwctl: failed: tcp, replication, link hawaii\n" {
		t.Errorf("of two nodes it ends with %q", errs)
	}
}

// TestDoctorOfANode: what a node tells of itself is judged.
func TestDoctorOfANode(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name   string
		try    func(*visit) (string, error)
		status *adminpb.StatusResponse
		found  string
		code   admin.Code // 0: it is well
	}{
		{"a clock that is right", clockOf, &adminpb.StatusResponse{Time: timestamppb.New(now.Add(2 * time.Second))}, "the node's is 2s ahead of this machine's", 0},
		{"a clock that is late", clockOf, &adminpb.StatusResponse{Time: timestamppb.New(now.Add(-time.Minute))}, "the node's is 1m0s behind this machine's", admin.CodeUnhealthy},
		{"a leader", leaderOf, &adminpb.StatusResponse{NodeId: "a", Raft: &adminpb.RaftStatus{Leader: "a", Term: 3, Voters: []string{"a"}, AppliedIndex: 4, CommitIndex: 5}}, "this node leads, term 3, 1 voter; 4 of 5 applied", 0},
		{"another leader", leaderOf, &adminpb.StatusResponse{NodeId: "a", Raft: &adminpb.RaftStatus{Leader: "b"}}, "b leads", 0},
		{"no leader", leaderOf, &adminpb.StatusResponse{SiteName: "alpha", Raft: &adminpb.RaftStatus{Voters: []string{"a"}}}, "site alpha has no leader: nothing can be written or changed", admin.CodeUnavailable},
		{"space", diskOf, &adminpb.StatusResponse{DataDir: "/d", Storage: &adminpb.StorageStatus{DiskCapacity: 1 << 40, DiskFree: 1 << 39}}, "512.0 GiB of 1.0 TiB free in /d", 0},
		{"no space", diskOf, &adminpb.StatusResponse{DataDir: "/d", Storage: &adminpb.StorageStatus{DiskCapacity: 1 << 40, DiskFree: 1 << 30}}, "1.0 GiB of 1.0 TiB free in /d: less than 5 %", admin.CodeUnhealthy},
		{"no size", diskOf, &adminpb.StatusResponse{}, "its size is not known", 0},
	} {
		found, err := c.try(&visit{status: c.status, before: now, after: now})
		code := admin.Code(0)
		if err != nil {
			var failure *admin.Error
			if !errors.As(err, &failure) || failure.Hint == "" {
				t.Fatalf("%s: %v says not what to do", c.name, err)
			}
			found, code = failure.Message, failure.Code
		}
		if !strings.HasPrefix(found, c.found) || code != c.code {
			t.Errorf("%s: %q with code %d, want %q with %d", c.name, found, code, c.found, c.code)
		}
	}

	// Its problems, each with what to do.
	var out strings.Builder
	a := &app{out: &out, form: formTable, running: true}
	v := &visit{examination: &examination{app: a}, snapshot: &adminpb.ConsoleSnapshot{
		Alerts: []*adminpb.Alert{
			{Word: "node", Cause: "3 reads of chunks have found damaged bytes", NextStep: "check the disk"},
			{Word: "quarantine", Service: "hawaii", Cause: "1 version is in quarantine", NextStep: "see why"},
		},
		Links: []*adminpb.ConsoleLink{{Name: "hawaii", StateWord: "quarantine"}, {Name: "maui", StateWord: "synced", LagSeconds: new(0.0)}},
	}}
	v.alerts()
	const want = `failed   problem      3 reads of chunks have found damaged bytes
                      > check the disk
failed   link hawaii  quarantine: 1 version is in quarantine
                      > see why
ok       link maui    synced, lag 0s
`
	if out.String() != want || v.first.Code != admin.CodeUnhealthy {
		t.Errorf("code %v, %s", v.first, out.String())
	}
}

func clockOf(v *visit) (string, error)  { return v.clock(context.Background()) }
func leaderOf(v *visit) (string, error) { return v.leader(context.Background()) }
func diskOf(v *visit) (string, error)   { return v.disk(context.Background()) }
