package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"isgwctl": main,
	})
}

type nodesKey struct{}

// TestScripts runs testdata/*.txtar. Each script has two sites of its own,
// north and south, behind $NORTH and $SOUTH; commands go to north.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "ctl") // a socket's path is short
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			all := &federation{tokens: map[string]*node{}}
			nodes := map[string]*node{}
			for i, name := range []string{"north", "south"} {
				n := newTestNode(all, name, byte(i+1), dir)
				if err := n.start(); err != nil {
					return err
				}
				env.Defer(func() { n.stop() })
				nodes[name] = n
				env.Setenv(strings.ToUpper(name), "unix:"+n.socket)
			}
			env.Setenv(connectVariable, "unix:"+nodes["north"].socket)
			env.Setenv("ABSENT", "unix:"+filepath.Join(dir, "absent.sock"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second more under -race
			env.Values[nodesKey{}] = nodes
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"ctl":    inProcess,
			"site":   siteCmd,
			"status": statusCmd,
		},
	})
}

// ctl ARG... runs isgwctl in this process, which is much faster than to
// exec it; files that it names are not relative to the script's directory.
func inProcess(ts *testscript.TestScript, neg bool, args []string) {
	status := Main(context.Background(), args, strings.NewReader(""), ts.Stdout(), ts.Stderr(), ts.Getenv)
	if neg != (status != 0) {
		ts.Fatalf("exit status %d", status)
	}
}

// exits CODE COMMAND... runs a command, wants that exit status, one line on
// stderr, and nothing on stdout.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG]...")
	}
	var out, errs strings.Builder
	status := Main(context.Background(), args[2:], strings.NewReader(""), &out, &errs, ts.Getenv)
	fmt.Fprint(ts.Stdout(), out.String())
	fmt.Fprint(ts.Stderr(), errs.String())
	if fmt.Sprint(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
	if n := strings.Count(errs.String(), "\n"); n != 1 || !strings.HasPrefix(errs.String(), "isgwctl: ") {
		ts.Fatalf("%d lines on stderr, want one sentence", n)
	}
	if out.Len() > 0 {
		ts.Fatalf("a failed command wrote to stdout")
	}
}

// site NAME stop|start|fail|heal ends and revives a site's node, or has all its
// calls fail for lack of a quorum.
func siteCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: site NAME stop|start|fail|heal|ignored|asked")
	}
	n := ts.Value(nodesKey{}).(map[string]*node)[args[0]]
	switch args[1] {
	case "stop":
		n.stop()
	case "start":
		ts.Check(n.start())
	case "ignored": // forgets that somebody has asked for a service
		select {
		case <-n.asked:
		default:
		}
	case "asked": // waits until somebody asks for one
		<-n.asked
	case "fail", "heal":
		n.mu.Lock()
		n.failing = nil
		if args[1] == "fail" {
			n.failing = admin.Errorf(admin.CodeUnavailable, "site %s has no leader", n.name).WithHint("see `isgwctl system status`")
		}
		n.mu.Unlock()
	default:
		ts.Fatalf("unknown: %s", args[1])
	}
}

// status SITE SERVICE WORD sets how a link does.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: status SITE SERVICE behind|down|synced")
	}
	n := ts.Value(nodesKey{}).(map[string]*node)[args[0]]
	status := testStatuses()[args[2]]
	if status == nil {
		ts.Fatalf("unknown status %s", args[2])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status[args[1]] = status
}

func testStatuses() map[string]*adminpb.ServiceStatus {
	at := func(before time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(-before)) }
	none := func() *adminpb.Backlog {
		return &adminpb.Backlog{LagSeconds: new(0.0), Versions: new(uint64(0)), Bytes: new(uint64(0))}
	}
	direction := func(n uint64, b *adminpb.Backlog) *adminpb.DirectionStats {
		return &adminpb.DirectionStats{
			Requests: n, Versions: 2 * n, Manifests: 3 * n, Chunks: 4 * n, ChunksSkipped: 5 * n, WireBytes: 6000 * n, LogicalBytes: 7000000 * n,
			Throughput: 12.5 * 1024 * 1024, VersionsRate: 31.25, LatencySeconds: new(0.171), ProcessingDelaySeconds: new(1.5), Backlog: b,
		}
	}
	return map[string]*adminpb.ServiceStatus{
		"behind": {
			Time: at(0), State: adminpb.ServiceState_SERVICE_STATE_BEHIND, Cause: "12 versions are on their way", Mode: "complete",
			Connected: true, RemoteAddress: "10.3.32.240:14000", ConnectedSince: at(time.Hour), Connections: 5, LagTargetSeconds: 30, Server: "north-1", NetworkErrors: 1,
			Slope: new(-2.5), DrainSeconds: new(4.8),
			Send: direction(10, &adminpb.Backlog{
				LagSeconds: new(41.23), Versions: new(uint64(12)), Bytes: new(uint64(3 << 20)),
				OldestBucket: "Hawaii/Cola/bk1", OldestKey: "photos/\x1b[31ma.jpg", Pending: 2, Quarantined: 1,
			}),
			Receive: direction(3, none()),
			Buckets: []*adminpb.BucketStatus{
				{Path: "Hawaii/Cola/bk1", State: "behind", ServedHere: true, ServedThere: true, Exists: true, Send: &adminpb.Backlog{LagSeconds: new(41.23), Versions: new(uint64(12)), Bytes: new(uint64(3 << 20)), Estimated: true}, Receive: none()},
				{Path: "Hawaii/Pepsi/bk1", State: "waiting", Cause: "the other site does not serve it", ServedHere: true},
				{Path: "Hawaii/Pepsi/bk2", State: "copying", ServedThere: true, Receive: &adminpb.Backlog{Pending: 4}, CopiedKeys: 100, TotalKeys: 4000},
			},
		},
		"down": {
			Time: at(0), State: adminpb.ServiceState_SERVICE_STATE_DOWN, Cause: "connect to 10.3.32.240:14000: connection refused",
			NextStep: "is the other site's node running?", Mode: "complete", NextAttempt: at(-3 * time.Second), LagTargetSeconds: 30, Server: "north-1", NetworkErrors: 7,
		},
		"synced": {
			Time: at(0), State: adminpb.ServiceState_SERVICE_STATE_SYNCED, Mode: "complete", Connected: true, Synced: true, LagTargetSeconds: 30, Server: "north-1",
			Send: direction(10, none()), Receive: direction(3, none()),
		},
	}
}
