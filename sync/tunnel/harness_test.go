package tunnel

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds everything that a test waits for.
const patience = time.Minute

// party is one side: a name with a key, and the parties that it believes.
type party struct {
	name string
	key  ed25519.PrivateKey

	mu    sync.Mutex
	knows map[string]ed25519.PublicKey
}

func newParty(name string) *party {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return &party{name: name, key: ed25519.NewKeyFromSeed(seed), knows: make(map[string]ed25519.PublicKey)}
}

func (p *party) meet(o *party) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knows[o.name] = o.key.Public().(ed25519.PublicKey)
}

var errStranger = errors.New("a stranger")

// options are those of a party whose proof is its name.
func (p *party) options() Options {
	return Options{
		Credentials: func() (ed25519.PrivateKey, []byte, error) { return p.key, []byte(p.name), nil },
		Verify: func(key ed25519.PublicKey, proof []byte) (any, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if known := p.knows[string(proof)]; known == nil || !known.Equal(key) {
				return nil, fmt.Errorf("%w called %q", errStranger, proof)
			}
			return string(proof), nil
		},
	}
}

// twoParties believe each other.
func twoParties() (near, far *party) {
	near, far = newParty("near"), newParty("far")
	near.meet(far)
	far.meet(near)
	return near, far
}

// refusals are what a listener was told to have come to nothing.
type refusals struct {
	mu   sync.Mutex
	errs []error
}

func (r *refusals) add(_ net.Addr, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *refusals) has(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.errs {
		if strings.Contains(e.Error(), what) {
			return true
		}
	}
	return false
}

// listen starts a listener on loopback; change may alter its options.
func listen(t testing.TB, p *party, change func(*Options)) (*Listener, *refusals) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listenOn(t, inner, p, change)
}

func listenOn(t testing.TB, inner net.Listener, p *party, change func(*Options)) (*Listener, *refusals) {
	t.Helper()
	o, refused := p.options(), new(refusals)
	if change != nil {
		change(&o)
	}
	l, err := Listen(inner, o, refused.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, refused
}

// dialer makes the dialer of a party.
func dialer(t testing.TB, p *party, dial func(context.Context, string, string) (net.Conn, error), change func(*Options)) *Dialer {
	t.Helper()
	o := p.options()
	if change != nil {
		change(&o)
	}
	d, err := NewDialer(o, dial)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// pair makes a tunnel over loopback.
func pair(t testing.TB, change func(*Options)) (here, there *Conn) {
	t.Helper()
	near, far := twoParties()
	l, _ := listen(t, far, change)
	return connect(t, l, dialer(t, near, nil, change))
}

func connect(t testing.TB, l *Listener, d *Dialer) (here, there *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	c, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here = c.(*Conn)
	t.Cleanup(func() { here.Close() })
	select {
	case c := <-accepted:
		there = c.(*Conn)
	case <-ctx.Done():
		t.Fatal("nothing was accepted")
	}
	t.Cleanup(func() { there.Close() })
	return here, there
}

// until polls for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-limit.C:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// TestMain fails when goroutines are left after the last test.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		code = leftGoroutines()
	}
	os.Exit(code)
}

func leftGoroutines() int {
	limit := time.NewTimer(patience / 2)
	defer limit.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var left []string
		for _, g := range strings.Split(string(buf), "\n\n") {
			if !strings.Contains(g, "leftGoroutines") && (strings.Contains(g, "sync/tunnel") || strings.Contains(g, "x/crypto/ssh")) {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return 0
		}
		select {
		case <-poll.C:
		case <-limit.C:
			println("goroutines left behind:\n" + strings.Join(left, "\n\n"))
			return 1
		}
	}
}
