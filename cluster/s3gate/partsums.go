package s3gate

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// The headers of an upload that say which checksum its parts and its object have.
// objects.UploadPrefix keeps them from the object.
const (
	uploadAlgorithm = objects.UploadPrefix + "checksum-algorithm"
	uploadKind      = objects.UploadPrefix + "checksum-type"
)

// uploadSums is what an upload was begun with; both are empty when the client named
// no algorithm.
type uploadSums struct {
	algorithm types.ChecksumAlgorithm
	kind      types.ChecksumType
}

// sumsOf reads an upload's headers.
func sumsOf(headers map[string]string) uploadSums {
	return uploadSums{types.ChecksumAlgorithm(headers[uploadAlgorithm]), types.ChecksumType(headers[uploadKind])}
}

// accepts says whether a part may come with a checksum of algorithm a, empty for
// none. An upload whose object will have a composite checksum needs that of every
// part, from the client; for one of the whole object it is taken where it is missing.
func (u uploadSums) accepts(a types.ChecksumAlgorithm) error {
	switch {
	case u.algorithm == "" || a == u.algorithm, a == "" && u.kind == types.ChecksumTypeFullObject:
		return nil
	case a == "":
		return s3err.GetChecksumTypeMismatchErr(u.algorithm, "null")
	}
	return s3err.GetChecksumTypeMismatchErr(u.algorithm, a)
}

// partSum is what the checksum of an object is made of.
type partSum struct {
	sum  checksum
	size int64
}

// whole returns the checksum that an object of these parts has. An upload that was
// begun without an algorithm has one if the parts happen to have checksums that can
// be combined. The result is none where there is nothing to make it of.
func (u uploadSums) whole(parts []partSum) (checksum, error) {
	algorithm := u.algorithm
	if algorithm == "" && len(parts) > 0 {
		algorithm = parts[0].sum.algorithm
	}
	for _, p := range parts {
		if p.sum.of(algorithm) == nil {
			return checksum{}, nil
		}
	}
	switch {
	case algorithm == "":
		return checksum{}, nil
	case u.kind == types.ChecksumTypeComposite:
		return composite(algorithm, parts)
	case !utils.IsChecksumComposable(algorithm):
		return checksum{}, nil
	}
	return combined(algorithm, parts)
}

// composite is the checksum of the parts' checksums.
func composite(algorithm types.ChecksumAlgorithm, parts []partSum) (checksum, error) {
	h, err := utils.NewCompositeChecksumReader(utils.HashType(strings.ToLower(string(algorithm))))
	if err != nil {
		return checksum{}, fmt.Errorf("combine checksums %s: %w", algorithm, err)
	}
	for _, p := range parts {
		if err := h.Process(p.sum.value); err != nil {
			return checksum{}, fmt.Errorf("combine checksums %s: %w", algorithm, err)
		}
	}
	return checksum{algorithm, fmt.Sprintf("%s-%d", h.Sum(), len(parts))}, nil
}

// combined is the checksum of the parts' bytes, made of their checksums and sizes.
func combined(algorithm types.ChecksumAlgorithm, parts []partSum) (checksum, error) {
	out := checksum{algorithm, parts[0].sum.value}
	for _, p := range parts[1:] {
		var err error
		if out.value, err = utils.AddCRCChecksum(algorithm, out.value, p.sum.value, p.size); err != nil {
			return checksum{}, fmt.Errorf("combine checksums %s: %w", algorithm, err)
		}
	}
	return out, nil
}

// settle compares the checksum that a completion gives with that of the parts, and
// returns the one to keep. read says that the given one cannot be told from the
// parts and must be taken of the content.
func (u uploadSums) settle(given checksum, kind types.ChecksumType, parts []partSum) (keep checksum, read bool, err error) {
	if kind != "" && u.kind != "" && kind != u.kind {
		return checksum{}, false, s3err.GetChecksumTypeMismatchOnMpErr(u.kind)
	}
	have, err := u.whole(parts)
	if err != nil || given.value == "" {
		return have, false, err
	}
	if u.algorithm != "" && given.algorithm != u.algorithm {
		return checksum{}, false, s3err.GetChecksumTypeMismatchErr(u.algorithm, given.algorithm)
	}
	if u.algorithm == "" && given.kind() == types.ChecksumTypeComposite {
		// Begun without an algorithm, completed with one over the parts.
		if have, err = (uploadSums{given.algorithm, types.ChecksumTypeComposite}).whole(parts); err != nil {
			return checksum{}, false, err
		}
		if have.value == "" {
			return checksum{}, false, s3err.GetChecksumTypeMismatchOnMpErr("null")
		}
	}
	if have.algorithm != given.algorithm {
		return given, true, nil
	}
	want := given.value
	if have.kind() == types.ChecksumTypeComposite && given.kind() == types.ChecksumTypeFullObject {
		want = fmt.Sprintf("%s-%d", want, len(parts)) // S3 lets the number be left out
	}
	if want != have.value {
		return checksum{}, false, s3err.GetChecksumBadDigestErr(given.algorithm)
	}
	return have, false, nil
}

// completion is what a request to complete an upload says about checksums.
type completion struct {
	parts []types.CompletedPart
	given checksum
	kind  types.ChecksumType
	read  bool // given is compared with the content
}

// checksums compares what the request says with what the parts have; see
// objects.CompleteRequest.
func (c *completion) checksums(up *catalogpb.Upload, parts []*catalogpb.Part) (object map[string]string, ofParts [][]byte, err error) {
	list := make([]partSum, len(parts))
	for i, p := range parts {
		list[i] = partSum{kept(p.GetChecksums()), int64(p.GetRoot().GetSize())}
		n := &c.parts[i]
		said := only(n.ChecksumCRC32, n.ChecksumCRC32C, n.ChecksumCRC64NVME, n.ChecksumSHA1, n.ChecksumSHA256,
			n.ChecksumSHA512, n.ChecksumMD5, n.ChecksumXXHASH64, n.ChecksumXXHASH3, n.ChecksumXXHASH128)
		if said.value != "" && said != list[i].sum {
			return nil, nil, s3err.GetInvalidPartErr(up.GetId(), int32(p.GetNumber()), p.GetEtag())
		}
	}
	sum, read, err := sumsOf(up.GetHeaders()).settle(c.given, c.kind, list)
	if err != nil {
		return nil, nil, err
	}
	c.read = read
	for _, p := range list {
		raw, err := base64.StdEncoding.DecodeString(p.sum.value)
		if err != nil || p.sum.of(sum.algorithm) == nil {
			return sum.header(), nil, nil
		}
		ofParts = append(ofParts, raw)
	}
	return sum.header(), ofParts, nil
}

// verify reads the content where the parts did not tell its checksum; see
// objects.CompleteRequest.
func (c *completion) verify(ctx context.Context, o *objects.Object) error {
	if !c.read {
		return nil
	}
	body, err := o.Reader(ctx, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	sum, err := newChecked(body, c.given, "")
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, sum)
	return err
}
