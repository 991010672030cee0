package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// seed is a manifest with every field that EdgeFS had, with the value that is its
// default.
const seed = `# the first site
apiVersion: edgefs.rook.io/v1
kind: ISGW
metadata:
  name: isgw01          # the service
  namespace: rook-edgefs
  annotations: {}
spec:
  direction: "send+receive"
  remoteURL: "ccow://10.3.32.240:14000"
  replicationType: "initial+continuous"
  metadataOnly: ""
  dynamicFetchAddr: 0.0.0.0:49678
  localAddr: 0.0.0.0:14000
  useEncryptedTunnel: false
  chunkCacheSize:
  config:
  placement:
    podAffinity:
    podAntiAffinity:
    nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}
    tolerations: []
  resourceProfile: performance
  resources: {limits: {cpu: "", memory: null}, requests: {}}
  annotations:
  serviceType: ClusterIP
  externalPort: 0
`

func TestReadForms(t *testing.T) {
	nested, err := Read("a.yaml", []byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	flat, err := Read("b.yaml", []byte(`
kind: ISGW
name: isgw01                               # Inter-Segment Gateway service name
namespace: rook-edgefs
direction: "send+receive"
remoteURL: "ccow://10.3.32.240:14000"
replicationType: "initial+continuous"
#metadataOnly: all
#placement:
#  podAffinity:
`))
	if err != nil {
		t.Fatal(err)
	}
	few := &adminpb.PlanApplyService{Settings: &adminpb.PlanEditService{
		Name: "isgw01", Remote: new("ccow://10.3.32.240:14000"), Direction: new("send+receive"), Replication: new("initial+continuous"),
	}}
	all := proto.CloneOf(few)
	all.Settings.Settings = &adminpb.LinkSettings{
		Tunnel: new(false), Local: new("0.0.0.0:14000"), Profile: new("performance"),
		Annotations: &adminpb.LinkAnnotations{}, Resources: &adminpb.LinkResources{}, Placement: new(""),
	}
	for _, c := range []struct {
		docs []Document
		want *adminpb.PlanApplyService
	}{{nested, all}, {flat, few}} {
		if len(c.docs) != 1 || !proto.Equal(c.docs[0].Service, c.want) {
			t.Errorf("read %v, want %v", c.docs, c.want)
		}
	}
	if at := nested[0].Position.String(); at != "a.yaml:5:9" {
		t.Errorf("the name is at %s", at)
	}
}

func TestReadAll(t *testing.T) {
	docs, err := Read("-", []byte(`--- # nothing here
---
kind: ISGW
metadata: {name: hawaii}
spec: {connections: 4, lagTarget: 1m30s, enabled: False, serve: [Hawaii/Cola, "Hawaii/Pepsi/bk1"], remoteURL: ""}
---
kind: ISGW
name: maui
serve: []
---
kind: ISGW
name: "12"
serve: # nothing is said
...
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []*adminpb.PlanApplyService{
		{
			Settings: &adminpb.PlanEditService{Name: "hawaii", Connections: new(uint32(4)), LagTargetSeconds: new(90.0), Remote: new("")},
			Enabled:  new(false), Serves: &adminpb.PlanServes{Paths: []string{"Hawaii/Cola", "Hawaii/Pepsi/bk1"}},
		},
		{Settings: &adminpb.PlanEditService{Name: "maui"}, Serves: &adminpb.PlanServes{}},
		{Settings: &adminpb.PlanEditService{Name: "12"}},
	}
	if len(docs) != len(want) {
		t.Fatalf("%d documents: %v", len(docs), docs)
	}
	for i, doc := range docs {
		if !proto.Equal(doc.Service, want[i]) {
			t.Errorf("document %d is %v, want %v", i, doc.Service, want[i])
		}
	}
	if docs[1].Line != 8 || docs[1].Column != 7 {
		t.Errorf("the second is at %v", docs[1].Position)
	}
}

// TestReadRefuses: each fault is told with its place and a sentence that names it.
func TestReadRefuses(t *testing.T) {
	const head = "kind: ISGW\nname: a\n"
	for _, c := range []struct{ text, want string }{
		{"", "f:1: there is no manifest in it"},
		{"# comments\n---\n# alone\n", "f:1: there is no manifest in it"},
		{"kind: ISGW\n  name: a\n", "f:2: this is no YAML: mapping values are not allowed in this context; all fields of the flat form begin in the column of kind"},
		{"\tkind: ISGW\n", "this is no YAML"},
		{"[]", "f:1:1: a manifest has fields with values, and this is none"},
		{"ISGW", "f:1:1: a manifest has fields with values"},
		{"kind: Pod\nname: a\n", "f:1:7: the kind is ISGW, and not Pod"},
		{"name: a\n", "f:1:1: the kind is missing: it is ISGW"},
		{"kind: ISGW\n", "f:1:1: the name of the service is missing"},
		{"kind: ISGW\nmetadata:\n  namespace: x\n", "f:1:1: the name of the service is missing"},
		{"apiVersion: v1\n" + head, "f:1:13: the apiVersion is edgefs.rook.io/v1, and not v1"},
		{"kind: ISGW\nname: 12\n", "f:2:7: name is text, and 12 is none without quotes"},
		{"kind: ISGW\nname: -a\n", "f:2:7: service name \"-a\" is not made of letters"},
		{"kind: ISGW\nname: [a]\n", "f:2:7: name is text"},
		{"kind: ISGW\nname:\n", "name is text"},
		{head + "namespace: a b\n", "f:3:12: namespace name \"a b\""},
		{head + "name: b\n", "f:3:1: a manifest has name twice"},
		{head + "remoteUrl: x\n", "f:3:1: a manifest has no field remoteUrl; it is written remoteURL"},
		{head + "speed: 3\n", "f:3:1: a manifest has no field speed"},
		{head + "x" + strings.Repeat("ж", 40) + ":\n", "f:3:1: a manifest has no field x" + strings.Repeat("ж", 29)},
		{head + "speed:\n", "f:3:1: a manifest has no field speed"},
		{head + "\"a\\e[31m\": 3\n", `a manifest has no field "a\x1b[31m"`},
		{head + "spec: {direction: send}\n", "f:2:1: name belongs into metadata or spec"},
		{"kind: ISGW\nmetadata: {name: a}\nspec:\n  serves: []\n", "f:4:3: spec has no field serves"},
		{"kind: ISGW\nmetadata: {name: a}\nspec: {labels: {}}\n", "f:3:8: spec has no field labels"},
		{"kind: ISGW\nmetadata: {name: a, uid: x}\n", "f:2:21: metadata has no field uid"},
		{"kind: ISGW\nmetadata: {name: a, labels: {b: c}}\n", "f:2:21: labels is not available in this release: they are not kept; annotations are; leave it out"},
		{"kind: ISGW\nmetadata: {name: a}\nspec: 3\n", "f:3:7: spec has fields with values"},
		{"kind: ISGW\nmetadata: {name: a}\nstatus: {}\n", "f:3:1: a manifest has no field status"},
		{head + "? [x]\n: y\n", "a manifest has a field whose name is no word"},
		{head + "1: y\n", "f:3:1: a manifest has a field whose name is no word"},
		{"kind: &k ISGW\nname: a\ndirection: *k\n", "f:3:12: direction is an alias"},
		{"kind: ISGW\nname: a\n<<: {direction: send}\n", "a field whose name is no word"},
		{head + "direction: both\n", "f:3:12: direction is send, receive, send+receive, and not both"},
		{head + "direction: [send]\n", "f:3:12: direction is text"},
		{head + "replicationType: once\n", "f:3:18: replicationType is initial, continuous, initial+continuous, and not once"},
		{head + "remoteURL: ccow://\n", "f:3:12: remoteURL: remote"},
		{head + "remoteURL: 10.0.0.1:14000\n", "f:3:12: remoteURL: remote \"10.0.0.1:14000\" is not a URL of the form ccow://HOST:PORT"},
		{head + "remoteURL: http://x:1\n", "the only one supported is ccow"},
		{head + "remoteURL: file:///srv\n", "f:3:12: remoteURL is \"file:///srv\": a link to file:// is not available in this release"},
		{head + "remoteURL: s3://bucket\n", "a link to s3:// is not available in this release"},
		{head + "connections: two\n", "f:3:14: connections is a whole number"},
		{head + "connections: -1\n", "connections is from 0, the node's choice, to 32, and not -1"},
		{head + "connections: 33\n", "connections is from 0, the node's choice, to 32, and not 33"},
		{head + "connections: 99999999999999999999\n", "connections is"},
		{head + "lagTarget: 45\n", "f:3:12: lagTarget is a duration such as 45s or 5m"},
		{head + "lagTarget: -5s\n", "lagTarget is a duration such as 45s or 5m, and not -5s"},
		{head + "enabled: yes\n", "f:3:10: enabled is true or false"},
		{head + "serve: Hawaii/Cola\n", "f:3:8: serve is a list of paths"},
		{head + "serve:\n- Hawaii/Cola\n- Hawaii\n", "f:5:3: a whole cluster such as Hawaii cannot be served"},
		{head + "serve: [Hawaii/Cola, Hawaii/Cola]\n", "f:3:22: serve has Hawaii/Cola twice"},
		{head + "serve: [Hawaii/Cola/B]\n", "f:3:9: bucket name \"B\""},
		{head + "serve: [5]\n", "a path in serve is text, and 5 is none without quotes"},
		{head + "---\n" + head, "f:5:7: service a is in line 2 already"},
		{head + "metadataOnly: all\n", "f:3:1: metadataOnly is not available in this release: a link always carries the data with its metadata; leave it out"},
		{head + "dynamicFetchAddr: 10.0.0.1:49678\n", "f:3:1: dynamicFetchAddr is not available in this release"},
		{head + "localAddr: 14000\n", "f:3:12: localAddr is text, and 14000 is none without quotes"},
		{head + "localAddr: ':14000'\n", "f:3:12: localAddr: local address \":14000\" is not HOST:PORT"},
		{head + "useEncryptedTunnel: ssh\n", "f:3:21: useEncryptedTunnel is true or false"},
		{head + "chunkCacheSize: big\n", "f:3:17: chunkCacheSize: \"big\" is no number of bytes"},
		{head + "chunkCacheSize: 1Ki\n", "f:3:17: chunkCacheSize: a chunk cache is from 8Mi to 1Ei, not 1Ki"},
		{head + "chunkCacheSize: [1]\n", "f:3:17: chunkCacheSize is an amount"},
		{head + "config: isgws\n", "f:3:9: config has fields with values"},
		{head + "config:\n  servers: isgws\n", "f:4:3: config has no field servers"},
		{head + "config:\n  server: a b\n", "f:4:11: service name \"a b\""},
		{head + "config:\n  server: s\n  clients: a\n", "f:5:12: clients is a list of services"},
		{head + "config:\n  server: s\n  clients: [a, a]\n", "f:5:16: clients has a twice"},
		{head + "config:\n  server: s\n  clients: ['']\n", "f:5:13: a name in clients is empty"},
		{head + "config:\n  clients: [b]\n", "f:4:3: config has clients and no server"},
		{head + "config: {server: s, clients: [s]}\n", "f:3:9: config has the server s among its clients"},
		{head + "resourceProfile: fast\n", "f:3:18: resourceProfile is performance, embedded, and not fast"},
		{head + "resources: {limit: {cpu: '2'}}\n", "f:3:13: resources has no field limit"},
		{head + "resources: {limits: {CPU: '2'}}\n", "f:3:22: limits has no field CPU; it is written cpu"},
		{head + "resources: {limits: {cpu: two}}\n", "f:3:27: cpu: \"two\" is no number of cores"},
		{head + "resources: {limits: {memory: -1}}\n", "f:3:30: memory: \"-1\" is no number of bytes"},
		{head + "resources: {limits: {cpu: 1}, requests: {cpu: 2}}\n", "f:3:12: resources: the request of 2 cpu is above the limit of 1"},
		{head + "placement: {nodeSelector: {}}\n", "f:3:13: placement has no field nodeSelector"},
		{head + "placement: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Is}]}]}}}\n", "f:3:12: placement: the operator of a is one of In"},
		{head + "placement:\n  tolerations:\n  - key: node230\n    operater: Exists\n", "f:6:5: tolerations has no field operater"},
		{head + "placement: {tolerations: {key: a}}\n", "f:3:26: tolerations is a list"},
		{head + "placement: {tolerations: [{key: 230}]}\n", "f:3:33: key is text, and 230 is none without quotes"},
		{head + "placement: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: heavy}]}}\n", "weight is a whole number"},
		{head + "placement: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 99999999999}]}}\n", "weight is a whole number, and not 99999999999"},
		{head + "annotations: {key: 1}\n", "f:3:20: annotation key is text, and 1 is none without quotes"},
		{head + "annotations: {a b: c}\n", "f:3:15: annotation name \"a b\""},
		{"kind: ISGW\nmetadata: {name: a, annotations: {k: v}}\nspec: {annotations: {k: w}}\n", "f:3:22: annotation k has another value in metadata"},
		{head + "sendLimit: fast\n", "f:3:12: sendLimit: \"fast\" is not a rate"},
		{head + "receiveLimit: 1MiB/s@08:00\n", "f:3:15: receiveLimit: \"08:00\" is not a time of day"},
		{head + "serve: [{path: Hawaii/Cola, options: x}]\n", "f:3:29: a path in serve has no field options"},
		{head + "serve: [{include: x}]\n", "f:3:9: a path in serve has no path"},
		{head + "serve: [{path: Hawaii/Cola, deletes: never}]\n", "f:3:38: deletes is keep, travel, and not never"},
		{head + "serve: [{path: Hawaii/Cola, direction: up}]\n", "f:3:40: direction is send, receive, send+receive, and not up"},
		{head + "serve: [{path: Hawaii/Cola, include: ['']}]\n", "f:3:9: Hawaii/Cola has an empty prefix"},
		{head + "serve: ['Hawaii/Cola,exclude=']\n", "f:3:9: Hawaii/Cola has an empty prefix"},
		{head + "labels: {a: b}\n", "f:3:1: labels is not available in this release: they are not kept"},
		{head + "serviceType: NodePort\n", "f:3:1: serviceType is not available"},
		{head + "externalPort: 3000\n", "f:3:1: externalPort is not available"},
		{strings.Repeat("#", MaxSize+1), "f:1: the file is longer than"},
		{numbered(MaxDocuments + 1), "a file has at most 1000 documents"},
	} {
		docs, err := Read("f", []byte(c.text))
		var faults Faults
		if docs != nil || !errors.As(err, &faults) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: %v, %v; want %q", c.text, docs, err, c.want)
		}
	}
}

// numbered are as many manifests of different links.
func numbered(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "---\nkind: ISGW\nname: l%d\n", i)
	}
	return out.String()
}

// TestReadTellsAll: the faults of a file are told together, in its order, and
// not without end.
func TestReadTellsAll(t *testing.T) {
	_, err := Read("f", []byte("kind: ISGW\nconnections: x\nspeed: 1\nname: a\ndirection: both\n---\nkind: Pod\n"))
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var lines []int
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if !slices.Equal(lines, []int{2, 3, 5, 7, 7}) {
		t.Errorf("faults in lines %v:\n%v", lines, err)
	}
	var many strings.Builder
	many.WriteString("kind: ISGW\nname: a\n")
	for i := range 1000 {
		fmt.Fprintf(&many, "f%d: 1\n", i)
	}
	if _, err := Read("f", []byte(many.String())); !errors.As(err, &faults) || len(faults) != maxFaults {
		t.Errorf("%d faults are told", len(faults))
	}
}

// TestReadHostile: files that are long and strange are refused. What took a time
// that grows with the square of the length would be felt here.
func TestReadHostile(t *testing.T) {
	const long = MaxSize / 4 // -race is slow
	var keys strings.Builder
	for i := 0; keys.Len() < long-20; i++ {
		fmt.Fprintf(&keys, "k%d:\n", i)
	}
	for name, text := range map[string]string{
		"fields": keys.String(),
		"nested": strings.Repeat("[", long),
		"lists":  strings.Repeat("- ", long/2),
		"anchor": "kind: &a [x, x]\nname: &b [*a, *a, *a]\nserve: &c [*b, *b, *b]\nplacement: [*c, *c]\n",
		"quotes": "name: '" + strings.Repeat("''", long/2-10) + "'\n",
		"marks":  strings.Repeat("---\n", long/4),
	} {
		if docs, err := Read("f", []byte(text)); err == nil || docs != nil {
			t.Errorf("%s were read", name)
		}
	}
}

// everything is a link with every setting, of a group with another.
func everything() []*adminpb.Service {
	none := func() *adminpb.LinkSettings {
		return &adminpb.LinkSettings{
			Tunnel: new(false), Local: new(""), ChunkCache: new(uint64(0)), Profile: new(""), SendLimit: new("none"), ReceiveLimit: new("none"),
			Annotations: &adminpb.LinkAnnotations{}, Resources: &adminpb.LinkResources{}, Placement: new(""),
		}
	}
	full := &adminpb.LinkSettings{
		Tunnel: new(true), Local: new("10.3.30.75:14000"), ChunkCache: new(uint64(1 << 30)), Profile: new("embedded"),
		SendLimit: new("10MiB/s,1MiB/s@08:00-18:00"), ReceiveLimit: new("64KiB/s"),
		Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"key": "value", "example.com/n": "12"}},
		Resources:   &adminpb.LinkResources{RequestCpuMillis: 1500, LimitCpuMillis: 2000, LimitMemoryBytes: 4 << 30},
		Placement:   new(`{"tolerations":[{"key":"node230","operator":"Exists"}]}`),
	}
	return []*adminpb.Service{
		{
			Name: "hawaii", Type: "isgw", Remote: "ccow://10.3.32.240:14000", Enabled: true, Direction: "send", Replication: "initial", Connections: 4, LagTargetSeconds: 0.0015,
			Serves: []string{"Hawaii/Cola", "Hawaii/Pepsi/bk1"},
			Served: []*adminpb.ServedPath{
				{Path: "Hawaii/Cola", Deletes: "travel"},
				{Path: "Hawaii/Pepsi/bk1", Include: []string{"a/", "b,c/"}, Exclude: []string{"a/tmp/"}, Direction: "send", Deletes: "keep"},
			},
			Settings: full, Clients: []string{"12"},
		},
		{Name: "12", Type: "isgw", Direction: "send+receive", Replication: "initial+continuous", Settings: none()},
	}
}

// TestWriteIsRead: what is written says all of a link, and reads as that.
func TestWriteIsRead(t *testing.T) {
	var out bytes.Buffer
	services := everything()
	services[1].Settings.Server = new("hawaii")
	if err := Write(&out, services); err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: edgefs.rook.io/v1
kind: ISGW
metadata:
  name: hawaii
spec:
  direction: send
  remoteURL: ccow://10.3.32.240:14000
  replicationType: initial
  localAddr: 10.3.30.75:14000
  useEncryptedTunnel: true
  chunkCacheSize: 1Gi
  config:
    server: hawaii
    clients:
      - "12"
  placement:
    tolerations:
      - key: node230
        operator: Exists
  resourceProfile: embedded
  resources:
    limits:
      cpu: "2"
      memory: 4Gi
    requests:
      cpu: 1500m
  annotations:
    example.com/n: "12"
    key: value
  connections: 4
  lagTarget: 1.5ms
  sendLimit: 10MiB/s,1MiB/s@08:00-18:00
  receiveLimit: 64KiB/s
  enabled: true
  serve:
    - Hawaii/Cola
    - path: Hawaii/Pepsi/bk1
      include:
        - a/
        - b,c/
      exclude:
        - a/tmp/
      direction: send
      deletes: keep
---
apiVersion: edgefs.rook.io/v1
kind: ISGW
metadata:
  name: "12"
spec:
  direction: send+receive
  remoteURL: ""
  replicationType: initial+continuous
  localAddr: ""
  useEncryptedTunnel: false
  chunkCacheSize: "0"
  config:
    server: hawaii
    clients:
      - "12"
  placement: {}
  resourceProfile: ""
  resources: {}
  annotations: {}
  connections: 0
  lagTarget: 0s
  sendLimit: none
  receiveLimit: none
  enabled: false
  serve: []
`
	if out.String() != want {
		t.Errorf("wrote\n%s", out.String())
	}
	docs, err := Read("f", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, doc := range docs {
		s := services[i]
		own := proto.CloneOf(s.Settings)
		own.Server = nil // which is said of the group
		said := &adminpb.PlanApplyService{
			Settings: &adminpb.PlanEditService{
				Name: s.Name, Remote: &s.Remote, Direction: &s.Direction, Replication: &s.Replication, Connections: &s.Connections, LagTargetSeconds: &s.LagTargetSeconds,
				Settings: own,
			},
			Enabled: &s.Enabled, Serves: &adminpb.PlanServes{}, Group: &adminpb.PlanGroup{Server: "hawaii", Clients: []string{"12"}},
		}
		if i == 0 {
			said.Serves.Paths = []string{"Hawaii/Cola", "Hawaii/Pepsi/bk1,include=a/,include=b%2Cc/,exclude=a/tmp/,direction=send,deletes=keep"}
		}
		if !proto.Equal(doc.Service, said) {
			t.Errorf("read %v, want %v", doc.Service, said)
		}
	}
	out.Reset()
	if err := Write(&out, nil); err != nil || out.Len() != 0 {
		t.Errorf("no links are %q, %v", out.String(), err)
	}
	// A client alone says its server, and nothing of others.
	out.Reset()
	if err := Write(&out, services[1:]); err != nil || !strings.Contains(out.String(), "server: hawaii\n    clients:\n      - \"12\"\n") {
		t.Errorf("a client alone is %v\n%s", err, out.String())
	}
	if err := Write(&out, []*adminpb.Service{{Name: "a", Settings: &adminpb.LinkSettings{Placement: new("{")}}}); err == nil {
		t.Error("a placement that is no JSON was written")
	}
}

// TestTextIsSet: the text of each setting of a link sets the same at another.
func TestTextIsSet(t *testing.T) {
	s := everything()[0]
	s.Settings.Server = new("other")
	edit := &adminpb.PlanEditService{}
	for _, p := range properties {
		if _, is := absents[p.field]; is {
			continue
		}
		if Text(s, p.field) == "" {
			t.Errorf("%s has no text", p.field)
		}
		if err := Set(edit, p.field, p.field, Text(s, p.field)); err != nil {
			t.Error(err)
		}
	}
	want := &adminpb.PlanEditService{Remote: &s.Remote, Direction: &s.Direction, Replication: &s.Replication, Connections: &s.Connections, LagTargetSeconds: &s.LagTargetSeconds, Settings: s.Settings}
	if !proto.Equal(edit, want) {
		t.Errorf("set %v\nwant %v", edit, want)
	}
	if text := Text(s, "speed"); text != "" {
		t.Errorf("a setting that there is not is %q", text)
	}
	if err := Set(edit, "speed", "--speed", "1"); err == nil {
		t.Error("a setting that there is not was set")
	}
}

// TestSeed: the manifest of EdgeFS's documentation, with every line that is a
// comment there taken seriously, apart from metadataOnly, which is refused.
func TestSeed(t *testing.T) {
	const text = `kind: ISGW
name: isgw01                               # Inter-Segment Gateway service name
namespace: rook-edgefs
direction: "send+receive"
remoteURL: "ccow://10.3.32.240:14000"
replicationType: "initial"
useEncryptedTunnel: true
chunkCacheSize: 1Gi
config:
   server: "isgws"
   clients: ["isgwc1", "isgwc2"]
placement:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
      - matchExpressions:
        - key: rook-edgefs-nodetype
          operator: In
          values:
          - isgw
  tolerations:
  - key: node230
    operator: Exists
  podAffinity:
  podAntiAffinity:
resourceProfile: embedded
resources:
  limits:
    cpu: "2"
    memory: "4Gi"
  requests:
    cpu: "2"
    memory: "4Gi"
# A key/value list of annotations
annotations:
  key: value
`
	docs, err := Read("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &adminpb.PlanApplyService{
		Settings: &adminpb.PlanEditService{
			Name: "isgw01", Remote: new("ccow://10.3.32.240:14000"), Direction: new("send+receive"), Replication: new("initial"),
			Settings: &adminpb.LinkSettings{
				Tunnel: new(true), ChunkCache: new(uint64(1 << 30)), Profile: new("embedded"),
				Placement:   new(`{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"rook-edgefs-nodetype","operator":"In","values":["isgw"]}]}]}},"tolerations":[{"key":"node230","operator":"Exists"}]}`),
				Resources:   &adminpb.LinkResources{RequestCpuMillis: 2000, LimitCpuMillis: 2000, RequestMemoryBytes: 4 << 30, LimitMemoryBytes: 4 << 30},
				Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"key": "value"}},
			},
		},
		Group: &adminpb.PlanGroup{Server: "isgws", Clients: []string{"isgwc1", "isgwc2"}},
	}
	if !proto.Equal(docs[0].Service, want) {
		t.Errorf("read %v\nwant %v", docs[0].Service, want)
	}
	if _, err := Read("f", []byte(text+"metadataOnly: all\n")); err == nil || !strings.Contains(err.Error(), "f:37:1: metadataOnly is not available in this release") {
		t.Errorf("metadataOnly: %v", err)
	}
}

func TestProperty(t *testing.T) {
	own := func(s *adminpb.LinkSettings) *adminpb.PlanEditService {
		return &adminpb.PlanEditService{Name: "a", Settings: s}
	}
	for _, c := range []struct {
		name, value string
		want        *adminpb.PlanEditService
		says        string
	}{
		{"X-ISGW-Remote", "ccow://h:1", &adminpb.PlanEditService{Name: "a", Remote: new("ccow://h:1")}, ""},
		{"x-isgw-remote", "", &adminpb.PlanEditService{Name: "a", Remote: new("")}, ""},
		{"X-ISGW-Direction", "send+receive", &adminpb.PlanEditService{Name: "a", Direction: new("send+receive")}, ""},
		{"X-ISGW-Replication", "initial", &adminpb.PlanEditService{Name: "a", Replication: new("initial")}, ""},
		{"X-ISGW-Number-Of-Connections", "4", &adminpb.PlanEditService{Name: "a", Connections: new(uint32(4))}, ""},
		{"X-ISGW-Encrypted-Tunnel", "0", own(&adminpb.LinkSettings{Tunnel: new(false)}), ""},
		{"X-ISGW-Encrypted-Tunnel", "TRUE", own(&adminpb.LinkSettings{Tunnel: new(true)}), ""},
		{"X-ISGW-Local", "0.0.0.0:14000", own(&adminpb.LinkSettings{Local: new("0.0.0.0:14000")}), ""},
		{"X-ISGW-Chunk-Cache-Size", "1Gi", own(&adminpb.LinkSettings{ChunkCache: new(uint64(1 << 30))}), ""},
		{"X-ISGW-Resource-Profile", "embedded", own(&adminpb.LinkSettings{Profile: new("embedded")}), ""},
		{"X-ISGW-Lag-Target", "45s", &adminpb.PlanEditService{Name: "a", LagTargetSeconds: new(45.0)}, ""},
		{"X-ISGW-Send-Limit", "1MiB/s", own(&adminpb.LinkSettings{SendLimit: new("1MiB/s")}), ""},
		{"X-ISGW-Receive-Limit", "none", own(&adminpb.LinkSettings{ReceiveLimit: new("none")}), ""},
		{"X-ISGW-Server", "s", own(&adminpb.LinkSettings{Server: new("s")}), ""},
		{"X-ISGW-Annotations", "a=b, c=", own(&adminpb.LinkSettings{Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"a": "b", "c": ""}}}), ""},
		{"X-ISGW-Annotations", `{"a": "b"}`, own(&adminpb.LinkSettings{Annotations: &adminpb.LinkAnnotations{Values: map[string]string{"a": "b"}}}), ""},
		{"X-ISGW-Annotations", "", own(&adminpb.LinkSettings{Annotations: &adminpb.LinkAnnotations{}}), ""},
		{"X-ISGW-Resources", "{limits: {cpu: 2}}", own(&adminpb.LinkSettings{Resources: &adminpb.LinkResources{LimitCpuMillis: 2000}}), ""},
		{"X-ISGW-Placement", "{tolerations: [{operator: Exists}]}", own(&adminpb.LinkSettings{Placement: new(`{"tolerations":[{"operator":"Exists"}]}`)}), ""},
		{"X-ISGW-Placement", "", own(&adminpb.LinkSettings{Placement: new("")}), ""},
		{"X-ISGW-DFLocal", "0.0.0.0:49678", &adminpb.PlanEditService{Name: "a"}, ""},
		{"X-ISGW-Encrypted-Tunnel", "ssh", nil, "X-ISGW-Encrypted-Tunnel is true or false"},
		{"X-ISGW-Annotations", "a", nil, "X-ISGW-Annotations: a is not NAME=VALUE"},
		{"X-ISGW-Resources", "{", nil, "X-ISGW-Resources: the value is no YAML"},
		{"X-ISGW-Placement", "{nodes: 1}", nil, "X-ISGW-Placement has no field nodes"},
		{"X-ISGW-DFLocal", "10.0.0.1:1", nil, "X-ISGW-DFLocal is not available in this release"},
		{"X-ISGW-MDOnly", "all", nil, "X-ISGW-MDOnly is not available in this release"},
		{"X-ISGW-Remote-SegID", "1", nil, "X-ISGW-Remote-SegID cannot be set"},
		{"X-ISGW-Emergency-Lookup", "1", nil, "X-ISGW-Emergency-Lookup is not available"},
		{"X-ISGW-Number-Of-Connections", "many", nil, "X-ISGW-Number-Of-Connections is from 0"},
		{"X-ISGW-Remote", "10.0.0.1", nil, "X-ISGW-Remote: remote"},
		{"X-Speed", "1", nil, "there is no property X-Speed; there are X-ISGW-Remote, "},
	} {
		got, err := Property("a", c.name, c.value)
		if c.says == "" && (err != nil || !proto.Equal(got, c.want)) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %q: %v, %v; want %v%s", c.name, c.value, got, err, c.want, c.says)
		}
	}
}

// FuzzRead: whatever is in a file, it is read or refused with places that are
// in it; what is read and written as a manifest reads as the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(seed))
	f.Add([]byte("kind: ISGW\nname: a\nserve: [a/b, a/b/ccc]\n---\nkind: ISGW\nmetadata: {name: b}\nspec: {lagTarget: 5m, connections: 3, enabled: true}\n"))
	f.Add([]byte("kind: &k ISGW\nname: *k\n<<: *k\n"))
	f.Add([]byte("kind: ISGW\nname: a\nchunkCacheSize: 1.5Gi\nannotations: {a: b}\nresources: {limits: {cpu: 2}}\nplacement: {tolerations: [{operator: Exists}]}\nconfig: {server: b, clients: [c]}\nsendLimit: 1MiB/s@08:00-18:00\nserve: [{path: a/b, exclude: [x]}]\n"))
	f.Add([]byte("a: [[[[{"))
	f.Add([]byte("? !!binary x\n: !foo y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := Read("f", text)
		if err != nil {
			faults, ok := errors.AsType[Faults](err)
			if !ok || len(faults) == 0 || len(faults) > maxFaults || docs != nil {
				t.Fatalf("refused with %v", err)
			}
			lines := bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + bytes.Count(text, []byte("\u0085")) + bytes.Count(text, []byte("\u2028")) + bytes.Count(text, []byte("\u2029")) + 2
			for _, fault := range faults {
				if fault.Line < 1 || fault.Line > lines || fault.Message == "" {
					t.Fatalf("a fault at %v in a file of %d lines: %q", fault.Position, lines, fault.Message)
				}
			}
			return
		}
		names := map[string]bool{}
		var services []*adminpb.Service
		for _, d := range docs {
			if d.Name() == "" || names[d.Name()] {
				t.Fatalf("the name %q", d.Name())
			}
			names[d.Name()] = true
			s := d.Service.GetSettings()
			services = append(services, &adminpb.Service{
				Name: d.Name(), Remote: s.GetRemote(), Direction: s.GetDirection(), Replication: s.GetReplication(), Connections: s.GetConnections(),
				LagTargetSeconds: s.GetLagTargetSeconds(), Enabled: d.Service.GetEnabled(), Serves: d.Service.GetServes().GetPaths(), Settings: s.GetSettings(),
			})
		}
		var out bytes.Buffer
		if err := Write(&out, services); err != nil {
			t.Fatal(err)
		}
		again, err := Read("g", out.Bytes())
		if err != nil || len(again) != len(docs) {
			t.Fatalf("%v, written as\n%s", err, out.String())
		}
		for i, d := range again {
			a, b := d.Service.GetSettings(), docs[i].Service.GetSettings()
			if a.GetName() != b.GetName() || a.GetRemote() != b.GetRemote() || a.GetConnections() != b.GetConnections() || !slices.Equal(d.Service.GetServes().GetPaths(), docs[i].Service.GetServes().GetPaths()) {
				t.Fatalf("%v became %v", docs[i].Service, d.Service)
			}
			x, y := a.GetSettings(), b.GetSettings()
			if x.GetTunnel() != y.GetTunnel() || x.GetLocal() != y.GetLocal() || x.GetChunkCache() != y.GetChunkCache() || x.GetPlacement() != y.GetPlacement() ||
				!maps.Equal(x.GetAnnotations().GetValues(), y.GetAnnotations().GetValues()) || y.GetResources() != nil && !proto.Equal(x.GetResources(), y.GetResources()) {
				t.Fatalf("%v became %v", y, x)
			}
		}
	})
}
