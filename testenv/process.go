package testenv

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"edgefog.dev/isgw/cluster"
)

// nodeVariable tells a test binary that it is to be a node, and which.
const nodeVariable = "ISGW_TESTENV_NODE"

// Main runs the tests of a package whose environments have sites as processes,
// and calls end when all have run.
func Main(m *testing.M, end ...func()) {
	if spec := os.Getenv(nodeVariable); spec != "" {
		os.Exit(runNode(spec))
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // the proxies' toxics trace to standard error
	status := m.Run()
	for _, do := range end {
		do()
	}
	os.Exit(status)
}

// startProcess starts the test binary as the site's node. It dies with the test.
func (s *Site) startProcess() {
	t := s.env.t
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	child := exec.Command(binary)
	child.Env = append(os.Environ(), nodeVariable+"="+strings.Join([]string{
		o.Dir, o.Site, o.Node, o.S3, o.Link, o.Metrics, o.Admin, o.LogKeep.String(),
		o.S3Cert, o.S3Key,
	}, "\n"))
	child.Stdout, child.Stderr = &s.log, &s.log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		t.Fatalf("start process of site %s: %v", s.Name, err)
	}
	s.child = child
}

// runNode is the process's whole life.
func runNode(spec string) int {
	fields := strings.Split(spec, "\n")
	logKeep, err := time.ParseDuration(fields[7])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cluster.LimitMemory()
	if err := cluster.Run(ctx, cluster.Options{
		Dir: fields[0], Site: fields[1], Node: fields[2], S3: fields[3], Link: fields[4], Metrics: fields[5],
		Admin: fields[6], S3Cert: fields[8], S3Key: fields[9], LogKeep: logKeep, OwnProcess: true, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
