package objsync

import (
	"fmt"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/sync/link/linkpb"
)

// Settings are one side's settings of a link that bear on what flows over it. What
// flows is what both sides allow. The zero Settings limit nothing.
type Settings struct {
	// Direction is state.DirectionSend, state.DirectionReceive or
	// state.DirectionBoth; empty means both.
	Direction string
	// Replication is state.ReplicationInitial, state.ReplicationContinuous or
	// state.ReplicationBoth; empty means both.
	Replication string
	// Paused stops both directions: nothing is let out, fetched or applied. The
	// session stays, so that what there is to do is known.
	Paused bool
}

// Sends reports whether the direction lets anything out.
func (s Settings) Sends() bool { return s.Direction != state.DirectionReceive }

// Receives reports whether the direction lets anything in.
func (s Settings) Receives() bool { return s.Direction != state.DirectionSend }

func (s Settings) message() *linkpb.LinkSettings {
	return &linkpb.LinkSettings{Direction: s.Direction, Replication: s.Replication, Paused: s.Paused}
}

// settingsOf takes the settings that a peer tells. Words of a later version limit
// nothing here: that side knows what it means by them, and keeps to it.
func settingsOf(m *linkpb.LinkSettings) Settings {
	return Settings{Direction: m.GetDirection(), Replication: m.GetReplication(), Paused: m.GetPaused()}
}

// flow is what the settings of both sides let through in one direction.
type flow struct {
	off string // why nothing flows, in words; empty when something may
}

// flowOf puts the settings of both sides together, as the side at called here sees
// them; receiving says that here is the receiving end.
func flowOf(here, there Settings, receiving bool, peer string) flow {
	switch {
	case receiving && !here.Receives():
		return flow{off: fmt.Sprintf("nothing is received: the direction here is %s", state.DirectionSend)}
	case receiving && !there.Sends():
		return flow{off: fmt.Sprintf("nothing is received: the direction at %s is %s", peer, state.DirectionReceive)}
	case !receiving && !here.Sends():
		return flow{off: fmt.Sprintf("nothing is sent: the direction here is %s", state.DirectionReceive)}
	case !receiving && !there.Receives():
		return flow{off: fmt.Sprintf("nothing is sent: the direction at %s is %s", peer, state.DirectionSend)}
	}
	return flow{}
}
