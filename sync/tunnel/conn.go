package tunnel

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Conn is a connection through a tunnel. It implements net.Conn with all its
// deadlines, and CloseWrite as TCP connections have it.
//
// Read and Write may be called at once, each by one goroutine at a time; the
// other methods by any. Write returns when everything has been given to the
// kernel, or at its deadline with the number of bytes that will be sent if the
// connection lives.
type Conn struct {
	raw     *rawConn
	ssh     ssh.Conn
	channel ssh.Channel
	peer    any
	in, out *ring
	closing atomic.Bool
	wg      sync.WaitGroup // everything that newConn started
}

var _ net.Conn = (*Conn)(nil)

// newConn starts a connection on its channel. It owns all that it is given.
func newConn(raw *rawConn, conn ssh.Conn, channel ssh.Channel, peer any, alive time.Duration, strangers service) *Conn {
	c := &Conn{raw: raw, ssh: conn, channel: channel, peer: peer, in: newRing(inRing), out: newRing(outRing)}
	raw.gatherNotes()
	ctx, cancel := context.WithCancel(context.Background())
	c.wg.Go(c.pumpIn)
	c.wg.Go(c.pumpOut)
	c.wg.Go(func() { c.keepAlive(ctx, alive) })
	c.wg.Go(func() {
		strangers.run()
		cancel()
		_ = c.ssh.Wait() // it has ended, as what it was served by has
	})
	return c
}

// Peer is what Options.Verify has returned of the other side, which has proved
// that the key is its own.
func (c *Conn) Peer() any { return c.peer }

// NetConn is the connection that the tunnel runs on. It must not be read or
// written.
func (c *Conn) NetConn() net.Conn { return c.raw.Conn }

// pumpIn moves bytes from the channel to the reader.
func (c *Conn) pumpIn() {
	for {
		room := c.in.room()
		if room == nil {
			return
		}
		n, err := c.channel.Read(room)
		c.in.fill(n)
		if err != nil {
			c.in.end(c.raw.cause(err))
			return
		}
	}
}

// pumpOut moves bytes from the writer to the channel.
func (c *Conn) pumpOut() {
	for {
		p := c.out.next()
		if p == nil {
			break
		}
		c.raw.cork()
		n, err := c.channel.Write(p)
		if uerr := c.raw.uncork(); err == nil {
			err = uerr
		}
		if err != nil {
			c.out.close(c.raw.cause(err))
			return
		}
		c.out.taken(n)
	}
	if !c.closing.Load() {
		// Both fail only when the connection does, as all else will.
		_ = c.channel.CloseWrite()
		_ = c.raw.uncork()
	}
}

// keepAlive says something from time to time, and ends the connection when the
// other side does not.
func (c *Conn) keepAlive(ctx context.Context, every time.Duration) {
	const patience = 4
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	heard, silent := c.raw.received.Load(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := c.raw.received.Load(); now != heard {
			heard, silent = now, 0
		} else if silent++; silent >= patience {
			c.raw.fail(errSilent)
			return
		}
		// Whoever does not read has full buffers, in which this waits; then
		// there is somebody who waits in Write and has a deadline.
		if _, _, err := c.ssh.SendRequest(aliveRequest, false, nil); err != nil {
			return
		}
	}
}

var errSilent = &net.OpError{Op: "read", Net: "ssh", Err: errors.New("nothing came from the other side for a long time, not even that it is alive")}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite tells the other side that nothing more comes, after what was
// written. It does not wait.
func (c *Conn) CloseWrite() error {
	c.out.end(net.ErrClosed)
	return nil
}

// Close ends the connection at once and waits until nothing of it runs. What the
// other side has not received by then may be lost: whoever cares calls CloseWrite
// and reads until the other side's end first. Closing again does nothing.
func (c *Conn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	c.in.close(net.ErrClosed)
	c.out.close(net.ErrClosed)
	err := c.raw.Close()
	c.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // it had ended before
	}
	return err
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return nil
}

// service answers what a peer may ask of an SSH connection beside its channel:
// nothing.
type service struct {
	channels <-chan ssh.NewChannel
	requests <-chan *ssh.Request
	ofTunnel <-chan *ssh.Request // of the channel
}

// run refuses until the connection ends.
func (s service) run() {
	for s.channels != nil || s.requests != nil || s.ofTunnel != nil {
		var request *ssh.Request
		select {
		case channel, ok := <-s.channels:
			if !ok {
				s.channels = nil
				continue
			}
			// An error is the connection's, which ends.
			_ = channel.Reject(ssh.Prohibited, "one channel to a connection")
			continue
		case r, ok := <-s.requests:
			if request = r; !ok {
				s.requests = nil
			}
		case r, ok := <-s.ofTunnel:
			if request = r; !ok {
				s.ofTunnel = nil
			}
		}
		if request != nil {
			_ = request.Reply(false, nil)
		}
	}
}
