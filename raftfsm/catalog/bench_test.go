package catalog

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// benchSite is a site on disk, with options such as the FSM uses.
func benchSite(b *testing.B) *site {
	cache := pebble.NewCache(128 << 20)
	defer cache.Unref()
	o := &pebble.Options{Cache: cache, DisableWAL: true, Logger: quiet{b}, MemTableSize: 32 << 20, FormatMajorVersion: pebble.FormatNewest}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	s := &site{t: b, id: siteID(1), epoch: 1, db: db}
	if s.cat, err = New(db); err != nil {
		b.Fatal(err)
	}
	s.cat.SetSelf(s.id, 1, 1)
	b.Cleanup(s.close)
	return s.makeBucket(1)
}

func (s *site) group(n int, cmd func(i int) step) {
	batch := s.db.NewIndexedBatch()
	b := s.cat.Begin(batch)
	for i := range n {
		st := cmd(i)
		apply(b, st)
	}
	s.commit(b, batch)
}

func reportRecords(b *testing.B, per int) {
	b.ReportMetric(float64(b.N)*float64(per)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkWrite applies local writes in groups of 256: of new keys, and of keys
// that exist.
func BenchmarkWrite(b *testing.B) {
	for _, keys := range []int{1 << 40, 20_000} {
		name := "new"
		if keys < 1<<40 {
			name = "overwrite"
		}
		b.Run(name, func(b *testing.B) {
			s := benchSite(b)
			cmd := func(i int) step {
				return step{now: int64(i), cmd: putCmd(fmt.Sprintf("dir/%012d", (i*7919)%keys), "body")}
			}
			n := 0
			if name == "overwrite" {
				for n < keys {
					s.group(256, func(i int) step { return cmd(n + i) })
					n += 256
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				s.group(256, func(i int) step { return cmd(n + i) })
				n += 256
			}
			reportRecords(b, 256)
		})
	}
}

// BenchmarkIngest takes new records of a peer, 256 to a command.
func BenchmarkIngest(b *testing.B) {
	s := benchSite(b)
	peer := siteID(2)
	var cur *pb.Cursor
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		in := &pb.Ingest{Bucket: testPath, Peer: peer.Bytes(), Expect: cur}
		for range 256 {
			seq++
			rec := putCmd(fmt.Sprintf("dir/%012d", seq*7919), "body").GetRecord()
			rec.Dot, rec.Generation, rec.Time = &pb.Dot{Origin: peer.Bytes(), Epoch: 1, Seq: seq}, 1, int64(seq)
			in.Records = append(in.Records, rec)
		}
		cur = &pb.Cursor{Epoch: 1, Seq: seq, InitialDone: true}
		in.Cursor = cur
		in.Seen = &pb.Vector{Upto: []*pb.Dot{{Origin: peer.Bytes(), Epoch: 1, Seq: seq}}}
		s.group(1, func(int) step { return step{now: int64(seq), cmd: in} })
	}
	reportRecords(b, 256)
}

// BenchmarkRead reads pages of 1,000 from a bucket of 100,000 keys.
func BenchmarkRead(b *testing.B) {
	const keys = 100_000
	s := benchSite(b)
	for n := 0; n < keys; n += 250 {
		s.group(250, func(i int) step {
			return step{now: 1, cmd: putCmd(fmt.Sprintf("dir%03d/%06d", (n+i)%100, n+i), "body")}
		})
	}
	b.Run("list", func(b *testing.B) {
		var from []byte
		for b.Loop() {
			page, err := s.cat.List(testPath, ListOptions{From: from})
			if err != nil {
				b.Fatal(err)
			}
			from = page.Next
		}
		reportRecords(b, 1000)
	})
	b.Run("list with delimiter", func(b *testing.B) {
		for b.Loop() {
			page, err := s.cat.List(testPath, ListOptions{Delimiter: []byte("/")})
			if err != nil || len(page.Items) != 100 {
				b.Fatal(len(page.Items), err)
			}
		}
		reportRecords(b, 100)
	})
	b.Run("log", func(b *testing.B) {
		after := uint64(0)
		n := 0
		for b.Loop() {
			page, err := s.cat.Log(testPath, after, 1000)
			if err != nil {
				b.Fatal(err)
			}
			n += len(page.Entries)
			if after = page.To; page.AtEnd {
				after = 0
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("scan", func(b *testing.B) {
		var from []byte
		n := 0
		for b.Loop() {
			page, err := s.cat.ScanKeys(testPath, from, 1000)
			if err != nil {
				b.Fatal(err)
			}
			n += len(page.Records)
			from = page.NextKey
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("head", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i + 7919) % keys
			if _, err := s.cat.Head(testPath, fmt.Appendf(nil, "dir%03d/%06d", i%100, i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
