package deploy_test

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// instruction is one of a Dockerfile: its word, its flags, and the rest.
type instruction struct {
	word  string
	flags map[string]string
	rest  string
}

// readDockerfile joins lines that go on, drops comments, and puts the values of
// args in.
func readDockerfile(t *testing.T, name string, args map[string]string) []instruction {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []instruction
	line := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if more, ok := strings.CutSuffix(text, `\`); ok {
			line += more + " "
			continue
		}
		word, rest, _ := strings.Cut(line+text, " ")
		line = ""
		in := instruction{word: word, flags: map[string]string{}, rest: strings.TrimSpace(rest)}
		for strings.HasPrefix(in.rest, "--") {
			flag, rest, _ := strings.Cut(in.rest, " ")
			name, value, ok := strings.Cut(flag, "=")
			if !ok {
				t.Fatalf("%s: %s has no value", name, flag)
			}
			in.flags[name], in.rest = value, strings.TrimSpace(rest)
		}
		for name, value := range args {
			in.rest = strings.ReplaceAll(in.rest, "${"+name+"}", value)
		}
		all = append(all, in)
	}
	if line != "" {
		t.Fatalf("%s ends in the middle of %q", name, line)
	}
	return all
}

// image is what a Dockerfile comes to.
type image struct {
	root                string // its file system
	env                 []string
	user                int
	volume              string
	ports               []string
	entrypoint, command []string
	health              []string
}

// buildImage does what the Dockerfile says, with the context that .ci/dist and
// the repository make. What it does not know it refuses.
func buildImage(t *testing.T, dist string) image {
	t.Helper()
	im := image{root: shortDir(t)}
	if err := os.Chmod(im.root, 0o755); err != nil {
		t.Fatal(err)
	}
	list := func(text string) (words []string) {
		if err := json.Unmarshal([]byte(text), &words); err != nil {
			t.Fatalf("want a list, not %s: %v", text, err)
		}
		return words
	}
	for i, in := range readDockerfile(t, "docker/Dockerfile", map[string]string{"TARGETARCH": runtime.GOARCH}) {
		if (i == 0) != (in.word == "FROM") || in.word == "FROM" && in.rest != "scratch" {
			t.Fatalf("instruction %d is %s %s", i, in.word, in.rest)
		}
		switch in.word {
		case "FROM", "ARG", "LABEL":
		case "STOPSIGNAL":
			if in.rest != "SIGTERM" {
				t.Errorf("STOPSIGNAL %s: a node drains at SIGTERM", in.rest)
			}
		case "COPY":
			im.copy(t, dist, in)
		case "ENV":
			im.env = append(im.env, strings.Fields(in.rest)...)
		case "USER":
			uid, _, _ := strings.Cut(in.rest, ":")
			var err error
			if im.user, err = strconv.Atoi(uid); err != nil {
				t.Errorf("USER %s: Kubernetes can only tell that a number is not root", in.rest)
			}
		case "VOLUME":
			im.volume = in.rest
		case "EXPOSE":
			im.ports = strings.Fields(in.rest)
		case "ENTRYPOINT":
			im.entrypoint = list(in.rest)
		case "CMD":
			im.command = list(in.rest)
		case "HEALTHCHECK":
			rest, ok := strings.CutPrefix(in.rest, "CMD ")
			if !ok {
				t.Fatalf("HEALTHCHECK %s", in.rest)
			}
			im.health = list(rest)
		default:
			t.Fatalf("instruction %s is not known here", in.word)
		}
	}
	return im
}

// copy copies files, and what folders have in them.
func (im image) copy(t *testing.T, dist string, in instruction) {
	t.Helper()
	words := strings.Fields(in.rest)
	if len(words) < 2 || !strings.HasSuffix(words[len(words)-1], "/") {
		t.Fatalf("COPY %s: copy into a folder", in.rest)
	}
	owner := 0
	if chown := in.flags["--chown"]; chown != "" {
		var err error
		if owner, err = strconv.Atoi(strings.Split(chown, ":")[0]); err != nil {
			t.Fatalf("COPY --chown=%s: there are no names in an image from scratch", chown)
		}
	}
	to := filepath.Join(im.root, words[len(words)-1])
	for _, from := range words[:len(words)-1] {
		source := filepath.Join("..", from)
		if rest, ok := strings.CutPrefix(from, "dist/"); ok {
			source = filepath.Join(dist, rest)
		}
		err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(source, path)
			if err != nil {
				return err
			}
			if name == "." && !d.IsDir() {
				name = filepath.Base(path)
			}
			target := filepath.Join(to, name)
			info, err := d.Info()
			if err != nil {
				return err
			}
			if d.IsDir() {
				if name == "." {
					return os.MkdirAll(target, 0o755)
				}
				if err := os.MkdirAll(target, info.Mode().Perm()); err != nil {
					return err
				}
			} else {
				raw, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(target, raw, info.Mode().Perm())
				}
				if err != nil {
					return err
				}
			}
			if os.Getuid() == 0 {
				return os.Chown(target, owner, owner)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("COPY %s: %v", from, err)
		}
	}
}

// value is a variable of the image.
func (im image) value(name string) string {
	for _, kv := range im.env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// TestImage looks at what the image has and says of itself.
func TestImage(t *testing.T) {
	im := buildImage(t, dist(t))
	if im.user == 0 {
		t.Error("the image runs as root")
	}
	var ports []string
	flags := nodeFlags(t)
	for _, kv := range im.env {
		name, value, _ := strings.Cut(kv, "=")
		flag, ok := strings.CutPrefix(name, "ISGW_")
		if !ok || flag == "CONNECT" { // isgwctl's
			continue
		}
		flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
		if !slices.Contains(flags, flag) {
			t.Errorf("ENV %s: isgwnode run has no --%s", name, flag)
		}
		if port, ok := strings.CutPrefix(value, ":"); ok {
			ports = append(ports, port)
		}
	}
	if slices.Sort(ports); !slices.Equal(ports, slices.Sorted(slices.Values(im.ports))) {
		t.Errorf("EXPOSE %v, and the node listens on %v", im.ports, ports)
	}
	if im.value("ISGW_DATA") != im.volume || im.value("ISGW_CONNECT") != "unix:"+im.volume+"/admin.sock" {
		t.Errorf("VOLUME %s, ISGW_DATA=%s, ISGW_CONNECT=%s", im.volume, im.value("ISGW_DATA"), im.value("ISGW_CONNECT"))
	}
	for _, program := range []string{im.entrypoint[0], im.health[0]} {
		static(t, filepath.Join(im.root, program))
		if filepath.Dir(program) != im.value("PATH") {
			t.Errorf("%s is not in PATH=%s", program, im.value("PATH"))
		}
	}
	for _, name := range []string{"LICENSE", "THIRD-PARTY-NOTICES", "etc/passwd"} {
		if info, err := os.Stat(filepath.Join(im.root, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, source := range []string{"LICENSE", "dist/THIRD-PARTY-NOTICES", "dist/image", "dist/linux_*"} {
		raw, err := os.ReadFile("docker/Dockerfile.dockerignore")
		if err != nil || !strings.Contains(string(raw), "\n!"+source+"\n") {
			t.Errorf("%s is kept from the builder: %v", source, err)
		}
	}
}

// static fails unless a program needs no library and no interpreter.
func static(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("%s needs %v, %v", program, libraries, err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is linked dynamically", program)
		}
	}
}

// TestImageRuns runs what the image starts, as its user, with its file system as
// root and nothing of this machine's.
func TestImageRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to change the root takes root")
	}
	im := buildImage(t, dist(t))
	inside := func(words []string, env ...string) *exec.Cmd {
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = "/"
		cmd.Env = append(slices.Clone(im.env), env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: im.root, Credential: &syscall.Credential{Uid: uint32(im.user), Gid: uint32(im.user)},
		}
		return cmd
	}
	// Ports of this machine that are free, in place of the image's.
	node := start(t, inside(append(slices.Clone(im.entrypoint), im.command...), "ISGW_SITE=alpha",
		"ISGW_S3=127.0.0.1:0", "ISGW_LINK=127.0.0.1:0", "ISGW_ADMIN=127.0.0.1:0", "ISGW_METRICS=127.0.0.1:0"))
	isgwctl := im.health[0]
	node.eventually("answering", func() bool { return inside([]string{isgwctl, "system", "status"}).Run() == nil })

	health := func() int {
		err := inside(im.health).Run()
		if err == nil {
			return 0
		}
		if exit, ok := err.(*exec.ExitError); ok {
			return exit.ExitCode()
		}
		t.Fatal(err)
		return 0
	}
	const unhealthy = 8
	if got := health(); got != unhealthy {
		t.Errorf("before init the health check ends with %d, want %d", got, unhealthy)
	}
	output(t, inside([]string{isgwctl, "system", "init"}))
	if got := health(); got != 0 {
		t.Errorf("after init the health check ends with %d", got)
	}
	for _, args := range [][]string{{"cluster", "create", "Hawaii"}, {"tenant", "create", "Hawaii/Cola"}, {"bucket", "create", "Hawaii/Cola/bk1"}} {
		output(t, inside(append([]string{isgwctl}, args...)))
	}
	put := inside([]string{isgwctl, "object", "put", "Hawaii/Cola/bk1/key", "-"})
	put.Stdin = strings.NewReader("content")
	output(t, put)
	if got := output(t, inside([]string{isgwctl, "object", "get", "Hawaii/Cola/bk1/key"})); got != "content" {
		t.Errorf("the object has %q", got)
	}
	node.stop()
	if got := health(); got == 0 {
		t.Error("the health check of a node that ended says that it is well")
	}
	// All that was written is in the volume.
	err := filepath.WalkDir(im.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inVolume := strings.HasPrefix(path, filepath.Join(im.root, im.volume))
		if uid := int(info.Sys().(*syscall.Stat_t).Uid); (uid == im.user) != inVolume {
			return fmt.Errorf("%s belongs to %d", strings.TrimPrefix(path, im.root), uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
