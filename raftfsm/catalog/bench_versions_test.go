package catalog

import (
	"fmt"
	"testing"

	pb "edgefog.dev/isgw/raftfsm/catalog/catalogpb"
)

// BenchmarkVersions works with a key of which very many versions are kept: what a
// write, a purge and the reading of one version cost must not depend on how many.
func BenchmarkVersions(b *testing.B) {
	s := benchSite(b)
	s.must(1, bucketObj(testPath, 0, 1))
	s.versioning(enabled)
	n := 0
	write := func() step {
		n++
		return step{now: int64(n), cmd: putCmd("k", fmt.Sprint(n))}
	}
	for range 100 {
		s.group(200, func(int) step { return write() })
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.group(256, func(int) step { return write() })
		}
		reportRecords(b, 256)
	})
	page, err := s.cat.ListVersions(testPath, ListVersionsOptions{Limit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	some := page.Items[500].Version.Record.GetDot()
	b.Run("version", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.cat.Version(testPath, []byte("k"), some); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.cat.View(testPath, []byte("k")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		o := ListVersionsOptions{Limit: 1000}
		for b.Loop() {
			page, err := s.cat.ListVersions(testPath, o)
			if err != nil {
				b.Fatal(err)
			}
			o = ListVersionsOptions{Limit: 1000, AfterKey: page.NextKey, AfterVersion: page.NextVersion}
		}
		reportRecords(b, 1000)
	})
	b.Run("purge", func(b *testing.B) {
		b.ReportAllocs()
		var dots []*pb.Dot
		for b.Loop() {
			if len(dots) < 256 {
				page, err := s.cat.ListVersions(testPath, ListVersionsOptions{Limit: 1000})
				if err != nil {
					b.Fatal(err)
				}
				for _, item := range page.Items {
					dots = append(dots, item.Version.Record.GetDot())
				}
			}
			s.group(256, func(i int) step { return step{now: int64(n), cmd: purgeCmd("k", dots[i])} })
			dots = dots[256:]
		}
		reportRecords(b, 256)
	})
}
