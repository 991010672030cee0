package raftfsm

// Status is a replica at one moment.
type Status struct {
	NodeID       string
	State        string   // leader, follower, candidate or shutdown
	Leader       string   // id of the leading node, empty when none is known
	Term         uint64   // raft's term
	CommitIndex  uint64   // highest index known to be committed
	AppliedIndex uint64   // highest index whose effects the state shows
	LastIndex    uint64   // highest index in this node's log
	Voters       []string // ids of the voting nodes, ordered

	LastSnapshot  uint64 // index of the newest snapshot, 0 when there is none
	SnapshotBytes int64  // log bytes applied since it, towards the next

	Entries  uint64 // entries that this process proposed and saw committed
	Commands uint64 // commands in them; divided by Entries: the mean group
}
