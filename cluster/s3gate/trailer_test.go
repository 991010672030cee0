package s3gate

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzTrailer reads bodies in steps of any size and compares with what the
// whole body should become.
func FuzzTrailer(f *testing.F) {
	const trailer = "0;chunk-signature=cf64\r\nx-amz-checksum-crc32c:qTxfkw==\n\r\nx-amz-trailer-signature:01cd\r\n\r\n"
	f.Add([]byte("1;chunk-signature=1d1d\r\nx\r\n"+trailer), uint16(1), uint8(0))
	f.Add([]byte(strings.Repeat("data", 1000)+trailer), uint16(1000), uint8(3))
	f.Add([]byte(strings.Replace(trailer, "\n\r\n", "\r\n", 1)), uint16(7), uint8(1))
	f.Add([]byte("\n\r\nx-amz-trailer-signature:"+trailer), uint16(5), uint8(0))
	f.Add([]byte{}, uint16(3), uint8(0))
	f.Fuzz(func(t *testing.T, body []byte, step uint16, missing uint8) {
		cut := max(0, len(body)-int(missing))
		r := &trailerReader{r: iotest.OneByteReader(bytes.NewReader(body[:cut])), left: int64(len(body))}
		var got []byte
		var err error
		buf := make([]byte, int(step)+1)
		for err == nil {
			var n int
			n, err = r.Read(buf)
			got = append(got, buf[:n]...)
		}
		if cut < len(body) {
			if err != io.ErrUnexpectedEOF && err != io.EOF {
				t.Fatalf("cut short: error %v", err)
			}
			return
		}
		if err != io.EOF {
			t.Fatalf("error %v", err)
		}
		window := max(0, len(body)-trailerWindow)
		want := append(bytes.Clone(body[:window]), fixTrailer(bytes.Clone(body[window:]))...)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestFixTrailer(t *testing.T) {
	for in, want := range map[string]string{
		"x:y\n\r\nx-amz-trailer-signature:z\r\n\r\n": "x:y\r\nx-amz-trailer-signature:z\r\n\r\n",
		"x:y\r\nx-amz-trailer-signature:z\r\n\r\n":   "x:y\r\nx-amz-trailer-signature:z\r\n\r\n",
		"\n\r\nx-amz-trailer-signature":              "\n\r\nx-amz-trailer-signature",
		"":                                           "",
	} {
		if got := string(fixTrailer([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
