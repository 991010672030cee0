package s3gate

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// framedAll reads a body in steps of a size.
func framedAll(r io.Reader, signed bool, step int) ([]byte, error) {
	f := &framedReader{r: r, signed: signed}
	var got []byte
	buf := make([]byte, step)
	for {
		n, err := f.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return got, err
		}
	}
}

func TestFramedReader(t *testing.T) {
	signature := strings.Repeat("0f", 32)
	head := func(size string) string { return size + ";chunk-signature=" + signature + "\r\n" }
	for _, c := range []struct {
		body   string
		signed bool
		want   int // bytes that belong to the body; -1: it is no body
	}{
		{head("3") + "abc\r\n" + head("0") + "\r\n", true, 0},
		{head("3") + "\r\n0\r\n" + head("0") + "\r\n", true, 0},
		{head("0") + "\r\n", true, 0},
		{head("0") + "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:" + signature + "\r\n\r\n", true, 0},
		{head("0") + "\r\nmore", true, 4},
		{head("3") + "abc\r\n" + head("0"), true, -1},
		{head("3") + "abcd\r\n" + head("0") + "\r\n", true, -1},
		{head("3") + "abc", true, -1},
		{head("3") + "abc\r\n", true, -1},
		{head("+3") + "abc\r\n" + head("0") + "\r\n", true, -1},
		{head("") + "\r\n", true, -1},
		{"0;chunk-signature=" + signature[2:] + "\r\n\r\n", true, -1},
		{"0;chunk-signature=" + signature[1:] + "x\r\n\r\n", true, -1},
		{"0\r\n\r\n", true, -1},
		{"", true, -1},
		{"3\r\nabc\r\n0\r\n\r\n", false, 0},
		{"3 \r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n", false, 0},
		{head("3") + "abc\r\n0\r\n\r\n", false, -1},
		{"-3\r\nabc\r\n0\r\n\r\n", false, -1},
		{"7fffffffffffffff\r\nabc", false, -1},
		{"ffffffffffffffff\r\nabc", false, -1},
		{strings.Repeat("0", maxFrame) + "\r\n\r\n", false, -1},
		{"0\r\n" + strings.Repeat("a\r\n", maxFrame+1) + "\r\n", false, -1},
	} {
		for _, step := range []int{1, 2, 7, 4096} {
			got, err := framedAll(strings.NewReader(c.body), c.signed, step)
			if c.want < 0 {
				if err != errFraming {
					t.Errorf("%.60q in steps of %d: %v", c.body, step, err)
				}
			} else if want := c.body[:len(c.body)-c.want]; err != io.EOF || string(got) != want {
				t.Errorf("%.60q in steps of %d: %q, %v", c.body, step, got, err)
			}
		}
	}
	broken := io.MultiReader(strings.NewReader("3\r\na"), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := framedAll(broken, false, 10); err != io.ErrClosedPipe {
		t.Errorf("a connection that breaks: %v", err)
	}
	endless := &framedReader{r: io.MultiReader(strings.NewReader("0\r\n"), iotest.OneByteReader(strings.NewReader(strings.Repeat("a", 10*maxFrame))))}
	for endless.err == nil {
		_, _ = endless.Read(make([]byte, 100))
	}
	if endless.err != errFraming || cap(endless.line) > 4*maxFrame {
		t.Errorf("a trailer without an end: %v, %d bytes are kept", endless.err, cap(endless.line))
	}
}

// FuzzFramedReader reads bodies in steps of any size: what is passed on is the
// beginning of what came, and the same whatever the steps are.
func FuzzFramedReader(f *testing.F) {
	head := ";chunk-signature=" + strings.Repeat("0", 64) + "\r\n"
	f.Add([]byte("3"+head+"abc\r\n0"+head+"\r\n"), true, uint8(3))
	f.Add([]byte("3\r\nabc\r\n0\r\nx:y\r\n\r\n"), false, uint8(0))
	f.Add([]byte("-3\r\nabc"), false, uint8(0))
	f.Fuzz(func(t *testing.T, body []byte, signed bool, step uint8) {
		whole, want := framedAll(bytes.NewReader(body), signed, len(body)+1)
		got, err := framedAll(bytes.NewReader(body), signed, int(step)+1)
		if err != want || want == nil {
			t.Fatalf("error %v in steps, %v at once", err, want)
		}
		if !bytes.HasPrefix(body, whole) || !bytes.HasPrefix(body, got) || want == io.EOF && !bytes.Equal(got, whole) {
			t.Fatalf("%q in steps, %q at once, of %q", got, whole, body)
		}
	})
}
