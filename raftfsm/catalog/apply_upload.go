package catalog

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/raftfsmpb"
)

// uploadTxn is an upload that is about to go, with its parts.
type uploadTxn struct {
	upload *pb.Upload
	parts  []*pb.Part
}

// completable loads the upload that a write completes, and makes sure that the
// write was built from the upload's present parts.
func (b *Batch) completable(t *bucketTxn, cmd *pb.Write) (*uploadTxn, *raftfsmpb.Result) {
	up, refused := b.loadUpload(t, cmd.GetUpload())
	if refused != nil {
		return nil, refused
	}
	if !bytes.Equal(up.upload.GetKey(), cmd.GetRecord().GetKey()) {
		return nil, refuse(raftfsmpb.Code_INVALID, "upload %s is of another key", cmd.GetUpload())
	}
	used := up.parts
	if len(cmd.GetParts()) > 0 {
		used = make([]*pb.Part, 0, len(cmd.GetParts()))
		all := up.parts
		for _, number := range cmd.GetParts() {
			for len(all) > 0 && all[0].GetNumber() < number {
				all = all[1:]
			}
			if len(all) == 0 || all[0].GetNumber() != number {
				return nil, refuse(raftfsmpb.Code_PARTS_CHANGED, "upload %s has no part %d, or the parts named are not in order", cmd.GetUpload(), number)
			}
			used, all = append(used, all[0]), all[1:]
		}
	}
	if !bytes.Equal(PartListDigest(used), cmd.GetPartListDigest()) {
		return nil, refuse(raftfsmpb.Code_PARTS_CHANGED, "parts of upload %s have been replaced meanwhile", cmd.GetUpload())
	}
	return up, nil
}

// checkUploadID says what is wrong with an upload's id, or nothing. A zero byte
// would end it early in a row's key.
func checkUploadID(id string) error {
	if id == "" || len(id) > 128 {
		return fmt.Errorf("check upload id: %d bytes, not 1 to 128", len(id))
	}
	for i := 0; i < len(id); i++ {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("check upload id: byte %#x is not a printable character", id[i])
		}
	}
	return nil
}

// CreateUpload starts a multipart upload. EXISTS: its id is in use.
func (b *Batch) CreateUpload(cmd *pb.CreateUpload, now int64) *raftfsmpb.Result {
	in := cmd.GetUpload()
	t, refused := b.live(in.GetBucket())
	if refused != nil {
		return refused
	}
	if err := checkUploadID(in.GetId()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	if err := CheckKey(in.GetKey()); err != nil {
		return refuse(raftfsmpb.Code_INVALID, "%v", err)
	}
	if n := proto.Size(in); n > MaxRecordSize {
		return refuse(raftfsmpb.Code_INVALID, "upload has %d bytes of headers and metadata, more than %d", n, MaxRecordSize)
	}
	number := t.state.GetNumber()
	if b.get(uploadKey(nil, number, in.GetId()), new(pb.Upload)) {
		return refuse(raftfsmpb.Code_EXISTS, "upload %s exists already", in.GetId())
	}
	up := &pb.Upload{Id: in.GetId(), Bucket: in.GetBucket(), Key: in.GetKey(), Created: in.GetCreated(), Headers: in.GetHeaders(), Metadata: in.GetMetadata(), Tags: in.GetTags(), Lock: in.GetLock()}
	if up.Created == 0 {
		up.Created = now
	}
	b.put(uploadKey(nil, number, up.GetId()), up)
	b.set(uploadByKeyKey(nil, number, up.GetKey(), up.GetId()), nil)
	t.sum.add(b.hashes.upload(up))
	t.dirty = true
	return b.result(ok())
}

// PutPart stores or replaces a part of an upload. NOT_FOUND: the upload is gone.
func (b *Batch) PutPart(cmd *pb.PutPart, now int64) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	in, id := cmd.GetPart(), cmd.GetUpload()
	if in.GetNumber() < 1 || in.GetNumber() > maxParts {
		return refuse(raftfsmpb.Code_INVALID, "part number %d is not between 1 and %d", in.GetNumber(), maxParts)
	}
	if n := len(in.GetRoot().GetId()); n != 0 && n != 32 || in.GetRoot().GetSize() > MaxObjectSize || len(in.GetEtag()) > 256 {
		return refuse(raftfsmpb.Code_INVALID, "part %d of upload %s does not name its content rightly", in.GetNumber(), id)
	}
	if n := proto.Size(in); n > maxPartSize {
		return refuse(raftfsmpb.Code_INVALID, "part %d of upload %s has %d bytes of checksums, more than %d", in.GetNumber(), id, n, maxPartSize)
	}
	number := t.state.GetNumber()
	if checkUploadID(id) != nil || !b.get(uploadKey(nil, number, id), new(pb.Upload)) {
		return b.result(refuse(raftfsmpb.Code_NOT_FOUND, "upload %s does not exist", id))
	}
	part := &pb.Part{Number: in.GetNumber(), Root: in.GetRoot(), Etag: in.GetEtag(), Time: in.GetTime(), Checksums: in.GetChecksums()}
	if part.Time == 0 {
		part.Time = now
	}
	key := partKey(nil, number, id, part.GetNumber())
	if was := new(pb.Part); b.get(key, was) {
		t.sum.sub(b.hashes.part(id, was))
	}
	b.put(key, part)
	t.sum.add(b.hashes.part(id, part))
	t.dirty = true
	return b.result(ok())
}

// maxParts is the greatest number of a part, as S3 has it.
const maxParts = 10_000

// maxPartSize bounds what is kept of a part, in bytes.
const maxPartSize = 1 << 10

// AbortUpload removes an upload and its parts. NOT_FOUND: it is gone.
func (b *Batch) AbortUpload(cmd *pb.AbortUpload) *raftfsmpb.Result {
	t, refused := b.live(cmd.GetBucket())
	if refused != nil {
		return refused
	}
	up, refused := b.loadUpload(t, cmd.GetUpload())
	if refused != nil {
		return refused
	}
	b.dropUpload(t, up)
	return b.result(ok())
}

// loadUpload reads an upload and its parts.
func (b *Batch) loadUpload(t *bucketTxn, id string) (*uploadTxn, *raftfsmpb.Result) {
	up := &uploadTxn{upload: new(pb.Upload)}
	number := t.state.GetNumber()
	if checkUploadID(id) != nil || !b.get(uploadKey(nil, number, id), up.upload) {
		return nil, b.result(refuse(raftfsmpb.Code_NOT_FOUND, "upload %s does not exist", id))
	}
	prefix := partPrefix(nil, number, id)
	err := scan(b.rows, prefix, successor(prefix), func(_, value []byte) (bool, error) {
		p := new(pb.Part)
		up.parts = append(up.parts, p)
		return true, proto.Unmarshal(value, p)
	})
	if err != nil {
		return nil, b.fail(err)
	}
	return up, nil
}

// dropUpload removes what loadUpload has read.
func (b *Batch) dropUpload(t *bucketTxn, up *uploadTxn) {
	number, id := t.state.GetNumber(), up.upload.GetId()
	t.sum.sub(b.hashes.upload(up.upload))
	for _, p := range up.parts {
		t.sum.sub(b.hashes.part(id, p))
		b.delete(partKey(nil, number, id, p.GetNumber()))
	}
	b.delete(uploadKey(nil, number, id))
	b.delete(uploadByKeyKey(nil, number, up.upload.GetKey(), id))
	t.dirty = true
}
