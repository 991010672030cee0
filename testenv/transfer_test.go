package testenv

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"edgefog.dev/isgw/raftfsm/state"
)

// memoryLimit is the promise for a node's process.
const memoryLimit = 512 << 20

func (e *Env) checkMemory(sites ...*Site) {
	e.t.Helper()
	for _, s := range sites {
		peak, err := s.MemoryPeak()
		if err != nil {
			e.t.Fatal(err)
		}
		e.t.Logf("site %s: peak of resident memory %d MiB", s.Name, peak>>20)
		if peak > memoryLimit {
			e.t.Errorf("site %s used %d MiB of memory, more than %d", s.Name, peak>>20, memoryLimit>>20)
		}
	}
}

// put streams content of a length through S3, in parts of a size (0: in one piece).
func (s *Site) putStream(key string, body io.Reader, length int64, part uint64) error {
	opts := minio.PutObjectOptions{DisableMultipart: part == 0, PartSize: part, NumThreads: 4, ConcurrentStreamParts: part != 0}
	_, err := s.S3("Hawaii/Cola").PutObject(s.env.Context(), "bk1", key, body, length, opts)
	return err
}

// received is the bytes that crossed the wire towards a site.
func (s *Site) received() int64 {
	return int64(s.Status("hawaii").GetStatus().GetReceive().GetWireBytes())
}

// TestInsertAndCopyAreCheap: 1 MiB inserted into the middle of a large object
// costs at most 1.5 MiB on the wire, in one piece or in parts, and a copy under
// another name at most 32 KiB. Bytes are counted on the way between the nodes, in both
// directions. How soon the cuts after an insertion are the old ones again is the luck of
// the content: here they are after 0.1 MiB.
func TestInsertAndCopyAreCheap(t *testing.T) {
	const insert, none = 3 << 19, 32 << 10
	const added = 1<<20 - 1 // odd: blocks of a fixed size would not be found again
	meters := newMeters(t)
	e := New(t)
	a, b := e.Start("alpha", SiteOptions{Process: true}), e.Start("beta", SiteOptions{Process: true})
	a.Create("Hawaii", "Hawaii/Cola", bucketPath)
	b.Create("Hawaii", "Hawaii/Cola")
	l := meters.link(e, a, b, state.ReplicationBoth)
	total := size(96<<20, 1<<30)
	half := total / 2
	original := func() io.Reader { return io.LimitReader(randomReader(1), total) }
	inserted := func() io.Reader {
		source := original()
		return io.MultiReader(io.LimitReader(source, half), bytes.NewReader(randomBytes(4, added)), source)
	}
	if err := a.putStream("large", original(), total, 0); err != nil {
		t.Fatal(err)
	}
	l.WaitSynced()

	for _, c := range []struct {
		name string
		most int64
		do   func() error
	}{
		{"insert in one piece", insert, func() error { return a.putStream("large", inserted(), total+added, 0) }},
		{"the original back, in parts", none, func() error { return a.putStream("large", original(), total, 16<<20) }},
		{"insert in parts", insert, func() error {
			source := original()
			body := io.MultiReader(io.LimitReader(source, half+1), bytes.NewReader(randomBytes(3, added)), source)
			return a.putStream("large", body, total+added, 16<<20)
		}},
		{"copy under another name", none, func() error {
			_, err := a.S3("Hawaii/Cola").CopyObject(e.Context(),
				minio.CopyDestOptions{Bucket: "bk1", Object: "copy"}, minio.CopySrcOptions{Bucket: "bk1", Object: "large"})
			return err
		}},
	} {
		before := meters.crossed()
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		l.WaitSynced()
		crossed := meters.crossed() - before
		t.Logf("%s: %d bytes on the wire", c.name, crossed)
		if crossed > c.most {
			t.Errorf("%s: %d bytes crossed the wire, more than %d", c.name, crossed, c.most)
		}
	}
	e.checkMemory(a, b)
}

// TestKills kills either site at random moments of a transfer that is slowed so
// that it outlasts the kills: it ends equal, nothing acknowledged is lost, and a
// kill costs at most 16 MiB of repeated bytes.
func TestKills(t *testing.T) {
	const costOfKill = 16 << 20
	kills := int(size(3, 10))
	total := size(64<<20, 2<<30)
	e, a, b, l := twoSites(t, SiteOptions{Process: true})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)

	e.mustPut(a, "warm", []byte("up"))
	l.WaitSynced()
	// Eight connections at this rate carry the rest in about the time given.
	seconds := size(10, 100)
	l.Slow(int(total / seconds / 1000 / 8))
	objects := 8
	for i := range objects {
		if err := a.putStream(fmt.Sprintf("large-%d", i), io.LimitReader(randomReader(uint64(i)), total/int64(objects)), total/int64(objects), 0); err != nil {
			t.Fatal(err)
		}
	}
	// The counters of a process go with it: what crossed is their sum.
	var crossed int64
	acked := map[string][]byte{}
	for i := range kills {
		victim := l.Sites[i%2]
		wait := time.Duration(random.Int64N(int64(seconds) * int64(time.Second) / int64(kills) * 3 / 4))
		at := time.Now()
		e.Eventually("time for a kill", func() bool { return time.Since(at) > wait })
		for j := range 5 {
			key, content := fmt.Sprintf("acked-%d-%d", i, j), randomBytes(random.Uint64(), random.Int64N(200_000))
			if err := victim.Put("Hawaii/Cola", "bk1", key, content); err != nil {
				t.Fatal(err)
			}
			acked[key] = content
		}
		if victim == b {
			crossed += b.received()
		}
		victim.Kill()
		victim.Resume()
	}
	status := b.Status("hawaii").GetStatus()
	if status.GetSynced() {
		t.Error("the transfer did not outlast the kills: slow it more")
	}
	l.Slow(0)
	l.WaitSynced()
	crossed += b.received()
	for key, content := range acked {
		e.mustHave(a, key, content)
		e.mustHave(b, key, content)
	}
	for i := range objects {
		want := io.LimitReader(randomReader(uint64(i)), total/int64(objects))
		for _, s := range l.Sites {
			if err := s.equals(fmt.Sprintf("large-%d", i), want); err != nil {
				t.Errorf("at %s: %v", s.Name, err)
			}
			want = io.LimitReader(randomReader(uint64(i)), total/int64(objects))
		}
	}
	// Two per cent for framing, records and manifests.
	most := total + total/50 + int64(kills)*costOfKill
	t.Logf("%d MiB crossed the wire for %d MiB, with %d kills", crossed>>20, total>>20, kills)
	if crossed > most {
		t.Errorf("%d MiB crossed the wire, more than %d", crossed>>20, most>>20)
	}
	e.checkMemory(a, b)
}

// equals compares an object with a stream.
func (s *Site) equals(key string, want io.Reader) error {
	object, err := s.S3("Hawaii/Cola").GetObject(s.env.Context(), "bk1", key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	got, expected := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(want, expected)
		m, gotErr := io.ReadFull(object, got)
		if n != m || !bytes.Equal(got[:m], expected[:n]) {
			return fmt.Errorf("%s differs", key)
		}
		if err != nil {
			if gotErr != err {
				return fmt.Errorf("read %s: %w", key, gotErr)
			}
			return nil
		}
		if gotErr != nil {
			return fmt.Errorf("read %s: %w", key, gotErr)
		}
	}
}
