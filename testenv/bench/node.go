package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// What every site of the benchmark has.
const (
	namespace  = "Bench"
	tenant     = namespace + "/Load"
	bucket     = "bk1"
	bucketPath = tenant + "/" + bucket
	linkName   = "bench"
)

// startTime bounds a node's start, a wait for a link to come up, and the like.
const startTime = time.Minute

// buildNode builds the program that is measured, once for all workloads.
func buildNode(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "isgwnode")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "edgefog.dev/isgw/cmd/isgwnode")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build isgwnode: %w\n%s", err, out)
	}
	return binary, nil
}

// node is a site of one node: a process of its own.
type node struct {
	name     string
	dir      string // data directory
	host     string // its address, in the network that it runs in
	netns    string // network namespace; empty for the program's own
	binary   string
	s3addr   string
	linkAddr string
	debug    string // where its profiles are; empty in a namespace

	admin *admin.Client
	s3    s3
	cmd   *exec.Cmd  // nil while nothing runs
	gone  chan error // gives once how cmd ended
	log   *os.File
	past  counters // of its processes that have ended
}

// newNode prepares a site on loopback.
func (b *bench) newNode(dir, name string) (*node, error) {
	n := &node{name: name, dir: filepath.Join(dir, name), host: "127.0.0.1", binary: b.binary}
	for _, addr := range []*string{&n.s3addr, &n.linkAddr, &n.debug} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		*addr = ln.Addr().String()
		if err := ln.Close(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// start starts the process and returns when the node answers.
func (n *node) start(ctx context.Context) error {
	args := []string{n.binary, "run", "--data", n.dir, "--site", n.name, "--s3", n.s3addr, "--link", n.linkAddr,
		"--metrics", "none", "--admin", "none", "--log-level", "warn"}
	if n.debug != "" {
		args = append(args, "--debug", n.debug)
	}
	if n.netns != "" {
		args = append([]string{"ip", "netns", "exec", n.netns}, args...)
	}
	var err error
	if n.log, err = os.OpenFile(n.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("open log of %s: %w", n.name, err)
	}
	n.cmd = exec.Command(args[0], args[1:]...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return fmt.Errorf("start site %s: %w", n.name, err)
	}
	gone := make(chan error, 1)
	go func(cmd *exec.Cmd) { gone <- cmd.Wait() }(n.cmd) // ends with the process
	n.gone = gone
	if n.admin == nil {
		if n.admin, err = admin.Dial("unix:" + filepath.Join(n.dir, "admin.sock")); err != nil {
			return err
		}
	}
	return eventually(ctx, "site "+n.name+" answers", func() (bool, error) {
		status, err := n.admin.System.Status(ctx)
		// A site that is initialised serves S3 before the admin socket answers.
		return err == nil && status != nil, n.ended()
	})
}

// ended is an error when the process has ended by itself.
func (n *node) ended() error {
	select {
	case err := <-n.gone:
		n.gone <- err
		return fmt.Errorf("site %s ended by itself: %v; its log: %s", n.name, err, n.tail())
	default:
		return nil
	}
}

func (n *node) tail() string {
	data, err := os.ReadFile(n.dir + ".log")
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4<<10):])
}

// init makes the site, the tenant and a key; the bucket only when asked, as a
// link makes it at the other site.
func (n *node) init(ctx context.Context, withBucket bool) error {
	if _, err := n.admin.System.Init(ctx, &adminpb.InitRequest{Force: true}); err != nil {
		return fmt.Errorf("initialise site %s: %w", n.name, err)
	}
	paths := []*adminpb.CreatePathRequest{
		{Kind: adminpb.PathKind_PATH_KIND_NAMESPACE, Path: namespace},
		{Kind: adminpb.PathKind_PATH_KIND_TENANT, Path: tenant},
	}
	if withBucket {
		paths = append(paths, &adminpb.CreatePathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath})
	}
	for _, p := range paths {
		if _, err := n.admin.Paths.Create(ctx, p); err != nil {
			return fmt.Errorf("create %s at %s: %w", p.GetPath(), n.name, err)
		}
	}
	key, err := n.admin.Keys.Create(ctx, &adminpb.CreateKeyRequest{Tenant: tenant})
	if err != nil {
		return fmt.Errorf("create key at %s: %w", n.name, err)
	}
	n.s3 = s3{addr: n.s3addr, access: key.GetAccessKey(), secret: key.GetSecretKey()}
	return nil
}

// objects is the number of objects that the bucket has, 0 while it is not there.
func (n *node) objects(ctx context.Context) (uint64, error) {
	path, err := n.admin.Paths.Get(ctx, &adminpb.GetPathRequest{Kind: adminpb.PathKind_PATH_KIND_BUCKET, Path: bucketPath})
	var refused *admin.Error
	if errors.As(err, &refused) && refused.Code == admin.CodeNotFound {
		return 0, nil
	}
	return path.GetObjects(), err
}

// stop ends the process as an operator does. The node can be started again.
func (n *node) stop() error {
	if n.cmd == nil {
		return nil
	}
	if n.admin != nil {
		n.admin.Close() // an HTTP/2 server gives idle connections a second to go
	}
	now, err := readCounters(n.cmd.Process.Pid)
	if err != nil {
		return n.kill(err)
	}
	n.past.cpu += now.cpu
	n.past.written += now.written
	n.past.syscw += now.syscw
	n.past.peak = max(n.past.peak, now.peak)
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return n.kill(err)
	}
	late := time.AfterFunc(startTime, func() { n.cmd.Process.Kill() })
	defer late.Stop()
	err = <-n.gone
	n.cmd = nil
	if closeErr := n.log.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("site %s did not end cleanly: %w; its log: %s", n.name, err, n.tail())
	}
	return nil
}

// kill ends the process whatever it takes, and returns why it was necessary.
func (n *node) kill(why error) error {
	// Errors mean that it has ended already.
	_ = n.cmd.Process.Kill()
	<-n.gone
	_ = n.log.Close()
	n.cmd = nil
	return fmt.Errorf("site %s was killed: %w", n.name, why)
}

// counters are those of the node over all of its processes.
func (n *node) counters() (counters, error) {
	now := n.past
	if n.cmd == nil {
		return now, nil
	}
	c, err := readCounters(n.cmd.Process.Pid)
	now.cpu += c.cpu
	now.written += c.written
	now.syscw += c.syscw
	now.peak = max(now.peak, c.peak)
	return now, err
}

// profile fetches a profile of the node into a file.
func (n *node) profile(ctx context.Context, what, file string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.debug+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetch profile of %s: %w", n.name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(body))
	}
	if err != nil {
		return fmt.Errorf("fetch profile of %s: %w", n.name, err)
	}
	return os.WriteFile(file, body, 0o600)
}

// eventually polls until ok, an error, or startTime has passed.
func eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	return poll(ctx, startTime, 10*time.Millisecond, what, ok)
}

// poll calls ok every interval until it is true, fails, or patience ends.
func poll(ctx context.Context, patience, interval time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		yes, err := ok()
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: not yet: %s", patience, what)
		case <-ticker.C:
		}
	}
}
