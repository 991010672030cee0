package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ, in which /proc counts time: 100 on every Linux.
const ticksPerSecond = 100

// counters are what the kernel has counted of one process since it began.
type counters struct {
	cpu     time.Duration // of the process and of its children that ended
	written int64         // bytes sent to the disk
	syscw   int64         // calls of write and its like
	peak    int64         // greatest resident size, in bytes
}

// readCounters reads the counters of a process that runs.
func readCounters(pid int) (counters, error) {
	var c counters
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		c.cpu, err = parseStat(string(stat))
	}
	if err != nil {
		return c, fmt.Errorf("read CPU time of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err == nil {
		c.peak, err = parseField(string(status), "VmHWM:")
		c.peak <<= 10
	}
	if err != nil {
		return c, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err == nil {
		c.written, err = parseField(string(io), "write_bytes:")
	}
	if err == nil {
		c.syscw, err = parseField(string(io), "syscw:")
	}
	if err != nil {
		return c, fmt.Errorf("read disk traffic of process %d: %w", pid, err)
	}
	return c, nil
}

// parseStat adds the times of a line of /proc/PID/stat: fields 14 to 17 of
// proc(5). The name in parentheses may hold anything, also parentheses.
func parseStat(line string) (time.Duration, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, errors.New("no name in it")
	}
	fields := strings.Fields(line[end+1:])
	const first = 14 - 3 // fields[0] is field 3
	if len(fields) < first+4 {
		return 0, errors.New("too few fields")
	}
	var ticks int64
	for _, f := range fields[first : first+4] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// parseField finds the number after a name, as in /proc/PID/status and io.
func parseField(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				break
			}
			return strconv.ParseInt(fields[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in it", strings.TrimSuffix(name, ":"))
}

// cores are what the kernel has counted of all cores, in ticks.
type cores struct{ all, idle int64 }

// readCores reads what all cores have done since the machine began.
func readCores() (cores, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cores{}, fmt.Errorf("read time of the cores: %w", err)
	}
	c, err := parseCores(string(data))
	if err != nil {
		return c, fmt.Errorf("read time of the cores: %w", err)
	}
	return c, nil
}

// parseCores adds the times of the first line of /proc/stat, of which the fourth and
// the fifth are without work: idle, and idle while something waits for a disk. The
// ninth and tenth, of guests, are in the first two already.
func parseCores(stat string) (cores, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cores{}, errors.New("it does not begin with the times of all cores")
	}
	var c cores
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return cores{}, err
		}
		c.all += n
		if i == 3 || i == 4 {
			c.idle += n
		}
	}
	return c, nil
}

// idleSince is the share of the time since before in which the cores were idle; 0 when
// no time has passed.
func (c cores) idleSince(before cores) float64 {
	if c.all <= before.all {
		return 0
	}
	return float64(c.idle-before.idle) / float64(c.all-before.all)
}

// ownCPU is what this program has used: the load generator and the proxies.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail with these arguments
	}
	return cpuOf(&u)
}

func cpuOf(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machine describes where figures come from.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Disk   string `json:"file_system"` // of the data directories
	Go     string `json:"go"`
}

func firstMatch(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.TrimSpace(strings.TrimLeft(string(rest), " \t:"))
		}
	}
	return ""
}
