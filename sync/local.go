package objsync

import (
	"context"
	"sync"

	"edgefog.dev/isgw/sync/link"
)

// Local is what this site offers to one peer over one link. It implements
// link.Source; the peer's requests reach it through the link's endpoint, which
// has authenticated the peer. Its methods may be called at once from any
// number of goroutines.
type Local struct {
	o    LocalOptions
	mu   sync.Mutex
	kick chan struct{}
}

var _ link.Source = (*Local)(nil)

// NewLocal returns the source for one peer. It starts nothing.
func NewLocal(o LocalOptions) (*Local, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Local{o: o, kick: make(chan struct{})}, nil
}

// Kick makes open change streams look at the served list at once. It is to be
// called when the config changed.
func (l *Local) Kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.kick)
	l.kick = make(chan struct{})
}

// Flush commits what the peer told of its progress, without waiting for
// LocalOptions.ProgressEvery. It is called before a Local is dropped, and when
// somebody waits for the link to be in sync.
func (l *Local) Flush(ctx context.Context) error { return nil }

// Status returns where the sending direction stands.
func (l *Local) Status() SendStatus { return SendStatus{Peer: l.o.Peer} }
