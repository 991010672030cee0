package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// maxCertificateFile bounds each of the two files; a chain has a few KiB.
const maxCertificateFile = 1 << 20

// certificateLook is how often the files are compared with what is served. They are
// read as a whole: they are small, and what replaces them, be it a rename, a link or
// a write in place, is then of no matter.
const certificateLook = 2 * time.Second

// certificate is that of two PEM files. It is taken anew when they change; a
// connection keeps the one with which it began. Files that are no pair leave the
// certificate as it is. It is safe for concurrent use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	clock             func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	seen    [sha256.Size]byte // of the contents that were looked at last
	fault   error             // why these are not served
}

// openCertificate reads the files for the first time, when a fault is the caller's.
func openCertificate(certFile, keyFile string, log *slog.Logger, clock func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, clock: clock}
	pair, sum, err := c.load()
	if err != nil {
		return nil, err
	}
	c.current, c.seen = pair, sum
	return c, nil
}

// load reads the files.
func (c *certificate) load() (pair *tls.Certificate, sum [sha256.Size]byte, err error) {
	cert, err := readBounded(c.certFile)
	if err != nil {
		return nil, sum, fmt.Errorf("read S3 certificate, --s3-cert: %w", err)
	}
	key, err := readBounded(c.keyFile)
	if err != nil {
		return nil, sum, fmt.Errorf("read key of the S3 certificate, --s3-key: %w", err)
	}
	sum = sha256.Sum256(bytes.Join([][]byte{cert, key}, []byte{0}))
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, sum, fmt.Errorf("use S3 certificate --s3-cert %s with --s3-key %s: %w", c.certFile, c.keyFile, err)
	}
	return &loaded, sum, nil
}

func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxCertificateFile+1))
	if err == nil && len(raw) > maxCertificateFile {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxCertificateFile)
	}
	return raw, err
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, nil
}

// run looks at the files again and again until ctx ends.
func (c *certificate) run(ctx context.Context) {
	ticker := time.NewTicker(certificateLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.look()
		}
	}
}

// look takes what is in the files if it is something new. It says once of each
// fault that it is one.
func (c *certificate) look() {
	pair, sum, err := c.load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if sum != c.seen || c.fault == nil {
			c.log.Error("S3 certificate is not taken anew: the one before is still served", "error", err)
		}
		c.seen, c.fault = sum, err
		return
	}
	if sum == c.seen && c.fault == nil {
		return
	}
	c.current, c.seen, c.fault = pair, sum, nil
	c.log.Info("S3 certificate is taken anew", "file", c.certFile, "subject", pair.Leaf.Subject, "until", pair.Leaf.NotAfter)
}

// problem says what an operator should mend, or nil.
func (c *certificate) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != nil {
		return fmt.Errorf("the changed S3 certificate is not served, but the one before: %w", c.fault)
	}
	if until := c.current.Leaf.NotAfter; c.clock().After(until) {
		return fmt.Errorf("the S3 certificate %s has expired on %s", c.certFile, until.UTC().Format(time.DateTime))
	}
	return nil
}

// checkCertificate refuses options for TLS that cannot be served.
func checkCertificate(certFile, keyFile string) error {
	if certFile == "" && keyFile == "" {
		return nil
	}
	if certFile == "" || keyFile == "" {
		return errors.New("--s3-cert and --s3-key belong together: give both, or neither for S3 without TLS")
	}
	if _, err := openCertificate(certFile, keyFile, slog.New(slog.DiscardHandler), time.Now); err != nil {
		return fmt.Errorf("%w: give the PEM files of a certificate and of its key that the node may read", err)
	}
	return nil
}
