package cdc

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkCut(b *testing.B) {
	p := random(1, 16<<20)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for rest := p; len(rest) > 0; n++ {
			rest = rest[Cut(rest, true):]
		}
	}
	b.ReportMetric(float64(len(p))*float64(b.N)/float64(n), "bytes/chunk")
}

func BenchmarkSplitter(b *testing.B) {
	p := random(1, 64<<20)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	r := bytes.NewReader(p)
	s := NewSplitter(r)
	for b.Loop() {
		r.Reset(p)
		s.Reset(r)
		for {
			if _, err := s.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
