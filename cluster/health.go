package cluster

import (
	"errors"
	"fmt"
	"net/http"

	"edgefog.dev/isgw/raftfsm/state"
)

// maxProbes bounds the probes that are answered at one time. They take no time
// on a node that lives; on one that hangs they must not pile up.
const maxProbes = 8

// probe answers 200 with "ok", or 503 with why check says no. A probe beyond
// maxProbes is answered 503: those before it hang.
func probe(check func() error) http.Handler {
	slots := make(chan struct{}, maxProbes)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		err := errors.New("the probes before this one have not been answered yet")
		select {
		case slots <- struct{}{}:
			err = check()
			<-slots
		default:
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// Alive says whether the process does its work, so that starting it anew would
// not help: nil also on a node that is not initialised, has no leader or whose
// links are down. It takes the locks that every request takes; a node that is
// stuck in them does not answer.
func (n *Node) Alive() error {
	if n.ctx.Err() != nil {
		return errors.New("the node is draining")
	}
	s := n.current()
	if s == nil {
		return nil
	}
	if err := s.replica.Err(); err != nil {
		return fmt.Errorf("the node stopped: %w", err)
	}
	s.replica.Status()
	s.chunks.Stats()
	return nil
}

// serving says whether clients should be sent to this node: its site is open,
// its endpoints listen, and the site has a leader, so that reads and writes are
// answered. How the links do is no part of it: local work never waits for a link.
func (n *Node) serving() error {
	if err := n.Alive(); err != nil {
		return err
	}
	s := n.current()
	if s == nil {
		if id, _ := n.identity.Site(); id == (state.SiteID{}) {
			return errors.New("the node is not initialised: run isgwctl system init")
		}
		return errors.New("the site is being opened")
	}
	if s.replica.Status().Leader == "" {
		return errors.New("the site has no leader")
	}
	return nil
}
