package deploy_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// sites are the overlays of deploy/kubernetes.
var sites = []string{"alpha", "beta"}

// object is one of Kubernetes, with what is looked at here. Whether all of it is
// right in itself is decided by .ci/kubernetes with the types of Kubernetes.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data map[string]string
	Spec struct {
		ServiceName  string `yaml:"serviceName"`
		ClusterIP    string `yaml:"clusterIP"`
		Selector     yaml.Node
		PodSelector  selector `yaml:"podSelector"`
		Ports        []port
		Ingress      []struct{ Ports []struct{ Port string } }
		Template     template
		VolumeClaims []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type port struct {
	Name          string
	Port          int
	ContainerPort int    `yaml:"containerPort"`
	TargetPort    string `yaml:"targetPort"`
}

type template struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		Grace           int  `yaml:"terminationGracePeriodSeconds"`
		Token           bool `yaml:"automountServiceAccountToken"`
		SecurityContext struct {
			NonRoot bool `yaml:"runAsNonRoot"`
			User    int  `yaml:"runAsUser"`
			FSGroup int  `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		Containers []container
		Volumes    []volume
	}
}

type mount struct {
	Name      string
	MountPath string `yaml:"mountPath"`
}

type volume struct {
	Name      string
	ConfigMap struct{ Name string } `yaml:"configMap"`
	Secret    struct {
		Name string `yaml:"secretName"`
	}
}

type container struct {
	Args  []string
	Env   []struct{ Name, Value string }
	Ports []port
	// The three probes.
	Startup         probe   `yaml:"startupProbe"`
	Liveness        probe   `yaml:"livenessProbe"`
	Readiness       probe   `yaml:"readinessProbe"`
	Mounts          []mount `yaml:"volumeMounts"`
	SecurityContext struct {
		Escalation bool                    `yaml:"allowPrivilegeEscalation"`
		ReadOnly   bool                    `yaml:"readOnlyRootFilesystem"`
		Drop       struct{ Drop []string } `yaml:"capabilities"`
	} `yaml:"securityContext"`
}

type probe struct {
	Get struct{ Path, Port string } `yaml:"httpGet"`
}

// manifests are the objects of a site.
func manifests(t *testing.T, site string) []object {
	t.Helper()
	overlay, err := filepath.Abs(filepath.Join("kubernetes", site))
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "run", ".", overlay)
	build.Dir = "../.ci/kubernetes"
	var all []object
	decoder := yaml.NewDecoder(strings.NewReader(output(t, build)))
	for {
		var o object
		if err := decoder.Decode(&o); err != nil {
			break // the end, or the test below finds too few
		}
		all = append(all, o)
	}
	return all
}

// TestManifests builds each site's objects and compares them with the image, the
// program, and each other.
func TestManifests(t *testing.T) {
	im := buildImage(t, dist(t))
	flags := nodeFlags(t)
	for _, site := range sites {
		var pod template
		kinds := map[string]int{}
		all := manifests(t, site)
		for _, o := range all {
			kinds[o.Kind]++
			if o.Kind != "Namespace" && o.Metadata.Namespace != "isgw-"+site {
				t.Errorf("%s %s is in the namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
			}
			if o.Kind == "StatefulSet" {
				pod = o.Spec.Template
				checkPod(t, pod, im, flags)
				if len(o.Spec.VolumeClaims) != 1 || !slices.ContainsFunc(all, func(s object) bool {
					return s.Kind == "Service" && s.Metadata.Name == o.Spec.ServiceName && s.Spec.ClusterIP == "None"
				}) {
					t.Errorf("the set wants the service %q and %d volumes", o.Spec.ServiceName, len(o.Spec.VolumeClaims))
				}
			}
		}
		want := map[string]int{"Namespace": 1, "StatefulSet": 1, "Service": 3, "ConfigMap": 1, "NetworkPolicy": 1, "PodDisruptionBudget": 1}
		for kind, n := range want {
			if kinds[kind] != n {
				t.Errorf("%d of the kind %s, want %d", kinds[kind], kind, n)
			}
		}
		for _, o := range all {
			switch o.Kind {
			case "Service":
				var labels map[string]string
				if err := o.Spec.Selector.Decode(&labels); err != nil {
					t.Error(err)
				}
				selects(t, o, labels, pod)
				for _, p := range o.Spec.Ports {
					if n := portNumber(pod, p.TargetPort); n != p.Port {
						t.Errorf("service %s: port %d leads to %s, which is %d", o.Metadata.Name, p.Port, p.TargetPort, n)
					}
				}
			case "NetworkPolicy":
				selects(t, o, o.Spec.PodSelector.MatchLabels, pod)
				for _, rule := range o.Spec.Ingress {
					for _, p := range rule.Ports {
						if portNumber(pod, p.Port) == 0 {
							t.Errorf("policy: no port is called %q", p.Port)
						}
					}
				}
			case "PodDisruptionBudget", "StatefulSet":
				var s selector
				if err := o.Spec.Selector.Decode(&s); err != nil {
					t.Error(err)
				}
				selects(t, o, s.MatchLabels, pod)
			case "ConfigMap":
				checkConfig(t, site, o, flags)
				if !slices.ContainsFunc(pod.Spec.Volumes, func(v volume) bool { return v.ConfigMap.Name == o.Metadata.Name }) {
					t.Errorf("nothing mounts the config map %s", o.Metadata.Name)
				}
			}
		}
	}
}

// selects fails unless labels choose the pod, by the site's label too.
func selects(t *testing.T, o object, labels map[string]string, pod template) {
	t.Helper()
	if len(labels) < 2 {
		t.Errorf("%s %s selects by %v alone", o.Kind, o.Metadata.Name, labels)
	}
	for name, value := range labels {
		if pod.Metadata.Labels[name] != value {
			t.Errorf("%s %s selects %s=%s, and the pod has %v", o.Kind, o.Metadata.Name, name, value, pod.Metadata.Labels)
		}
	}
}

// portNumber is the number of a port of the pod, 0 when it has none of that name.
func portNumber(pod template, name string) int {
	for _, p := range pod.Spec.Containers[0].Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

func checkPod(t *testing.T, pod template, im image, flags []string) {
	t.Helper()
	spec := pod.Spec
	if s := spec.SecurityContext; !s.NonRoot || s.User != im.user || s.FSGroup != im.user {
		t.Errorf("it runs as %+v, and the image as %d", s, im.user)
	}
	if spec.Token || spec.Grace < 60 || len(spec.Containers) != 1 {
		t.Errorf("token %v, %d s to drain, %d containers", spec.Token, spec.Grace, len(spec.Containers))
	}
	c := spec.Containers[0]
	if s := c.SecurityContext; s.Escalation || !s.ReadOnly || !slices.Equal(s.Drop.Drop, []string{"ALL"}) {
		t.Errorf("its container has %+v", s)
	}
	if c.Args[0] != im.command[0] {
		t.Errorf("it runs %v", c.Args)
	}
	for _, arg := range c.Args[1:] {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !slices.Contains(flags, name) {
			t.Errorf("isgwnode run has no flag %s", arg)
		}
	}
	env := map[string]string{}
	for _, kv := range im.env {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(e.Name, "ISGW_")), "_", "-"); flag != "connect" && !slices.Contains(flags, flag) {
			t.Errorf("%s sets nothing", e.Name)
		}
	}
	if env["ISGW_CONNECT"] != "unix:"+env["ISGW_DATA"]+"/admin.sock" {
		t.Errorf("ISGW_CONNECT=%s, ISGW_DATA=%s", env["ISGW_CONNECT"], env["ISGW_DATA"])
	}
	mounted := false
	for _, m := range c.Mounts {
		mounted = mounted || m.Name == "data" && strings.HasPrefix(env["ISGW_DATA"], m.MountPath+"/")
	}
	if !mounted {
		t.Errorf("%s is on no volume", env["ISGW_DATA"])
	}
	// A certificate and its key are files of a secret that is mounted.
	for _, variable := range []string{"ISGW_S3_CERT", "ISGW_S3_KEY"} {
		file := env[variable]
		if file == "" {
			continue
		}
		if !slices.ContainsFunc(spec.Volumes, func(v volume) bool {
			return v.Secret.Name != "" && slices.ContainsFunc(c.Mounts, func(m mount) bool {
				return m.Name == v.Name && filepath.Dir(file) == m.MountPath
			})
		}) {
			t.Errorf("%s=%s is in no secret that is mounted", variable, file)
		}
	}
	for name, variable := range map[string]string{"s3": "ISGW_S3", "link": "ISGW_LINK", "admin": "ISGW_ADMIN", "metrics": "ISGW_METRICS"} {
		if got := portNumber(pod, name); env[variable] != ":"+strconv.Itoa(got) {
			t.Errorf("port %s is %d, and %s=%s", name, got, variable, env[variable])
		}
	}
	for _, p := range []probe{c.Startup, c.Liveness, c.Readiness} {
		if p.Get.Port != "metrics" {
			t.Errorf("a probe asks the port %q", p.Get.Port)
		}
	}
	if c.Startup.Get.Path != "/healthz" || c.Liveness.Get.Path != "/healthz" || c.Readiness.Get.Path != "/readyz" {
		t.Errorf("probes ask %q, %q and %q", c.Startup.Get.Path, c.Liveness.Get.Path, c.Readiness.Get.Path)
	}
}

func checkConfig(t *testing.T, site string, o object, flags []string) {
	t.Helper()
	var settings map[string]string
	if err := yaml.Unmarshal([]byte(o.Data["isgwnode.yaml"]), &settings); err != nil {
		t.Fatal(err)
	}
	if settings["site"] != site {
		t.Errorf("the settings of %s are of site %q", site, settings["site"])
	}
	for name := range settings {
		if !slices.Contains(flags, name) {
			t.Errorf("isgwnode run has no setting %s", name)
		}
	}
}

// TestManifestsAreRefused plants a fault, which the types of Kubernetes have to
// find.
func TestManifestsAreRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"kustomization.yaml": "resources: [pod.yaml]\n",
		"pod.yaml":           "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i, livenesProbe: {}}]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "run", ".", dir)
	build.Dir = "../.ci/kubernetes"
	if out, err := build.CombinedOutput(); err == nil || !strings.Contains(string(out), "livenesProbe") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestProbesAnswer asks a released node what the manifests ask.
func TestProbesAnswer(t *testing.T) {
	dir := shortDir(t)
	ln, err := net.Listen("tcp", "127.0.0.2:0") // nobody else listens there
	if err != nil {
		t.Fatal(err)
	}
	metrics := ln.Addr().String()
	ln.Close()
	node := start(t, exec.Command(filepath.Join(programs(t), "isgwnode"), "run", "--data", filepath.Join(dir, "d"), "--site", "alpha",
		"--s3", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "none", "--metrics", metrics))
	status := func(path string) int {
		res, err := http.Get("http://" + metrics + path)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	node.eventually("alive", func() bool { return status("/healthz") == http.StatusOK })
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("before init /readyz answers %d", got)
	}
	node.eventually("initialised", func() bool { return ctl(t, filepath.Join(dir, "d"), "system", "init").Run() == nil })
	if got := status("/readyz"); got != http.StatusOK {
		t.Errorf("after init /readyz answers %d", got)
	}
	node.stop()
}
