package deploy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestDist looks at what is released: checksums that agree, programs that are
// static, stripped of paths, of the architecture that they say and of the version
// that their archive is named after, and archives that have what docs/install.md
// installs. A release that was made before the test has every architecture.
func TestDist(t *testing.T) {
	dir := dist(t)
	raw, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	archives, versions := map[string]string{}, map[string]string{} // by architecture, and by program
	for line := range strings.Lines(string(raw)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("SHA256SUMS has %q", line)
		}
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != sum {
			t.Errorf("%s has the sum %s, not %s", name, got, sum)
		}
		if strings.HasSuffix(name, ".tar.gz") {
			parts := archiveName.FindStringSubmatch(name)
			if parts == nil {
				t.Errorf("an archive is called %s", name)
				continue
			}
			archives[parts[2]] = parts[1]
			checkArchive(t, path, filepath.Join(dir, "linux_"+parts[2]))
			continue
		}
		static(t, path)
		arch := strings.TrimPrefix(filepath.Dir(name), "linux_")
		file, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machines[arch] {
			t.Errorf("%s is for %v", name, file.Machine)
		}
		file.Close()
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		versions[name] = info.Main.Version
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if len(settings["vcs.revision"]) < 40 || settings["vcs.time"] == "" || settings["-trimpath"] != "true" || settings["CGO_ENABLED"] != "0" {
			t.Errorf("%s was built with %v", name, settings)
		}
	}
	wanted := []string{runtime.GOARCH}
	if os.Getenv("ISGW_DIST") != "" {
		wanted = slices.Collect(maps.Keys(machines))
	}
	for _, arch := range wanted {
		version := archives[arch]
		if version == "" {
			t.Errorf("there is no archive for %s", arch)
		}
		if version == "development" { // what is in no repository has no other one
			version = "(devel)"
		}
		for _, program := range []string{"isgwctl", "isgwnode"} {
			if name := "linux_" + arch + "/" + program; versions[name] != version {
				t.Errorf("%s is version %q, in an archive of %q", name, versions[name], archives[arch])
			}
		}
	}
}

// archiveName has the version and the architecture.
var archiveName = regexp.MustCompile(`^isgw-(.+)-linux-([a-z0-9]+)\.tar\.gz$`)

// checkArchive wants one folder with everything in it, of nobody and of no time
// but the commit's, and in it the programs that lie in a folder beside the archive.
func checkArchive(t *testing.T, path, programs string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSuffix(filepath.Base(path), ".tar.gz") + "/"
	var names []string
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(h.Name, top)
		if !ok || h.Uid != 0 || h.Gid != 0 || h.Uname != "" && h.Uname != "root" || h.Mode&0o022 != 0 {
			t.Errorf("%s: %s of %d, mode %o", filepath.Base(path), h.Name, h.Uid, h.Mode)
		}
		if strings.HasPrefix(name, "bin/") && h.Typeflag == tar.TypeReg && h.Mode&0o111 == 0 {
			t.Errorf("%s cannot be run", h.Name)
		}
		if program, ok := strings.CutPrefix(name, "bin/"); ok && h.Typeflag == tar.TypeReg {
			packed, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if built, err := os.ReadFile(filepath.Join(programs, program)); err != nil || !bytes.Equal(packed, built) {
				t.Errorf("%s: %s is not the one beside it: %v", filepath.Base(path), h.Name, err)
			}
		}
		if strings.HasSuffix(name, ".go") {
			t.Errorf("%s is released", h.Name)
		}
		names = append(names, name)
	}
	for _, want := range []string{
		"bin/isgwnode", "bin/isgwctl", "LICENSE", "THIRD-PARTY-NOTICES", "README.md", "docs/install.md", "docs/monitoring.md",
		"completions/isgwctl.bash", "completions/isgwctl.zsh", "completions/isgwctl.fish",
		"deploy/systemd/isgwnode.service", "deploy/systemd/isgwnode.yaml", "deploy/systemd/isgw.sysusers.conf", "deploy/docker/Dockerfile",
		"deploy/kubernetes/base/statefulset.yaml", "deploy/prometheus/isgw.rules.yml", "deploy/grafana/isgw.json",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s has no %s", filepath.Base(path), want)
		}
	}
}
