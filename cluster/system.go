package cluster

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/buildinfo"
	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/raftfsm/state"
)

// systemAdmin is admin.System over a node.
type systemAdmin struct{ *Node }

func (a systemAdmin) Init(ctx context.Context, _ *adminpb.InitRequest) (*adminpb.StatusResponse, error) {
	a.initMu.Lock()
	defer a.initMu.Unlock()
	if s := a.current(); s != nil {
		return nil, admin.Errorf(admin.CodeExists, "site %s is initialised already, as %s", a.opts.Site, s.id)
	}
	if err := a.initSite(ctx); err != nil {
		return nil, err
	}
	return a.Status(ctx)
}

func (a systemAdmin) Status(context.Context) (*adminpb.StatusResponse, error) {
	st, s := a.describe()
	if s != nil {
		st.State, st.Problems = s.health(st.GetRaft().GetLeader() != "", st.GetStorage())
	}
	return st, nil
}

// describe is the status of the node without that of its links and what follows
// from it, and the open site, or nil.
func (n *Node) describe() (*adminpb.StatusResponse, *site) {
	now := n.opts.Clock()
	st := &adminpb.StatusResponse{
		Time:     timestamppb.New(now),
		State:    adminpb.NodeState_NODE_STATE_FRESH,
		NodeId:   n.identity.ID(),
		NodeName: n.identity.Name(),
		SiteName: n.identity.SiteName(),
		Version:  buildinfo.Read().Version,
		Started:  timestamppb.New(n.started),
		DataDir:  n.opts.Dir,
	}
	endpoint := func(name, configured, listening string) {
		if configured == None && listening == "" {
			return
		}
		e := &adminpb.Endpoint{Name: name, Address: configured, Listening: listening != ""}
		if listening != "" {
			e.Address = listening
		}
		st.Endpoints = append(st.Endpoints, e)
	}
	endpoint("admin", "unix:"+n.socket, "unix:"+n.socket)
	s := n.current()
	if s == nil {
		endpoint("s3", n.opts.S3, "")
		endpoint("link", n.opts.Link, "")
		endpoint("metrics", n.opts.Metrics, n.metricsAddress)
		return st, nil
	}
	endpoint("s3", n.opts.S3, s.s3Address)
	endpoint("link", n.opts.Link, s.linkAddress)
	endpoint("metrics", n.opts.Metrics, n.metricsAddress)
	endpoint("admin over TLS", n.opts.Admin, s.adminAddress)

	st.Initialised = true
	st.SiteId = s.id.String()
	own, _, _ := s.replica.Config().Site()
	st.Profile = state.EffectiveProfile(nil, own)
	st.Labels = map[string]string{}
	self, _, _ := s.replica.Config().Node(n.identity.ID())
	for _, l := range self.GetLabels() {
		st.Labels[l.GetName()] = l.GetValue()
	}
	raft := s.replica.Status()
	st.Raft = &adminpb.RaftStatus{
		State: raft.State, Leader: raft.Leader, Term: raft.Term,
		CommitIndex: raft.CommitIndex, AppliedIndex: raft.AppliedIndex,
		Voters: raft.Voters, SnapshotIndex: raft.LastSnapshot,
	}
	st.Storage = s.storage()
	return st, s
}

// storage counts what the site holds.
func (s *site) storage() *adminpb.StorageStatus {
	chunks := s.chunks.Stats()
	out := &adminpb.StorageStatus{Chunks: chunks.Chunks, ChunkBytes: chunks.Bytes}
	out.Objects, out.LogicalBytes = s.replica.Catalog().TotalSize()
	out.DiskCapacity, out.DiskFree = s.node.opts.disk(s.node.opts.Dir)
	return out
}

// diskOf is the size in bytes of the file system of a directory, and what of it the
// node may still write.
func diskOf(dir string) (capacity, free uint64) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0
	}
	return fs.Blocks * uint64(fs.Bsize), fs.Bavail * uint64(fs.Bsize)
}

// health says what an operator should know of the node.
func (s *site) health(hasLeader bool, storage *adminpb.StorageStatus) (adminpb.NodeState, []*adminpb.Problem) {
	var problems []*adminpb.Problem
	state := adminpb.NodeState_NODE_STATE_ONLINE
	if !hasLeader {
		state = adminpb.NodeState_NODE_STATE_FAULTED
		problems = append(problems, &adminpb.Problem{
			What: "the site has no leader: nothing can be written", NextStep: "see the node's log",
		})
	}
	if own := s.nodeProblems(storage); len(own) > 0 {
		state = max(state, adminpb.NodeState_NODE_STATE_DEGRADED)
		problems = append(problems, own...)
	}
	for _, service := range plan.AllServices(s.replica.Config()) {
		st, _ := s.linkSummary(service)
		switch st.GetState() {
		case adminpb.ServiceState_SERVICE_STATE_DOWN, adminpb.ServiceState_SERVICE_STATE_REFUSED,
			adminpb.ServiceState_SERVICE_STATE_STALLED, adminpb.ServiceState_SERVICE_STATE_UNPAIRED:
			state = max(state, adminpb.NodeState_NODE_STATE_DEGRADED)
			problems = append(problems, &adminpb.Problem{
				What: fmt.Sprintf("service %s: %s", service.GetName(), st.GetCause()), NextStep: st.GetNextStep(),
			})
		}
	}
	return state, problems
}

// nodeProblems are those of the node itself, not of its links.
func (s *site) nodeProblems(storage *adminpb.StorageStatus) []*adminpb.Problem {
	var problems []*adminpb.Problem
	if err := s.replica.Space(); err != nil {
		problems = append(problems, &adminpb.Problem{What: "writes are refused: " + err.Error(), NextStep: "free space on that disk"})
	} else if storage.GetDiskCapacity() > 0 && storage.GetDiskFree() < storage.GetDiskCapacity()/20 {
		problems = append(problems, &adminpb.Problem{
			What:     fmt.Sprintf("the disk of %s has less than 5 %% free", s.node.opts.Dir),
			NextStep: "free space: writes are refused when it is full",
		})
	}
	if fault := s.front.problem(); fault != nil {
		problems = append(problems, &adminpb.Problem{
			What: fault.Error(), NextStep: "put a certificate and its key into the files of --s3-cert and --s3-key",
		})
	}
	for _, door := range s.links.doors.problems() {
		problems = append(problems, &adminpb.Problem{What: door.what, NextStep: door.next})
	}
	if n := s.chunks.Stats().Corrupt; n > 0 {
		problems = append(problems, &adminpb.Problem{
			What:     fmt.Sprintf("%s found damaged bytes since the node started", counted(n, "read of a chunk has", "reads of chunks have")),
			NextStep: "check the disk, see the node's log for the chunks, and fetch them again over a link (isgwctl link verify NAME --content --repair)",
		})
	}
	return problems
}
