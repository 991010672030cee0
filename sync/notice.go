package objsync

import (
	"fmt"
	"time"
)

// Notice is something that a link did by itself and that its operators are to know,
// though it is over when they look.
type Notice struct {
	Time time.Time
	Text string
}

// maxNotices bounds those that nobody has taken; of more the oldest are dropped.
const maxNotices = 64

// TakeNotices returns what has happened since the last call, the oldest first. It
// may be called by any goroutine.
func (e *Engine) TakeNotices() []Notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.notices
	e.notices = nil
	return out
}

// noticeComparison tells that a bucket is compared as a whole, and why its log could
// not be followed.
func (e *Engine) noticeComparison(now time.Time, path, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.notices) >= maxNotices {
		e.notices = append(e.notices[:0], e.notices[1:]...)
	}
	e.notices = append(e.notices, Notice{now, fmt.Sprintf("bucket %s is compared as a whole, which only merges: %s", path, why)})
}
