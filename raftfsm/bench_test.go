package raftfsm

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkPropose measures small writes on one node, every one of them
// durable when it is answered, with a number of writers at once.
func BenchmarkPropose(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			r := newSite(b, Options{Dir: b.TempDir()})
			before := r.Status()
			var next atomic.Int64
			done := make(chan error, writers)
			b.ReportAllocs()
			b.ResetTimer()
			for range writers {
				go func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							done <- nil
							return
						}
						res, err := r.Propose(context.Background(), write(bk1, fmt.Sprintf("key-%09d", i), nil))
						if err == nil {
							err = ResultError(res)
						}
						if err != nil {
							done <- err
							return
						}
					}
				}()
			}
			for range writers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.StopTimer()
			after := r.Status()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(after.Commands-before.Commands)/float64(max(1, after.Entries-before.Entries)), "records/entry")
		})
	}
}

// BenchmarkBarrier measures linearisable read points, alone and shared.
func BenchmarkBarrier(b *testing.B) {
	for _, readers := range []int{1, 64} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			r := newSite(b, Options{Dir: b.TempDir()})
			b.SetParallelism(readers)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := r.Barrier(context.Background()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
