package objsync

import (
	"testing"
	"testing/synctest"
	"time"
)

// trio is three sites that have bk1, and a link between each two of them: of ab, a's end.
type trio struct {
	a, b, c                *testSite
	ab, ba, ac, ca, bc, cb *half
}

// three runs f with three sites in a bubble; nothing is started yet. prepare, when set,
// sees the sites before they have the bucket.
func three(t *testing.T, prepare, f func(t *testing.T, s *trio)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &trio{a: newTestSite(t, 1), b: newTestSite(t, 2), c: newTestSite(t, 3)}
		if prepare != nil {
			prepare(t, s)
		}
		for _, site := range s.sites() {
			site.ensureBucket(bk1)
		}
		s.ab, s.ba = connect(t, s.a, s.b, nil, bk1)
		s.ac, s.ca = connect(t, s.a, s.c, nil, bk1)
		s.bc, s.cb = connect(t, s.b, s.c, nil, bk1)
		defer func() {
			for _, h := range s.halves() {
				h.halt()
			}
			for _, site := range s.sites() {
				site.close()
			}
		}()
		f(t, s)
	})
}

func (s *trio) sites() []*testSite { return []*testSite{s.a, s.b, s.c} }

func (s *trio) halves() []*half { return []*half{s.ab, s.ba, s.ac, s.ca, s.bc, s.cb} }

// both starts both ends of a link and waits until it is in sync.
func both(t *testing.T, x, y *half) {
	t.Helper()
	x.start()
	y.start()
	synced(t, 5*time.Minute, x, y)
}

// apart halts both ends of a link.
func apart(x, y *half) {
	x.halt()
	y.halt()
}
