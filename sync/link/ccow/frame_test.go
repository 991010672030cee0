package ccow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/sync/link/linkpb"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	var in []byte
	var err error
	sizes := []int{0, 1, 100, growStep - 1, growStep, growStep + 1, 3*growStep + 7, chunks.MaxRaw}
	for _, n := range sizes {
		in = append(appendFrame(in, frameBody, n), bytes.Repeat([]byte{byte(n)}, n)...)
	}
	if in, err = appendMessage(in, frameMessage, &linkpb.Opening{Service: "hawaii"}); err != nil {
		t.Fatal(err)
	}
	in = appendFrame(in, frameEnd, 0)
	f := newFrameReader(bytes.NewReader(in), MaxMessage)
	defer f.release()
	for _, n := range sizes {
		kind, payload, err := f.next()
		if err != nil || kind != frameBody || !bytes.Equal(payload, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Fatalf("%d bytes: kind %d with %d bytes, %v", n, kind, len(payload), err)
		}
	}
	kind, payload, err := f.next()
	var m linkpb.Opening
	if err != nil || kind != frameMessage || decode(payload, &m) != nil || m.GetService() != "hawaii" {
		t.Fatalf("kind %d, %v, %v", kind, &m, err)
	}
	if kind, payload, err = f.next(); err != nil || kind != frameEnd || len(payload) != 0 {
		t.Fatalf("kind %d, %v", kind, err)
	}
	if _, _, err = f.next(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
	for cut := 1; cut < 100; cut++ {
		f := newFrameReader(bytes.NewReader(in[:len(in)-cut]), MaxMessage)
		for err = nil; err == nil; {
			_, _, err = f.next()
		}
		if err != io.ErrUnexpectedEOF && err != io.EOF {
			t.Fatalf("cut by %d: %v", cut, err)
		}
		f.release()
	}
}

// TestFrameMemory checks that a length alone makes nobody allocate.
func TestFrameMemory(t *testing.T) {
	if _, err := appendMessage(nil, frameMessage, &linkpb.Opening{Service: strings.Repeat("x", MaxMessage)}); err == nil {
		t.Error("a message beyond the bound is encoded")
	}
	head := binary.BigEndian.AppendUint32([]byte{byte(frameMessage)}, MaxMessage)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 100
	for range n {
		f := frameReader{r: io.MultiReader(bytes.NewReader(head), strings.NewReader("abc")), message: MaxMessage}
		if _, _, err := f.next(); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 3*growStep {
		t.Errorf("a frame that announces %d bytes and has 3 costs %d", MaxMessage, each)
	}
}

// FuzzFrames feeds the frame reader. What it accepts is within the bounds and
// makes the same bytes again.
func FuzzFrames(f *testing.F) {
	good, err := appendMessage(nil, frameMessage, &linkpb.ChunkHeader{Length: 3, RawLength: 9})
	if err != nil {
		f.Fatal(err)
	}
	good = append(appendFrame(good, frameBody, 3), "abc"...)
	good = appendFrame(appendFrame(good, frameKeepAlive, 0), frameEnd, 0)
	f.Add(good)
	f.Add(good[:9])
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{5, 0, 4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newFrameReader(bytes.NewReader(in), 1000)
		defer r.release()
		var out []byte
		for {
			kind, payload, err := r.next()
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, errFrame) {
					t.Fatalf("the error is %v", err)
				}
				if err == io.EOF && !bytes.Equal(in, out) {
					t.Fatalf("%x was read as %x", in, out)
				}
				break
			}
			if bound, known := maxPayload(kind, 1000); !known || len(payload) > bound {
				t.Fatalf("kind %d with %d bytes", kind, len(payload))
			}
			out = append(appendFrame(out, kind, len(payload)), payload...)
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatalf("%x was read as %x", in, out)
		}
	})
}

// FuzzAnswer feeds whole HTTP answers to a fetch.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(ok(frame(1, 2, "\x20\x03") + frame(5, 3, "abc") + frame(2, 0, ""))))
	f.Add([]byte(okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n" + frame(2, 0, "") + "\r\n0\r\n\r\n"))
	f.Add([]byte(ok(frame(3, 6, "\x0a\x04busy"))))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &conn{answers: newHeadReader(bytes.NewReader(in)), sock: new(socket)}
		if c.answers.begin() != nil {
			return
		}
		a, err := newAnswer(c, 1)
		if err != nil {
			return
		}
		defer a.release()
		for {
			payload, err := a.message()
			if err != nil || payload == nil {
				return
			}
			var h linkpb.ChunkHeader
			if decode(payload, &h) != nil {
				return
			}
			if h.GetLength() > 0 {
				body, err := a.body(int(h.GetLength()))
				if err != nil {
					return
				}
				if len(body) != int(h.GetLength()) || len(body) > chunks.MaxRaw {
					t.Fatalf("%d bytes with a header that says %d", len(body), h.GetLength())
				}
			}
		}
	})
}
