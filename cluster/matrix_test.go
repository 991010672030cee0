package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/catalog"
)

// who may make each call, with the message of the test. It is written down here
// a second time, apart from the server's own table: a call that is added to the
// contract fails the test until somebody says here too who may make it.
var who = map[string]struct {
	least   string // the least role, which a refusal names
	tenant  bool   // its tenant-admin may, with this message, which is about Hawaii/Cola
	message string // that would change something, or tell something, if it got through
}{
	"System.Init":             {"site-admin", false, `{"force":true}`},
	"System.Status":           {"viewer", false, `{}`},
	"Paths.Create":            {"operator", true, `{"kind":"PATH_KIND_BUCKET","path":"Hawaii/Cola/bk9"}`},
	"Paths.List":              {"viewer", true, `{"kind":"PATH_KIND_BUCKET","parent":"Hawaii/Cola"}`},
	"Paths.Get":               {"viewer", true, `{"kind":"PATH_KIND_BUCKET","path":"Hawaii/Cola/bk1"}`},
	"Paths.Edit":              {"operator", true, `{"kind":"PATH_KIND_BUCKET","path":"Hawaii/Cola/bk1","versions":2}`},
	"Paths.Delete":            {"operator", true, `{"kind":"PATH_KIND_BUCKET","path":"Hawaii/Cola/bk9"}`},
	"Keys.Create":             {"operator", true, `{"tenant":"Hawaii/Cola"}`},
	"Keys.List":               {"operator", true, `{"tenant":"Hawaii/Cola"}`},
	"Keys.Delete":             {"operator", true, `{"accessKey":"NOSUCHKEY","tenant":"Hawaii/Cola"}`},
	"Sites.Invite":            {"site-admin", false, `{"address":"127.0.0.1:14000"}`},
	"Sites.Pair":              {"site-admin", false, `{"token":"sesame"}`},
	"Sites.ListPairings":      {"viewer", false, `{}`},
	"Verification.Verify":     {"operator", false, `{"name":"nowhere"}`},
	"Faults.List":             {"operator", false, `{"name":"nowhere"}`},
	"Faults.Retry":            {"operator", false, `{"name":"nowhere"}`},
	"Faults.Skip":             {"operator", false, `{"name":"nowhere","bucket":"Hawaii/Cola/bk1","keys":["k"]}`},
	"Pairings.Rename":         {"site-admin", false, `{"site":"nowhere","name":"elsewhere"}`},
	"Pairings.Revoke":         {"site-admin", false, `{"site":"nowhere"}`},
	"Pairings.Rotate":         {"site-admin", false, `{}`},
	"Pairings.Fingerprint":    {"viewer", false, `{}`},
	"Services.Create":         {"operator", false, `{"type":"isgw","name":"made"}`},
	"Services.List":           {"viewer", false, `{}`},
	"Services.Get":            {"viewer", false, `{"name":"hawaii"}`},
	"Services.Serve":          {"operator", false, `{"name":"hawaii","path":"Hawaii/Cola/bk1"}`},
	"Services.Unserve":        {"operator", false, `{"name":"hawaii","path":"Hawaii/Cola/bk1"}`},
	"Resyncs.Start":           {"operator", false, `{"name":"nowhere"}`},
	"Services.Enable":         {"operator", false, `{"name":"hawaii"}`},
	"Services.Disable":        {"operator", false, `{"name":"hawaii"}`},
	"Services.Delete":         {"operator", false, `{"name":"made"}`},
	"Services.Watch":          {"viewer", false, `{"name":"hawaii"}`},
	"Objects.List":            {"operator", true, `{"bucket":"Hawaii/Cola/bk1"}`},
	"Objects.Show":            {"operator", true, `{"bucket":"Hawaii/Cola/bk1","key":"secret"}`},
	"Objects.Put":             {"operator", true, `{"header":{"bucket":"Hawaii/Cola/bk1","key":"new"}}`},
	"Objects.Get":             {"operator", true, `{"bucket":"Hawaii/Cola/bk1","key":"secret"}`},
	"Objects.Delete":          {"operator", true, `{"bucket":"Hawaii/Cola/bk1","key":"new"}`},
	"Versions.List":           {"operator", true, `{"bucket":"Hawaii/Cola/bk1","key":"secret"}`},
	"Versions.Conflicts":      {"operator", true, `{"bucket":"Hawaii/Cola/bk1"}`},
	"Versions.Promote":        {"operator", true, `{"bucket":"Hawaii/Cola/bk1","key":"secret","version":"none"}`},
	"Console.Watch":           {"viewer", false, `{}`},
	"Console.History":         {"viewer", false, `{}`},
	"Plans.Plan":              {"operator", false, `{"disable":{"name":"hawaii"}}`},
	"Plans.Apply":             {"operator", false, `{"plan":{"id":"1","change":{"disable":{"name":"hawaii"}}}}`},
	"Access.WhoAmI":           {"viewer", true, `{}`},
	"Access.CreateToken":      {"site-admin", false, `{"role":"site-admin"}`},
	"Access.ListTokens":       {"site-admin", false, `{}`},
	"Access.RevokeToken":      {"site-admin", false, `{"name":"nobody"}`},
	"Access.IssueCertificate": {"site-admin", false, `{"role":"site-admin"}`},
	"Access.Audit":            {"site-admin", false, `{}`},
}

// ranks orders the roles; a tenant-admin is apart.
var ranks = map[string]int{"viewer": 1, "operator": 2, "site-admin": 3}

// intruder is somebody who calls: how they show who they are, and the role that
// the node should see in it, or "" when it should see nobody.
type intruder struct {
	name        string
	role        string
	token       string
	certificate *tls.Certificate
	elsewhere   bool   // a tenant-admin of another tenant than the messages are about
	refusal     string // of somebody who is nobody: part of the sentence
}

// mayCall is what the table above says.
func (i intruder) mayCall(procedure string) bool {
	if i.role == "tenant-admin" {
		return who[procedure].tenant && (!i.elsewhere || procedure == "Access.WhoAmI")
	}
	return i.role != "" && ranks[i.role] >= ranks[who[procedure].least]
}

// contractMethods are all calls of the admin API, by the name that people use.
func contractMethods() map[string]protoreflect.MethodDescriptor {
	out := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("isgw.admin.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				out[string(service.Name())+"."+string(method.Name())] = method
			}
		}
		return true
	})
	return out
}

// TestEveryWayIn makes every call of the contract as everybody who may come,
// in every protocol that the node speaks. What is refused names the role that
// is needed, and neither tells nor changes anything.
func TestEveryWayIn(t *testing.T) {
	var ahead atomic.Int64
	n, local := startNode(t, func(o *Options) {
		o.Admin = "127.0.0.1:0"
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	ctx := t.Context()
	methods := contractMethods()
	if len(methods) < 36 {
		t.Fatalf("the contract has %d calls", len(methods))
	}
	for name := range methods {
		if _, ok := who[name]; !ok {
			t.Errorf("nobody has said who may call %s: add it to the table of this test and to the rules of package admin", name)
		}
	}
	for _, path := range []string{"Hawaii", "Hawaii/Cola", "Hawaii/Colada", "Hawaii/Cola/bk1"} {
		kind := adminpb.PathKind(1 + strings.Count(path, "/"))
		if _, err := local.Paths.Create(ctx, &adminpb.CreatePathRequest{Kind: kind, Path: path}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := local.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: "hawaii"}); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "secret"}, strings.NewReader(hidden)); err != nil {
		t.Fatal(err)
	}
	everybody := intruders(t, local)
	ahead.Store(int64(2 * time.Hour)) // what lives for an hour has expired

	// state is all that a call may change: the config, the objects with their
	// versions, and whatever else the site has agreed on, as the faults of a link are.
	state := func() string {
		s := n.current()
		var out strings.Builder
		fmt.Fprintf(&out, "config revision %d, raft index %d\n", s.replica.Config().Revision(), s.replica.Status().AppliedIndex)
		page, err := s.objects.List(ctx, "Hawaii/Cola/bk1", catalog.ListOptions{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			versions, err := s.replica.Catalog().Versions("Hawaii/Cola/bk1", item.Record.GetKey())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range versions {
				fmt.Fprintln(&out, describe("Hawaii/Cola/bk1", v))
			}
		}
		return out.String()
	}

	// Those who may change something come last: nobody before them has.
	for _, i := range everybody {
		t.Run(i.name, func(t *testing.T) {
			caller := &http.Client{Transport: &http.Transport{
				ForceAttemptHTTP2: true,
				TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, Certificates: certificatesOf(i)}, // who the node is, is not what is tested
			}}
			defer caller.CloseIdleConnections()
			if _, err := local.Objects.Put(ctx, &adminpb.PutObjectHeader{Bucket: "Hawaii/Cola/bk1", Key: "new"}, strings.NewReader("to be deleted")); err != nil {
				t.Fatal(err)
			}
			for name, method := range methods {
				for _, protocol := range []string{"Connect JSON", "Connect", "gRPC", "gRPC-Web", "GET"} {
					before := state()
					err := i.ask(ctx, caller, "https://"+n.AdminAddress(), method, protocol)
					denied := errors.Is(err, errDenied)
					switch allowed := i.mayCall(name); {
					case errors.Is(err, errNoGet):
					case allowed && denied:
						t.Errorf("%s, %s: %v", name, protocol, err)
					case !allowed && !denied:
						t.Errorf("%s, %s is let through: %v", name, protocol, err)
					case !allowed && i.role != "" && !strings.Contains(err.Error(), "needs the role "+who[name].least):
						t.Errorf("%s, %s: the refusal does not name the role %s: %v", name, protocol, who[name].least, err)
					case !allowed && i.role == "" && !strings.Contains(err.Error(), i.refusal):
						t.Errorf("%s, %s: %v, want %q", name, protocol, err, i.refusal)
					case !allowed && strings.Contains(err.Error(), hidden):
						t.Errorf("%s, %s: the refusal tells what is in an object", name, protocol)
					}
					reads := method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
					if denied || reads || protocol == "GET" {
						if after := state(); after != before {
							t.Errorf("%s, %s: before it there was\n%s, and now there is\n%s", name, protocol, before, after)
						}
					}
				}
			}
		})
	}
	shown, err := local.Objects.List(ctx, &adminpb.ListObjectsRequest{Bucket: "Hawaii/Cola/bk1"})
	if err != nil || len(shown.GetItems()) == 0 {
		t.Errorf("the bucket has %v, %v", shown, err)
	}
}

// hidden is what nobody is told who may not read objects.
const hidden = "the recipe of the syrup"

// intruders are those whom the node should know, and those whom it should not.
func intruders(t *testing.T, local *admin.Client) []intruder {
	t.Helper()
	ctx := t.Context()
	token := func(name, role, tenant string, ttl uint64) string {
		res, err := local.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: name, Role: role, Tenant: tenant, TtlSeconds: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetSecret()
	}
	certificate := func(at *admin.Client, name, role, tenant string, ttl uint64) *tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := at.Access.IssueCertificate(ctx, &adminpb.IssueCertificateRequest{RequestDer: request, Name: name, Role: role, Tenant: tenant, TtlSeconds: ttl})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair([]byte(issued.GetCertificatePem()), keyPEM(t, key))
		if err != nil {
			t.Fatal(err)
		}
		return &pair
	}
	_, foreign := startNode(t, func(o *Options) { o.Site = "beta" })
	const hour, unknown = 3600, "is not known at site alpha"
	all := []intruder{
		{name: "nobody", refusal: "neither a token nor a client certificate"},
		{name: "bad token", token: "isgw1_guessed", refusal: "the token " + unknown},
		{name: "revoked token", token: token("gone", "site-admin", "", 0), refusal: "the token " + unknown},
		{name: "expired token", token: token("old", "site-admin", "", hour), refusal: "token old expired at"},
		{name: "certificate of another site", certificate: certificate(foreign, "stranger", "site-admin", "", 0), refusal: "not from the authority of site alpha"},
		{name: "revoked certificate", certificate: certificate(local, "gone-cert", "site-admin", "", 0), refusal: "the certificate " + unknown},
		{name: "expired certificate", certificate: certificate(local, "old-cert", "site-admin", "", hour), refusal: "has expired"},
		// A bad token is not made good by a good certificate beside it.
		{name: "bad token with a certificate", token: "isgw1_guessed", certificate: certificate(local, "beside", "site-admin", "", 0), refusal: "the token " + unknown},
	}
	for _, name := range []string{"gone", "gone-cert"} {
		if err := local.Access.RevokeToken(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []string{"viewer", "tenant-admin", "operator", "site-admin"} {
		tenant := ""
		if role == "tenant-admin" {
			tenant = "Hawaii/Cola"
		}
		all = append(all,
			intruder{name: role + " by token", role: role, token: token(role, role, tenant, 0)},
			intruder{name: role + " by certificate", role: role, certificate: certificate(local, role+"-cert", role, tenant, 0)})
	}
	// The admin of one tenant is nobody in another, also one whose name begins so.
	return append(all, intruder{name: "tenant-admin of another tenant", role: "tenant-admin", elsewhere: true, token: token("neighbour", "tenant-admin", "Hawaii/Colada", 0)})
}

func certificatesOf(i intruder) []tls.Certificate {
	if i.certificate == nil {
		return nil
	}
	return []tls.Certificate{*i.certificate}
}

var (
	errDenied = errors.New("denied")
	errNoGet  = errors.New("the call is not made by GET")
)

// ask makes a call. The error is errDenied, with the sentence, when the caller
// may not make it, and otherwise what else came of it.
func (i intruder) ask(ctx context.Context, caller *http.Client, node string, method protoreflect.MethodDescriptor, protocol string) error {
	procedure := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
	name := string(method.Parent().Name()) + "." + string(method.Name())
	if protocol == "GET" {
		return i.get(ctx, caller, node+procedure, who[name].message)
	}
	options := []connect.ClientOption{
		connect.WithSchema(method),
		connect.WithResponseInitializer(func(spec connect.Spec, message any) error {
			if m, ok := message.(*dynamicpb.Message); ok {
				*m = *dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Output())
			}
			return nil
		}),
	}
	switch protocol {
	case "Connect JSON":
		options = append(options, connect.WithProtoJSON())
	case "gRPC":
		options = append(options, connect.WithGRPC())
	case "gRPC-Web":
		options = append(options, connect.WithGRPCWeb())
	}
	client := connect.NewClient[dynamicpb.Message, dynamicpb.Message](caller, node+procedure, options...)
	message := dynamicpb.NewMessage(method.Input())
	if err := protojson.Unmarshal([]byte(who[name].message), message); err != nil {
		return fmt.Errorf("the message of %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := i.call(ctx, client, method, message)
	if code := connect.CodeOf(err); err != nil && (code == connect.CodePermissionDenied || code == connect.CodeUnauthenticated) {
		return fmt.Errorf("%w: %v", errDenied, err)
	}
	return err
}

// call makes a call of whatever kind, and of a stream only the first step.
func (i intruder) call(ctx context.Context, client *connect.Client[dynamicpb.Message, dynamicpb.Message], method protoreflect.MethodDescriptor, message *dynamicpb.Message) error {
	show := func(header http.Header) {
		if i.token != "" {
			header.Set("Authorization", "Bearer "+i.token)
		}
	}
	switch {
	case method.IsStreamingClient():
		stream := client.CallClientStream(ctx)
		show(stream.RequestHeader())
		if err := stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err := stream.CloseAndReceive()
		return err
	case method.IsStreamingServer():
		req := connect.NewRequest(message)
		show(req.Header())
		stream, err := client.CallServerStream(ctx, req)
		if err != nil {
			return err
		}
		defer stream.Close()
		if stream.Receive() {
			return nil
		}
		return stream.Err()
	}
	req := connect.NewRequest(message)
	show(req.Header())
	_, err := client.CallUnary(ctx, req)
	return err
}

// get makes a call as a browser would.
func (i intruder) get(ctx context.Context, caller *http.Client, address, message string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?connect=v1&encoding=json&message="+url.QueryEscape(message), nil)
	if err != nil {
		return err
	}
	if i.token != "" {
		req.Header.Set("Authorization", "Bearer "+i.token)
	}
	res, err := caller.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s", errDenied, body)
	case res.StatusCode == http.StatusMethodNotAllowed, res.StatusCode == http.StatusUnsupportedMediaType:
		if len(body) > 0 {
			return fmt.Errorf("a GET that is not answered has the body %s", body)
		}
		return errNoGet
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	return nil
}
