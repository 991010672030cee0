package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"edgefog.dev/isgw/cluster"
)

// manager is the service manager that started the process, as systemd's
// sd_notify(3) describes it: a datagram socket that takes lines of NAME=VALUE.
// The zero value is none.
type manager struct {
	socket string
	// watchdog is how often it wants to hear that the process lives; 0: never.
	watchdog time.Duration
}

// managerOf reads what the manager left in the environment. A watchdog that is
// meant for another process is not ours.
func managerOf(environ []string, pid int) (manager, error) {
	var m manager
	var micros, owner string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "NOTIFY_SOCKET":
			m.socket = value
		case "WATCHDOG_USEC":
			micros = value
		case "WATCHDOG_PID":
			owner = value
		}
	}
	if m.socket == "" || micros == "" || owner != "" && owner != strconv.Itoa(pid) {
		return m, nil
	}
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || n < 2 || n > int64(24*time.Hour/time.Microsecond) {
		return m, fmt.Errorf("environment WATCHDOG_USEC=%s: want microseconds, up to a day", micros)
	}
	m.watchdog = time.Duration(n) * time.Microsecond
	return m, nil
}

// tell sends one state. Nobody to tell is no error.
func (m manager) tell(state string) error {
	if m.socket == "" {
		return nil
	}
	name := m.socket
	if name[0] == '@' { // of the abstract name space
		name = "\x00" + name[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}

// runNode runs a node until ctx ends or the node cannot go on, and tells the
// service manager when it has started, that it lives, and when it stops. A node
// that is stuck tells nothing, and is killed by the manager.
func runNode(ctx context.Context, opts cluster.Options, log *slog.Logger, environ []string) error {
	m, err := managerOf(environ, os.Getpid())
	if err != nil {
		return usageError{err}
	}
	tell := func(state string) {
		if err := m.tell(state); err != nil {
			log.Warn(err.Error())
		}
	}
	node, err := cluster.Start(ctx, opts)
	if err != nil {
		return err
	}
	tell("READY=1")
	var beat <-chan time.Time
	if m.watchdog > 0 {
		ticker := time.NewTicker(m.watchdog / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			log.Info("draining")
			tell("STOPPING=1")
			return node.Close()
		case <-node.Done():
			return node.Close()
		case <-beat:
			if node.Alive() == nil {
				tell("WATCHDOG=1")
			}
		}
	}
}
