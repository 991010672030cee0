package tui

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/types/known/timestamppb"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// What the console may send to a terminal of 80x24 over SSH in any window of
// time, in bytes a second. The same bounds hold for the real program, see
// TestConsoleIsQuietOverSSH in testenv.
const (
	restingBytes = 200
	busyBytes    = 2000
	window       = 20 * time.Second
)

// site is a node whose link is at rest, or busy. At rest it changes what a real
// one does: the heartbeats of a link are traffic of some 160 B/s whose average
// never stands still, round trips take a little more or less, and buckets have
// caught up just now. Until five minutes ago there was traffic, so
// that the charts are not empty while they move on.
type site struct {
	*fakeNode
	busy bool

	mu     sync.Mutex
	random *rand.Rand
}

func (s *site) about(v float64) *float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return some(v * (0.98 + 0.04*s.random.Float64()))
}

func (s *site) any(most float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return most * s.random.Float64()
}

func (s *site) Watch(ctx context.Context, interval time.Duration, fn func(*adminpb.ConsoleSnapshot) error) error {
	beat := time.NewTicker(interval)
	defer beat.Stop()
	for {
		msg := healthy()
		msg.Time = timestamppb.Now()
		l := msg.Links[0]
		l.LagSeconds, l.LatencySeconds, l.OutRate, l.InRate = some(0.0), some(0.001+s.any(0.002)), s.about(160), s.about(160)
		traffic := func(int) float64 { return 160 + s.any(10) }
		if s.busy {
			l.LagSeconds, l.LatencySeconds, l.OutRate, l.InRate = some(s.any(9)), some(s.any(0.2)), some(s.any(9e6)), some(s.any(9e4))
			l.BacklogVersions, l.BacklogBytes, l.Slope = some(uint64(s.any(9e4))), some(uint64(s.any(9e9))), some(s.any(99)-50)
			l.InFlightBytes, l.Pending, l.Errors = uint64(s.any(9e6)), uint64(s.any(99)), uint64(s.any(99))
			traffic = func(int) float64 { return s.any(9e6) }
		}
		l.SparkOut, l.SparkLag, l.SparkBacklog = sparks(traffic), sparks(traffic), sparks(traffic)
		for _, site := range msg.Sites {
			site.OutRate, site.InRate = l.OutRate, l.InRate
		}
		if err := fn(msg); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
		}
	}
}

// History is made of whole steps, as the history of a node is: a point's value
// depends on its time alone, but for the last one.
func (s *site) History(_ context.Context, req *adminpb.HistoryRequest) (*adminpb.HistoryResponse, error) {
	step := (int64(req.GetRangeSeconds()) + int64(req.GetPoints()) - 1) / int64(req.GetPoints())
	now := time.Now().Unix()
	last := now / step
	first := last - int64(req.GetRangeSeconds())/step
	res := historyOf(1)
	res.Start, res.StepSeconds = timestamppb.New(time.Unix(first*step, 0)), float64(step)
	calm := s.busyUntil().Unix()
	for i, line := range res.Series {
		line.Points = nil
		for n := first; n <= last; n++ {
			v := 0.0
			switch at := n * step; {
			case at < calm:
				v = 5e6 + 4e6*math.Sin(float64(at)/30+float64(i)) // every dot is another one
			case i < 2:
				v = *s.about(160)
			}
			line.Points = append(line.Points, &adminpb.SparkPoint{Value: &v})
		}
	}
	return res, nil
}

// busyUntil is when the traffic in the history ends.
func (s *site) busyUntil() time.Time {
	if s.busy {
		return time.Now()
	}
	return bubbleStart.Add(-5 * time.Minute)
}

func (s *site) Service(_ context.Context, name string, _ bool) (*adminpb.Service, error) {
	service := serviceOf(name)
	for _, b := range service.Status.Buckets {
		b.State, b.Cause = "synced", ""
		b.CaughtUp = timestamppb.New(time.Now().Add(-time.Second))
		b.Send = &adminpb.Backlog{LagSeconds: some(0.0), Versions: some(uint64(0)), Bytes: some(uint64(0))}
		if s.busy {
			b.State, b.Cause = "behind", "versions in flight"
			b.Send = &adminpb.Backlog{LagSeconds: some(s.any(9)), Versions: some(uint64(s.any(9e4))), Bytes: some(uint64(s.any(9e9)))}
		}
	}
	return service, nil
}

// Faults are more than the section has room for, each tried again once a minute.
func (s *site) Faults(context.Context, *adminpb.ListFaultsRequest) (*adminpb.ListFaultsResponse, error) {
	out := &adminpb.ListFaultsResponse{Quarantined: 30}
	now := time.Now()
	for i := range 30 {
		offset := time.Duration(2*i) * time.Second
		tried := now.Add(-offset).Truncate(time.Minute).Add(offset)
		f := &adminpb.Fault{Bucket: "Hawaii/Cola/photos", Key: strconv.Itoa(i), Version: "null", Kind: "version", Reason: "quarantined", Cause: "chunk cannot be read",
			Since: timestamppb.New(bubbleStart.Add(-time.Hour)), NextRetry: timestamppb.New(tried.Add(time.Minute)), Attempts: uint32(tried.Sub(bubbleStart.Add(-time.Hour)) / time.Minute)}
		out.Faults = append(out.Faults, f)
	}
	return out, nil
}

// bubbleStart is when the clock of package synctest begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// line is what a program writes to: a terminal, by way of frames.
type line struct {
	mu     sync.Mutex
	frames frames
	glass  *glass
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frames.write(l.glass, p)
}

func (l *line) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.glass.bytes
}

// drawn is a console that keeps its last frame.
type drawn struct {
	*Model
	mu    sync.Mutex
	frame string
}

func (d *drawn) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	_, cmd := d.Model.Update(msg)
	return d, cmd
}

func (d *drawn) View() string {
	frame := d.Model.View()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frame = frame
	return frame
}

func (d *drawn) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frame
}

// shows compares what the terminal shows with what the console drew last.
func (l *line) shows(t *testing.T, d *drawn) {
	t.Helper()
	synctest.Wait()
	want := newGlass(l.glass.w, l.glass.h)
	_, _ = want.Write([]byte(strings.ReplaceAll(d.last(), "\n", "\r\n")))
	for i, cell := range want.cells {
		if got := l.glass.cells[i]; got != cell {
			t.Fatalf("the terminal shows %q in column %d of row %d, want %q", got, i%want.w, i/want.w, cell)
		}
	}
}

// TestQuietSession runs the console over SSH for minutes, at rest and with
// traffic, and counts what each page sends to the terminal in each window of
// time. Afterwards the terminal shows what the page is.
func TestQuietSession(t *testing.T) {
	for _, page := range []struct {
		name, keys, shows string
	}{
		{"Home", "1", "[1 Home]"},
		{"Links", "2", "[2 Links]"},
		{"a link", "2 enter", "throughput"},
		{"its buckets", "2 enter tab", "[Buckets(3)]"},
		{"what failed", "2 enter f", "[Failed(0)]"},
		{"its events", "2 enter shift+tab", "[Events(3)]"},
		{"Buckets", "3", "isgwctl bucket list"},
	} {
		for _, busy := range []bool{false, true} {
			name, bound := page.name+" at rest", restingBytes
			if busy {
				name, bound = page.name+" with traffic", busyBytes
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { quietSession(t, strings.Fields(page.keys), page.shows, busy, bound) })
			})
		}
	}
}

func quietSession(t *testing.T, keys []string, shows string, busy bool, bound int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	node := &site{fakeNode: newFakeNode(healthy()), busy: busy, random: rand.New(rand.NewPCG(1, 2))}
	m, err := NewModel(ctx, Options{
		Profiles: []Profile{{Name: "oahu", Endpoints: []Endpoint{{Target: "a"}}}}, Connect: true, Theme: "dark",
		Dial:   func(Endpoint) (Node, error) { return node, nil },
		Getenv: func(k string) string { return map[string]string{"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}[k] },
	})
	if err != nil {
		t.Fatal(err)
	}
	out := &line{glass: newGlass(80, 24)}
	d := &drawn{Model: m}
	p := tea.NewProgram(d, tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithAltScreen(), tea.WithInput(nil), tea.WithOutput(out))
	ended := make(chan error, 1)
	go func() {
		_, err := p.Run()
		ended <- err
	}()
	p.Send(tea.WindowSizeMsg{Width: 80, Height: 24})
	settle := func() { time.Sleep(10*time.Second + 50*time.Millisecond); synctest.Wait() } // frames are drawn 60 times a second
	settle()
	for _, k := range keys {
		p.Send(keyMsg(k))
		time.Sleep(time.Second)
	}
	settle()
	if text := ansi.Strip(d.last()); !strings.Contains(text, shows) {
		t.Fatalf("the page does not show %q:\n%s", shows, text)
	}

	minutes := 4 // some twenty moves of a chart
	if testing.Short() {
		minutes = 2
	}
	sent := []int{out.sent()} // after each second
	for range minutes * 60 {
		time.Sleep(time.Second)
		sent = append(sent, out.sent())
	}
	seconds := int(window / time.Second)
	worst := 0
	for i := seconds; i < len(sent); i++ {
		worst = max(worst, sent[i]-sent[i-seconds])
	}
	all := sent[len(sent)-1] - sent[0]
	t.Logf("%d B/s, in the worst %v %d B/s", all/(minutes*60), window, worst/seconds)
	if worst > bound*seconds {
		t.Errorf("%d bytes are sent within %v, want at most %d", worst, window, bound*seconds)
	}
	if all < minutes*60/2 {
		t.Error("not even the clock is shown")
	}

	out.shows(t, d)
	clear(out.glass.cells[80:]) // something else wrote to the terminal
	p.Send(keyMsg("ctrl+l"))
	time.Sleep(time.Second)
	out.shows(t, d)
	if out.glass.fault != nil {
		t.Error(out.glass.fault)
	}
	p.Quit()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	cancel()
	time.Sleep(2 * pulse) // the last look at the clock is waited for by nobody
}
