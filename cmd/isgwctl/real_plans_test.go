package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"edgefog.dev/isgw/cluster"
	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// realSite is a site of one real node that commands are given to.
type realSite struct {
	t    *testing.T
	node *cluster.Node
	env  map[string]string
}

// startSite starts and initialises a site whose node has labels. Its data
// directory has a short name, as a socket's path is short.
func startSite(t *testing.T, name string, labels ...string) *realSite {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl-"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n, err := cluster.Start(t.Context(), cluster.Options{
		Dir: dir, Site: name, Node: name + "-1", S3: cluster.None, Link: "127.0.0.1:0", Metrics: cluster.None, Admin: cluster.None,
		Labels: labels,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("site %s did not end cleanly: %v", name, err)
		}
	})
	s := &realSite{t, n, map[string]string{"XDG_CONFIG_HOME": dir, connectVariable: "unix:" + n.Socket()}}
	s.ctl(0, "system", "init")
	return s
}

// ctl runs isgwctl, wants an exit status, and returns what it wrote.
func (s *realSite) ctl(status int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	got := Main(context.Background(), args, strings.NewReader(""), &out, &errs, func(name string) string { return s.env[name] })
	if got != status {
		s.t.Fatalf("isgwctl %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// client is the admin API of the site's node, as the console calls it.
func (s *realSite) client() *admin.Client {
	s.t.Helper()
	c, err := admin.Dial("unix:" + s.node.Socket())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// TestCreateInOneStep makes a link with all that belongs to it by one command,
// as the plan says it would be, and objects cross it. A token of a site that
// another one answers for is refused, with the reason, and changes nothing.
func TestCreateInOneStep(t *testing.T) {
	alpha, beta, gamma := startSite(t, "alpha"), startSite(t, "beta"), startSite(t, "gamma")
	for _, s := range []*realSite{alpha, beta} {
		s.ctl(0, "cluster", "create", "Hawaii")
		s.ctl(0, "tenant", "create", "Hawaii/Cola")
	}
	alpha.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	content := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(content, bytes.Repeat([]byte("aloha "), 50_000), 0o600); err != nil {
		t.Fatal(err)
	}
	alpha.ctl(0, "object", "put", "Hawaii/Cola/bk1/key", content)

	invite := func(s *realSite) string {
		out, _ := s.ctl(0, "site", "invite", "--address", s.node.LinkAddress(), "-o", "name")
		return strings.TrimSpace(out)
	}
	create := func(name, token string, more ...string) []string {
		bucket := "Hawaii/Cola/bk1"
		if name != "hawaii" {
			bucket = "Hawaii/Cola/other" // a bucket is on one link to a site
		}
		return append([]string{"service", "create", "isgw", name, "--remote", "ccow://" + beta.node.LinkAddress(), "--pair", token, "--serve", bucket}, more...)
	}
	token := invite(beta)
	plan, _ := alpha.ctl(0, create("hawaii", token, "--lag-target", "45s", "--dry-run")...)
	for _, want := range []string{"+ pairing", "+ link     hawaii", "+ serve    Hawaii/Cola/bk1", "1 object, 293.0 KiB", "--pair TOKEN --serve Hawaii/Cola/bk1"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	if strings.Contains(plan, token) {
		t.Errorf("the plan shows the token:\n%s", plan)
	}
	if out, _ := alpha.ctl(0, "service", "list", "-o", "name"); out != "" {
		t.Fatalf("the plan made %s", out)
	}
	if _, told := alpha.ctl(0, create("hawaii", token, "--lag-target", "45s")...); told != "service hawaii is created\n" {
		t.Errorf("creating: %s", told)
	}
	for s, peer := range map[*realSite]string{alpha: "beta", beta: "alpha"} {
		if out, _ := s.ctl(0, "site", "list", "-o", "json"); strings.Count(out, `"siteName": "`+peer+`"`) != 1 {
			t.Errorf("paired with %s", out)
		}
	}
	if out, _ := alpha.ctl(0, "service", "show", "hawaii", "-o", "json"); !strings.Contains(out, `"lagTargetSeconds": 45`) || !strings.Contains(out, "Hawaii/Cola/bk1") {
		t.Errorf("the link is %s", out)
	}
	beta.ctl(0, "service", "create", "isgw", "hawaii", "--serve", "Hawaii/Cola")
	for _, s := range []*realSite{alpha, beta} {
		s.ctl(0, "wait", "service/hawaii", "--timeout", "60s")
	}
	copied := filepath.Join(t.TempDir(), "copied")
	beta.ctl(0, "object", "get", "Hawaii/Cola/bk1/key", copied)
	if a, b := readAll(t, content), readAll(t, copied); !bytes.Equal(a, b) {
		t.Errorf("%d bytes arrived of %d", len(b), len(a))
	}

	// Paired with beta, which answers at the address; the token is gamma's.
	stranger := invite(gamma)
	for _, more := range [][]string{{"--dry-run"}, {"--dry-run", "-o", "json"}, nil} {
		_, told := alpha.ctl(5, create("maui", stranger, more...)...)
		if more == nil && (!strings.Contains(told, "the plan is blocked by a check that failed: identity: beta answers at") || !strings.Contains(told, "nothing was changed")) {
			t.Errorf("a blocked plan: %s", told)
		}
	}
	if out, _ := alpha.ctl(0, "site", "list", "-o", "json"); strings.Contains(out, "gamma") {
		t.Errorf("a blocked plan paired with gamma: %s", out)
	}
	if out, _ := alpha.ctl(0, "service", "list", "-o", "name"); out != "hawaii\n" {
		t.Errorf("a blocked plan made %s", out)
	}
	gamma.ctl(0, "cluster", "create", "Hawaii") // its token is not used up by who was refused
	if out, _ := gamma.ctl(0, "site", "list", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("gamma is paired with %s", out)
	}

	// The node checks for itself: a caller that takes the checks away gains nothing.
	c := alpha.client()
	shown, err := c.Plans.Plan(t.Context(), &adminpb.PlanRequest{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
		Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "maui", Remote: "ccow://" + beta.node.LinkAddress()}, Token: stranger,
	}}})
	if err != nil || !shown.GetBlocked() {
		t.Fatalf("the plan of a stranger's token is %v, %v", shown, err)
	}
	shown.Blocked, shown.Checks = false, nil
	if res, err := c.Plans.Apply(t.Context(), &adminpb.ApplyRequest{Plan: shown}); err == nil || admin.Classify(err).Code != admin.CodeConflict {
		t.Errorf("a plan whose checks the caller took away: %v, %v", res, err)
	}
}

func readAll(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// shellWords are the words of a command line, as a shell takes it.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+line).Output()
	if err != nil {
		t.Fatalf("a shell does not take %s: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// TestDryRunIsThePlan: for every change that the console makes, with every setting
// that its forms have, --dry-run prints the text of the plan that the console shows,
// and the command that the plan names is that change.
func TestDryRunIsThePlan(t *testing.T) {
	alpha, beta := startSite(t, "alpha"), startSite(t, "beta")
	alpha.ctl(0, "cluster", "create", "Hawaii")
	alpha.ctl(0, "tenant", "create", "Hawaii/Cola")
	alpha.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	alpha.ctl(0, "service", "create", "isgw", "hawaii", "--serve", "Hawaii/Cola/bk1")
	alpha.ctl(0, "service", "create", "isgw", "stopped")
	alpha.ctl(0, "link", "pause", "stopped")
	alpha.ctl(0, "service", "disable", "stopped")
	out, _ := beta.ctl(0, "site", "invite", "-o", "name")
	token := strings.TrimSpace(out)
	c := alpha.client()
	settings := &adminpb.LinkSettings{
		Tunnel: new(true), Local: new("127.0.0.1:14001"), ChunkCache: new(uint64(256 << 20)), Profile: new("embedded"),
		SendLimit: new("10MiB/s,1MiB/s@08:00-18:00"), ReceiveLimit: new("64KiB/s"),
		Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"team": "it's \"us\" $HOME"}},
		Resources:   &adminpb.LinkResources{RequestCpuMillis: 1500, LimitCpuMillis: 2000, LimitMemoryBytes: 4 << 30},
		Placement:   new(`{"tolerations":[{"operator":"Exists"}]}`),
	}
	asked := map[protoreflect.FullName]bool{}
	for _, change := range []*adminpb.PlanRequest{
		{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "maui"}}}},
		{Change: &adminpb.PlanRequest_CreateService{CreateService: &adminpb.PlanCreateService{
			Service: &adminpb.CreateServiceRequest{Type: "isgw", Name: "maui", Connections: 3, LagTargetSeconds: 90, Direction: "send", Replication: "initial", Settings: settings},
			Token:   token, Serves: []string{"Hawaii/Cola/bk1,exclude=tmp/", "Hawaii/Cola/bk2"},
		}}},
		{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", LagTargetSeconds: new(45.0), Connections: new(uint32(2))}}},
		{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", Direction: new("receive"), Replication: new("continuous"), Settings: settings}}},
		{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", Settings: &adminpb.LinkSettings{Server: new("stopped")}}}},
		{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", Remote: new("")}}},
		{Change: &adminpb.PlanRequest_Serve{Serve: &adminpb.ServeRequest{Name: "hawaii", Path: "Hawaii/Pepsi"}}},
		{Change: &adminpb.PlanRequest_Unserve{Unserve: &adminpb.UnserveRequest{Name: "hawaii", Path: "Hawaii/Cola/bk1"}}},
		{Change: &adminpb.PlanRequest_Pause{Pause: &adminpb.PauseServiceRequest{Name: "hawaii"}}},
		{Change: &adminpb.PlanRequest_Resume{Resume: &adminpb.ResumeServiceRequest{Name: "stopped"}}},
		{Change: &adminpb.PlanRequest_Disable{Disable: &adminpb.DisableServiceRequest{Name: "hawaii"}}},
		{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: "stopped"}}},
		{Change: &adminpb.PlanRequest_Enable{Enable: &adminpb.EnableServiceRequest{Name: "hawaii"}}}, // which it is
		{Change: &adminpb.PlanRequest_Resync{Resync: &adminpb.StartResyncRequest{Name: "hawaii"}}},
		{Change: &adminpb.PlanRequest_Resync{Resync: &adminpb.StartResyncRequest{Name: "hawaii", Path: "Hawaii/Cola/bk1"}}},
		{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "hawaii"}}},
		{Change: &adminpb.PlanRequest_RetryFaults{RetryFaults: &adminpb.RetryFaultsRequest{Name: "hawaii", Bucket: "Hawaii/Cola/bk1", Keys: []string{"a", "b"}}}},
		{Change: &adminpb.PlanRequest_SkipFaults{SkipFaults: &adminpb.SkipFaultsRequest{Name: "hawaii", Bucket: "Hawaii/Cola/bk1", Keys: []string{"a"}}}},
		{Change: &adminpb.PlanRequest_DeleteService{DeleteService: &adminpb.DeleteServiceRequest{Name: "hawaii"}}},
	} {
		noteFields(change.ProtoReflect(), asked)
		plan, err := c.Plans.Plan(t.Context(), change)
		if err != nil {
			t.Errorf("%v: %v", change, err)
			continue
		}
		words := shellWords(t, plan.GetCommand())
		for i, word := range words {
			if word == "TOKEN" {
				words[i] = token
			}
		}
		if words[0] != "isgwctl" {
			t.Errorf("the command is %q", plan.GetCommand())
			continue
		}
		got, _ := alpha.ctl(0, append(words[1:], "--dry-run")...)
		if got != plan.GetText() {
			t.Errorf("%s --dry-run prints\n%s\nand the console shows\n%s", plan.GetCommand(), got, plan.GetText())
		}
		said := map[string]bool{}
		for _, check := range plan.GetChecks() {
			if said[check.String()] {
				t.Errorf("the plan of %s says twice: %s", plan.GetCommand(), check.GetText())
			}
			said[check.String()] = true
		}
	}
	for _, m := range []proto.Message{&adminpb.PlanRequest{}, &adminpb.PlanCreateService{}, &adminpb.PlanEditService{}, &adminpb.LinkSettings{}} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			switch name := fields.Get(i).FullName(); {
			case fields.Get(i).Name() == "apply_manifest", fields.Get(i).Name() == "edit_site": // commands alone make these
			case !asked[name]:
				t.Errorf("no change above has %s", name)
			}
		}
	}
	// A remote is asked who answers there, and how long that took is no part of
	// the change.
	remote := "ccow://127.0.0.1:1"
	plan, err := c.Plans.Plan(t.Context(), &adminpb.PlanRequest{Change: &adminpb.PlanRequest_EditService{EditService: &adminpb.PlanEditService{Name: "hawaii", Remote: &remote}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := alpha.ctl(0, "service", "edit", "hawaii", "--remote", remote, "--dry-run"); got != plan.GetText() || !strings.Contains(got, "!  reach") {
		t.Errorf("--dry-run prints\n%s\nand the console shows\n%s", got, plan.GetText())
	}
}

// noteFields notes which fields a message has, and the messages in it.
func noteFields(m protoreflect.Message, into map[protoreflect.FullName]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into[f.FullName()] = true
		if f.Message() != nil && !f.IsMap() && !f.IsList() {
			noteFields(v.Message(), into)
		}
		return true
	})
}

// TestExitStatuses provokes the exit statuses with a real node, except 4, which
// TestFromElsewhere has. What one node cannot show is the loss of a quorum:
// alone it has one as long as it runs. usage.txtar has a node that answers so.
func TestExitStatuses(t *testing.T) {
	s := startSite(t, "alpha")
	s.ctl(0, "cluster", "create", "Hawaii")
	s.ctl(0, "tenant", "create", "Hawaii/Cola")
	s.ctl(0, "bucket", "create", "Hawaii/Cola/bk1")
	content := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(content, []byte("aloha"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ctl(0, "object", "put", "Hawaii/Cola/bk1/key", content)
	s.ctl(0, "status", "--check")
	s.ctl(1, "object", "get", "Hawaii/Cola/bk1/key", filepath.Join(content, "no", "such", "folder"))
	s.ctl(2, "bucket", "create")
	s.ctl(2, "bucket", "create", "Hawaii/Cola/NoBucket")
	s.ctl(3, "bucket", "show", "Hawaii/Cola/none")
	s.ctl(3, "service", "show", "none")
	s.ctl(5, "bucket", "create", "Hawaii/Cola/bk1")
	s.ctl(5, "bucket", "delete", "Hawaii/Cola/bk1")
	s.ctl(0, "service", "create", "isgw", "hawaii")
	s.ctl(7, "wait", "service/hawaii", "--timeout", "200ms")
	s.ctl(8, "status", "--check")
	s.ctl(0, "status")
	s.env[connectVariable] = "unix:" + filepath.Join(t.TempDir(), "nobody.sock")
	s.ctl(6, "status", "--check") // nobody answers: that is not unhealthy but unknown
	s.ctl(6, "service", "list")
	s.env[connectVariable] = ""
	s.ctl(2, "service", "list")
}
