// Package cluster runs a node of a site: it owns the raft replica, the chunk
// store, the S3 front, the link endpoint and the engines of the links, and
// turns the site's config into what runs. Start gives a running Node; Run is
// Start, wait, drain.
//
// A node with a fresh data directory serves only the admin socket until Init
// makes the site. What an operator asks for is decided by package plan, from
// the config as it is, and committed as one transaction bound to what it read.
package cluster
