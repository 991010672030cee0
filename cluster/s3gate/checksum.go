package s3gate

import (
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// checksumHeader is the beginning of the record headers that keep the checksums
// that clients gave: x-amz-checksum-crc32 and so on.
const checksumHeader = "x-amz-checksum-"

// checked is a body whose checksum, if the client gave one, is verified when it
// is read to its end. One in the header is verified here; one in the trailer is
// verified by versitygw's reader beneath, which then can tell it.
type checked struct {
	io.Reader
	algorithm types.ChecksumAlgorithm // empty when the client gave none
	value     string                  // base64; of a trailer only once it was read
	trailer   middlewares.ChecksumReader
	keep      map[string]string // gets the checksum as a header at the end of the body
}

// newChecked wraps a body. given are the checksums of the request's header, at
// most one of which is set.
func newChecked(body io.Reader, given map[types.ChecksumAlgorithm]*string) (*checked, error) {
	c := &checked{Reader: body}
	if body == nil {
		c.Reader = strings.NewReader("")
	}
	if tr, ok := body.(middlewares.ChecksumReader); ok && tr.Algorithm() != "" {
		c.trailer = tr
		c.algorithm = types.ChecksumAlgorithm(strings.ToUpper(tr.Algorithm()))
		return c, nil
	}
	for algorithm, value := range given {
		if str(value) == "" {
			continue
		}
		c.algorithm, c.value = algorithm, strings.Clone(*value)
		r, err := utils.NewHashReader(c.Reader, c.value, utils.HashType(strings.ToLower(string(algorithm))))
		if err != nil {
			return nil, fmt.Errorf("verify checksum %s: %w", algorithm, err)
		}
		c.Reader = r
		break
	}
	return c, nil
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF && c.algorithm != "" {
		if c.trailer != nil {
			c.value = strings.Clone(c.trailer.Checksum())
		}
		if c.keep != nil && c.value != "" {
			c.keep[checksumHeader+strings.ToLower(string(c.algorithm))] = c.value
		}
	}
	return n, err
}

// values returns a function from an algorithm to the checksum, or nil.
func (c *checked) values() func(types.ChecksumAlgorithm) *string {
	return func(a types.ChecksumAlgorithm) *string {
		if a != c.algorithm || c.value == "" {
			return nil
		}
		return &c.value
	}
}

// kind returns what the checksum is over.
func (c *checked) kind() types.ChecksumType {
	if c.algorithm == "" {
		return ""
	}
	return types.ChecksumTypeFullObject
}

// keptChecksums returns the checksums of a record, if they are asked for.
func keptChecksums(rec *catalogpb.Record, asked bool) (func(types.ChecksumAlgorithm) *string, types.ChecksumType) {
	h := rec.GetHeaders()
	kind := types.ChecksumType("")
	if asked {
		for name := range h {
			if strings.HasPrefix(name, checksumHeader) {
				kind = types.ChecksumTypeFullObject
			}
		}
	}
	return func(a types.ChecksumAlgorithm) *string {
		if kind == "" {
			return nil
		}
		return header(h, checksumHeader+strings.ToLower(string(a)))
	}, kind
}

// keepChecksums copies the checksums of a record to the headers of another with
// the same content.
func keepChecksums(to map[string]string, rec *catalogpb.Record) {
	for name, value := range rec.GetHeaders() {
		if strings.HasPrefix(name, checksumHeader) {
			to[name] = value
		}
	}
}
