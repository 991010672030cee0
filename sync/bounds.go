package objsync

// Bounds are what a link may use of its node.
type Bounds struct {
	// Connections is the number of connections for chunks in each direction.
	Connections int
	// Workers is the number of fetches under way at once.
	Workers int
	// Window and Line bound, in bytes, what is asked for and not durable yet: the
	// window always, the line on top of it as far as the way to the far end is long
	// enough to hold it.
	Window, Line int64
	// Queue bounds the encoded records that wait for their content, in bytes.
	Queue int64
	// Nodes is the number of decoded manifest nodes that are kept to check what the
	// far end asks for.
	Nodes int
}

// What a link has when nothing is set, by its profile.
const (
	// PerformanceCache and EmbeddedCache bound its buffers and caches in bytes.
	PerformanceCache = 192 << 20
	EmbeddedCache    = 24 << 20
	// MinCache is the least bound: below it not even two fetches have room.
	MinCache = 8 << 20

	// PerformanceConnections is the number of connections for chunks of that profile.
	PerformanceConnections = 8
	embeddedConnections    = 2

	fetchBuffers = 2 << 20  // bytes that one fetch holds: a chunk as it came, decoded, and its slab
	nodeSize     = 40 << 10 // bytes of a decoded manifest node
	mostWindow   = 15 << 20
	mostQueue    = 16 << 20
	mostNodes    = 256
	leastWindow  = 1 << 20
)

// BoundsFor divides cache bytes among the buffers and caches of a link: with 0 as many
// as its profile gives. connections is as a setting has it, 0 being the profile's. Whatever
// the numbers, what the bounds allow together is not more than cache, as far as that is at
// least MinCache; a smaller one counts as MinCache.
//
// A sixteenth is left for what is not counted, a sixteenth goes to the manifest nodes and an
// eighth to the queue; each worker has its buffers, of up to a quarter; and the rest is for
// content that was asked for. The performance profile gets from this just what a link of
// 1 Gbit/s and 100 ms needs.
func BoundsFor(embedded bool, cache int64, connections int) Bounds {
	b := Bounds{Connections: connections}
	if b.Connections == 0 {
		b.Connections = PerformanceConnections
		if embedded {
			b.Connections = embeddedConnections
		}
	}
	if cache == 0 {
		cache = PerformanceCache
		if embedded {
			cache = EmbeddedCache
		}
	}
	cache = max(cache, MinCache)
	b.Workers = int(max(2, min(int64(2*b.Connections), cache/4/fetchBuffers)))
	b.Nodes = int(max(4, min(mostNodes, cache/16/nodeSize)))
	b.Queue = min(mostQueue, cache/8)
	rest := cache - cache/16 - int64(b.Nodes)*nodeSize - b.Queue - int64(b.Workers)*fetchBuffers
	b.Window = max(leastWindow, min(mostWindow, rest/2))
	b.Line = max(0, min(lineMost, rest-b.Window))
	return b
}

// Most is the number of bytes that the bounds allow together.
func (b Bounds) Most() int64 {
	return b.Window + b.Line + b.Queue + int64(b.Nodes)*nodeSize + int64(b.Workers)*fetchBuffers
}
