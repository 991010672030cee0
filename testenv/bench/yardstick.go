package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// files are a directory with the content that a workload copies.
type files struct {
	dir   string
	names []string
	bytes int64
}

// makeFiles writes files and syncs them, so that the copy does not pay for it.
func makeFiles(parent string, n int, open func(i int) io.Reader) (*files, error) {
	dir, err := os.MkdirTemp(parent, "files-")
	if err != nil {
		return nil, fmt.Errorf("make files: %w", err)
	}
	f := &files{dir: dir}
	for i := range n {
		name := fmt.Sprintf("f-%06d", i)
		size, err := writeFile(filepath.Join(dir, name), open(i))
		if err != nil {
			return nil, fmt.Errorf("make files: %w", err)
		}
		f.names = append(f.names, name)
		f.bytes += size
	}
	return f, syncFS(dir)
}

func writeFile(path string, from io.Reader) (n int64, err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return io.Copy(out, from)
}

// syncFS writes everything to the disk that a file system holds back.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func (f *files) remove() error { return os.RemoveAll(f.dir) }

// copyWithSync copies every file, eight at a time, each synced before the next
// one begins: the least that whoever promises durability has to do.
func (f *files) copyWithSync() (usage, error) {
	to, err := os.MkdirTemp(filepath.Dir(f.dir), "copy-")
	if err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(to)
	own, began := ownCPU(), time.Now()
	err = parallel(8, len(f.names), func(i int) (err error) {
		in, err := os.Open(filepath.Join(f.dir, f.names[i]))
		if err != nil {
			return err
		}
		defer in.Close()
		// Without the interfaces' short cuts the bytes really pass through here.
		return writeSynced(filepath.Join(to, f.names[i]), struct{ io.Reader }{in})
	})
	return usage{wall: time.Since(began), cpu: ownCPU() - own}, err
}

func writeSynced(path string, from io.Reader) (err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, from, make([]byte, 256<<10)); err != nil {
		return err
	}
	return out.Sync()
}

// parallel calls fn for every i below n from a number of goroutines.
func parallel(workers, n int, fn func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				errs[w] = fn(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// rsyncd is an rsync daemon that takes copies, behind a wire.
type rsyncd struct {
	dir  string // of its configuration and its log
	wire wire
	line *line
	cmd  *exec.Cmd
}

var errNoRsync = errors.New("there is no rsync to compare with (package rsync)")

// startRsync starts a daemon on loopback, or at the far end of a line, that copies to a
// directory.
func startRsync(ctx context.Context, parent, to string, l *line) (r *rsyncd, err error) {
	if _, err := exec.LookPath("rsync"); err != nil {
		return nil, errNoRsync
	}
	r = &rsyncd{line: l}
	if r.dir, err = os.MkdirTemp(parent, "rsync-"); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("use chroot = no\nlog file = %s/log\n[to]\npath = %s\nread only = no\n", r.dir, to)
	if os.Geteuid() == 0 {
		config += "uid = 0\ngid = 0\n"
	}
	if err := os.WriteFile(filepath.Join(r.dir, "conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	target := ""
	if l != nil {
		target = net.JoinHostPort(l.host(1), "8730")
	} else if target, err = freeAddress(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	args := []string{"rsync", "--daemon", "--no-detach", "--config=" + r.dir + "/conf", "--address=" + host, "--port=" + port}
	if l != nil {
		args = append([]string{"ip", "netns", "exec", l.netns(1)}, args...)
	}
	r.cmd = exec.Command(args[0], args[1:]...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start rsync daemon: %w", err)
	}
	if l != nil {
		r.wire, err = newDelayed(l.gateway(0), target, l.roundTrip, l.bound())
	} else {
		r.wire, err = newSplice(target)
	}
	if err == nil {
		err = eventually(ctx, "the rsync daemon listens", func() (bool, error) {
			c, err := net.DialTimeout("tcp", target, time.Second)
			if err == nil {
				err = c.Close()
			}
			return err == nil, nil
		})
	}
	if err != nil {
		_, stopErr := r.stop()
		return nil, errors.Join(err, stopErr)
	}
	return r, nil
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// copy sends a directory and measures everything but the daemon's CPU time,
// which stop tells. What it copied is synced, as far as this rsync can.
func (r *rsyncd) copy(ctx context.Context, dir string, options ...string) (usage, error) {
	args := append([]string{"rsync", "-r", "--times"}, options...)
	if rsyncSyncs() {
		args = append(args, "--fsync")
	}
	args = append(args, dir+"/", "rsync://"+r.wire.address()+"/to/")
	if r.line != nil {
		args = append([]string{"ip", "netns", "exec", r.line.netns(0)}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	own, wire, began := ownCPU(), r.wire.crossed(), time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return usage{}, fmt.Errorf("rsync: %w: %s", err, out)
	}
	return usage{
		wall:   time.Since(began),
		cpu:    cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		client: ownCPU() - own,
		wire:   r.wire.crossed() - wire,
	}, nil
}

// rsyncSyncs says whether this rsync has --fsync.
var rsyncSyncs = sync.OnceValue(func() bool {
	out, err := exec.Command("rsync", "--help").CombinedOutput()
	return err == nil && strings.Contains(string(out), "--fsync")
})

// stop ends the daemon and returns the CPU time that it and its children took.
func (r *rsyncd) stop() (time.Duration, error) {
	if r.wire != nil {
		r.wire.close()
	}
	err := r.cmd.Process.Signal(syscall.SIGTERM)
	if err != nil {
		return 0, fmt.Errorf("stop rsync daemon: %w", err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) { // it ends with 20 on SIGTERM
		return 0, fmt.Errorf("stop rsync daemon: %w", err)
	}
	return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime(), os.RemoveAll(r.dir)
}

// rsync copies a directory to another by a daemon of its own, and measures both.
func (b *bench) rsync(ctx context.Context, from, to string, l *line, options ...string) (usage, error) {
	r, err := startRsync(ctx, b.dir, to, l)
	if err != nil {
		return usage{}, err
	}
	u, err := r.copy(ctx, from, options...)
	cpu, stopErr := r.stop()
	u.cpu += cpu
	return u, errors.Join(err, stopErr)
}

func (b *bench) sayRsync(prefix string, u usage) {
	b.say(prefix+"rsync-time", "s", u.wall.Seconds())
	b.say(prefix+"rsync-cpu", "s", u.cpu.Seconds())
	b.say(prefix+"rsync-wire", "MiB", float64(u.wire)/mib)
}

func (b *bench) sayCopy(prefix string, u usage) {
	b.say(prefix+"copy-time", "s", u.wall.Seconds())
	b.say(prefix+"copy-cpu", "s", u.cpu.Seconds())
}

// yardsticks copies a directory by rsync and by a plain copy and records what
// they took as figures whose names begin with prefix.
func (b *bench) yardsticks(ctx context.Context, prefix string, f *files, l *line) error {
	if !b.compare {
		return nil
	}
	to, err := os.MkdirTemp(b.dir, "to-")
	if err != nil {
		return err
	}
	u, err := b.rsync(ctx, f.dir, to, l)
	if err := errors.Join(err, os.RemoveAll(to)); errors.Is(err, errNoRsync) {
		b.report.skip("%srsync: %v", prefix, err)
	} else if err != nil {
		return err
	} else {
		b.sayRsync(prefix, u)
	}
	if l != nil {
		return nil // a plain copy knows no line
	}
	if u, err = f.copyWithSync(); err != nil {
		return fmt.Errorf("plain copy: %w", err)
	}
	b.sayCopy(prefix, u)
	return nil
}
