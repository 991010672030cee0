package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"github.com/minio/minio-go/v7"
)

// manner is how a host treats the connections to it.
type manner int32

const (
	honest   manner = iota
	swallows        // takes packets and lets nothing out
	deaf            // lets out what the far side says and never reads
	trickles        // lets out a byte a second, in each direction
)

func (m manner) String() string {
	return [...]string{"honest", "swallows packets", "answers and never reads", "a byte a second"}[m]
}

// host is a proxy that may be hostile, to connections that are open too.
type host struct {
	ln     net.Listener
	target string
	manner atomic.Int32

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

func newHost(t *testing.T, target string) *host {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{ln: ln, target: target, open: map[net.Conn]struct{}{}}
	h.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			h.wg.Go(func() { h.carry(in) })
		}
	})
	return h
}

func (h *host) address() string  { return h.ln.Addr().String() }
func (h *host) behave(m manner)  { h.manner.Store(int32(m)) }
func (h *host) is(m manner) bool { return manner(h.manner.Load()) == m }

// close ends all and waits.
func (h *host) close() {
	h.ln.Close()
	h.end()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end()
	h.wg.Wait()
}

// end breaks the connections that are open.
func (h *host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.open {
		c.Close()
	}
}

func (h *host) hold(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.open[c] = struct{}{}
	return true
}

func (h *host) drop(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, c)
	c.Close()
}

func (h *host) carry(in net.Conn) {
	out, err := net.Dial("tcp", h.target)
	if err != nil {
		in.Close()
		return
	}
	defer h.drop(in)
	defer h.drop(out)
	if !h.hold(in) || !h.hold(out) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { h.pass(out, in, true); out.Close(); in.Close() })
	both.Go(func() { h.pass(in, out, false); in.Close(); out.Close() })
	both.Wait()
}

// pass moves bytes one way, as the manner of the moment is. there is the
// direction to the far side.
func (h *host) pass(to, from net.Conn, there bool) {
	buf := make([]byte, 64<<10)
	for {
		switch {
		case h.is(deaf) && there:
			pause(20 * time.Millisecond)
			if !h.alive(from) {
				return
			}
			continue
		case h.is(trickles):
			pause(time.Second)
			n, err := from.Read(buf[:1])
			if err == nil {
				_, err = to.Write(buf[:n])
			}
			if err != nil {
				return
			}
			continue
		}
		// Woken from time to time, to see whether the manner has changed.
		_ = from.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := from.Read(buf)
		_ = from.SetReadDeadline(time.Time{})
		if n > 0 && !h.is(swallows) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil && !os.IsTimeout(err) {
			return
		}
	}
}

// alive reports whether the proxy still holds a connection.
func (h *host) alive(c net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.open[c]
	return ok && !h.closed
}

// unanswered is an address that a connection to it is never made with: the queue
// of connections that nobody accepts is full, and the kernel drops the packets.
func unanswered(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return ""
}

// whyWithin waits until a link that cannot work says so, in the words that are right
// for it, and checks that it takes less than ten seconds, without those by which a busy
// machine ends a pause too late.
func (e *Env) whyWithin(s *Site, service string, began time.Time, words ...string) {
	e.t.Helper()
	var st *adminpb.ServiceStatus
	took, ok := e.soon(began, 10*time.Second, func() bool {
		st = s.Status(service).GetStatus()
		return st.GetState() == adminpb.ServiceState_SERVICE_STATE_DOWN || st.GetState() == adminpb.ServiceState_SERVICE_STATE_STALLED
	})
	switch {
	case !ok:
		e.t.Errorf("after %s the link says %s %q", took, st.GetState(), st.GetCause())
	case st.GetCause() == "" || st.GetNextStep() == "" && !strings.Contains(st.GetCause(), ": "):
		e.t.Errorf("the link is %s without a word why, or what to do", st.GetState())
	case !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(st.GetCause(), w) }):
		e.t.Errorf("the link is %s because of %q, and none of %q", st.GetState(), st.GetCause(), words)
	}
	e.t.Logf("after %s: %s: %s", took.Round(100*time.Millisecond), st.GetState(), st.GetCause())
}

// writes puts small objects at two sites at once, for a while, and returns how
// many each has taken.
func (e *Env) writes(sites [2]*Site, round string, d time.Duration) (n [2]int) {
	e.t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, s := range sites {
		client := s.S3("Hawaii/Cola")
		for w := range 2 {
			wg.Go(func() {
				count := 0
				for began := time.Now(); time.Since(began) < d; count++ {
					content := bytes.NewReader(make([]byte, 4096))
					if _, err := client.PutObject(e.Context(), "bk1", fmt.Sprintf("%s/%d/%d", round, w, count), content, content.Size(), minio.PutObjectOptions{}); err != nil {
						e.t.Errorf("a write at %s: %v", s.Name, err)
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				n[i] += count
			})
		}
	}
	wg.Wait()
	return n
}

// TestHostileHost links a site to a host that swallows packets, one that answers
// and never reads, and one that lets a byte a second through, all in the middle of
// a session, with and without SSH. Each time the cause is said within ten seconds,
// local writes go on as at a site without a link that has the same work to do at
// the same time, memory stays flat, and when the host is honest again everything
// arrives.
func TestHostileHost(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "tunnel"}[tunnel], func(t *testing.T) {
			t.Parallel()
			var hosts [2]*host
			t.Cleanup(func() { // after the environment has checked what the link has brought about
				for _, h := range hosts {
					if h != nil {
						h.close()
					}
				}
			})
			e := New(t)
			near, far := e.Start("near", SiteOptions{Process: true}), e.Start("far", SiteOptions{})
			alone := e.Start("alone", SiteOptions{Process: true})
			for _, s := range []*Site{near, far, alone} {
				s.Create("Hawaii", "Hawaii/Cola", "Hawaii/Cola/bk1")
			}
			l := e.Line("hawaii", near, far, "Hawaii/Cola/bk1")
			e.pair(near, far, l.address(1))
			for i, s := range l.Sites {
				hosts[i] = newHost(t, l.address(i))
				if _, err := s.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{
					Type: "isgw", Name: l.Name, Remote: "ccow://" + hosts[i].address(), Settings: &adminpb.LinkSettings{Tunnel: &tunnel},
				}); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Admin.Services.Serve(e.Context(), l.Name, "Hawaii/Cola/bk1"); err != nil {
					t.Fatal(err)
				}
			}
			e.writes([2]*Site{near, alone}, "before", time.Second)
			l.WaitSynced()
			before, err := near.MemoryPeak()
			if err != nil {
				t.Fatal(err)
			}
			const silent, unasked = "nothing was heard of far for", "has asked for nothing for"
			for _, c := range []struct {
				manner
				words string
			}{{swallows, silent}, {deaf, unasked}, {trickles, silent}} {
				m, began := c.manner, time.Now()
				for _, h := range hosts {
					h.behave(m)
				}
				t.Logf("%s:", m)
				told := make(chan struct{})
				go func() {
					defer close(told)
					e.whyWithin(near, l.Name, began, c.words)
				}()
				round := strings.ReplaceAll(m.String(), " ", "-")
				n := e.writes([2]*Site{near, alone}, round, 3*time.Second)
				<-told
				t.Logf("%d writes, and %d at a site without a link", n[0], n[1])
				fewer := func() bool { return 10*n[0] < 6*n[1] }
				if fewer() { // a few seconds of a busy machine are no measure yet
					n = e.writes([2]*Site{near, alone}, round+"-again", 12*time.Second)
				}
				if fewer() {
					t.Errorf("%s: %d writes, and %d at a site without a link", m, n[0], n[1])
				}
				for _, h := range hosts {
					h.behave(honest)
					h.end() // what was swallowed will not come any more
				}
				l.WaitSynced()
			}
			after, err := near.MemoryPeak()
			if err != nil {
				t.Fatal(err)
			}
			other, err := alone.MemoryPeak()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("memory %d MiB before, %d after, %d at a site without a link", before>>20, after>>20, other>>20)
			if !raced && after-max(before, other) > 64<<20 {
				t.Errorf("the site has taken %d MiB more than one without a link", (after-max(before, other))>>20)
			}
		})
	}
}

// TestHostileFromTheFirst links a site to hosts that never were anything else:
// what is the matter is said within ten seconds.
func TestHostileFromTheFirst(t *testing.T) {
	e := New(t)
	near, far := e.Start("near", SiteOptions{}), e.Start("far", SiteOptions{})
	near.Create("Hawaii", "Hawaii/Cola", "Hawaii/Cola/bk1")
	e.pair(near, far, near.options.Link)
	far.Stop()

	listen := func(serve func(net.Conn)) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { defer c.Close(); serve(c) })
			}
		})
		t.Cleanup(func() {
			ln.Close()
			wg.Wait()
		})
		return ln.Addr().String()
	}
	every := map[string]string{
		"never-answers": unanswered(t),
		"never-reads": listen(func(c net.Conn) {
			_ = c.SetReadDeadline(time.Now().Add(12 * time.Second))
			_, _ = io.Copy(io.Discard, c)
		}),
		"trickles": listen(func(c net.Conn) {
			for range 12 {
				if _, err := c.Write([]byte{0x16}); err != nil {
					return
				}
				pause(time.Second)
			}
		}),
	}
	var wg sync.WaitGroup
	for name, address := range every {
		for _, tunnel := range []bool{false, true} {
			words := []string{address + " has not answered for"}
			if name == "trickles" { // the fifth byte, after four seconds, shows that it is none
				words = append(words, address+" answers, but not with TLS", address+" answers, but not with SSH")
			}
			name := fmt.Sprintf("%s-%t", name, tunnel)
			if _, err := near.Admin.Services.Create(e.Context(), &adminpb.CreateServiceRequest{
				Type: "isgw", Name: name, Remote: "ccow://" + address, Settings: &adminpb.LinkSettings{Tunnel: &tunnel},
			}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			wg.Go(func() { e.whyWithin(near, name, began, words...) })
		}
	}
	wg.Wait()
	for _, s := range []string{"never-answers", "never-reads", "trickles"} {
		for _, tunnel := range []bool{false, true} {
			if err := near.Admin.Services.Delete(e.Context(), fmt.Sprintf("%s-%t", s, tunnel)); err != nil {
				t.Error(err)
			}
		}
	}
}
