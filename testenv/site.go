package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"edgefog.dev/isgw/cluster"
	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
)

// SiteOptions say how a site runs.
type SiteOptions struct {
	// Process runs the site's node as a process, which can be killed.
	Process bool
	// LogKeep is the node's; 7 days by default.
	LogKeep time.Duration
	// Clock moves the time of a site that runs in the test's process.
	Clock func() time.Time
	// AdminTLS serves the admin API over TLS too.
	AdminTLS bool
}

// Site is a site of one node.
type Site struct {
	Name  string
	Admin *admin.Client

	env     *Env
	options cluster.Options
	process bool
	keys    map[string]*adminpb.Key // by tenant
	log     lockedBuffer

	node  *cluster.Node
	child *exec.Cmd
}

// Start starts and initialises a site.
func (e *Env) Start(name string, o SiteOptions) *Site {
	e.t.Helper()
	s := &Site{
		Name: name, env: e, process: o.Process, keys: map[string]*adminpb.Key{},
		options: cluster.Options{
			Dir: e.Dir(name), Site: name, Node: name + "-1",
			S3: freeAddress(e.t), Link: freeAddress(e.t), Metrics: freeAddress(e.t), Admin: cluster.None,
			LogKeep: o.LogKeep, Clock: o.Clock,
		},
	}
	if o.AdminTLS {
		s.options.Admin = freeAddress(e.t)
	}
	e.sites = append(e.sites, s)
	var err error
	if s.Admin, err = admin.Dial("unix:" + s.options.Dir + "/" + cluster.SocketName); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(s.Admin.Close)
	e.t.Cleanup(func() {
		if e.t.Failed() {
			e.t.Logf("log of site %s:\n%s", name, s.log.tail(16<<10))
		}
	})
	s.Resume()
	if _, err := s.Admin.System.Init(e.Context(), &adminpb.InitRequest{Force: true}); err != nil {
		e.t.Fatalf("initialise site %s: %v", name, err)
	}
	return s
}

// Resume starts the site's node again, and returns when it answers.
func (s *Site) Resume() {
	t := s.env.t
	t.Helper()
	if s.process {
		s.startProcess()
	} else {
		s.options.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
		node, err := cluster.Start(s.env.Context(), s.options)
		if err != nil {
			t.Fatalf("start site %s: %v", s.Name, err)
		}
		s.node = node
	}
	s.env.Eventually("site "+s.Name+" answers", func() bool {
		if s.child != nil && s.child.ProcessState != nil {
			t.Fatalf("site %s ended: %v\n%s", s.Name, s.child.ProcessState, s.log.tail(4<<10))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := s.Admin.System.Status(ctx)
		return err == nil
	})
}

// Stop ends the node as SIGTERM does, and fails the test if it does not end cleanly.
func (s *Site) Stop() {
	s.env.t.Helper()
	if s.child != nil {
		s.signal(syscall.SIGTERM)
		if err := s.child.Wait(); err != nil {
			s.env.t.Errorf("site %s did not end cleanly: %v\n%s", s.Name, err, s.log.tail(4<<10))
		}
		s.child = nil
	}
	if s.node != nil {
		if err := s.node.Close(); err != nil {
			s.env.t.Errorf("site %s did not end cleanly: %v", s.Name, err)
		}
		s.node = nil
	}
}

// Kill ends the node's process at once, as a power cut of the process would.
func (s *Site) Kill() {
	s.env.t.Helper()
	if s.child == nil {
		s.env.t.Fatalf("site %s is no process that can be killed", s.Name)
	}
	s.signal(syscall.SIGKILL)
	var exit *exec.ExitError
	if err := s.child.Wait(); err != nil && !errors.As(err, &exit) {
		s.env.t.Fatalf("wait for killed site %s: %v", s.Name, err)
	}
	s.child = nil
}

// Pause and Continue stop the node's process and let it go on.
func (s *Site) Pause()    { s.signal(syscall.SIGSTOP) }
func (s *Site) Continue() { s.signal(syscall.SIGCONT) }

func (s *Site) signal(sig os.Signal) {
	if err := s.child.Process.Signal(sig); err != nil {
		s.env.t.Fatalf("signal site %s: %v", s.Name, err)
	}
}

// Running says whether the site's node runs.
func (s *Site) Running() bool { return s.child != nil || s.node != nil }

// halt ends the node whatever it takes.
func (s *Site) halt() {
	if s.child != nil {
		// Errors mean that it has ended already.
		_ = s.child.Process.Kill()
		_ = s.child.Wait()
		s.child = nil
	}
	if s.node != nil {
		if err := s.node.Close(); err != nil {
			s.env.t.Logf("close site %s: %v", s.Name, err)
		}
		s.node = nil
	}
}

// S3Address and MetricsAddress are where the site's node serves them.
func (s *Site) S3Address() string      { return s.options.S3 }
func (s *Site) MetricsAddress() string { return s.options.Metrics }

// AdminAddress is where the site's node serves its admin API over TLS.
func (s *Site) AdminAddress() string { return s.options.Admin }

// DataDir is the data directory of the site's node.
func (s *Site) DataDir() string { return s.options.Dir }

// Create makes namespaces, tenants and buckets, as their paths say.
func (s *Site) Create(paths ...string) {
	s.env.t.Helper()
	for _, path := range paths {
		kind := adminpb.PathKind(1 + bytes.Count([]byte(path), []byte("/")))
		if _, err := s.Admin.Paths.Create(s.env.Context(), &adminpb.CreatePathRequest{Kind: kind, Path: path}); err != nil {
			s.env.t.Fatalf("create %s at %s: %v", path, s.Name, err)
		}
	}
}

// Key returns an S3 key of a tenant, always the same one.
func (s *Site) Key(tenant string) *adminpb.Key {
	s.env.t.Helper()
	if s.keys[tenant] == nil {
		key, err := s.Admin.Keys.Create(s.env.Context(), &adminpb.CreateKeyRequest{Tenant: tenant, Role: state.KeyAdmin})
		if err != nil {
			s.env.t.Fatalf("create key of %s at %s: %v", tenant, s.Name, err)
		}
		s.keys[tenant] = key
	}
	return s.keys[tenant]
}

// S3 returns a client with a key of the tenant.
func (s *Site) S3(tenant string) *minio.Client {
	s.env.t.Helper()
	key := s.Key(tenant)
	client, err := minio.New(s.options.S3, &minio.Options{
		Creds: credentials.NewStaticV4(key.GetAccessKey(), key.GetSecretKey(), ""),
	})
	if err != nil {
		s.env.t.Fatal(err)
	}
	return client
}

// Status returns a service with its whole status.
func (s *Site) Status(service string) *adminpb.Service {
	s.env.t.Helper()
	got, err := s.Admin.Services.Get(s.env.Context(), service, true)
	if err != nil {
		s.env.t.Fatalf("status of %s at %s: %v", service, s.Name, err)
	}
	return got
}

// Put writes an object through S3.
func (s *Site) Put(tenant, bucket, key string, content []byte) error {
	_, err := s.S3(tenant).PutObject(s.env.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

// Get reads an object through S3.
func (s *Site) Get(tenant, bucket, key string) ([]byte, error) {
	object, err := s.S3(tenant).GetObject(s.env.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// MemoryPeak is the greatest resident size of the site's process so far, in bytes.
func (s *Site) MemoryPeak() (int64, error) {
	if s.child == nil {
		return 0, fmt.Errorf("site %s is no process", s.Name)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.child.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, ok := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if !ok {
		return 0, errors.New("no VmHWM in the process's status")
	}
	if _, err := fmt.Sscan(string(after), &kib); err != nil {
		return 0, err
	}
	return kib << 10, nil
}

// lockedBuffer keeps the end of a log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const most = 1 << 20
	b.buf = append(b.buf, p...)
	if len(b.buf) > most {
		b.buf = append(b.buf[:0], b.buf[len(b.buf)-most/2:]...)
	}
	return len(p), nil
}

func (b *lockedBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.buf[max(0, len(b.buf)-n):])
}

// Log is the end of what the node has logged.
func (s *Site) Log() string { return s.log.tail(1 << 20) }
