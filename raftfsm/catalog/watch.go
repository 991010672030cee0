package catalog

// Watcher signals that something was committed. Signals coalesce: whoever
// receives one looks at everything that matters to it.
type Watcher struct {
	// C receives a signal after every committed batch, unless one waits already.
	C <-chan struct{}

	catalog *Catalog
	c       chan struct{}
}

// Watch returns a watcher. The caller stops it when it is done.
func (c *Catalog) Watch() *Watcher {
	signal := make(chan struct{}, 1)
	w := &Watcher{C: signal, catalog: c, c: signal}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[w] = struct{}{}
	return w
}

// Stop ends the signals and frees the watcher; C is not closed. It may be called
// more than once.
func (w *Watcher) Stop() {
	w.catalog.mu.Lock()
	defer w.catalog.mu.Unlock()
	delete(w.catalog.watchers, w)
}

// wake signals all watchers.
func (c *Catalog) wake() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for w := range c.watchers {
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}
