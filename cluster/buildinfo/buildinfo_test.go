package buildinfo

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	built := func(version string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return info
	}
	for _, c := range []struct {
		name string
		info *debug.BuildInfo
		want Info
		text string
	}{
		{"nothing known", built(""), Info{Version: Development}, "isgwctl development\nrevision: unknown\ndate: unknown\n"},
		{"no repository", built("(devel)", "GOARCH", "arm64"), Info{Version: Development}, "isgwctl development\nrevision: unknown\n"},
		{
			"a tag", built("v1.2.3", "vcs.revision", "40177c9", "vcs.time", "2026-11-22T14:24:48Z", "vcs.modified", "false"),
			Info{Version: "v1.2.3", Revision: "40177c9", Date: "2026-11-22T14:24:48Z"},
			"isgwctl v1.2.3\nrevision: 40177c9\ndate: 2026-11-22T14:24:48Z\n",
		},
		{
			"changed files", built("v1.2.3+dirty", "vcs.revision", "40177c9", "vcs.modified", "true"),
			Info{Version: "v1.2.3+dirty", Revision: "40177c9", Modified: true},
			"isgwctl v1.2.3+dirty\nrevision: 40177c9, with changes\ndate: unknown\n",
		},
	} {
		if got := of(c.info); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got := of(c.info).Text("isgwctl"); !strings.HasPrefix(got, c.text) {
			t.Errorf("%s: %q, want %q first", c.name, got, c.text)
		}
	}
}

func TestRead(t *testing.T) {
	got := Read()
	if got.Version == "" || got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v", got)
	}
}
