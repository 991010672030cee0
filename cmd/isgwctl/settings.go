package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/manifest"
)

// settingFlag is the flag of one setting.
type settingFlag struct {
	flag, field string // field is that of a manifest
	help        string
}

// settingFlags are the flags of a link's settings, with the field of a manifest
// that each is. They take what that takes.
var settingFlags = []settingFlag{
	{"remote", "remoteURL", "`URL` of the other site's link endpoint: ccow://HOST:PORT; empty: the other site dials"},
	{"direction", "direction", "let versions flow in this `DIRECTION`: send, receive or send+receive (default send+receive)"},
	{"replication", "replicationType", "replicate in this `WAY`: initial, continuous or initial+continuous (default initial+continuous)"},
	{"connections", "connections", "open `N` connections for content in each direction; 0 is the node's choice"},
	{"lag-target", "lagTarget", "call the link lagging above this `LAG`; 0s is the node's (default 30s)"},
	{"tunnel", "useEncryptedTunnel", "put the link's connections inside SSH: `true|false`"},
	{"local", "localAddr", "listen on this `HOST:PORT` too for the other site; empty: at the node's endpoint only"},
	{"chunk-cache", "chunkCacheSize", "let its buffers and caches take at most `BYTES` such as 256Mi or 1Gi; 0 is what its profile says"},
	{"resource-profile", "resourceProfile", "`PROFILE` performance or embedded; empty is the site's"},
	{"send-limit", "sendLimit", "send at most at this `RATE`, such as 10MiB/s or 10MiB/s,1MiB/s@08:00-18:00, or none"},
	{"receive-limit", "receiveLimit", "receive at most at this `RATE`, or none"},
	{"server", "server", "make use of the endpoint and the bounds of this `LINK`; empty: of its own"},
	{"annotations", "annotations", "keep these `NAME=VALUE,...`, or a mapping in YAML, and no others"},
	{"resources", "resources", "the limits and requests of Kubernetes as `YAML`, such as '{limits: {cpu: 2, memory: 4Gi}}'"},
	{"placement", "placement", "Kubernetes' placement as `YAML`: which nodes of the site may run it"},
}

// settingFile begins the value of a flag that is in a file.
const settingFile = "@"

// addSettings adds the flags of all settings to a command. What it returns gives a
// change of a service what is set of them; an error is a sentence that names the
// flag.
func addSettings(cmd *cobra.Command) func(*adminpb.PlanEditService) error {
	values := make([]string, len(settingFlags))
	for i, s := range settingFlags {
		cmd.Flags().StringVar(&values[i], s.flag, "", s.help)
	}
	return func(edit *adminpb.PlanEditService) error {
		for i, s := range settingFlags {
			if !cmd.Flags().Changed(s.flag) {
				continue
			}
			text, err := settingText(s.field, values[i])
			if err == nil {
				err = manifest.Set(edit, s.field, "--"+s.flag, text)
			}
			if err == nil {
				continue
			}
			reason := err.Error()
			if name := "--" + s.flag; !strings.HasPrefix(reason, name) {
				reason = name + ": " + reason
			}
			return usage("%s", reason)
		}
		return nil
	}
}

// settingText is what a flag says; a value with fields may be in a file.
func settingText(field, value string) (string, error) {
	name, isFile := strings.CutPrefix(value, settingFile)
	if !isFile || !slices.Contains([]string{"annotations", "resources", "placement"}, field) {
		return value, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, manifest.MaxSize+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return string(text), nil
}

// createRequest is the request that makes a link with settings.
func createRequest(kind, name string, edit *adminpb.PlanEditService) *adminpb.CreateServiceRequest {
	return &adminpb.CreateServiceRequest{
		Type: kind, Name: name, Remote: edit.GetRemote(), Direction: edit.GetDirection(), Replication: edit.GetReplication(),
		Connections: edit.GetConnections(), LagTargetSeconds: edit.GetLagTargetSeconds(), Settings: edit.GetSettings(),
	}
}

// serveFlags adds the options of a served path to a command. What it returns is a
// path with those that are set after it.
func serveFlags(cmd *cobra.Command) func(path string) string {
	v := &adminpb.ServedPath{}
	cmd.Flags().StringArrayVar(&v.Include, "include", nil, "only keys that begin with this `PREFIX`; several times: with one of them")
	cmd.Flags().StringArrayVar(&v.Exclude, "exclude", nil, "no keys that begin with this `PREFIX`, which goes before --include")
	cmd.Flags().StringVar(&v.Direction, "direction", "", "only this `WAY`: send or receive (default the link's direction)")
	cmd.Flags().StringVar(&v.Deletes, "deletes", "", "`WHAT` deletions do: travel, or keep, which lets them neither out nor in (default travel)")
	return func(path string) string {
		v.Path = path
		return manifest.ServedText(v)
	}
}

// writeSettings writes the settings of a link.
func writeSettings(s *sheet, v *adminpb.Service) {
	own := v.GetSettings()
	if own == nil {
		return // of a node that is older
	}
	s.line("tunnel", yesNo(own.GetTunnel()))
	s.line("local address", orDash(own.GetLocal()))
	cache := "as its profile says"
	if own.GetChunkCache() > 0 {
		cache = byteCount(own.GetChunkCache())
	}
	s.line("chunk cache", cache)
	profile := v.GetEffectiveProfile()
	switch {
	case own.GetProfile() != "":
	case own.GetServer() != "":
		profile += " (as its server has it)"
	default:
		profile += " (the site's)"
	}
	s.line("resource profile", profile)
	s.line("send limit", own.GetSendLimit())
	s.line("receive limit", own.GetReceiveLimit())
	s.some("server", own.GetServer())
	s.some("clients", strings.Join(v.GetClients(), " "))
	annotations := own.GetAnnotations().GetValues()
	for _, name := range sortedNames(annotations) {
		s.line("annotation", name+"="+annotations[name])
	}
	for _, list := range []string{"requests", "limits"} {
		words := manifest.ResourceWords(own.GetResources())[list]
		var parts []string
		for _, name := range sortedNames(words) {
			parts = append(parts, name+" "+words[name])
		}
		s.some(list, strings.Join(parts, ", "))
	}
	if own.GetPlacement() != "" {
		s.line("placement", own.GetPlacement())
		nodes := strings.Join(v.GetNodes(), " ")
		if nodes == "" {
			nodes = "no node fits; with one node it runs there all the same"
		}
		s.line("may run on", nodes)
	}
}

func sortedNames(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// writeServed writes what a link serves, with options where there are such.
func writeServed(s *sheet, v *adminpb.Service) {
	for _, path := range v.GetServes() {
		i := slices.IndexFunc(v.GetServed(), func(served *adminpb.ServedPath) bool { return served.GetPath() == path })
		if i >= 0 {
			path = strings.ReplaceAll(manifest.ServedText(v.GetServed()[i]), ",", ", ")
		}
		s.line("serves", path)
	}
}
