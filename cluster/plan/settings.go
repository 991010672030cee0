package plan

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// setting is one of a link's settings: how requests name and set it, how commands
// and plans write it, and what it does to a running link when it changes.
type setting struct {
	flag, name string
	// named says whether a request sets it; own is never nil.
	named func(req *adminpb.PlanEditService, own *adminpb.LinkSettings) bool
	// set gives a service the value of a request that names it.
	set func(s *statepb.Service, req *adminpb.PlanEditService, own *adminpb.LinkSettings) error
	// value is the setting as flag takes it; equal texts are equal settings.
	value func(s *statepb.Service) string
	// impact is a sentence about the change to what is; nil: there is nothing to say.
	impact func(is *statepb.Service) string
}

// settings are those of a link that can be edited, in the order in which commands
// and plans have them.
var settings = []setting{
	{
		flag: "--remote", name: "remote",
		named: func(r *adminpb.PlanEditService, _ *adminpb.LinkSettings) bool { return r.Remote != nil },
		set: func(s *statepb.Service, r *adminpb.PlanEditService, _ *adminpb.LinkSettings) (err error) {
			s.Remote, err = ParseRemote(r.GetRemote())
			return err
		},
		value: (*statepb.Service).GetRemote,
	},
	{
		flag: "--connections", name: "connections",
		named: func(r *adminpb.PlanEditService, _ *adminpb.LinkSettings) bool { return r.Connections != nil },
		set: func(s *statepb.Service, r *adminpb.PlanEditService, _ *adminpb.LinkSettings) error {
			if r.GetConnections() > state.MaxConnections {
				return tooManyConnections(r.GetConnections())
			}
			s.Connections = r.GetConnections()
			return nil
		},
		value: func(s *statepb.Service) string { return fmt.Sprint(s.GetConnections()) },
	},
	{
		flag: "--lag-target", name: "lag target",
		named: func(r *adminpb.PlanEditService, _ *adminpb.LinkSettings) bool { return r.LagTargetSeconds != nil },
		set: func(s *statepb.Service, r *adminpb.PlanEditService, _ *adminpb.LinkSettings) (err error) {
			s.LagTarget, err = lagTarget(r.GetLagTargetSeconds())
			return err
		},
		value: func(s *statepb.Service) string { return span(time.Duration(s.GetLagTarget())) },
	},
	{
		flag: "--direction", name: "direction",
		named: func(r *adminpb.PlanEditService, _ *adminpb.LinkSettings) bool { return r.Direction != nil },
		set: func(s *statepb.Service, r *adminpb.PlanEditService, _ *adminpb.LinkSettings) error {
			if directionOf(r.GetDirection()) == directionOf(s.GetDirection()) {
				return nil // it stays as it is written
			}
			s.Direction = r.GetDirection()
			return checkDirection(r.GetDirection())
		},
		value: func(s *statepb.Service) string { return directionOf(s.GetDirection()) },
		impact: func(is *statepb.Service) string {
			switch is.GetDirection() {
			case state.DirectionSend:
				return "Nothing comes in over it any more; what is here stays."
			case state.DirectionReceive:
				return "Nothing leaves this site over it any more; what was copied stays there."
			}
			return "Versions cross in both directions, as far as the other site lets them."
		},
	},
	{
		flag: "--replication", name: "replication",
		named: func(r *adminpb.PlanEditService, _ *adminpb.LinkSettings) bool { return r.Replication != nil },
		set: func(s *statepb.Service, r *adminpb.PlanEditService, _ *adminpb.LinkSettings) error {
			if replicationOf(r.GetReplication()) == replicationOf(s.GetReplication()) {
				return nil
			}
			s.Replication = r.GetReplication()
			return checkReplication(r.GetReplication())
		},
		value: func(s *statepb.Service) string { return replicationOf(s.GetReplication()) },
		impact: func(is *statepb.Service) string {
			switch is.GetReplication() {
			case state.ReplicationInitial:
				return "What is served is copied once; then nothing comes in before `isgwctl service resync " + is.GetName() + "`."
			case state.ReplicationContinuous:
				return "Of what is served from now on only changes come in, and not what is there already."
			}
			return "What is served comes in whole, and then every change."
		},
	},
	{
		flag: "--tunnel", name: "tunnel",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Tunnel != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) error {
			s.Tunnel = own.GetTunnel()
			return nil
		},
		value: func(s *statepb.Service) string { return fmt.Sprint(s.GetTunnel()) },
		impact: func(is *statepb.Service) string {
			if is.GetTunnel() {
				return "Its connections are made anew inside SSH, and the other site is refused while it dials without."
			}
			return "Its connections are made anew without SSH; TLS encrypts them all the same."
		},
	},
	{
		flag: "--local", name: "local address",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Local != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) error {
			s.Local = own.GetLocal()
			return CheckLocal(own.GetLocal())
		},
		value: (*statepb.Service).GetLocal,
		impact: func(is *statepb.Service) string {
			if is.GetLocal() == "" {
				return "The other site reaches it at the node's own endpoint only."
			}
			return "The other site reaches it at " + is.GetLocal() + ", besides the node's own endpoint."
		},
	},
	{
		flag: "--chunk-cache", name: "chunk cache",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.ChunkCache != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) error {
			s.ChunkCache = own.GetChunkCache()
			return CheckChunkCache(own.GetChunkCache())
		},
		value: func(s *statepb.Service) string { return FormatBytes(s.GetChunkCache()) },
		impact: func(is *statepb.Service) string {
			if is.GetChunkCache() == 0 {
				return "Its buffers and caches take as much memory as its profile says."
			}
			return "Its buffers and caches take at most " + size(is.GetChunkCache()) + " of memory."
		},
	},
	{
		flag: "--resource-profile", name: "resource profile",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Profile != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) error {
			s.Profile = own.GetProfile()
			return checkProfile(own.GetProfile())
		},
		value: (*statepb.Service).GetProfile,
		impact: func(is *statepb.Service) string {
			switch is.GetProfile() {
			case state.ProfileEmbedded:
				return "It spares memory and processors, and is slower."
			case state.ProfilePerformance:
				return "It takes memory and processors to be fast."
			}
			return "It has the site's profile."
		},
	},
	{
		flag: "--send-limit", name: "send limit",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.SendLimit != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) (err error) {
			s.SendLimit, err = ParseLimit(own.GetSendLimit())
			return err
		},
		value:  func(s *statepb.Service) string { return FormatLimit(s.GetSendLimit()) },
		impact: func(is *statepb.Service) string { return limitImpact("sends", is.GetSendLimit()) },
	},
	{
		flag: "--receive-limit", name: "receive limit",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.ReceiveLimit != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) (err error) {
			s.ReceiveLimit, err = ParseLimit(own.GetReceiveLimit())
			return err
		},
		value:  func(s *statepb.Service) string { return FormatLimit(s.GetReceiveLimit()) },
		impact: func(is *statepb.Service) string { return limitImpact("receives", is.GetReceiveLimit()) },
	},
	{
		flag: "--server", name: "server",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Server != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) error {
			s.Server = own.GetServer() // checkServer looks at it when all services are known
			return nil
		},
		value: (*statepb.Service).GetServer,
		impact: func(is *statepb.Service) string {
			if is.GetServer() == "" {
				return "It has an endpoint and bounds of its own."
			}
			return "It makes use of the endpoint and the bounds of link " + is.GetServer() + "."
		},
	},
	{
		flag: "--annotations", name: "annotations",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Annotations != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) (err error) {
			s.Annotations, err = Annotations(own.GetAnnotations().GetValues())
			return err
		},
		value: func(s *statepb.Service) string { return inJSON(annotationValues(s.GetAnnotations())) },
	},
	{
		flag: "--resources", name: "resources",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Resources != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) (err error) {
			s.Resources, err = resources(own.GetResources())
			return err
		},
		value: func(s *statepb.Service) string { return inJSON(ResourceWords(describeResources(s.GetResources()))) },
		impact: func(*statepb.Service) string {
			return "The limit of memory bounds its buffers, and the limits of all links together the memory and the threads of the node's process; requests do nothing."
		},
	},
	{
		flag: "--placement", name: "placement",
		named: func(_ *adminpb.PlanEditService, own *adminpb.LinkSettings) bool { return own.Placement != nil },
		set: func(s *statepb.Service, _ *adminpb.PlanEditService, own *adminpb.LinkSettings) (err error) {
			_, s.Placement, err = ParsePlacement([]byte(own.GetPlacement()))
			return err
		},
		value: func(s *statepb.Service) string { return cmp.Or(string(s.GetPlacement()), "{}") },
	},
}

// edited is a service with the settings that a request names.
func edited(old *statepb.Service, req *adminpb.PlanEditService) (*statepb.Service, error) {
	service := proto.CloneOf(old)
	own := ownSettings(req)
	for _, s := range settings {
		if !s.named(req, own) {
			continue
		}
		if err := s.set(service, req, own); err != nil {
			return nil, err
		}
	}
	return service, nil
}

// ownSettings are those of a request that only links have, never nil.
func ownSettings(req *adminpb.PlanEditService) *adminpb.LinkSettings {
	if own := req.GetSettings(); own != nil {
		return own
	}
	return &adminpb.LinkSettings{}
}

// different are the settings in which two services differ.
func different(was, is *statepb.Service) []setting {
	var all []setting
	for _, s := range settings {
		if s.value(was) != s.value(is) {
			all = append(all, s)
		}
	}
	return all
}

// directionOf resolves the default of a direction.
func directionOf(direction string) string { return cmp.Or(direction, state.DirectionBoth) }

// replicationOf resolves the default of a replication type.
func replicationOf(replication string) string { return cmp.Or(replication, state.ReplicationBoth) }

// maxLagTarget is the greatest lag target of a link: more is a typing error.
const maxLagTarget = 7 * 24 * time.Hour

// lagTarget reads a lag target in seconds; 0 is the node's default.
func lagTarget(seconds float64) (int64, error) {
	switch {
	case seconds == 0:
		return 0, nil
	case !(seconds >= 0.001 && seconds <= maxLagTarget.Seconds()): // NaN too
		return 0, invalid("a lag target is from 1ms to %v, not %v seconds", maxLagTarget, seconds).next("0 takes the node's default")
	}
	return int64(math.Round(seconds * float64(time.Second))), nil
}
