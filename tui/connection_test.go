package tui

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// manyNodes are so many nodes and a profile of them.
func manyNodes(n int) (map[string]*fakeNode, Options) {
	all := map[string]*fakeNode{}
	p := Profile{Name: "oahu"}
	for i := range n {
		name := fmt.Sprint("oahu-", i)
		all[name] = newFakeNode(unhealthy())
		all[name].snapshot.NodeName = name
		p.Endpoints = append(p.Endpoints, Endpoint{Target: name})
	}
	return all, Options{Profiles: []Profile{p}, Connect: true, Dial: nodes(all)}
}

// Nodes that accept and say nothing are not waited for one after the other: with two of
// them the console is with another node within five seconds all the same.
func TestFlowFailOverPastMuteNodes(t *testing.T) {
	for mute := range 3 {
		t.Run(fmt.Sprint(mute, " mute"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, o := manyNodes(mute + 2)
				f := startFlow(t, o)
				f.wait(3*time.Second, "oahu-0 ok")
				for i := range mute + 1 {
					all[fmt.Sprint("oahu-", i)].set(func(n *fakeNode) { n.mute = true })
				}
				if took := f.wait(20*time.Second, fmt.Sprintf("oahu-%d ok", mute+1)); took > 5*time.Second {
					t.Errorf("past %d mute nodes the fail-over took %v", mute, took)
				}
			})
		})
	}
}

// At most a few nodes are tried at once, none of them twice, and the first word ends
// the other attempts.
func TestTryingSeveralNodes(t *testing.T) {
	c := connection{}
	c.choose("oahu", []Endpoint{{Target: "a"}, {Target: "b"}, {Target: "c"}, {Target: "d"}})
	ended := map[int]bool{}
	now := noon
	begin := func() *try {
		var t *try
		t = c.begin(now, context.Background(), func() { ended[t.generation] = true })
		return t
	}
	first := begin()
	if c.due(now) {
		t.Fatal("the first node has no head start")
	}
	for range 20 {
		if now = now.Add(headStart / 2); c.due(now) {
			begin()
		}
		indexes := map[int]bool{}
		for _, try := range c.tries {
			indexes[try.index] = true
		}
		if len(c.tries) > maxTries || len(indexes) != len(c.tries) {
			t.Fatalf("%d nodes are tried, of them different: %d", len(c.tries), len(indexes))
		}
	}
	if len(c.tries) != maxTries {
		t.Fatalf("%d nodes are tried", len(c.tries))
	}
	second := c.tries[1]
	if !c.hear(heardMsg{generation: second.generation, at: now}) || !c.live || c.current != 1 || len(c.tries) != 1 || len(ended) != maxTries-1 || ended[second.generation] {
		t.Errorf("after the first word node %d is watched, live %v, of %d attempts; ended: %v", c.current, c.live, len(c.tries), ended)
	}
	if c.attempts[0].word != "queued" || c.attempts[1].word != "ok" {
		t.Errorf("the attempts are %v", c.attempts)
	}
	if c.hear(heardMsg{generation: first.generation, at: now}) || c.current != 1 {
		t.Error("a word that came too late counts")
	}
	if c.fail(first.generation, now, errDown); !c.live {
		t.Error("the end of an attempt that was given up ends the connection")
	}
	if c.due(now.Add(time.Hour)) {
		t.Error("a node is tried although one is watched")
	}
}

// TestFlowLeavesNothingBehind goes round and round: nodes die or fall silent, one or two
// at a time, and come back; pages are opened, plans asked for and left. It ends with as
// many goroutines as it began with, and no more memory.
func TestFlowLeavesNothingBehind(t *testing.T) {
	rounds := 200
	switch {
	case os.Getenv("ISGW_LONG") != "":
		rounds = 5000
	case testing.Short():
		rounds = 20
	}
	synctest.Test(t, func(t *testing.T) {
		all, o := manyNodes(3)
		f := startFlow(t, o)
		f.wait(3*time.Second, "oahu-0 ok")
		node := func(i int) *fakeNode { return all[fmt.Sprint("oahu-", i%3)] }
		at := 0
		round := func() {
			f.keys("2", "enter", "f", "tab", "v", "esc", "s", "esc", "p", "?", "esc", "esc", "e", "esc", "1")
			lost := 1 + at%2
			for i := range lost {
				node(at + i).set(func(n *fakeNode) { n.down, n.mute = lost == 1, lost > 1 })
			}
			f.wait(10*time.Second, fmt.Sprintf("oahu-%d ok", (at+lost)%3))
			for i := range lost {
				node(at + i).set(func(n *fakeNode) { n.down, n.mute = false, false })
			}
			at = (at + lost) % 3
			for i := range 3 { // what tests are told
				node(i).set(func(n *fakeNode) { n.asked, n.filters = nil, nil })
			}
		}
		count := func() (goroutines int, heap uint64) {
			time.Sleep(2 * callTime)
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		for range 5 {
			round()
		}
		before, small := count()
		for range rounds {
			round()
		}
		after, large := count()
		t.Logf("%d rounds: %d goroutines and %d kB became %d and %d kB", rounds, before, small>>10, after, large>>10)
		if after > before {
			buf := make([]byte, 1<<20)
			t.Errorf("%d goroutines became %d in %d rounds:\n%s", before, after, rounds, buf[:runtime.Stack(buf, true)])
		}
		if large > small+4<<20 {
			t.Errorf("%d kB became %d kB in %d rounds", small>>10, large>>10, rounds)
		}
	})
}
