package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// slow is a body of so many pieces, one a second.
type slow struct{ pieces int }

func (s *slow) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		return 0, io.EOF
	}
	<-time.After(time.Second)
	s.pieces--
	return copy(p, make([]byte, 1<<20)), nil
}

// TestProgressLines: where there is no terminal, a line every ten seconds, and none
// of what is done sooner.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs strings.Builder
		a := &app{err: &errs}
		for _, c := range []struct {
			pieces int
			total  *uint64
			want   []string
		}{
			{9, new(uint64(9 << 20)), nil},
			{25, new(uint64(25 << 20)), []string{
				"a: 9.0 MiB of 25.0 MiB, 921.6 KiB/s, 18s left, 36 %", "a: 19.0 MiB of 25.0 MiB, 972.8 KiB/s, 6s left, 76 %",
			}},
			{15, nil, []string{"a: 9.0 MiB so far, 921.6 KiB/s"}},
			{15, new(uint64(9 << 20)), []string{"a: 9.0 MiB of 9.0 MiB, 921.6 KiB/s, waiting for the end, 100 %"}},
		} {
			errs.Reset()
			body, meter := a.transferred("a", &slow{c.pieces}, c.total)
			<-time.After(time.Millisecond) // so that a piece does not come at the same time as a look
			var err error
			for piece := make([]byte, 1<<20); err == nil; {
				_, err = body.Read(piece)
			}
			meter.stop()
			if err != io.EOF {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(errs.String()) {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%d pieces: %q, want %q", c.pieces, got, c.want)
			}
		}
	})
}

// TestProgressBar: on a terminal one line that is drawn anew, that never stands in the
// middle of something else, and is gone at the end.
func TestProgressBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen strings.Builder
		share := 0.0
		m := &meter{err: &screen, width: func() int { return 40 }, end: make(chan struct{}), ended: make(chan struct{})}
		m.look = func() progress {
			share += 0.25
			return progress{text: "a\x1b: " + strings.Repeat("long ", 20), share: share, known: true}
		}
		go m.run()
		taken := func() string { // what was drawn since the last time
			m.mu.Lock()
			defer m.mu.Unlock()
			defer screen.Reset()
			return screen.String()
		}
		<-time.After(drawAfter - time.Millisecond)
		synctest.Wait()
		if got := taken(); got != "" {
			t.Errorf("drawn too soon: %q", got)
		}
		<-time.After(drawEvery + 2*time.Millisecond)
		synctest.Wait()
		const first, second = "\r[#####...............]  25 %  a\\x1b: lo\x1b[K", "\r[##########..........]  50 %  a\\x1b: lo\x1b[K"
		if got := taken(); got != first+second {
			t.Errorf("drawn %q", got)
		}
		err := m.aside(func() error { _, err := screen.WriteString("data\n"); return err })
		if got := taken(); err != nil || got != "\r\x1b[Kdata\n" {
			t.Errorf("with data: %q, %v", got, err)
		}
		<-time.After(drawEvery)
		synctest.Wait()
		m.stop()
		if got := taken(); !strings.HasSuffix(got, "\x1b[K\r\x1b[K") || strings.Contains(got, "\n") {
			t.Errorf("at the end: %q", got)
		}
	})
}

// TestVerifyProgress: how far a comparison is, without what nobody knows.
func TestVerifyProgress(t *testing.T) {
	var out strings.Builder
	v := &verifyOutput{app: &app{out: &out, form: formTable}}
	if p := v.progress(); p.text != "" {
		t.Errorf("before the first word: %+v", p)
	}
	for _, c := range []struct {
		told *adminpb.VerifyResponse
		want string
	}{
		{&adminpb.VerifyResponse{Bucket: "N/T/a", Progress: &adminpb.VerifyProgress{Differences: 1}}, "N/T/a: 1 difference so far"},
		{&adminpb.VerifyResponse{Bucket: "N/T/a", Done: true, Progress: &adminpb.VerifyProgress{}}, "N/T/a: 0 differences so far"},
		{&adminpb.VerifyResponse{Bucket: "N/T/b", Progress: &adminpb.VerifyProgress{Read: 3, ReadBytes: 2048}}, "N/T/b: 0 differences so far, 2.0 KiB of content read, after 1 bucket"},
	} {
		if err := v.take(c.told); err != nil {
			t.Fatal(err)
		}
		if p := v.progress(); p.text != c.want || p.known {
			t.Errorf("%+v, want %q", p, c.want)
		}
	}
	if want := "N/T/a  equal: 0 versions of 0 keys\n"; out.String() != want {
		t.Errorf("on stdout %q, want %q", out.String(), want)
	}
}
