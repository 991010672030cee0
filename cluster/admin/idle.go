package admin

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// idleConns knows which connections of a server wait for a request. A server of
// HTTP/2 that shuts down gives every connection a second to read that it goes
// away, also those on which nothing happens; the node has nothing to wait for
// there.
type idleConns struct {
	mu   sync.Mutex
	idle map[net.Conn]time.Time // since when
}

// quiet is how long nothing has happened on a connection that may be closed: the
// last bytes of an answer, and the word that the server goes away, are sent by
// then.
const quiet = 20 * time.Millisecond

func newIdleConns() *idleConns { return &idleConns{idle: map[net.Conn]time.Time{}} }

// note is an http.Server's ConnState.
func (c *idleConns) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateIdle {
		c.idle[conn] = time.Now()
	} else {
		delete(c.idle, conn)
	}
}

// closeQuiet closes the connections on which nothing has happened for a while,
// and those that become so, until done is closed. It is for a server that takes
// no new calls any more.
func (c *idleConns) closeQuiet(done <-chan struct{}) {
	began := time.Now()
	ticker := time.NewTicker(quiet / 4)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-ticker.C:
			c.mu.Lock()
			for conn, since := range c.idle {
				if now.Sub(since) > quiet && now.Sub(began) > quiet {
					delete(c.idle, conn)
					conn.Close() // whoever is at the other end has been told to expect it
				}
			}
			c.mu.Unlock()
		}
	}
}
