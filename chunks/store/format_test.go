package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/chunkstest"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestGoldenFormats freezes what is on disk: stores of earlier versions must be
// readable.
func TestGoldenFormats(t *testing.T) {
	raw := []byte("isgw")
	c := chunks.Chunk{ID: chunks.Sum(raw), Encoding: chunks.Raw, RawLen: 4, Data: raw}
	z := chunks.Chunk{ID: chunks.Sum(raw), Encoding: chunks.Zstd, RawLen: 0x30201, Data: make([]byte, 0x201)}
	loc := location{segment: 0x04030201, offset: 0x08070605, storedLen: 0x201, rawLen: 0x30201, encoding: chunks.Zstd}
	hurt := loc
	hurt.damaged = true
	for _, g := range []struct{ name, got, want string }{
		{"segment header", hex.EncodeToString(appendSegmentHeader(nil, 0x04030201)), "697367777365670101020304e2bb69ac"},
		{"raw record", hex.EncodeToString(appendRecordHeader(nil, &c)), "49434b010064d3eb0400000004000000" +
			"da264279886fcfdb26faa0b6564542893dfbff3afcd283815cbb668d0997da45" + "8d8b92bf"},
		{"zstd record", hex.EncodeToString(appendRecordHeader(nil, &z)), "49434b01017889c00102030001020000" +
			"da264279886fcfdb26faa0b6564542893dfbff3afcd283815cbb668d0997da45" + "05f1eda1"},
		{"location", hex.EncodeToString(loc.appendTo(nil)), "01020304050607080102000001021300"},
		{"damaged location", hex.EncodeToString(hurt.appendTo(nil)), "01020304050607080102000001021380"},
		{"segment name", segmentName(42), "0000000042.seg"},
		{"format", formatText, "isgw chunk store 1\n"},
	} {
		if g.got != g.want {
			t.Errorf("%s is %s, want %s", g.name, g.got, g.want)
		}
	}
	for _, l := range []location{loc, hurt} {
		if got, ok := parseLocation(l.appendTo(nil)); !ok || got != l {
			t.Errorf("location %+v came back as %+v", l, got)
		}
	}
	if rec, ok := parseRecordHeader(appendRecordHeader(nil, &z)); !ok || rec != (record{z.ID, z.Encoding, z.RawLen, 0x201, checkOf(z.Data)}) {
		t.Errorf("record came back as %+v", rec)
	}
	// The first versions wrote no check.
	old, err := hex.DecodeString("49434b01010000000102030001020000" +
		"da264279886fcfdb26faa0b6564542893dfbff3afcd283815cbb668d0997da45" + "0a0dc639")
	if rec, ok := parseRecordHeader(old); err != nil || !ok || rec != (record{z.ID, z.Encoding, z.RawLen, 0x201, 0}) {
		t.Errorf("record of an earlier version came back as %+v", rec)
	}
	if !validSegmentHeader(appendSegmentHeader(nil, 7), 7) || validSegmentHeader(appendSegmentHeader(nil, 7), 8) {
		t.Error("segment header is not checked")
	}
}

func TestSegmentNames(t *testing.T) {
	for name, want := range map[string]bool{
		"0000000000.seg": true, "4294967295.seg": true, "4294967296.seg": false, "1.seg": false,
		"0000000001": false, "0000000001.seg.tmp": false, "+000000001.seg": false, "": false,
	} {
		if _, ok := parseSegmentName(name); ok != want {
			t.Errorf("%q is a segment's name: %v", name, ok)
		}
	}
}

// FuzzScan gives recovery segments of any bytes: it returns only chunks that
// verify, within the file, in order, and every whole record of a clean segment.
func FuzzScan(f *testing.F) {
	clean := appendSegmentHeader(nil, 1)
	for i := range uint64(3) {
		c := chunkstest.Encode(chunkstest.Text(i, 200))
		clean = append(appendRecordHeader(clean, &c), c.Data...)
	}
	f.Add(clean, 0, byte(0))
	f.Add(clean, 300, byte(1))
	f.Add([]byte(recordMagic+recordMagic), 0, byte(0))
	sc := &scanner{codec: chunkstest.Codec()}
	f.Fuzz(func(t *testing.T, p []byte, at int, change byte) {
		p = bytes.Clone(p)
		if at >= 0 && at < len(p) {
			p[at] ^= change
		}
		last := int64(0)
		var b chunks.Buffer
		end, skipped, err := sc.scan(context.Background(), vfs.NewMemFile(p), int64(len(p)), 0, func(rec record, start, end int64) error {
			if start < last || end > int64(len(p)) || end-start != recordHeaderSize+int64(rec.storedLen) {
				t.Fatalf("record at %d to %d of %d, after %d", start, end, len(p), last)
			}
			last = end
			b.Chunk = chunks.Chunk{ID: rec.id, Encoding: rec.encoding, RawLen: rec.rawLen, Data: p[start+recordHeaderSize : end]}
			return chunkstest.Codec().Decode(&b)
		})
		if err != nil || end != last || skipped < 0 || skipped > int64(len(p)) {
			t.Fatalf("end %d, skipped %d of %d, last record ends at %d: %v", end, skipped, len(p), last, err)
		}
	})
}

func FuzzParseLocation(f *testing.F) {
	f.Add(location{segment: 1, offset: 2, storedLen: 3, rawLen: 4}.appendTo(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		if l, ok := parseLocation(p); ok && !bytes.Equal(l.appendTo(nil), p) {
			t.Fatalf("%x is read as %+v", p, l)
		}
	})
}

// TestScanFindsRecordsAfterDamage puts a magic everywhere that a search can
// meet it: across reads, in content, and before the file's end.
func TestScanFindsRecordsAfterDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := appendSegmentHeader(nil, 1)
	want := 0
	for i := range uint64(40) {
		c := chunkstest.Encode(chunkstest.Random(i, 1+rng.IntN(150_000)))
		p = append(appendRecordHeader(p, &c), c.Data...)
		want++
		garbage := chunkstest.Random(i+100, rng.IntN(300_000))
		copy(garbage, strings.Repeat(recordMagic, rng.IntN(4)))
		p = append(p, garbage...)
	}
	sc := &scanner{codec: chunkstest.Codec()}
	got := 0
	_, _, err := sc.scan(t.Context(), vfs.NewMemFile(p), int64(len(p)), segmentHeaderSize, func(record, int64, int64) error {
		got++
		return nil
	})
	if err != nil || got != want {
		t.Errorf("%d records of %d found: %v", got, want, err)
	}
	stop := errors.New("enough")
	_, _, err = sc.scan(t.Context(), vfs.NewMemFile(p), int64(len(p)), 0, func(record, int64, int64) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("error of the callback: %v", err)
	}
}

func TestFilter(t *testing.T) {
	f := newFilter(64 << 10)
	id := func(i uint64) chunks.ID { return chunks.Sum(chunkstest.Random(i, 8)) }
	if x := id(1); !f.maybe(&x) {
		t.Error("a filter that is not loaded denies")
	}
	f.ready.Store(true)
	const n = 64 << 10 * 8 / 10 // ten bits each
	for i := range uint64(n) {
		x := id(i)
		f.add(&x)
	}
	for i := range uint64(n) {
		if x := id(i); !f.maybe(&x) {
			t.Fatalf("the filter denies what was added")
		}
	}
	wrong := 0
	for i := range uint64(n) {
		if x := id(1<<40 + i); f.maybe(&x) {
			wrong++
		}
	}
	t.Logf("%.2f%% false positives at 10 bits", 100*float64(wrong)/n)
	if wrong > n/50 {
		t.Errorf("%d of %d look-ups are false positives", wrong, n)
	}
}

func TestOptions(t *testing.T) {
	if err := (Options{Dir: "x"}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	err := Options{SegmentSize: 1, FilterBytes: 1, IndexCacheBytes: 1, GroupBytes: -1, IndexSyncBytes: -1, ReserveBytes: -2, MaxOpenSegments: -1}.Validate()
	for _, field := range []string{"Dir", "SegmentSize", "FilterBytes", "IndexCacheBytes", "GroupBytes", "IndexSyncBytes", "ReserveBytes", "MaxOpenSegments"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the fault of %s is not reported: %v", field, err)
		}
	}
	if (Options{Dir: "x", SegmentSize: 5 << 30}).Validate() == nil {
		t.Error("a segment of 5 GiB is accepted")
	}
	if _, err := Open(t.Context(), Options{}); err == nil {
		t.Error("opened without a directory")
	}
}
