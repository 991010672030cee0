package manifest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// floatTag is that of numbers with a fraction or an exponent.
const floatTag = "!!float"

// settings are the fields of spec that links have, and what reads each.
var settings = map[string]func(*reader, *adminpb.PlanApplyService, pair){
	"direction": func(r *reader, s *adminpb.PlanApplyService, p pair) {
		s.Settings.Direction = r.word(p, state.DirectionSend, state.DirectionReceive, state.DirectionBoth)
	},
	"replicationType": func(r *reader, s *adminpb.PlanApplyService, p pair) {
		s.Settings.Replication = r.word(p, state.ReplicationInitial, state.ReplicationContinuous, state.ReplicationBoth)
	},
	"remoteURL":   func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Settings.Remote = r.remote(p) },
	"connections": func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Settings.Connections = r.connections(p) },
	"lagTarget":   func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Settings.LagTargetSeconds = r.lagTarget(p) },
	"enabled":     func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Enabled = r.yesNo(p) },
	"serve":       func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Serves = r.serves(p) },
	"config":      func(r *reader, s *adminpb.PlanApplyService, p pair) { s.Group = r.group(p) },

	"useEncryptedTunnel": func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).Tunnel = r.yesNo(p) },
	"localAddr":          func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).Local = r.checked(p, plan.CheckLocal) },
	"chunkCacheSize":     func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).ChunkCache = r.chunkCache(p) },
	"resourceProfile": func(r *reader, s *adminpb.PlanApplyService, p pair) {
		own(s).Profile = r.word(p, state.ProfilePerformance, state.ProfileEmbedded)
	},
	"sendLimit":    func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).SendLimit = r.checked(p, checkLimit) },
	"receiveLimit": func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).ReceiveLimit = r.checked(p, checkLimit) },
	"annotations":  (*reader).annotations,
	"resources":    func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).Resources = r.resources(p) },
	"placement":    func(r *reader, s *adminpb.PlanApplyService, p pair) { own(s).Placement = r.placement(p) },
}

// own are the settings that only links have, of what a manifest says.
func own(s *adminpb.PlanApplyService) *adminpb.LinkSettings {
	if s.Settings.Settings == nil {
		s.Settings.Settings = &adminpb.LinkSettings{}
	}
	return s.Settings.Settings
}

// specFields are all fields that spec may have.
func specFields() []string {
	return slices.AppendSeq(slices.Collect(maps.Keys(settings)), maps.Keys(absents))
}

// setting reads one field of spec; false when there is none of that name. One
// without a value says nothing, as if it were not written.
func (r *reader) setting(s *adminpb.PlanApplyService, p pair) bool {
	if a, ok := absents[p.name]; ok {
		if !a.changesNothing(p.value) {
			r.fault(p.key, "%s", a.sentence(p.name))
		}
		return true
	}
	read, ok := settings[p.name]
	if ok && !isNull(p.value) {
		read(r, s, p)
	}
	return ok
}

func (r *reader) remote(p pair) *string {
	remote, ok := r.text(p)
	if !ok {
		return nil
	}
	scheme, _, _ := strings.Cut(remote, "://")
	switch {
	case remote == "":
	case scheme == "file", scheme == "s3":
		r.fault(p.value, "%s is %s: a link to %s:// is not available in this release; give it as ccow://HOST:PORT", p.name, clipped(remote), scheme)
	default:
		if _, err := state.ParseRemote(remote); err != nil {
			r.fault(p.value, "%s: %v", p.name, err)
		}
	}
	return &remote
}

func (r *reader) connections(p pair) *uint32 {
	text, ok := r.scalar(p, intTag, "a whole number")
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > state.MaxConnections {
		r.fault(p.value, "%s is from 0, the node's choice, to %d, and not %s", p.name, state.MaxConnections, clipped(text))
		return nil
	}
	return new(uint32(n))
}

func (r *reader) lagTarget(p pair) *float64 {
	text, ok := r.scalar(p, textTag, "a duration such as 45s or 5m")
	if !ok {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		r.fault(p.value, "%s is a duration such as 45s or 5m, and not %s", p.name, clipped(text))
		return nil
	}
	return new(d.Seconds())
}

func (r *reader) yesNo(p pair) *bool {
	text, ok := r.scalar(p, boolTag, "true or false")
	if !ok {
		return nil
	}
	return new(strings.EqualFold(text, "true"))
}

// checked reads a text that has a form of its own.
func (r *reader) checked(p pair, check func(string) error) *string {
	text, ok := r.text(p)
	if !ok {
		return nil
	}
	if err := check(text); err != nil {
		r.fault(p.value, "%s: %v", p.name, err)
		return nil
	}
	return &text
}

func checkLimit(text string) error {
	_, err := plan.ParseLimit(text)
	return err
}

// amount is a quantity of Kubernetes, which may be a number without quotes.
func (r *reader) amount(p pair, parse func(string) (uint64, error)) (uint64, bool) {
	n := p.value
	if isNull(n) {
		return 0, true
	}
	if n.Kind != yaml.ScalarNode || n.Tag != textTag && n.Tag != intTag && n.Tag != floatTag {
		r.fault(n, "%s is an amount such as 2, 500m or 1Gi", p.name)
		return 0, false
	}
	amount, err := parse(n.Value)
	if err != nil {
		r.fault(n, "%s: %v", p.name, err)
		return 0, false
	}
	return amount, true
}

func (r *reader) chunkCache(p pair) *uint64 {
	bytes, ok := r.amount(p, plan.ParseBytes)
	if !ok {
		return nil
	}
	if err := plan.CheckChunkCache(bytes); err != nil {
		r.fault(p.value, "%s: %v", p.name, err)
		return nil
	}
	return &bytes
}

// resources reads the requests and limits of a container.
func (r *reader) resources(p pair) *adminpb.LinkResources {
	out := &adminpb.LinkResources{}
	lists := map[string][2]*uint64{
		"requests": {&out.RequestCpuMillis, &out.RequestMemoryBytes},
		"limits":   {&out.LimitCpuMillis, &out.LimitMemoryBytes},
	}
	for _, list := range r.pairs(p.value, p.name) {
		to, known := lists[list.name]
		if !known {
			r.unknown(list, p.name, slices.Collect(maps.Keys(lists)))
			continue
		}
		for _, amount := range r.pairs(list.value, list.name) {
			switch amount.name {
			case "cpu":
				*to[0], _ = r.amount(amount, plan.ParseCPU)
			case "memory":
				*to[1], _ = r.amount(amount, plan.ParseBytes)
			default:
				r.unknown(amount, list.name, []string{"cpu", "memory"})
			}
		}
	}
	if err := plan.CheckResources(out); err != nil {
		r.fault(p.value, "%v", err)
	}
	return out
}

// annotations reads names with texts. Those of metadata and of spec are one list.
func (r *reader) annotations(s *adminpb.PlanApplyService, p pair) {
	if isNull(p.value) {
		return
	}
	all := own(s).GetAnnotations()
	if all == nil {
		all = &adminpb.LinkAnnotations{Values: map[string]string{}}
	}
	for _, a := range r.pairs(p.value, p.name) {
		text, ok := "", true
		if !isNull(a.value) {
			text, ok = r.text(pair{"annotation " + clipped(a.name), a.key, a.value})
		}
		if !ok {
			continue
		}
		if err := state.CheckAnnotations("annotation", []*statepb.Annotation{{Name: a.name, Value: text}}); err != nil {
			r.fault(a.key, "%v", err)
			continue
		}
		if before, twice := all.Values[a.name]; twice && before != text {
			r.fault(a.key, "annotation %s has another value in metadata", clipped(a.name))
			continue
		}
		all.Values[a.name] = text
	}
	if len(all.Values) > state.MaxAnnotations {
		r.fault(p.value, "%s are %d, more than %d", p.name, len(all.Values), state.MaxAnnotations)
	}
	own(s).Annotations = all
}

// placement reads Kubernetes' placement as its JSON.
func (r *reader) placement(p pair) *string {
	placement := &plan.Placement{}
	before := len(r.faults)
	r.fill(p.value, reflect.ValueOf(placement).Elem(), p.name)
	if len(r.faults) > before {
		return nil
	}
	text, err := json.Marshal(placement)
	if err == nil {
		_, text, err = plan.ParsePlacement(text)
	}
	if err != nil {
		r.fault(p.value, "%s: %s", p.name, strings.TrimPrefix(err.Error(), "placement: "))
		return nil
	}
	return new(string(text))
}

// fill reads a value into what its type says; the names of fields are those of
// their JSON. The types are of this program, so their depth bounds the recursion.
func (r *reader) fill(n *yaml.Node, v reflect.Value, what string) {
	if isNull(n) {
		return
	}
	if n.Kind == yaml.AliasNode {
		r.fault(n, "%s is an alias: write the value itself", clipped(what))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.fill(n, v.Elem(), what)
	case reflect.Struct:
		fields := map[string]reflect.Value{}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			fields[name] = v.Field(i)
		}
		for _, p := range r.pairs(n, what) {
			if field, known := fields[p.name]; known {
				r.fill(p.value, field, p.name)
			} else {
				r.unknown(p, what, slices.Collect(maps.Keys(fields)))
			}
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.fault(n, "%s is a list", what)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			r.fill(item, v.Index(i), what)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, p := range r.pairs(n, what) {
			if text, ok := r.text(p); ok {
				v.SetMapIndex(reflect.ValueOf(p.name), reflect.ValueOf(text))
			}
		}
	case reflect.String:
		if text, ok := r.text(pair{what, n, n}); ok {
			v.SetString(text)
		}
	default: // the numbers
		if text, ok := r.scalar(pair{what, n, n}, intTag, "a whole number"); ok {
			number, err := strconv.ParseInt(text, 0, 32)
			if err != nil {
				r.fault(n, "%s is a whole number, and not %s", what, clipped(text))
				return
			}
			v.SetInt(number)
		}
	}
}

// group reads which services one endpoint serves.
func (r *reader) group(p pair) *adminpb.PlanGroup {
	out := &adminpb.PlanGroup{}
	name := func(p pair) (string, bool) {
		name, ok := r.text(p)
		if !ok || name == "" {
			return name, ok
		}
		if err := state.CheckName("service", name); err != nil {
			r.fault(p.value, "%v", err)
			return "", false
		}
		return name, true
	}
	for _, f := range r.pairs(p.value, p.name) {
		switch {
		case isNull(f.value):
		case f.name == "server":
			out.Server, _ = name(f)
		case f.name == "clients" && f.value.Kind == yaml.SequenceNode:
			for _, n := range f.value.Content {
				client, ok := name(pair{"a name in clients", n, n})
				switch {
				case !ok:
				case client == "":
					r.fault(n, "a name in clients is empty")
				case slices.Contains(out.Clients, client):
					r.fault(n, "clients has %s twice", client)
				case len(out.Clients) == plan.MaxManifest:
					r.fault(n, "clients has more than %d names", plan.MaxManifest)
					return out
				default:
					out.Clients = append(out.Clients, client)
				}
			}
		case f.name == "clients":
			r.fault(f.value, "clients is a list of services")
		default:
			r.unknown(f, p.name, []string{"server", "clients"})
		}
	}
	switch {
	case len(out.Clients) > 0 && out.Server == "":
		r.fault(p.value, "%s has clients and no server: name the service whose endpoint they make use of", p.name)
	case slices.Contains(out.Clients, out.Server):
		r.fault(p.value, "%s has the server %s among its clients", p.name, out.Server)
	}
	return out
}
