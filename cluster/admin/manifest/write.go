package manifest

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
)

// written is the form of a manifest, in its order. Every setting is there, so
// that reading it again brings a link back to exactly this.
type written struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec writtenSpec `yaml:"spec"`
}

type writtenSpec struct {
	Direction          string                       `yaml:"direction"`
	RemoteURL          string                       `yaml:"remoteURL"`
	ReplicationType    string                       `yaml:"replicationType"`
	LocalAddr          string                       `yaml:"localAddr"`
	UseEncryptedTunnel bool                         `yaml:"useEncryptedTunnel"`
	ChunkCacheSize     string                       `yaml:"chunkCacheSize"`
	Config             writtenConfig                `yaml:"config"`
	Placement          yaml.Node                    `yaml:"placement"`
	ResourceProfile    string                       `yaml:"resourceProfile"`
	Resources          map[string]map[string]string `yaml:"resources"`
	Annotations        map[string]string            `yaml:"annotations"`
	Connections        uint32                       `yaml:"connections"`
	LagTarget          string                       `yaml:"lagTarget"`
	SendLimit          string                       `yaml:"sendLimit"`
	ReceiveLimit       string                       `yaml:"receiveLimit"`
	Enabled            bool                         `yaml:"enabled"`
	Serve              []any                        `yaml:"serve"`
}

// writtenConfig is the group that a link is in, as any of its services has it.
type writtenConfig struct {
	Server  string   `yaml:"server"`
	Clients []string `yaml:"clients"`
}

// writtenServed is a served path with options.
type writtenServed struct {
	Path      string   `yaml:"path"`
	Include   []string `yaml:"include,omitempty"`
	Exclude   []string `yaml:"exclude,omitempty"`
	Direction string   `yaml:"direction,omitempty"`
	Deletes   string   `yaml:"deletes,omitempty"`
}

// Write writes links as [Read] reads them, a document each, in the form of
// Kubernetes. What only happens to a link, such as its peer, is no part of it.
// Of a group a link's document has what is known of it: all of it at its server
// and when the server is among the services, else the link alone.
func Write(w io.Writer, services []*adminpb.Service) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	for _, s := range services {
		doc := written{APIVersion: apiVersion, Kind: Kind}
		doc.Metadata.Name = s.GetName()
		own := s.GetSettings()
		placement, err := jsonNode(own.GetPlacement())
		if err != nil {
			return fmt.Errorf("write manifest of service %s: %w", s.GetName(), err)
		}
		doc.Spec = writtenSpec{
			Direction: s.GetDirection(), RemoteURL: s.GetRemote(), ReplicationType: s.GetReplication(),
			LocalAddr: own.GetLocal(), UseEncryptedTunnel: own.GetTunnel(), ChunkCacheSize: plan.FormatBytes(own.GetChunkCache()),
			Config: config(s, services), Placement: placement, ResourceProfile: own.GetProfile(),
			Resources: plan.ResourceWords(own.GetResources()), Annotations: own.GetAnnotations().GetValues(),
			Connections: s.GetConnections(), LagTarget: duration(s.GetLagTargetSeconds()),
			SendLimit: limit(own.GetSendLimit()), ReceiveLimit: limit(own.GetReceiveLimit()),
			Enabled: s.GetEnabled(), Serve: serve(s),
		}
		if err := out.Encode(doc); err != nil {
			return fmt.Errorf("write manifest of service %s: %w", s.GetName(), err)
		}
	}
	if len(services) == 0 {
		return nil // an encoder that wrote nothing cannot be closed
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write manifests: %w", err)
	}
	return nil
}

// duration is a number of seconds as Go writes it.
func duration(seconds float64) string {
	return time.Duration(math.Round(seconds * float64(time.Second))).String()
}

// limit is a limit with a word for none.
func limit(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// config is the group of a service.
func config(s *adminpb.Service, all []*adminpb.Service) writtenConfig {
	server := s.GetSettings().GetServer()
	switch {
	case server == "" && len(s.GetClients()) == 0:
		return writtenConfig{Clients: []string{}}
	case server == "":
		return writtenConfig{s.GetName(), s.GetClients()}
	}
	for _, other := range all {
		if other.GetName() == server {
			return writtenConfig{server, other.GetClients()}
		}
	}
	return writtenConfig{server, []string{s.GetName()}}
}

// serve is what a service serves: [] when that is nothing, and not null.
func serve(s *adminpb.Service) []any {
	list := []any{}
	for _, path := range s.GetServes() {
		i := slices.IndexFunc(s.GetServed(), func(v *adminpb.ServedPath) bool { return v.GetPath() == path })
		if i < 0 {
			list = append(list, path)
			continue
		}
		v := s.GetServed()[i]
		w := writtenServed{Path: path, Include: v.GetInclude(), Exclude: v.GetExclude(), Direction: v.GetDirection()}
		if v.GetDeletes() != plan.DeletesTravel {
			w.Deletes = v.GetDeletes()
		}
		if len(w.Include)+len(w.Exclude) == 0 && w.Direction+w.Deletes == "" {
			list = append(list, path)
		} else {
			list = append(list, w)
		}
	}
	return list
}

// jsonNode is JSON as YAML in block style; none is {}.
func jsonNode(text string) (yaml.Node, error) {
	if text == "" {
		text = "{}"
	}
	if !json.Valid([]byte(text)) {
		return yaml.Node{}, fmt.Errorf("read placement: it is no JSON")
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return yaml.Node{}, fmt.Errorf("read placement: %w", err)
	}
	blockStyle(&root)
	return *root.Content[0], nil
}
