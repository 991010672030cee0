package catalog

// Size returns how many keys of a bucket have content as their head, and the
// logical bytes of those heads; false when there is no such bucket. Unlike
// [Catalog.Bucket] it copies nothing, so that lists of many buckets can be
// ordered by it.
func (c *Catalog) Size(path string) (objects, bytes uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.buckets[path]
	if b == nil || b.state.GetDeleted() {
		return 0, 0, false
	}
	return b.state.GetObjects(), b.state.GetBytes(), true
}

// TotalSize is the sum of Size over all buckets.
func (c *Catalog) TotalSize() (objects, bytes uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.buckets {
		if !b.state.GetDeleted() {
			objects += b.state.GetObjects()
			bytes += b.state.GetBytes()
		}
	}
	return objects, bytes
}
