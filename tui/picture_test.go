package tui

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shades are the colours that pictures have for the codes of the dark theme.
var shades = map[string]string{
	"": "#d4d7dd", "90": "#7d8590", "1": "#ffffff", "36": "#56c2d6", "1;36": "#7ee0f2", "32": "#6cc26c", "33": "#e0b13c",
	"1;31": "#ff6b6b", "1;97": "#ffffff", "35": "#c792ea",
}

// picture turns a frame into an SVG file of text.
func picture(frame string, w, h int) string {
	const cw, ch = 8.4, 18.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" font-family="ui-monospace,Menlo,DejaVu Sans Mono,monospace" font-size="14">`+"\n", float64(w)*cw+20, float64(h)*ch+20)
	b.WriteString(`<rect width="100%" height="100%" rx="6" fill="#14171c"/>` + "\n")
	for y, line := range strings.Split(frame, "\n") {
		code, x := "", 0
		for i, part := range strings.Split(line, "\x1b[") {
			if i > 0 {
				var sgr string
				sgr, part, _ = strings.Cut(part, "m")
				if code = sgr; code == "0" {
					code = ""
				}
			}
			n := len([]rune(part))
			if strings.TrimSpace(part) != "" {
				fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" textLength="%.1f" xml:space="preserve" fill="%s">%s</text>`+"\n", 10+float64(x)*cw, 24+float64(y)*ch, float64(n)*cw, shades[code], html.EscapeString(part))
			}
			x += n
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// TestPictures keeps the pictures of the documentation equal to what the
// console draws; -update draws them anew.
func TestPictures(t *testing.T) {
	for _, p := range []struct {
		scene string
		w, h  int
	}{
		{"connect", 80, 24}, {"profile", 80, 24}, {"home", 80, 24}, {"home-wide", 140, 40}, {"links", 80, 24}, {"link", 80, 24}, {"link-wide", 140, 40},
		{"link-buckets", 80, 24}, {"link-failed", 80, 24}, {"link-config", 80, 24}, {"link-events", 80, 24}, {"link-crosshair", 80, 24}, {"yaml", 80, 24},
		{"form", 80, 24}, {"plan", 80, 24}, {"plan-resync", 80, 24}, {"plan-again", 80, 24}, {"serve", 80, 24}, {"home-stale", 80, 24}, {"help", 80, 24}, {"palette", 80, 24},
	} {
		for _, scene := range scenes {
			if scene.name != strings.TrimSuffix(p.scene, "-wide") {
				continue
			}
			got := picture(scene.set(t, Options{Theme: "dark"}).size(p.w, p.h).View(), p.w, p.h)
			path := filepath.Join("..", "docs", "pictures", "console-"+p.scene+".svg")
			if updating() {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != got {
				t.Errorf("%s is out of date: run go test ./tui -update", path)
			}
		}
	}
}
