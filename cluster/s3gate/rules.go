package s3gate

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"

	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// conditions are those of a request that reads. Nil is no condition.
type conditions struct {
	ifMatch, ifNoneMatch              *string
	ifModifiedSince, ifUnmodifedSince *time.Time
}

// readConditions evaluates conditions by the precedence of RFC 9110, section
// 13.2.2: a condition on ETags replaces the one on time.
func readConditions(rec *catalogpb.Record, c conditions) error {
	at := modified(rec.GetTime())
	if c.ifMatch != nil {
		if !matchesETag(*c.ifMatch, rec.GetEtag()) {
			return s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)
		}
	} else if c.ifUnmodifedSince != nil && at.After(*c.ifUnmodifedSince) {
		return s3err.GetPreconditionFailedErr(s3err.ConditionIfUnmodifiedSince)
	}
	if c.ifNoneMatch != nil {
		if matchesETag(*c.ifNoneMatch, rec.GetEtag()) {
			return s3err.GetAPIError(s3err.ErrNotModified)
		}
	} else if c.ifModifiedSince != nil && !at.After(*c.ifModifiedSince) {
		return s3err.GetAPIError(s3err.ErrNotModified)
	}
	return nil
}

// matchesETag reports whether a list of ETags, or *, holds one.
func matchesETag(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || strings.Trim(tag, `"`) == etag {
			return true
		}
	}
	return false
}

// selection is the part of an object that a request reads.
type selection struct {
	off, length int64
	header      *string // Content-Range, when it is a part
	parts       *int32  // with a part number: how many parts there are
	part        int     // the number of the part of an upload that it is, or 0
	whole       bool
}

// checksum returns the checksum of what a request reads, if it asks for it and
// there is one.
func (s selection) checksum(rec *catalogpb.Record, mode types.ChecksumMode) checksum {
	switch {
	case mode != types.ChecksumModeEnabled:
		return checksum{}
	case s.whole:
		return kept(rec.GetHeaders())
	case s.part > 0:
		return keptPart(rec, s.part-1)
	}
	return checksum{}
}

// selectRange reads a Range header or a part number. A Range that is malformed,
// of another unit or of several ranges is passed over, as S3 does it, and so is one
// of an object that is not the one that If-Range names.
func selectRange(rec *catalogpb.Record, header, ifRange string, part *int32) (selection, error) {
	size := int64(rec.GetRoot().GetSize())
	if part != nil {
		return selectPart(rec, size, int(*part))
	}
	whole := selection{length: size, whole: true}
	if header == "" || !unchangedSince(rec, ifRange) {
		return whole, nil
	}
	off, length, ok, err := byteRange(header, size)
	switch {
	case err != nil:
		return selection{}, err
	case !ok:
		return whole, nil
	}
	return selection{off: off, length: length, header: contentRange(off, length, size)}, nil
}

// unchangedSince evaluates If-Range by RFC 9110, section 13.1.5: whether a range may
// be joined to what a client has of the object. It names an ETag, which must be a
// strong one, or the time of modification, which must be the very same.
func unchangedSince(rec *catalogpb.Record, ifRange string) bool {
	if ifRange == "" {
		return true
	}
	if at, err := http.ParseTime(ifRange); err == nil {
		return at.Equal(modified(rec.GetTime()))
	}
	return strings.Trim(ifRange, `"`) == rec.GetEtag()
}

// byteRange reads one range of bytes by RFC 9110, section 14.1.2, of an object of the
// given size. ok says that it is one; an error that nothing of the object is within
// it. Positions have any number of digits: bytes=5-99999999999999999999 is all from 5.
func byteRange(header string, size int64) (off, length int64, ok bool, err error) {
	set, isBytes := strings.CutPrefix(header, "bytes=")
	from, to, isRange := strings.Cut(set, "-")
	if !isBytes || !isRange || from+to == "" || strings.Trim(from+to, "0123456789") != "" {
		return 0, 0, false, nil
	}
	first, last := position(from), position(to)
	switch {
	case from == "" && last > 0 && size == 0:
		return 0, 0, false, nil // the last bytes of nothing
	case from == "":
		first, last = size-min(last, size), size-1
	case to == "" || last >= size:
		last = max(first, size-1)
	}
	switch {
	case first >= size:
		return 0, 0, false, s3err.GetInvalidRangeErr(strings.Clone(header), size)
	case last < first:
		return 0, 0, false, nil
	}
	return first, last - first + 1, true, nil
}

// position reads digits; a number that is too great is as great as can be.
func position(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // the value beside ErrRange is the greatest
	return n
}

// selectPart finds the bytes of one part of an object that was uploaded in
// parts; any other object is its own part 1.
func selectPart(rec *catalogpb.Record, size int64, part int) (selection, error) {
	sizes := rec.GetPartSizes()
	if len(sizes) == 0 {
		if part != 1 {
			return selection{}, s3err.GetInvalidPartNumberRangeErr(1, int32(part))
		}
		s := selection{length: size, whole: true}
		if size > 0 {
			s.header = contentRange(0, size, size)
		}
		return s, nil
	}
	if part < 1 || part > len(sizes) {
		return selection{}, s3err.GetInvalidPartNumberRangeErr(int32(len(sizes)), int32(part))
	}
	s := selection{parts: ptr(int32(len(sizes))), part: part}
	for _, n := range sizes[:part-1] {
		s.off += int64(n)
	}
	s.length = int64(sizes[part-1])
	if s.length > 0 {
		s.header = contentRange(s.off, s.length, size)
	}
	return s, nil
}

func contentRange(off, length, size int64) *string {
	return ptr(fmt.Sprintf("bytes %d-%d/%d", off, off+length-1, size))
}

// copyRange reads x-amz-copy-source-range: one range with both ends, within
// the object.
func copyRange(size int64, header string) (off, length int64, err error) {
	if header == "" {
		return 0, size, nil
	}
	var first, last int64
	if n, err := fmt.Sscanf(header, "bytes=%d-%d", &first, &last); n != 2 || err != nil ||
		header != fmt.Sprintf("bytes=%d-%d", first, last) || first < 0 || last < first {
		return 0, 0, s3err.GetInvalidArgumentErr(s3err.InvalidArgCopySourceRange, strings.Clone(header))
	}
	if last >= size {
		return 0, 0, s3err.GetInvalidArgExceedingRange(size)
	}
	return first, last - first + 1, nil
}

// contentFields are the headers of a request that describe its content.
type contentFields struct {
	contentType, encoding, disposition, language, cacheControl, expires *string
}

// contentHeaders returns the headers that a record keeps. The encoding
// aws-chunked is of the transfer and not of the content.
func contentHeaders(f contentFields) map[string]string {
	h := make(map[string]string, 2)
	set := func(name, value string) {
		if value != "" {
			h[name] = strings.Clone(value)
		}
	}
	set("content-type", str(f.contentType))
	set("content-encoding", withoutChunked(str(f.encoding)))
	set("content-disposition", str(f.disposition))
	set("content-language", str(f.language))
	set("cache-control", str(f.cacheControl))
	set("expires", str(f.expires))
	return h
}

// checkText refuses headers and metadata that no answer could tell as they are: names that
// are none of a header, values that are not UTF-8 or have control characters. In headers
// come bytes of other encodings, in forms and presigned URLs anything.
func checkText(headers, metadata map[string]string) error {
	for name, value := range headers {
		if !tellable(value) {
			return invalidArgument(name, "", "The value must be UTF-8 without control characters")
		}
	}
	for name, value := range metadata {
		if !isToken(name) || !tellable(value) {
			return invalidArgument(metaHeader+strings.ToValidUTF8(name, "?"), "",
				"The name must be one of a header, and the value UTF-8 without control characters")
		}
	}
	return nil
}

// tellable says whether a text can be the value of a header.
func tellable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) < 0
}

// isToken says whether a text can be a part of a header's name, by RFC 9110, section
// 5.6.2; ASCII alone is one.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}) < 0
}

func withoutChunked(encoding string) string {
	if !strings.Contains(encoding, "aws-chunked") {
		return encoding
	}
	var kept []string
	for e := range strings.SplitSeq(encoding, ",") {
		if e = strings.TrimSpace(e); e != "aws-chunked" && e != "" {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, ",")
}

// header returns a header of a record, or nil.
func header(h map[string]string, name string) *string {
	if v := h[name]; v != "" {
		return &v
	}
	return nil
}

// cloneMap copies a map whose strings share memory with a request.
func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.Clone(k)] = strings.Clone(v)
	}
	return out
}

// pageBuckets sorts buckets by name and returns those with the prefix after a
// name, at most limit, and the name that the next page follows.
func pageBuckets(all []Bucket, prefix, after string, limit int) (page []Bucket, next string) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Bucket) int { return strings.Compare(a.Name, b.Name) })
	for _, bucket := range all {
		if bucket.Name <= after || !strings.HasPrefix(bucket.Name, prefix) {
			continue
		}
		if limit > 0 && len(page) == limit {
			return page, page[limit-1].Name
		}
		page = append(page, bucket)
	}
	return page, ""
}
