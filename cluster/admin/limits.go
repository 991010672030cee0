package admin

import "time"

// Bounds of the API, on both sides.
const (
	maxRequest  = 64 << 10  // bytes of a request that is no object's content
	maxData     = 1 << 20   // bytes of content in one message of an upload
	maxPlan     = 256 << 10 // bytes of a request for a plan: what a file of manifests says
	maxUpload   = maxData + maxRequest
	maxResponse = 16 << 20  // bytes of an answer: a page of 1000 objects with their metadata
	dataPiece   = 256 << 10 // bytes of content that both sides send in one message

	maxConnections = 256              // of a listener at one time
	headerTime     = 10 * time.Second // to send the headers of a request
	idleTime       = 2 * time.Minute  // of a connection without a request
	progressTime   = time.Minute      // in which at least one byte of a body moves
	drainTime      = 10 * time.Second // for calls under way when the server ends

	defaultCallTime = 45 * time.Second // of a call whose caller set no deadline

	listPage = 200 // services that a client asks for at a time

	minWatch     = 100 * time.Millisecond
	defaultWatch = time.Second
	maxWatch     = time.Minute

	recheckTime = time.Second // after which it is found out once more who the caller of a stream is

	heartbeatTime = time.Second // in which a watcher of the console hears something: it turns to another node when it does not

	defaultAudit = 100 // entries of the record of changes in one answer
	maxAudit     = 1000
)
