package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/buildinfo"
	"edgefog.dev/isgw/cluster/plan"
)

// scrapeTime is how long a draining node waits for a scrape under way.
const scrapeTime = 2 * time.Second

// serveMetrics serves Prometheus metrics at /metrics, and at /healthz and
// /readyz whether the node lives and whether it serves, until it drains.
func (n *Node) serveMetrics() error {
	if n.opts.Metrics == None {
		return nil
	}
	ln, err := net.Listen("tcp", n.opts.Metrics)
	if err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	n.metricsAddress = ln.Addr().String()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{n})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second}))
	mux.Handle("GET /healthz", probe(n.Alive))
	mux.Handle("GET /readyz", probe(n.serving))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	n.group.Go(func() error {
		<-n.ctx.Done()
		// A scrape under way reads what is closed next.
		ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			return server.Close()
		}
		return nil
	})
	n.group.Go(func() error {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve metrics: %w", err)
		}
		return nil
	})
	return nil
}

// collector reads the node's counts when they are scraped. The numbers of links
// are those of `isgwctl service show -s`: both come from the same status.
type collector struct{ *Node }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("isgw_"+name, help, labels, nil)
}

var (
	buildInfo   = desc("build_info", "1; the labels name what the program was built from.", "version", "revision", "goversion")
	initialised = desc("initialised", "1 when the node's site is initialised and open.")
	healthy     = desc("healthy", "1 when replication is healthy: the verdict of isgwctl status.")

	siteInfo    = desc("site_info", "1; the labels name the site and the node.", "site", "site_id", "node")
	raftApplied = desc("raft_applied_index", "Raft index whose effects the state shows.")
	raftTerm    = desc("raft_term", "Raft term.")
	raftLeader  = desc("raft_leader", "1 when this node leads its site.")
	raftQuorum  = desc("raft_quorum", "1 while the site has a leader, so that changes can be committed.")

	diskFree     = desc("disk_free_bytes", "Bytes that the node may still write to the file system of its data directory.")
	diskCapacity = desc("disk_capacity_bytes", "Size of the file system of the data directory.")

	storedObjects = desc("objects", "Objects of a bucket.", "bucket")
	storedBytes   = desc("object_bytes", "Logical bytes of a bucket's objects.", "bucket")
	storedChunks  = desc("chunks", "Chunks in the chunk store.")
	chunkBytes    = desc("chunk_bytes", "Encoded bytes of the chunks in the chunk store.")
	chunkDisk     = desc("chunk_disk_bytes", "Bytes of the files that hold chunks.")
	chunksWritten = desc("chunks_written_total", "Chunks written to the chunk store.")
	chunksCorrupt = desc("chunks_corrupt_total", "Reads of chunks that found damaged bytes.")
	chunkSyncs    = desc("chunk_commits_total", "Groups of chunks committed to disk.")

	s3Requests    = desc("s3_requests_total", "S3 requests answered.", "operation", "status")
	s3In          = desc("s3_received_bytes_total", "Bytes received from S3 clients.")
	s3Out         = desc("s3_sent_bytes_total", "Bytes sent to S3 clients.")
	s3Connections = desc("s3_connections", "Connections of S3 clients.")
	s3TurnedAway  = desc("s3_connections_turned_away_total", "Connections of S3 clients that were one too many.")

	linkInfo        = desc("link_info", "1; the label says how much of objects the link carries.", "service", "peer", "mode")
	linkState       = desc("link_state", "1 for the state that the link is in.", "service", "peer", "state")
	linkConnected   = desc("link_connected", "1 while the link has a session.", "service", "peer")
	linkSynced      = desc("link_synced", "1 while both ends have everything that is served.", "service", "peer")
	linkConnections = desc("link_connections", "Connections of the link that are open.", "service", "peer")
	linkErrors      = desc("link_errors_total", "Errors of the link.", "service", "peer", "kind")
	linkLag         = desc("link_lag_seconds", "Age of the oldest version that has not arrived, or the time since the other end was heard of; absent when unknown.", "service", "peer", "direction")
	linkTarget      = desc("link_lag_target_seconds", "Lag above which the link counts as lagging.", "service", "peer")
	linkInFlight    = desc("link_in_flight_bytes", "Bytes of chunks that were asked for and are not durable yet.", "service", "peer")
	linkLatency     = desc("link_latency_seconds", "Time that a request to the other end takes; absent when unknown.", "service", "peer")
	linkDelay       = desc("link_processing_delay_seconds", "Time from the commit of a version at the other site to its commit here, of the last ones; absent when none has come.", "service", "peer")
	linkSlope       = desc("link_backlog_slope", "Versions by which the backlog of both directions grows in a second, over the last half minute; negative when it drains, absent when unknown.", "service", "peer")
	linkDrain       = desc("link_drain_seconds", "Time until the backlog is gone at its slope; absent when it does not drain, or the slope is unknown.", "service", "peer")
	linkBacklog     = desc("link_backlog_versions", "Versions that have not arrived.", "service", "peer", "direction")
	linkBacklogSize = desc("link_backlog_bytes", "Logical bytes of the versions that have not arrived.", "service", "peer", "direction")
	linkEstimated   = desc("link_backlog_estimated", "1 while the backlog is a bound and not a count.", "service", "peer", "direction")
	linkPending     = desc("link_pending_versions", "Versions below the cursor that are not applied yet.", "service", "peer", "direction")
	linkQuarantine  = desc("link_quarantined_versions", "Pending versions that cannot be applied now; the receiving site alone knows.", "service", "peer", "direction")
	linkRequests    = desc("link_requests_total", "Requests over the link: of this site to receive, of the other site to be sent something.", "service", "peer", "direction")
	linkVersions    = desc("link_versions_total", "Versions that crossed the link.", "service", "peer", "direction")
	linkManifests   = desc("link_manifests_total", "Nodes of manifests that crossed the link.", "service", "peer", "direction")
	linkChunks      = desc("link_chunks_total", "Data chunks that crossed the link.", "service", "peer", "direction")
	linkSkipped     = desc("link_chunks_skipped_total", "Data chunks that this site had already.", "service", "peer", "direction")
	linkThroughput  = desc("link_throughput_bytes_per_second", "Bytes per second on the connections of the link, over the last seconds.", "service", "peer", "direction")
	linkLimit       = desc("link_limit_bytes_per_second", "Limit in bytes per second that holds now, the lower of both sites'; absent without one.", "service", "peer", "direction")
	linkHeld        = desc("link_limit_holds", "1 while the limit is what holds the direction back.", "service", "peer", "direction")
	linkWire        = desc("link_wire_bytes_total", "Bytes that crossed the connections of the link.", "service", "peer", "direction")
)

// Describe implements prometheus.Collector. The metrics depend on the state of
// the node, so the collector is unchecked.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	build := buildinfo.Read()
	gauge(buildInfo, 1, build.Version, build.Revision, build.Go)
	s := c.current()
	gauge(initialised, boolean(s != nil))
	if s == nil {
		return
	}
	if snapshot, err := consoleAdmin(c).Snapshot(c.ctx); err == nil {
		gauge(healthy, boolean(snapshot.GetVerdict().GetHealthy()))
	}
	gauge(siteInfo, 1, c.opts.Site, s.id.String(), c.identity.Name())
	raft := s.replica.Status()
	gauge(raftApplied, float64(raft.AppliedIndex))
	gauge(raftTerm, float64(raft.Term))
	gauge(raftLeader, boolean(raft.Leader == raft.NodeID))
	gauge(raftQuorum, boolean(raft.Leader != ""))
	if disk := s.storage(); disk.GetDiskCapacity() > 0 {
		gauge(diskFree, float64(disk.GetDiskFree()))
		gauge(diskCapacity, float64(disk.GetDiskCapacity()))
	}
	for _, b := range s.replica.Config().Buckets("") {
		if objects, bytes, ok := s.replica.Catalog().Size(b.GetPath()); ok {
			gauge(storedObjects, float64(objects), b.GetPath())
			gauge(storedBytes, float64(bytes), b.GetPath())
		}
	}
	chunks := s.chunks.Stats()
	gauge(storedChunks, float64(chunks.Chunks))
	gauge(chunkBytes, float64(chunks.Bytes))
	gauge(chunkDisk, float64(chunks.DiskBytes))
	counter(chunksWritten, chunks.Written)
	counter(chunksCorrupt, chunks.Corrupt)
	counter(chunkSyncs, chunks.Syncs)

	front := s.front.gate.Stats()
	for _, r := range front.Requests {
		counter(s3Requests, r.Count, r.Operation, strconv.Itoa(r.Status))
	}
	counter(s3In, front.BytesIn)
	counter(s3Out, front.BytesOut)
	gauge(s3Connections, float64(front.Connections))
	counter(s3TurnedAway, front.TurnedAway)

	for _, service := range plan.AllServices(s.replica.Config()) {
		st, _ := s.linkSummary(service)
		name, peer := service.GetName(), service.GetPeerName()
		state := strings.ToLower(strings.TrimPrefix(st.GetState().String(), "SERVICE_STATE_"))
		gauge(linkInfo, 1, name, peer, st.GetMode())
		gauge(linkState, 1, name, peer, state)
		gauge(linkConnected, boolean(st.GetConnected()), name, peer)
		gauge(linkSynced, boolean(st.GetSynced()), name, peer)
		gauge(linkConnections, float64(st.GetConnections()), name, peer)
		gauge(linkTarget, st.GetLagTargetSeconds(), name, peer)
		gauge(linkInFlight, float64(st.GetInFlightBytes()), name, peer)
		if latency := st.GetReceive().LatencySeconds; latency != nil {
			gauge(linkLatency, *latency, name, peer)
		}
		if delay := st.GetReceive().ProcessingDelaySeconds; delay != nil {
			gauge(linkDelay, *delay, name, peer)
		}
		if st.Slope != nil {
			gauge(linkSlope, st.GetSlope(), name, peer)
		}
		if st.DrainSeconds != nil {
			gauge(linkDrain, st.GetDrainSeconds(), name, peer)
		}
		counter(linkErrors, st.GetNetworkErrors(), name, peer, "network")
		counter(linkErrors, st.GetLocalIoErrors(), name, peer, "local")
		counter(linkErrors, st.GetRemoteIoErrors(), name, peer, "remote")
		for direction, d := range map[string]*adminpb.DirectionStats{"send": st.GetSend(), "receive": st.GetReceive()} {
			labels := []string{name, peer, direction}
			b := d.GetBacklog()
			if b.LagSeconds != nil {
				gauge(linkLag, b.GetLagSeconds(), labels...)
			}
			if b.Versions != nil {
				gauge(linkBacklog, float64(b.GetVersions()), labels...)
				gauge(linkBacklogSize, float64(b.GetBytes()), labels...)
				gauge(linkEstimated, boolean(b.GetEstimated()), labels...)
			}
			gauge(linkPending, float64(b.GetPending()), labels...)
			if direction == "receive" { // the receiver alone knows
				gauge(linkQuarantine, float64(b.GetQuarantined()), labels...)
				counter(linkSkipped, d.GetChunksSkipped(), labels...)
			}
			counter(linkRequests, d.GetRequests(), labels...)
			counter(linkVersions, d.GetVersions(), labels...)
			counter(linkManifests, d.GetManifests(), labels...)
			counter(linkChunks, d.GetChunks(), labels...)
			counter(linkWire, d.GetWireBytes(), labels...)
			gauge(linkThroughput, d.GetThroughput(), labels...)
			if d.GetLimitRate() > 0 {
				gauge(linkLimit, float64(d.GetLimitRate()), labels...)
			}
			gauge(linkHeld, boolean(d.GetHeld() != ""), labels...)
		}
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
