package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"
)

// mutexSampling is how many contended locks there are for one that the mutex
// profile keeps, while the debug listener is on.
const mutexSampling = 100

// serveDebug serves Go's profiles at /debug/pprof/ until the node drains. They
// tell what is in memory to whoever asks, without a credential, so the address
// is one of loopback; see Validate.
func (n *Node) serveDebug() error {
	if n.opts.Debug == None {
		return nil
	}
	ln, err := net.Listen("tcp", n.opts.Debug)
	if err != nil {
		return fmt.Errorf("listen for debugging: %w", err)
	}
	n.debugAddress = ln.Addr().String()
	runtime.SetMutexProfileFraction(mutexSampling)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.log.Warn("profiles are served without a credential", "address", n.debugAddress)
	n.group.Go(func() error {
		<-n.ctx.Done()
		return server.Close()
	})
	n.group.Go(func() error {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve debugging: %w", err)
		}
		return nil
	})
	return nil
}

// loopbackOnly refuses an address that could be reached from elsewhere. A host
// is an IP address or localhost: other names may come to mean anything.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("want HOST:PORT")
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("profiles are served without a credential, so only on 127.0.0.1, ::1 or localhost")
}

// DebugAddress is where profiles are served, or empty when they are not.
func (n *Node) DebugAddress() string { return n.debugAddress }
