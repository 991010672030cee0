package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The client is written by hand because it shares the cores with what it
// measures: it keeps its connections and its buffers, signs with three hashes a
// request, and decodes nothing.

// Values of x-amz-content-sha256.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	emptyPayload    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

const region = "us-east-1"

// s3 is an endpoint with a key.
type s3 struct {
	addr, access, secret string
}

// requestTime bounds a single request, however large.
const requestTime = 5 * time.Minute

// conn is one connection of a client, used by one goroutine at a time.
type conn struct {
	s3
	c       net.Conn
	br      *bufio.Reader
	head    []byte // the request's head
	canon   []byte // the canonical request
	scratch []byte
	sha     hash.Hash
	mac     hash.Hash // with the key of the day
	day     string
	sum     [sha256.Size]byte
}

func (s s3) dial(ctx context.Context) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to S3: %w", err)
	}
	return s.on(c), nil
}

// on is a client of an open connection.
func (s s3) on(c net.Conn) *conn {
	return &conn{s3: s, c: c, br: bufio.NewReaderSize(c, 64<<10), scratch: make([]byte, 1<<20), sha: sha256.New()}
}

func (c *conn) close() { c.c.Close() }

// request is one S3 request. The path and the query are encoded already, the
// parameters of the query in order.
type request struct {
	method, path, query string
	body                []byte
	stream              io.Reader // instead of body
	length              int64     // of stream
	hash                string    // of the body: unsignedPayload when empty and there is one
	copySource          string
	sink                io.Writer // takes the answer's body
}

type response struct {
	status int
	etag   string // without quotes
	length int64  // of the body that was read, or that HEAD tells
}

// statusError is an answer that is no success.
type statusError struct {
	request
	status int
	body   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s?%s: status %d: %.300s", e.method, e.path, e.query, e.status, e.body)
}

// do sends a request and reads the answer. After any error but a statusError
// the connection is of no more use.
func (c *conn) do(r request) (response, error) {
	if err := c.c.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return response{}, err
	}
	if r.stream == nil {
		r.length = int64(len(r.body))
	}
	c.sign(&r, time.Now().UTC())
	if err := c.send(&r); err != nil {
		return response{}, fmt.Errorf("%s %s: send: %w", r.method, r.path, err)
	}
	res, err := c.receive(&r)
	if err != nil {
		var status *statusError
		if !errors.As(err, &status) {
			err = fmt.Errorf("%s %s: receive: %w", r.method, r.path, err)
		}
	}
	return res, err
}

// sign writes the request's head, with Signature Version 4 as AWS specifies it
// in "Signature calculations for the Authorization header".
func (c *conn) sign(r *request, now time.Time) {
	var stampBuf [16]byte
	stamp := now.AppendFormat(stampBuf[:0], "20060102T150405Z")
	day := string(stamp[:8])
	if c.day != day {
		key := []byte("AWS4" + c.secret)
		for _, part := range []string{day, region, "s3", "aws4_request"} {
			m := hmac.New(sha256.New, key)
			m.Write([]byte(part))
			key = m.Sum(nil)
		}
		c.mac, c.day = hmac.New(sha256.New, key), day
	}
	payload := r.hash
	if payload == "" {
		payload = emptyPayload
		if r.length > 0 {
			payload = unsignedPayload
		}
	}
	signed := "host;x-amz-content-sha256;x-amz-date"
	if r.copySource != "" {
		signed = "host;x-amz-content-sha256;x-amz-copy-source;x-amz-date"
	}

	b := c.canon[:0]
	b = append(append(b, r.method...), '\n')
	b = append(append(b, r.path...), '\n')
	b = append(append(b, r.query...), '\n')
	b = append(append(append(b, "host:"...), c.addr...), '\n')
	b = append(append(append(b, "x-amz-content-sha256:"...), payload...), '\n')
	if r.copySource != "" {
		b = append(append(append(b, "x-amz-copy-source:"...), r.copySource...), '\n')
	}
	b = append(append(append(b, "x-amz-date:"...), stamp...), '\n', '\n')
	b = append(append(b, signed...), '\n')
	b = append(b, payload...)
	c.sha.Reset()
	c.sha.Write(b)
	sum := c.sha.Sum(c.sum[:0])

	b = append(b[:0], "AWS4-HMAC-SHA256\n"...)
	b = append(append(b, stamp...), '\n')
	b = append(append(b, day...), "/"+region+"/s3/aws4_request\n"...)
	b = hex.AppendEncode(b, sum)
	c.mac.Reset()
	c.mac.Write(b)
	sum = c.mac.Sum(c.sum[:0])
	c.canon = b

	h := c.head[:0]
	h = append(append(append(h, r.method...), ' '), r.path...)
	if r.query != "" {
		h = append(append(h, '?'), r.query...)
	}
	h = append(append(h, " HTTP/1.1\r\nHost: "...), c.addr...)
	h = append(append(h, "\r\nx-amz-date: "...), stamp...)
	h = append(append(h, "\r\nx-amz-content-sha256: "...), payload...)
	if r.copySource != "" {
		h = append(append(h, "\r\nx-amz-copy-source: "...), r.copySource...)
	}
	if r.method == "PUT" || r.length > 0 {
		h = strconv.AppendInt(append(h, "\r\nContent-Length: "...), r.length, 10)
	}
	h = append(append(h, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...), c.access...)
	h = append(append(append(h, '/'), day...), "/"+region+"/s3/aws4_request, SignedHeaders="...)
	h = append(append(h, signed...), ", Signature="...)
	h = hex.AppendEncode(h, sum)
	c.head = append(h, "\r\n\r\n"...)
}

func (c *conn) send(r *request) error {
	if r.stream != nil {
		if _, err := c.c.Write(c.head); err != nil {
			return err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{c.c}, io.LimitReader(r.stream, r.length), c.scratch)
		if err == nil && n < r.length {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if len(r.body) <= 16<<10 {
		c.head = append(c.head, r.body...)
		_, err := c.c.Write(c.head)
		return err
	}
	buffers := net.Buffers{c.head, r.body}
	_, err := buffers.WriteTo(c.c)
	return err
}

func (c *conn) receive(r *request) (response, error) {
	var res response
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return res, err
	}
	if len(line) < len("HTTP/1.1 200\n") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return res, fmt.Errorf("not an answer of HTTP/1.1: %q", line)
	}
	if res.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return res, fmt.Errorf("not a status: %q", line)
	}
	length, chunked := int64(-1), false
	for {
		if line, err = c.br.ReadSlice('\n'); err != nil {
			return res, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return res, fmt.Errorf("length of the answer: %w", err)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("ETag")):
			res.etag = string(bytes.Trim(value, `"`))
		}
	}
	if r.method == "HEAD" || res.status == 204 || res.status == 304 {
		res.length = max(0, length)
		if res.status >= 300 {
			return res, &statusError{request: *r, status: res.status}
		}
		return res, nil
	}
	body := io.Reader(io.LimitReader(c.br, length))
	switch {
	case chunked:
		body = httputil.NewChunkedReader(c.br)
	case length < 0:
		return res, errors.New("an answer without a length")
	}
	if res.status >= 300 {
		text, err := io.ReadAll(body)
		if err != nil {
			return res, err
		}
		if err := c.endChunked(chunked); err != nil {
			return res, err
		}
		return res, &statusError{request: *r, status: res.status, body: string(text)}
	}
	sink := r.sink
	if sink == nil {
		sink = discard{}
	}
	res.length, err = io.CopyBuffer(struct{ io.Writer }{sink}, struct{ io.Reader }{body}, c.scratch)
	if err == nil && !chunked && res.length < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return res, err
	}
	return res, c.endChunked(chunked)
}

// endChunked reads the empty line after the last chunk, which the reader of
// chunks leaves.
func (c *conn) endChunked(chunked bool) error {
	if !chunked {
		return nil
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return err
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (c *conn) put(path string, body []byte, hash string) (response, error) {
	return c.do(request{method: "PUT", path: path, body: body, hash: hash})
}

func (c *conn) putStream(path string, body io.Reader, length int64) (response, error) {
	return c.do(request{method: "PUT", path: path, stream: body, length: length})
}

func (c *conn) get(path string, sink io.Writer) (response, error) {
	return c.do(request{method: "GET", path: path, sink: sink})
}

func (c *conn) headObject(path string) (response, error) {
	return c.do(request{method: "HEAD", path: path})
}

func (c *conn) delete(path string) error {
	_, err := c.do(request{method: "DELETE", path: path})
	return err
}

// notFound says whether an answer was that there is no such thing yet.
func notFound(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.status == 404
}

// page is a page of a listing, taken apart only as far as it must.
type page struct {
	keys int
	next string // token of the next page; empty at the end
	xml  []byte
}

var (
	keyTag     = []byte("<Key>")
	tokenBegin = []byte("<NextContinuationToken>")
	tokenEnd   = []byte("</NextContinuationToken>")
)

// list reads a page of at most 1,000 keys, those after a key or those of a
// token; buf is used for the answer.
func (c *conn) list(bucket, after, token string, buf []byte) (page, error) {
	query := "list-type=2&max-keys=1000"
	if token != "" {
		query = "continuation-token=" + escape(token) + "&" + query
	}
	if after != "" {
		query += "&start-after=" + escape(after)
	}
	out := bytes.NewBuffer(buf[:0])
	if _, err := c.do(request{method: "GET", path: "/" + bucket, query: query, sink: out}); err != nil {
		return page{}, err
	}
	p := page{xml: out.Bytes(), keys: bytes.Count(out.Bytes(), keyTag)}
	if _, rest, ok := bytes.Cut(p.xml, tokenBegin); ok {
		next, _, _ := bytes.Cut(rest, tokenEnd)
		p.next = string(bytes.ReplaceAll(next, []byte("&amp;"), []byte("&")))
	}
	return p, nil
}

// listAll counts the keys of a bucket.
func (c *conn) listAll(bucket string) (int, error) {
	keys, token := 0, ""
	var buf []byte
	for {
		p, err := c.list(bucket, "", token, buf)
		if err != nil {
			return keys, err
		}
		keys += p.keys
		if p.next == "" {
			return keys, nil
		}
		if p.next == token {
			return keys, errors.New("the listing does not go on")
		}
		token, buf = p.next, p.xml
	}
}

// escape encodes a query's value as Signature Version 4 wants it.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		ch := s[i]
		if ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || ch == '-' || ch == '_' || ch == '.' || ch == '~' {
			b = append(b, ch)
		} else {
			b = append(b, '%', digits[ch>>4], digits[ch&15])
		}
	}
	return string(b)
}

// each calls fn for every i below n, from as many goroutines as there are
// workers, each with a connection of its own. The first error ends it.
func (s s3) each(ctx context.Context, workers, n int, fn func(c *conn, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, n) {
		group.Go(func() {
			c, err := s.dial(ctx)
			if err != nil {
				cancel(err)
				return
			}
			defer c.close()
			stop := context.AfterFunc(ctx, c.close)
			defer stop()
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := fn(c, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
