package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/admin/adminpb/adminpbconnect"
)

type objectsClient struct {
	*caller
	rpc adminpbconnect.ObjectsClient
}

func (c *objectsClient) List(ctx context.Context, req *adminpb.ListObjectsRequest) (*adminpb.ListObjectsResponse, error) {
	return call(ctx, c.caller, c.rpc.List, req)
}

func (c *objectsClient) Show(ctx context.Context, req *adminpb.ShowObjectRequest) (*adminpb.ShowObjectResponse, error) {
	return call(ctx, c.caller, c.rpc.Show, req)
}

// Put sends body. When body fails, the stream is cut and not ended, so that the
// node keeps nothing of it.
func (c *objectsClient) Put(ctx context.Context, header *adminpb.PutObjectHeader, body io.Reader) (*adminpb.Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := c.rpc.Put(ctx)
	err := stream.Send(&adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Header{Header: header}})
	piece := make([]byte, dataPiece)
	for err == nil { // an error of Send means that the node has answered
		n, readErr := fill(body, piece)
		if n > 0 {
			err = stream.Send(&adminpb.PutObjectRequest{Part: &adminpb.PutObjectRequest_Data{Data: piece[:n]}})
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			cancel()
			return nil, &Error{Code: CodeFailed, Message: "read the content to be stored: " + readErr.Error(), Err: readErr}
		}
	}
	res, err := stream.CloseAndReceive()
	if err != nil {
		return nil, c.failure(err)
	}
	return res.Msg.GetObject(), nil
}

// Get returns the object and its bytes. The reader fails, and does not end,
// when the stream broke off or had other bytes than the object's size says.
func (c *objectsClient) Get(ctx context.Context, bucket, key string) (*adminpb.Object, io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.rpc.Get(ctx, connect.NewRequest(&adminpb.GetObjectRequest{Bucket: bucket, Key: key}))
	if err != nil {
		cancel()
		return nil, nil, c.failure(err)
	}
	d := &download{stream: stream, caller: c.caller, cancel: cancel}
	if !stream.Receive() {
		err := stream.Err()
		if err == nil {
			err = Errorf(CodeFailed, "the node at %s sent no object", c.target)
		}
		d.Close()
		return nil, nil, c.failure(err)
	}
	object := stream.Msg().GetObject()
	if object == nil {
		d.Close()
		return nil, nil, Errorf(CodeFailed, "the node at %s sent no description of the object", c.target)
	}
	d.left = object.GetSize()
	return object, d, nil
}

func (c *objectsClient) Delete(ctx context.Context, bucket, key string) error {
	_, err := call(ctx, c.caller, c.rpc.Delete, &adminpb.DeleteObjectRequest{Bucket: bucket, Key: key})
	return err
}

// download reads the content out of the stream of a Get.
type download struct {
	*caller
	stream *connect.ServerStreamForClient[adminpb.GetObjectResponse]
	cancel context.CancelFunc
	left   uint64
	rest   []byte
	err    error // sticky
}

func (d *download) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.rest) == 0 {
		if d.err == nil {
			d.err = d.next()
		}
		if d.err != nil {
			return 0, d.err
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// next takes the next message into d.rest.
func (d *download) next() error {
	if !d.stream.Receive() {
		if err := d.stream.Err(); err != nil {
			return d.failure(err)
		}
		if d.left > 0 {
			return Errorf(CodeFailed, "the object broke off %d bytes before its end", d.left)
		}
		return io.EOF
	}
	data := d.stream.Msg().GetData()
	if uint64(len(data)) > d.left {
		return Errorf(CodeFailed, "the object has more bytes than its size")
	}
	d.left -= uint64(len(data))
	d.rest = data
	return nil
}

// Close ends the stream, also when not all of it was read.
func (d *download) Close() error {
	d.cancel()
	if err := d.stream.Close(); err != nil && !errors.Is(err, context.Canceled) && connect.CodeOf(err) != connect.CodeCanceled {
		return fmt.Errorf("close object: %w", err)
	}
	return nil
}
