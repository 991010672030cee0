package s3gate

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// algorithms are those of S3, in the order that only takes.
var algorithms = [...]types.ChecksumAlgorithm{
	types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
	types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmSha512, types.ChecksumAlgorithmMd5,
	types.ChecksumAlgorithmXxhash64, types.ChecksumAlgorithmXxhash3, types.ChecksumAlgorithmXxhash128,
}

// checksum is a checksum of one algorithm, in base64. A composite one, over the
// checksums of parts, ends with a hyphen and their number. The zero value is none.
type checksum struct {
	algorithm types.ChecksumAlgorithm
	value     string
}

// only returns the one checksum among values, which stand in the order of
// algorithms, in memory of its own.
func only(values ...*string) checksum {
	for i, v := range values {
		if str(v) != "" {
			return checksum{algorithms[i], strings.Clone(*v)}
		}
	}
	return checksum{}
}

// of returns the value if the checksum is of algorithm a, or nil.
func (c checksum) of(a types.ChecksumAlgorithm) *string {
	if a != c.algorithm || c.value == "" {
		return nil
	}
	return &c.value
}

// kind returns what the checksum is over; nothing when there is none.
func (c checksum) kind() types.ChecksumType {
	switch {
	case c.value == "":
		return ""
	case strings.Contains(c.value, "-"):
		return types.ChecksumTypeComposite
	}
	return types.ChecksumTypeFullObject
}

// name is the algorithm as it is in headers and in versitygw's hash types.
func (c checksum) name() string { return strings.ToLower(string(c.algorithm)) }

// checked is a body whose checksum is verified, or taken, while it is read to its
// end. One in the header is verified here; one in the trailer is verified by
// versitygw's reader beneath, which then can tell it.
type checked struct {
	io.Reader
	sum     checksum // its value is valid at the end of the body
	trailer middlewares.ChecksumReader
	taken   *utils.HashReader
	keep    map[string]string // gets the checksum as a header at the end of the body
}

// newChecked wraps a body. given is the checksum of the request's header, if any.
// When the request gives none at all, one of the algorithm take is taken, if that
// is set.
func newChecked(body io.Reader, given checksum, take types.ChecksumAlgorithm) (*checked, error) {
	c := &checked{Reader: body}
	if body == nil {
		c.Reader = strings.NewReader("")
	}
	if tr, ok := body.(middlewares.ChecksumReader); ok && tr.Algorithm() != "" {
		c.trailer = tr
		c.sum.algorithm = types.ChecksumAlgorithm(strings.ToUpper(tr.Algorithm()))
		return c, nil
	}
	if given.value == "" && take == "" {
		return c, nil
	}
	if c.sum = given; given.value == "" {
		c.sum.algorithm = take
	}
	r, err := utils.NewHashReader(c.Reader, given.value, utils.HashType(c.sum.name()))
	if err != nil {
		return nil, fmt.Errorf("verify checksum %s: %w", c.sum.algorithm, err)
	}
	c.Reader = r
	if given.value == "" {
		c.taken = r
	}
	return c, nil
}

// given returns the algorithm of the checksum that the request gives; none if it
// gives none.
func (c *checked) given() types.ChecksumAlgorithm {
	if c.taken != nil {
		return ""
	}
	return c.sum.algorithm
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF && c.sum.algorithm != "" {
		switch {
		case c.trailer != nil:
			c.sum.value = strings.Clone(c.trailer.Checksum())
		case c.taken != nil:
			c.sum.value = c.taken.Sum()
		}
		if c.keep != nil && c.sum.value != "" {
			c.keep[objects.ChecksumPrefix+c.sum.name()] = c.sum.value
		}
	}
	return n, err
}

// checksumNames are the headers of algorithms, in their order.
var checksumNames = func() (names [len(algorithms)]string) {
	for i, a := range algorithms {
		names[i] = objects.ChecksumPrefix + strings.ToLower(string(a))
	}
	return names
}()

// kept returns the checksum among the headers of a record or of a part; none if
// there is none.
func kept(headers map[string]string) checksum {
	for i, name := range checksumNames {
		if v := headers[name]; v != "" {
			return checksum{algorithms[i], v}
		}
	}
	return checksum{}
}

// header returns the checksum as a header of a record or of a part, nil for none.
func (c checksum) header() map[string]string {
	if c.value == "" {
		return nil
	}
	return map[string]string{objects.ChecksumPrefix + c.name(): c.value}
}

// keptPart returns the checksum of the part at an index of a record.
func keptPart(rec *catalogpb.Record, i int) checksum {
	if i >= len(rec.GetPartChecksums()) {
		return checksum{}
	}
	return checksum{kept(rec.GetHeaders()).algorithm, base64.StdEncoding.EncodeToString(rec.GetPartChecksums()[i])}
}

// withoutChecksums returns a copy of headers that has no checksums.
func withoutChecksums(headers map[string]string) map[string]string {
	out := maps.Clone(headers)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, objects.ChecksumPrefix) })
	return out
}
