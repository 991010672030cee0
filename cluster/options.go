package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"edgefog.dev/isgw/cluster/plan"
	"edgefog.dev/isgw/cluster/s3gate"
)

// The addresses that a node listens on unless told otherwise: loopback only,
// so that nothing is reachable from outside before somebody decided so.
const (
	DefaultS3      = "127.0.0.1:9000"
	DefaultLink    = "127.0.0.1:14000"
	DefaultAdmin   = "127.0.0.1:7443"
	DefaultMetrics = "127.0.0.1:9464"
)

// None as an address means that nothing listens.
const None = "none"

// Options say what a node is and where it listens. The zero value of a field
// takes its default in Start, after Validate has looked at what was given.
type Options struct {
	// Dir is the data directory; it is made if it does not exist.
	Dir string
	// Site is the name of the site that the node belongs to.
	Site string
	// Node is the node's name for people; the host's name by default.
	Node string

	// Labels are what placements of links go by, each NAME=VALUE, or NAME=VALUE:EFFECT
	// for a taint as kubectl writes it. The node has these and no others.
	Labels []string

	// S3, Link, Admin, Raft and Metrics are HOST:PORT or None. Port 0 takes a
	// free port. Raft has no default.
	S3, Link, Admin, Raft, Metrics string

	// S3Domains are the domains under which a bucket may be named by the host, as in
	// bk1.s3.example.com. S3Cert and S3Key are the PEM files of the certificate of
	// the S3 endpoint and its key, which then speaks TLS; a change of the files is
	// followed.
	S3Domains     []string
	S3Cert, S3Key string

	// Debug is the address of Go's profiles: HOST:PORT on loopback, or None,
	// which is the default.
	Debug string

	// LogKeep is how long a bucket's log is kept for peers that are away;
	// 7 days by default. At least one second.
	LogKeep time.Duration
	// LagTarget is the lag above which a link counts as lagging; 30 s.
	LagTarget time.Duration

	// OwnProcess says that the process is this node's alone: the limits that links
	// have set bound its memory and its threads.
	OwnProcess bool
	// Logger takes the node's log. Nothing is logged when it is nil.
	Logger *slog.Logger
	// Clock is the node's time; time.Now by default.
	Clock func() time.Time
	// Rand is the source of randomness; crypto/rand by default.
	Rand io.Reader

	// SnapshotEntries and SnapshotBytes say after how much raft log a
	// snapshot is taken; 0 takes the defaults of raftfsm.
	SnapshotEntries uint64
	SnapshotBytes   int64

	disk func(dir string) (capacity, free uint64) // of the file system, 0 when unknown; tests fill it
}

// Validate looks at every field and returns all faults joined, one a line.
// It also tries what would fail at once: a data directory that is no
// directory, and an address that somebody else listens on.
func (o *Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if o.Dir == "" {
		fault("no data directory: give --data DIR")
	} else if info, err := os.Stat(o.Dir); err == nil && !info.IsDir() {
		fault("data directory %s is a file: give a directory, or a path that does not exist yet", o.Dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		fault("open data directory %s: %w", o.Dir, err)
	}
	if o.Site == "" {
		fault("no site name: give --site NAME")
	} else if err := validName(o.Site); err != nil {
		fault("site name %q: %w", o.Site, err)
	}
	if o.Node != "" {
		if err := validName(o.Node); err != nil {
			fault("node name %q: %w", o.Node, err)
		}
	}
	if _, err := plan.ParseLabels(o.Labels); err != nil {
		fault("--label: %w", err)
	}
	if o.LogKeep != 0 && o.LogKeep < time.Second {
		fault("--log-keep %s: changes are kept for at least 1s: give a longer time, such as 168h", o.LogKeep)
	}
	used := map[string]string{}
	for _, a := range []struct{ flag, addr, fallback string }{
		{"--s3", o.S3, DefaultS3},
		{"--link", o.Link, DefaultLink},
		{"--admin", o.Admin, DefaultAdmin},
		{"--metrics", o.Metrics, DefaultMetrics},
		{"--debug", o.Debug, None},
	} {
		addr := or(a.addr, a.fallback)
		if addr == None {
			continue
		}
		if err := validAddress(addr); err != nil {
			fault("%s %s: %w", a.flag, addr, err)
			continue
		}
		if a.flag == "--debug" {
			if err := loopbackOnly(addr); err != nil {
				fault("--debug %s: %w", addr, err)
				continue
			}
		}
		if other, taken := used[addr]; taken && !strings.HasSuffix(addr, ":0") {
			fault("%s %s: the same address as %s", a.flag, addr, other)
			continue
		}
		used[addr] = a.flag
		if err := free(addr); err != nil {
			fault("%s %s: %w", a.flag, addr, err)
		}
	}
	for _, domain := range o.S3Domains {
		if err := s3gate.CheckDomain(domain); err != nil {
			fault("--s3-domain: %w", err)
		}
	}
	if err := checkCertificate(o.S3Cert, o.S3Key); err != nil {
		faults = append(faults, err)
	}
	if o.Raft != "" && o.Raft != None {
		fault("--raft %s: sites of several nodes are not available yet, leave it unset", o.Raft)
	}
	return errors.Join(faults...)
}

// withDefaults returns the options with every default filled in.
func (o Options) withDefaults() (Options, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("find data directory %s: %w", o.Dir, err)
	}
	o.Dir = dir
	if o.Node == "" {
		if host, err := os.Hostname(); err == nil && validName(host) == nil {
			o.Node = host
		} else {
			o.Node = o.Site + "-1"
		}
	}
	o.S3 = or(o.S3, DefaultS3)
	o.Link = or(o.Link, DefaultLink)
	o.Admin = or(o.Admin, DefaultAdmin)
	o.Metrics = or(o.Metrics, DefaultMetrics)
	o.Debug = or(o.Debug, None)
	if o.LogKeep == 0 {
		o.LogKeep = 7 * 24 * time.Hour
	}
	if o.LagTarget == 0 {
		o.LagTarget = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.disk == nil {
		o.disk = diskOf
	}
	return o, nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func validName(name string) error {
	if len(name) > 63 {
		return errors.New("longer than 63 characters")
	}
	for i, r := range name {
		letter := r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return errors.New("letters, digits, '.', '_' and '-' only, a letter or digit first")
		}
	}
	return nil
}

func validAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("want HOST:PORT")
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q is no host", host)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

// free listens for a moment, so that a taken address is a fault of the start
// and not of an init much later.
func free(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("cannot listen: %w", err)
	}
	return ln.Close()
}
