package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/minio/minio-go/v7"
	"github.com/rs/zerolog"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// What the console may write to a terminal of 80x24 over SSH, in bytes a second.
const (
	liveBytes = 2000
	idleBytes = 200
)

// traffic writes objects of a size at a site, by two writers that pause in
// between, until it is ended: every number of the link changes all the time.
func (e *Env) traffic(s *Site, size int, between time.Duration) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var writers sync.WaitGroup
	client := s.S3("Hawaii/Cola")
	for w := range 2 {
		writers.Go(func() {
			content := make([]byte, size)
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = rand.Read(content) // never fails
				// What was begun is waited for: given up, it may still be carried out.
				if err := put(context.WithoutCancel(ctx), client, fmt.Sprintf("traffic/%d/%03d", w, i%500), content); err != nil {
					e.t.Errorf("write while the console is watched: %v", err)
					return
				}
				pause(between)
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); writers.Wait() })
}

func put(ctx context.Context, client *minio.Client, key string, content []byte) error {
	_, err := client.PutObject(ctx, "bk1", key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

// rates are how many bytes a second consoles write in a time.
func rates(consoles []*console, d time.Duration) []float64 {
	out := make([]float64, len(consoles))
	for i, c := range consoles {
		out[i] = -float64(c.written())
	}
	pause(d) // what is measured is this time
	for i, c := range consoles {
		out[i] = (out[i] + float64(c.written())) / d.Seconds()
	}
	return out
}

// TestConsoleIsQuietOverSSH measures what the console writes to the terminal on
// each of its screens, at rest and with traffic.
func TestConsoleIsQuietOverSSH(t *testing.T) {
	if os.Getenv("ISGW_ALONE") == "" {
		t.Skip("what a link at rest writes is measured while nothing else runs: ISGW_ALONE=1, as .ci/run does; package tui has it on a simulated clock")
	}
	e, a, _, l := twoSites(t, SiteOptions{})
	e.mustPut(a, "key", []byte("value"))
	l.WaitSynced()
	screens := []struct{ name, keys, shows string }{
		{"Home", "1", "[1 Home]"},
		{"Links", "2", "[2 Links]"},
		{"a link", "2\r", "Links ▸ hawaii"},
	}
	consoles := make([]*console, len(screens))
	for i, s := range screens {
		c := e.openConsole(nil, "--connect", "unix:"+a.DataDir()+"/admin.sock")
		c.shows("HEALTHY")
		c.keys(s.keys)
		c.shows(s.shows)
		consoles[i] = c
	}
	for _, c := range consoles {
		c.steady()
	}
	// Charts move on by a point each 12 s: every such turn has to keep within the
	// bound.
	const turn = 12 * time.Second
	for range size(1, 6) {
		for i, got := range rates(consoles, turn) {
			t.Logf("%s, idle: %.0f B/s", screens[i].name, got)
			if got > idleBytes {
				t.Errorf("%s writes %.0f B/s when nothing happens, more than %d", screens[i].name, got, idleBytes)
			}
			if got == 0 {
				t.Errorf("%s does not even show the clock", screens[i].name)
			}
		}
	}
	end := e.traffic(a, 40<<10, 5*time.Millisecond)
	defer end()
	for i, got := range rates(consoles, turn) {
		t.Logf("%s, live: %.0f B/s", screens[i].name, got)
		if got > liveBytes {
			t.Errorf("%s writes %.0f B/s with traffic, more than %d", screens[i].name, got, liveBytes)
		}
		if got == 0 {
			t.Errorf("%s shows nothing of the traffic", screens[i].name)
		}
	}
	end()
	l.WaitSynced()
}

// slowAdmin is a site's admin API behind a line on which an answer comes half a
// second after the question.
func (e *Env) slowAdmin(s *Site) (address string) {
	t := e.t
	t.Helper()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "admin", freeAddress(t), s.AdminAddress())
	if err := proxy.Start(); err != nil {
		t.Fatalf("start the proxy of the admin API: %v", err)
	}
	t.Cleanup(proxy.Stop)
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":%q,"type":"latency","stream":%q,"attributes":{"latency":250}}`, stream, stream))); err != nil {
			t.Fatal(err)
		}
	}
	return "https://" + proxy.Listen
}

// TestKeysDoNotWaitForTheNode types while the node answers after 500 ms: the
// screen answers within 50 ms, and what comes late does not show up in the place
// of what was asked for since.
func TestKeysDoNotWaitForTheNode(t *testing.T) {
	t.Parallel()
	e := New(t)
	a := e.Start("alpha", SiteOptions{AdminTLS: true})
	ctx := e.Context()
	a.Create("Hawaii", "Hawaii/Cola", "Hawaii/Cola/first", "Hawaii/Cola/second")
	for name, bucket := range map[string]string{"one": "Hawaii/Cola/first", "two": "Hawaii/Cola/second"} {
		if _, err := a.Admin.Services.Create(ctx, &adminpb.CreateServiceRequest{Type: "isgw", Name: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Admin.Services.Serve(ctx, name, bucket); err != nil {
			t.Fatal(err)
		}
	}
	token, err := a.Admin.Access.CreateToken(ctx, &adminpb.CreateTokenRequest{Name: "ops", Role: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.GetSecret()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := e.openConsole(nil, "--connect", e.slowAdmin(a), "--fingerprint", token.GetAuthorityFingerprint(), "--token-file", file)
	c.shows("NOT HEALTHY", "alpha")

	// Each key in turn, with what the screen shows then.
	const tries, bound = 40, 50 * time.Millisecond // as few tries as do: the machine may be busy
	best := map[string]time.Duration{}
	for range tries {
		for _, step := range []struct{ name, keys, shows, hides string }{
			{"the page of links", "2", "[2 Links]", ""},
			{"open a link", "\r", "Links ▸ one", ""},
			{"back", "\x1b", "[2 Links]", ""},
			{"filter", "/tw", "Links 1/2", ""},
			{"end the filter", "\x1b", "Links 2/2", ""},
			{"up", "k", "▸ !   one", ""},
			{"down", "j", "▸ !   two", ""},
			{"up", "k", "▸ !   one", ""},
			{"help", "?", "the keys that work here", ""},
			{"end the help", "\x1b", "[2 Links]", "the keys that work here"},
			{"the first page", "1", "[1 Home]", ""},
		} {
			began := time.Now()
			c.keys(step.keys)
			for !c.has(step.shows) || step.hides != "" && c.has(step.hides) {
				if time.Since(began) > Patience/4 {
					t.Fatalf("%s does not show %q", step.name, step.shows)
				}
				pause(time.Millisecond)
			}
			took := time.Since(began)
			if was, ok := best[step.name]; !ok || took < was {
				best[step.name] = took
			}
		}
		if allWithin(best, bound) {
			break
		}
	}
	for name, took := range best {
		if took > bound {
			t.Errorf("%s answers after %v, in the best of %d tries", name, took, tries)
		}
	}
	t.Logf("keys answer after %v", best)

	// The first link's rows are asked for, and the second link is opened before
	// they can have come.
	c.keys("2")
	c.shows("[2 Links]")
	c.keys("\r")
	c.keys("\x1b")
	c.shows("[2 Links]")
	c.keys("j")
	c.keys("\r")
	c.shows("Links ▸ two")
	wrong := ""
	until := time.Now().Add(2 * time.Second)
	e.Eventually("the late answers have come", func() bool {
		if screen := c.text(); strings.Contains(screen, "Links ▸ one") || strings.Contains(screen, "Hawaii/Cola/first") {
			wrong = screen
		}
		return time.Now().After(until)
	})
	if wrong != "" {
		t.Errorf("a late answer is shown in the place of a newer one:\n%s", wrong)
	}
}
