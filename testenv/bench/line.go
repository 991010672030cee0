package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// line is two network namespaces, one for each site, each with a veth pair to
// the program's own namespace. What leaves a namespace passes a token bucket
// (tc-tbf(8)) of the line's rate; the delay is added behind it by delayed wires.
type line struct {
	id        string // tells the lines of several programs apart
	subnet    int
	rate      int64 // bits per second, in each direction
	roundTrip time.Duration
}

// The rate of the line and what tbf may send at once: enough for the largest
// packet that the kernel hands it, small against a round trip.
const (
	lineRate  = 1_000_000_000
	lineBurst = 256 << 10
	lineWait  = "50ms" // a packet waits at most so long in the token bucket
)

// newLine makes a line. The error is errNoLine, with a reason, where this
// machine or this user cannot have one; any other one is a fault.
func newLine(ctx context.Context) (*line, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: it takes root to make network namespaces", errNoLine)
	}
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: there is no %s (package iproute2)", errNoLine, tool)
		}
	}
	probe := "isgw-" + strconv.Itoa(os.Getpid()) + "-probe"
	for _, verb := range []string{"add", "del"} {
		if out, err := exec.CommandContext(ctx, "ip", "netns", verb, probe).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: network namespaces are not allowed here: %s", errNoLine, strings.TrimSpace(string(out)))
		}
	}
	l := &line{id: strconv.Itoa(os.Getpid()), subnet: os.Getpid() % 256, rate: lineRate}
	for i := range 2 {
		ns, outer, inner := l.netns(i), l.device(i, "o"), l.device(i, "i")
		for _, args := range [][]string{
			{"ip", "netns", "add", ns},
			{"ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", ns},
			{"ip", "addr", "add", l.gateway(i) + "/30", "dev", outer},
			{"ip", "link", "set", outer, "up"},
			{"ip", "-n", ns, "addr", "add", l.host(i) + "/30", "dev", inner},
			{"ip", "-n", ns, "link", "set", inner, "up"},
			{"ip", "-n", ns, "link", "set", "lo", "up"},
			{"ip", "netns", "exec", ns, "tc", "qdisc", "add", "dev", inner, "root", "tbf",
				"rate", strconv.FormatInt(l.rate, 10) + "bit", "burst", strconv.Itoa(lineBurst), "latency", lineWait},
		} {
			if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
				err = fmt.Errorf("make line: %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
				return nil, errors.Join(err, l.close())
			}
		}
	}
	return l, nil
}

var errNoLine = errors.New("no line")

func (l *line) netns(i int) string { return fmt.Sprintf("isgw-%s-%d", l.id, i) }

// device names are at most 15 bytes long.
func (l *line) device(i int, end string) string { return fmt.Sprintf("ib%s%s%d", l.id, end, i) }

// gateway is the program's end of a site's cable, host the site's.
func (l *line) gateway(i int) string { return fmt.Sprintf("10.213.%d.%d", l.subnet, 4*i+1) }
func (l *line) host(i int) string    { return fmt.Sprintf("10.213.%d.%d", l.subnet, 4*i+2) }

// place puts a node into the namespace at one end.
func (l *line) place(n *node, i int) {
	n.netns, n.host = l.netns(i), l.host(i)
	n.s3addr, n.linkAddr, n.debug = n.host+":9000", n.host+":14000", ""
}

// bound is how many bytes a delayed wire holds in each direction of a
// connection: twice what the line carries in a round trip.
func (l *line) bound() int64 {
	return 2 * int64(float64(l.rate)/8*l.roundTrip.Seconds())
}

// crossed is what both sites have sent into the line, in bytes with all headers.
func (l *line) crossed() (int64, error) {
	var total int64
	for i := range 2 {
		file := filepath.Join("/sys/class/net", l.device(i, "o"), "statistics/rx_bytes")
		data, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("read counter of the line: %w", err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read counter of the line: %s: %w", file, err)
		}
		total += n
	}
	return total, nil
}

// close removes the namespaces, and the cables with them.
func (l *line) close() error {
	var errs []error
	for i := range 2 {
		// A namespace takes its end of a cable along, but not before it likes:
		// the next line needs the names.
		if _, err := os.Stat(filepath.Join("/sys/class/net", l.device(i, "o"))); err == nil {
			if out, err := exec.Command("ip", "link", "del", l.device(i, "o")).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("remove cable %s: %w: %s", l.device(i, "o"), err, strings.TrimSpace(string(out))))
			}
		}
		if _, err := os.Stat(filepath.Join("/run/netns", l.netns(i))); err != nil {
			continue
		}
		if out, err := exec.Command("ip", "netns", "del", l.netns(i)).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("remove namespace %s: %w: %s", l.netns(i), err, strings.TrimSpace(string(out))))
		}
	}
	return errors.Join(errs...)
}
