package s3gate_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestQuota refuses what would exceed the quota of the bucket or its tenant, and
// takes it again when there is room.
func TestQuota(t *testing.T) {
	t.Parallel()
	s := openSite(t, nil)
	ctx, cl := t.Context(), s.minio(t, colaKey, colaSecret)
	put := func(key string, n int) error {
		_, err := cl.PutObject(ctx, "bk1", key, strings.NewReader(strings.Repeat("x", n)), int64(n), minio.PutObjectOptions{})
		return err
	}
	ok := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	ok("set the bucket's", s.changeBucket(ctx, "Hawaii/Cola/bk1", func(b *statepb.Bucket) { b.Quota = 1000 }))
	ok("put", put("a", 600))
	wantCode(t, "put too much", put("b", 600), "QuotaExceeded")
	ok("put what fits", put("b", 400))
	wantCode(t, "put a byte", put("c", 1), "QuotaExceeded")
	ok("delete", cl.RemoveObject(ctx, "bk1", "a", minio.RemoveObjectOptions{}))
	ok("put again", put("c", 600))
	ok("unset the bucket's", s.changeBucket(ctx, "Hawaii/Cola/bk1", func(b *statepb.Bucket) { b.Quota = 0 }))
	ok("set the tenant's", s.config(ctx, &statepb.Txn{Puts: []*statepb.Object{state.Wrap(&statepb.Tenant{Path: "Hawaii/Cola", Quota: 1500})}}))
	wantCode(t, "put above the tenant's", put("d", 600), "QuotaExceeded")
	ok("put beneath the tenant's", put("d", 500))
	core := minio.Core{Client: cl}
	up, err := core.NewMultipartUpload(ctx, "bk1", "m", minio.PutObjectOptions{})
	ok("begin an upload", err)
	part, err := core.PutObjectPart(ctx, "bk1", "m", up, 1, strings.NewReader("xyz"), 3, minio.PutObjectPartOptions{})
	ok("upload a part", err)
	_, err = core.CompleteMultipartUpload(ctx, "bk1", "m", up, []minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}, minio.PutObjectOptions{})
	wantCode(t, "complete an upload", err, "QuotaExceeded")
	_, err = core.CopyObject(ctx, "bk1", "d", "bk1", "e", nil, minio.CopySrcOptions{}, minio.PutObjectOptions{})
	wantCode(t, "copy", err, "QuotaExceeded")
	// Another tenant is not concerned.
	_, err = s.minio(t, pepsiKey, pepsiSecret).PutObject(ctx, "bk1", "k", strings.NewReader(strings.Repeat("x", 5000)), 5000, minio.PutObjectOptions{})
	ok("put by another tenant", err)
}
