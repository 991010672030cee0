package cluster

import (
	"runtime"
	"runtime/debug"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
	objsync "edgefog.dev/isgw/sync"
)

// boundsOf is what a link may use of its node. The links of a group, which are a server
// and those that name it, share the server's bounds: its chunk cache is divided equally
// among them, and its profile is theirs unless one has its own. No link has more than
// its own limit of memory.
func boundsOf(cfg *state.Config, service *statepb.Service) objsync.Bounds {
	site, _, _ := cfg.Site()
	head, members := service, int64(1)
	if server, _, ok := cfg.Service(service.GetServer()); ok && service.GetServer() != "" {
		head = server
	}
	for _, other := range cfg.Services() {
		if other.GetServer() == head.GetName() && !other.GetDisabled() {
			members++
		}
	}
	profile := service.GetProfile()
	if profile == "" {
		profile = state.EffectiveProfile(head, site)
	}
	embedded := profile == state.ProfileEmbedded
	cache := int64(service.GetChunkCache())
	if shared := int64(head.GetChunkCache()); shared > 0 && members > 1 {
		share := max(shared/members, objsync.MinCache)
		if cache == 0 || head == service {
			cache = share
		}
		cache = min(cache, share)
	}
	if limit := int64(service.GetResources().GetLimitMemory()); limit > 0 {
		if cache == 0 {
			cache = objsync.PerformanceCache
			if embedded {
				cache = objsync.EmbeddedCache
			}
		}
		cache = max(objsync.MinCache, min(cache, limit))
	}
	connections := int(service.GetConnections())
	if connections == 0 && service.GetTunnel() && !embedded {
		connections = tunnelConnections
	}
	return objsync.BoundsFor(embedded, cache, connections)
}

// processBounds are what the process of a node keeps to: bytes of memory, and threads
// that run Go code at once.
type processBounds struct {
	memory int64
	procs  int
}

// nodeMemory is what a node needs besides its links.
const nodeMemory = 256 << 20

// processFor is what the limits of all links make of the bounds with which the process
// was started. The links of a node share its process, so their limits are added up: of
// memory on top of what the node needs by itself. While any link is without a limit
// that kind of limit bounds nothing, and a limit never raises what was given at the
// start.
func processFor(services []*statepb.Service, started processBounds) processBounds {
	var memory, cpu uint64
	allMemory, allCPU, links := true, true, 0
	for _, s := range services {
		if s.GetType() != state.TypeLink || s.GetDisabled() {
			continue
		}
		links++
		memory += s.GetResources().GetLimitMemory()
		cpu += s.GetResources().GetLimitCpu()
		allMemory = allMemory && s.GetResources().GetLimitMemory() > 0
		allCPU = allCPU && s.GetResources().GetLimitCpu() > 0
	}
	out := started
	if links == 0 {
		return out
	}
	if allMemory && memory < uint64(started.memory) {
		out.memory = min(started.memory, nodeMemory+int64(memory))
	}
	if allCPU && cpu < uint64(started.procs)*1000 {
		out.procs = max(1, int((cpu+999)/1000))
	}
	return out
}

// startedWith reads the bounds of the process.
func startedWith() processBounds {
	return processBounds{memory: debug.SetMemoryLimit(-1), procs: runtime.GOMAXPROCS(0)}
}

// process is what a process was started with, and what it keeps to now.
type process struct {
	processBounds
	now processBounds
}

// follow makes the process keep to other bounds.
func (p *process) follow(b processBounds) {
	if b.memory != p.now.memory {
		debug.SetMemoryLimit(b.memory)
	}
	if b.procs != p.now.procs {
		runtime.GOMAXPROCS(b.procs)
	}
	p.now = b
}
