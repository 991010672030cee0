package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bounds of connections of which it is not known yet what they are, or whose.
const (
	maxUnknown     = 128
	maxHostUnknown = 32 // from one address
)

// Listener takes tunnels and plain connections from another listener. Any number
// of goroutines may use it at once.
type Listener struct {
	inner   net.Listener
	o       Options
	refused func(remote net.Addr, err error)

	ready  chan net.Conn
	ctx    context.Context // ends with Close, or with the inner listener
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	err    error // of the inner listener
	open   int
	byHost map[string]int
}

// Listen returns a listener for what dials inner, which it owns from now on. It
// begins to accept at once. refused, which may be nil, is told of connections
// that came to nothing, by any goroutine; strangers can bring it about as often
// as they like.
func Listen(inner net.Listener, o Options, refused func(remote net.Addr, err error)) (*Listener, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if refused == nil {
		refused = func(net.Addr, error) {}
	}
	l := &Listener{inner: inner, o: o, refused: refused, ready: make(chan net.Conn), byHost: make(map[string]int)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.wg.Go(l.accept)
	return l, nil
}

// Accept implements net.Listener. What it returns is a *Conn, or a connection
// that is not SSH, just as the inner listener gave it but for its first byte,
// which was looked at: it has a method NetConn. One side has to speak first on a
// plain connection, and it has to be the one that dialled.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return nil, l.err
		}
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It ends the handshakes under way and waits for
// them; connections that were accepted live on.
func (l *Listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.wg.Wait()
	return err
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// accept takes connections from the inner listener until that ends.
func (l *Listener) accept() {
	defer l.cancel()
	for {
		c, err := l.inner.Accept()
		if err != nil {
			if l.ctx.Err() == nil && isTemporary(err) {
				l.refused(l.inner.Addr(), err)
				pause(l.ctx, 100*time.Millisecond) // out of descriptors, as a rule
				continue
			}
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		host := hostOf(c)
		if err := l.enter(host); err != nil {
			c.Close()
			l.refused(c.RemoteAddr(), err)
			continue
		}
		l.wg.Go(func() { l.welcome(c, host) })
	}
}

// enter takes a place for a connection that nothing is known of.
func (l *Listener) enter(host string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= maxUnknown:
		return errors.New("too many connections have not said yet whose they are")
	case l.byHost[host] >= maxHostUnknown:
		return errors.New("too many connections of this address have not said yet whose they are")
	}
	l.open++
	l.byHost[host]++
	return nil
}

func (l *Listener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byHost[host]--; l.byHost[host] == 0 {
		delete(l.byHost, host)
	}
}

// welcome finds out what a connection is and gives it to Accept.
func (l *Listener) welcome(under net.Conn, host string) {
	ctx, cancel := context.WithTimeout(l.ctx, l.o.Handshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { under.Close() })
	c, err := l.identify(under)
	l.leave(host)
	if !stop() {
		if err == nil {
			c.Close()
		}
		if err = context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("it has not said within %s what it is", l.o.Handshake)
		}
	}
	if err != nil {
		under.Close()
		if l.ctx.Err() == nil {
			l.refused(under.RemoteAddr(), err)
		}
		return
	}
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		c.Close()
	}
}

// identify looks at the first byte of a connection, and makes a tunnel of it if
// that is how SSH begins. The caller closes under when it fails, or when its
// time is over.
func (l *Listener) identify(under net.Conn) (net.Conn, error) {
	var first [1]byte
	if _, err := under.Read(first[:]); err != nil {
		return nil, err
	}
	c := &begunConn{Conn: under, first: first[:]}
	if first[0] != sshGreeting[0] {
		return c, nil
	}
	return l.shake(newRawConn(c))
}

// shake runs the handshake and takes the channel.
func (l *Listener) shake(raw *rawConn) (*Conn, error) {
	signer, err := l.o.signer(ssh.HostCert)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		Config:                  l.o.common(),
		PublicKeyAuthAlgorithms: []string{ssh.KeyAlgoED25519},
		MaxAuthTries:            2, // the second is for whoever begins with another method
		ServerVersion:           version,
		// It may be called with keys that the other side turns out not to have:
		// only what is in the connection's permissions counts.
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			peer, err := l.o.verify(key, ssh.UserCert)
			if err != nil {
				return nil, &UntrustedError{err}
			}
			return &ssh.Permissions{ExtraData: map[any]any{peerKey{}: peer}}, nil
		},
	}
	config.AddHostKey(signer)
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		if refusals, ok := errors.AsType[*ssh.ServerAuthError](err); ok {
			for _, e := range refusals.Errors {
				if untrusted, ok := errors.AsType[*UntrustedError](e); ok {
					return nil, untrusted
				}
			}
		}
		return nil, raw.cause(err)
	}
	channel, ofTunnel, err := first(channels, requests)
	if err != nil {
		err = raw.cause(err)
		raw.Close()
		service{channels: channels, requests: requests}.run() // ends with the connection
		return nil, err
	}
	return newConn(raw, conn, channel, conn.Permissions.ExtraData[peerKey{}], l.o.Alive, service{channels, requests, ofTunnel}), nil
}

// peerKey finds the peer in the permissions of a connection.
type peerKey struct{}

// first waits for the one channel that a tunnel has.
func first(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) (ssh.Channel, <-chan *ssh.Request, error) {
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return nil, nil, errors.New("the connection ended before a channel was opened")
			}
			_ = r.Reply(false, nil) // an error is the connection's, which ends
		case c, ok := <-channels:
			switch {
			case !ok:
				return nil, nil, errors.New("the connection ended before a channel was opened")
			case c.ChannelType() == channelType:
				return c.Accept()
			}
			// Whoever asks for a shell has come to the wrong place.
			kind := c.ChannelType()
			_ = c.Reject(ssh.UnknownChannelType, "this is the link address of an isgw site: there is nothing here but links")
			return nil, nil, fmt.Errorf("a channel of type %.40q was asked for", kind)
		}
	}
}

// begunConn is a connection of which the first byte was read.
type begunConn struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// NetConn is the connection as it was accepted, for its settings.
func (c *begunConn) NetConn() net.Conn { return c.Conn }

// isTemporary reports whether the listener may work again.
func isTemporary(err error) bool {
	// net.Error.Temporary is deprecated for everything but this.
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func hostOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}
