package admin

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

type objectsHandler struct{ *Server }

func (h *objectsHandler) List(ctx context.Context, req *connect.Request[adminpb.ListObjectsRequest]) (*connect.Response[adminpb.ListObjectsResponse], error) {
	page, err := h.options.Objects.List(ctx, req.Msg)
	return answer(page, err)
}

func (h *objectsHandler) Show(ctx context.Context, req *connect.Request[adminpb.ShowObjectRequest]) (*connect.Response[adminpb.ShowObjectResponse], error) {
	shown, err := h.options.Objects.Show(ctx, req.Msg)
	return answer(shown, err)
}

func (h *objectsHandler) Put(ctx context.Context, stream *connect.ClientStream[adminpb.PutObjectRequest]) (*connect.Response[adminpb.PutObjectResponse], error) {
	if !stream.Receive() {
		if err := stream.Err(); err != nil {
			return nil, err
		}
		return nil, Errorf(CodeInvalid, "the upload has no header")
	}
	header := stream.Msg().GetHeader()
	if header == nil {
		return nil, Errorf(CodeInvalid, "the upload does not begin with its header")
	}
	object, err := h.options.Objects.Put(ctx, header, &upload{stream: stream, size: header.Size})
	return answer(&adminpb.PutObjectResponse{Object: object}, err)
}

func (h *objectsHandler) Get(ctx context.Context, req *connect.Request[adminpb.GetObjectRequest], stream *connect.ServerStream[adminpb.GetObjectResponse]) error {
	object, body, err := h.options.Objects.Get(ctx, req.Msg.GetBucket(), req.Msg.GetKey())
	if err != nil {
		return err
	}
	defer body.Close()
	if err := stream.Send(&adminpb.GetObjectResponse{Part: &adminpb.GetObjectResponse_Object{Object: object}}); err != nil {
		return err
	}
	piece := make([]byte, dataPiece)
	for {
		n, err := fill(body, piece)
		if n > 0 {
			if err := stream.Send(&adminpb.GetObjectResponse{Part: &adminpb.GetObjectResponse_Data{Data: piece[:n]}}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until p is full or there is an error, io.EOF among them. Unlike
// io.ReadFull it leaves the reader's own io.ErrUnexpectedEOF to be told apart.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (h *objectsHandler) Delete(ctx context.Context, req *connect.Request[adminpb.DeleteObjectRequest]) (*connect.Response[adminpb.DeleteObjectResponse], error) {
	return answer(&adminpb.DeleteObjectResponse{}, h.options.Objects.Delete(ctx, req.Msg.GetBucket(), req.Msg.GetKey()))
}

// upload reads the content out of the stream of a Put.
type upload struct {
	stream interface {
		Receive() bool
		Msg() *adminpb.PutObjectRequest
		Err() error
	}
	size *uint64 // what the header said, if it did
	read uint64
	rest []byte
	err  error // sticky
}

// Read returns io.EOF only when the caller ended the stream by itself and every
// byte that it announced has come.
func (u *upload) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(u.rest) == 0 {
		if u.err == nil {
			u.err = u.next()
		}
		if u.err != nil {
			return 0, u.err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// next takes the next message into u.rest.
func (u *upload) next() error {
	if !u.stream.Receive() {
		if err := u.stream.Err(); err != nil {
			return err
		}
		if u.size != nil && u.read != *u.size {
			return Errorf(CodeInvalid, "the upload ended after %d of %d bytes", u.read, *u.size)
		}
		return io.EOF
	}
	part, ok := u.stream.Msg().GetPart().(*adminpb.PutObjectRequest_Data)
	if !ok {
		return Errorf(CodeInvalid, "the upload has something else than content after its header")
	}
	u.read += uint64(len(part.Data))
	if u.size != nil && u.read > *u.size {
		return Errorf(CodeInvalid, "the upload has more than the %d bytes it announced", *u.size)
	}
	u.rest = part.Data
	return nil
}
