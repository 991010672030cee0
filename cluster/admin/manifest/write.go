package manifest

import (
	"fmt"
	"io"
	"math"
	"time"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// written is the form of a manifest, in its order. Every setting is there, so
// that reading it again brings a link back to exactly this.
type written struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Direction       string   `yaml:"direction"`
		RemoteURL       string   `yaml:"remoteURL"`
		ReplicationType string   `yaml:"replicationType"`
		Connections     uint32   `yaml:"connections"`
		LagTarget       string   `yaml:"lagTarget"`
		Enabled         bool     `yaml:"enabled"`
		Serve           []string `yaml:"serve"`
	} `yaml:"spec"`
}

// Write writes links as [Read] reads them, a document each, in the form of
// Kubernetes. What only happens to a link, such as its peer, is no part of it.
func Write(w io.Writer, services []*adminpb.Service) error {
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	for _, s := range services {
		doc := written{APIVersion: apiVersion, Kind: Kind}
		doc.Metadata.Name = s.GetName()
		doc.Spec.Direction, doc.Spec.RemoteURL, doc.Spec.ReplicationType = s.GetDirection(), s.GetRemote(), s.GetReplication()
		doc.Spec.Connections, doc.Spec.Enabled = s.GetConnections(), s.GetEnabled()
		doc.Spec.LagTarget = time.Duration(math.Round(s.GetLagTargetSeconds() * float64(time.Second))).String()
		doc.Spec.Serve = append([]string{}, s.GetServes()...) // [] when there are none, and not null
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
