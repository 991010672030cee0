package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestManagerOf(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    manager
		fault   bool
	}{
		{[]string{"HOME=/", "PATH"}, manager{}, false},
		{[]string{"NOTIFY_SOCKET=/run/s"}, manager{socket: "/run/s"}, false},
		{[]string{"WATCHDOG_USEC=30000000"}, manager{}, false},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=30000000"}, manager{socket: "@s", watchdog: 30 * time.Second}, false},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=30000000", "WATCHDOG_PID=7"}, manager{socket: "@s", watchdog: 30 * time.Second}, false},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=30000000", "WATCHDOG_PID=8"}, manager{socket: "@s"}, false},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=soon"}, manager{socket: "@s"}, true},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=1"}, manager{socket: "@s"}, true},
		{[]string{"NOTIFY_SOCKET=@s", "WATCHDOG_USEC=9223372036854775807"}, manager{socket: "@s"}, true},
	} {
		got, err := managerOf(c.environ, 7)
		if got != c.want || (err != nil) != c.fault {
			t.Errorf("%v: %+v, %v", c.environ, got, err)
		}
	}
}

// TestManagerIsTold runs a node under a manager, on both kinds of socket.
func TestManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "mgr") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for kind, name := range map[string]string{"path": filepath.Join(dir, "s"), "abstract": "@" + filepath.Join(dir, "s")} {
		t.Run(kind, func(t *testing.T) {
			socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			node := program(t, []string{"NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=20000"},
				append([]string{"run", "--data", filepath.Join(t.TempDir(), "d"), "--site", "alpha"}, free...)...)
			var log bytes.Buffer
			node.Stderr = &log
			if err := node.Start(); err != nil {
				t.Fatal(err)
			}
			defer node.Process.Kill() // fails when it has ended, as it should
			told := func(want string) {
				t.Helper()
				raw := make([]byte, 100)
				for {
					n, err := socket.Read(raw)
					if err != nil {
						t.Fatalf("while waiting for %s: %v", want, err)
					}
					if got := string(raw[:n]); got == want {
						return
					} else if want != "STOPPING=1" || got != "WATCHDOG=1" {
						t.Fatalf("told %q, want %q", got, want)
					}
				}
			}
			told("READY=1")
			told("WATCHDOG=1")
			told("WATCHDOG=1")
			if err := node.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			told("STOPPING=1")
			if err := node.Wait(); err != nil {
				t.Errorf("SIGTERM: %v", err)
			}
			if strings.Contains(log.String(), "level=WARN") {
				t.Error(log.String())
			}
		})
	}
}
