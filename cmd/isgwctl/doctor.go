package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/buildinfo"
)

// clockSlack is by how much two clocks may differ: as the console has it.
const clockSlack = 5 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	limit := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try every step to a node and its links, and say what is wrong and what to do",
		Long: `Goes the way to a node step by step, and then looks at how the node and its
links do. Each step is a line: ok with what was found, failed with the reason
and below it what to do, or skipped with why it was not tried. Nothing is
changed.

  address      where the node is, and what on the command line says so
  socket       of an address on this machine: it is there and takes connections
  name         the addresses of the host's name
  tcp          each of them takes a connection
  tls          what listens there speaks TLS
  certificate  it is of the site that is trusted, and valid now
  api          it is the admin API
  credential   the token or client certificate is known to the site
  role         what it may do
  node         the site and the program's version
  clock        this machine's and the node's differ by less than 5 s
  leader       the site can be changed and written to
  disk         at least 5 % of it is free
  replication  the verdict of isgwctl status --check
  problem      each one that the node knows of itself
  link NAME    each one, with the cause of its state

Of an address with commas, as a profile may have, each node is looked at. The
exit status is that of the first failure: 2 when nothing says where the node is
or what to trust, 3 when the profile does not exist, 4 when the node or the
caller is refused, 6 when no node answers or the site has no leader, 8 when
something is not healthy. -o name writes the steps that failed.`,
		Example: "isgwctl doctor\nisgwctl doctor --profile prod\nisgwctl doctor --connect https://10.3.30.75:7443 --ca ca.pem -o json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit <= 0 {
				return usage("--timeout is more than nothing, such as 5s, not %v", limit)
			}
			a.running = true
			d := &examination{app: a, limit: limit, findings: []finding{}}
			return d.all(cmd.Context())
		},
	}
	cmd.Flags().DurationVar(&limit, "timeout", 5*time.Second, "give each step this `DURATION`")
	return cmd
}

// The results of a step.
const (
	resultOK      = "ok"
	resultFailed  = "failed"
	resultSkipped = "skipped"
)

// finding is what became of one step.
type finding struct {
	Node     string `json:"node"` // its address
	Step     string `json:"step"`
	Result   string `json:"result"`
	Text     string `json:"text"`     // what was found, or why it failed or was skipped
	NextStep string `json:"nextStep"` // what to do about it
}

// examination looks at nodes and tells what it finds as it goes on.
type examination struct {
	app      *app
	limit    time.Duration // of a step
	node     string        // that is looked at
	skipping string        // why what follows at this node is not tried
	findings []finding
	first    *admin.Error // failure
	err      error        // of the output
}

// all looks at every node that the command line names.
func (d *examination) all(ctx context.Context) error {
	t, by, err := d.app.located()
	nodes := addresses(t.Address)
	if len(nodes) == 0 {
		nodes = []string{""}
	}
	for i, address := range nodes {
		if i > 0 && !d.app.listed() {
			fmt.Fprintln(d.app.out)
		}
		t.Address, d.node, d.skipping = address, address, ""
		d.look(ctx, t, by, err)
	}
	return d.end()
}

// look looks at one node; fault is why the command line does not say how to reach it.
func (d *examination) look(ctx context.Context, t admin.Target, by string, fault error) {
	v := &visit{examination: d, target: t}
	defer v.close()
	way := admin.Way(t)
	told := way[0].Try
	way[0].Try = func(ctx context.Context) (string, error) {
		if fault != nil {
			return "", fault
		}
		found, err := told(ctx)
		return found + ", by " + by, err
	}
	steps := append(way, []admin.Step{
		{Name: "api", Try: v.api}, {Name: "credential", Try: v.credential}, {Name: "role", Try: v.role}, {Name: "node", Try: v.system},
	}...)
	needed := len(steps) // each by those after it
	steps = append(steps, []admin.Step{
		{Name: "clock", Try: v.clock}, {Name: "leader", Try: v.leader}, {Name: "disk", Try: v.disk}, {Name: "replication", Try: v.replication},
	}...)
	for i, step := range steps {
		if d.skipping != "" {
			d.tell(finding{Step: step.Name, Result: resultSkipped, Text: d.skipping})
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, d.limit)
		found, err := step.Try(bounded)
		cancel()
		if err == nil {
			d.tell(finding{Step: step.Name, Result: resultOK, Text: found})
			continue
		}
		d.fail(step.Name, err)
		if i < needed || ctx.Err() != nil {
			d.skipping = "not tried, because " + step.Name + " failed"
		}
	}
	if v.snapshot == nil {
		d.tell(finding{Step: "links", Result: resultSkipped, Text: first(d.skipping, "not known, because the node does not tell")})
		return
	}
	v.alerts()
}

func (d *examination) fail(step string, err error) {
	failure := d.app.classify(err)
	if d.first == nil {
		d.first = failure
	}
	d.tell(finding{Step: step, Result: resultFailed, Text: failure.Message, NextStep: failure.Hint})
}

// tell writes a line at once: a step may take long.
func (d *examination) tell(f finding) {
	f.Node = d.node
	d.findings = append(d.findings, f)
	if d.err != nil || d.app.structured() {
		return
	}
	if d.app.form == formName {
		if f.Result == resultFailed {
			_, d.err = fmt.Fprintln(d.app.out, plain(f.Step))
		}
		return
	}
	line := fmt.Sprintf("%-7s  %-11s  %s\n", f.Result, plain(f.Step), plain(f.Text))
	if f.NextStep != "" {
		line += fmt.Sprintf("%-7s  %-11s  > %s\n", "", "", plain(f.NextStep))
	}
	_, d.err = fmt.Fprint(d.app.out, line)
}

// end writes what is written at the end, and fails when a step has failed.
func (d *examination) end() error {
	if d.app.structured() {
		d.err = d.app.value(d.findings)
	}
	if d.err != nil || d.first == nil {
		return d.err
	}
	var failed []string
	for _, f := range d.findings {
		if f.Result == resultFailed {
			failed = append(failed, f.Step)
		}
	}
	const most = 5
	text := strings.Join(failed[:min(len(failed), most)], ", ")
	if more := len(failed) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return &admin.Error{Code: d.first.Code, Message: "failed: " + text}
}

// visit is what one node has told.
type visit struct {
	*examination
	target        admin.Target
	client        *admin.Client
	who           *adminpb.WhoAmIResponse
	refused       error // who calls
	status        *adminpb.StatusResponse
	before, after time.Time // the call for the status
	snapshot      *adminpb.ConsoleSnapshot
}

func (v *visit) close() {
	if v.client != nil {
		v.client.Close()
	}
}

// api makes the first call. A refusal is an answer too.
func (v *visit) api(ctx context.Context) (found string, err error) {
	if v.client, err = admin.Connect(v.target); err != nil {
		return "", err
	}
	began := time.Now()
	v.who, err = v.client.Access.WhoAmI(ctx)
	took := seconds(new(time.Since(began).Seconds()))
	var failure *admin.Error
	errors.As(err, &failure) // as every error of a call is
	switch {
	case err == nil:
		return "it answered in " + took, nil
	case failure.Code == admin.CodeDenied:
		v.refused = failure
		return "it answered in " + took + ", with a refusal", nil
	case failure.Code == admin.CodeUnsupported:
		return "", admin.Errorf(admin.CodeUnavailable, "what answers at %s is no admin API: %s", v.target.Address, failure.Message).
			WithHint("is it the port of the admin API? see --admin of the node")
	}
	return "", err
}

func (v *visit) credential(context.Context) (string, error) {
	shown := v.shown()
	if v.refused != nil {
		failure := *v.app.classify(v.refused)
		if shown != "" {
			failure.Message += "; shown is " + shown
		}
		return "", &failure
	}
	found := "known as " + v.who.GetCaller().GetPrincipal()
	switch {
	case strings.HasPrefix(v.target.Address, "unix:"):
		found += ": whom the socket lets in needs no other"
	case shown != "":
		found += ": shown is " + shown
	}
	return found, nil
}

// shown is what the caller shows to nodes, without the secret.
func (v *visit) shown() string {
	switch t := v.target; {
	case t.Token != "":
		return "a token"
	case t.Certificate != nil && len(t.Certificate.Certificate) > 0:
		cert, err := x509.ParseCertificate(t.Certificate.Certificate[0])
		if err != nil { // which it was when it was read
			return "a client certificate"
		}
		return fmt.Sprintf("the client certificate %s, valid from %s to %s", cert.Subject.CommonName, cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return ""
}

func (v *visit) role(context.Context) (string, error) {
	caller := v.who.GetCaller()
	role := caller.GetRole()
	switch role {
	case admin.RoleViewer.String():
		return role + ": it sees config, status and history, and changes nothing", nil
	case admin.RoleTenantAdmin.String():
		v.skipping = "a tenant-admin does not see the node: ask with the role viewer"
		return role + ": everything inside tenant " + caller.GetTenant() + ", and nothing outside it", nil
	case admin.RoleOperator.String():
		return role + ": it changes tenants, buckets, keys, objects and links", nil
	}
	return role + ": everything", nil
}

func (v *visit) system(ctx context.Context) (string, error) {
	v.before = time.Now()
	st, err := v.client.System.Status(ctx)
	v.after = time.Now()
	if err != nil {
		return "", err
	}
	v.status = st
	if !st.GetInitialised() {
		return "", serves(st)
	}
	return fmt.Sprintf("%s of site %s, version %s (this isgwctl: %s), started %s",
		st.GetNodeName(), st.GetSiteName(), orDash(st.GetVersion()), orDash(buildinfo.Read().Version), instant(st.GetStarted())), nil
}

// clock compares the node's clock with this machine's at the middle of the call.
func (v *visit) clock(context.Context) (string, error) {
	trip := v.after.Sub(v.before)
	ahead := v.status.GetTime().AsTime().Sub(v.before.Add(trip / 2))
	text, than := seconds(new(ahead.Abs().Seconds())), "ahead of"
	if ahead < 0 {
		than = "behind"
	}
	text = "the node's is " + text + " " + than + " this machine's"
	if ahead.Abs() > clockSlack+trip/2 {
		return "", admin.Errorf(admin.CodeUnhealthy, "%s", text).
			WithHint("set both by NTP: certificates and tokens expire, and versions and lag are told, by these clocks")
	}
	return text, nil
}

func (v *visit) leader(context.Context) (string, error) {
	r := v.status.GetRaft()
	if r.GetLeader() == "" {
		return "", admin.Errorf(admin.CodeUnavailable, "site %s has no leader: nothing can be written or changed", v.status.GetSiteName()).
			WithHint("see that the site's nodes run, and their logs: %s", strings.Join(r.GetVoters(), " "))
	}
	leads := r.GetLeader() + " leads"
	if r.GetLeader() == v.status.GetNodeId() {
		leads = "this node leads"
	}
	return fmt.Sprintf("%s, term %d, %s; %d of %d applied", leads, r.GetTerm(), counted(uint64(len(r.GetVoters())), "voter"), r.GetAppliedIndex(), r.GetCommitIndex()), nil
}

func (v *visit) disk(context.Context) (string, error) {
	d := v.status.GetStorage()
	if d.GetDiskCapacity() == 0 {
		return "its size is not known", nil
	}
	text := fmt.Sprintf("%s of %s free in %s", roundBytes(float64(d.GetDiskFree())), roundBytes(float64(d.GetDiskCapacity())), orDash(v.status.GetDataDir()))
	if d.GetDiskFree() < d.GetDiskCapacity()/20 {
		return "", admin.Errorf(admin.CodeUnhealthy, "%s: less than 5 %%", text).WithHint("free space: writes are refused when it is full")
	}
	return text, nil
}

func (v *visit) replication(ctx context.Context) (string, error) {
	s, err := snapshot(ctx, v.client)
	if err != nil {
		return "", err
	}
	v.snapshot = s
	verdict := s.GetVerdict()
	if !verdict.GetHealthy() {
		return "", &admin.Error{Code: admin.CodeUnhealthy, Message: verdict.GetSentence(), Hint: verdict.GetNextStep()}
	}
	return verdict.GetSentence(), nil
}

// alerts tells of the problems of the node itself and of each link: what wants
// attention is what the verdict goes by.
func (v *visit) alerts() {
	of := map[string]*adminpb.Alert{}
	for _, alert := range v.snapshot.GetAlerts() {
		switch {
		case alert.GetService() != "":
			of[alert.GetService()] = alert
		case alert.GetWord() == "node":
			v.fail("problem", &admin.Error{Code: admin.CodeUnhealthy, Message: alert.GetCause(), Hint: alert.GetNextStep()})
		}
	}
	for _, l := range v.snapshot.GetLinks() {
		step := "link " + l.GetName()
		text := l.GetStateWord()
		if alert := of[l.GetName()]; alert != nil {
			if alert.GetCause() != "" {
				text += ": " + alert.GetCause()
			}
			v.fail(step, &admin.Error{Code: admin.CodeUnhealthy, Message: text, Hint: alert.GetNextStep()})
			continue
		}
		if l.GetCause() != "" {
			text += ": " + l.GetCause()
		}
		f := finding{Step: step, Result: resultOK, Text: text, NextStep: l.GetNextStep()}
		if l.GetSeverity() == adminpb.Severity_SEVERITY_PAUSED {
			f.Result = resultSkipped // nobody wants it to run
		} else if l.LagSeconds != nil {
			f.Text += ", lag " + seconds(l.LagSeconds)
		}
		v.tell(f)
	}
}
