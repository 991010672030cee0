package deploy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// jailVariable makes the test binary put itself under a filter and become the
// program that its arguments name, as a service manager does between fork and
// exec.
const jailVariable = "ISGW_DEPLOY_JAIL"

// jail is what a unit's sandbox comes to in filters of system calls.
type jail struct {
	Allowed  []uint32 // numbers of system calls; all others fail with EPERM
	Families []uint32 // address families of sockets; all others fail with EAFNOSUPPORT
	NoWX     bool     // no memory that is writable and executable, or is made executable
	NoSpaces bool     // no new name spaces
	Limits   map[int]uint64
	User     int // what it runs as; 0: as it was started
}

// enterJail never returns when all goes well.
func enterJail(spec string, args []string) int {
	fail := func(what string, err error) int {
		fmt.Fprintf(os.Stderr, "jail: %s: %v\n", what, err)
		return 125
	}
	var j jail
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		return fail("read "+jailVariable, err)
	}
	for resource, most := range j.Limits {
		var has unix.Rlimit
		if err := unix.Getrlimit(resource, &has); err != nil {
			return fail("read a limit", err)
		}
		most = min(most, has.Max) // what this machine has less of cannot be raised
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fail("limit a resource", err)
		}
	}
	if j.User != 0 {
		if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(j.User, j.User, j.User), unix.Setresuid(j.User, j.User, j.User)); err != nil {
			return fail("become another user", err)
		}
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, jailVariable+"=") {
			env = append(env, kv)
		}
	}
	filter := j.program()
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fail("give up privileges", err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fail("filter system calls", errno)
	}
	return fail("run "+args[0], syscall.Exec(args[0], args, env))
}

// Offsets in the kernel's struct seccomp_data, of a little-endian machine.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// program is the jail as a classic BPF program.
func (j jail) program() []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		and    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		deny   = unix.SECCOMP_RET_ERRNO
	)
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	var p []unix.SockFilter
	add := func(code uint16, k uint32) { p = append(p, unix.SockFilter{Code: code, K: k}) }
	jump := func(code uint16, k uint32, yes, no uint8) {
		p = append(p, unix.SockFilter{Code: code, K: k, Jt: yes, Jf: no})
	}
	// block adds instructions that run for one system call only. They end in a
	// return, or run off their end with the number loaded again.
	block := func(number uint32, body func()) {
		jump(equal, number, 0, 0)
		at := len(p) - 1
		body()
		add(load, dataNumber)
		p[at].Jf = uint8(len(p) - 1 - at - 1)
	}
	low := func(arg uint32) uint32 { return dataArgs + 8*arg }

	add(load, dataArch)
	jump(equal, arch, 1, 0)
	add(ret, deny|uint32(unix.EPERM))
	add(load, dataNumber)
	if len(j.Families) > 0 {
		block(unix.SYS_SOCKET, func() {
			add(load, low(0))
			for _, family := range j.Families {
				jump(equal, family, 0, 1)
				add(ret, unix.SECCOMP_RET_ALLOW)
			}
			add(ret, deny|uint32(unix.EAFNOSUPPORT))
		})
	}
	if j.NoWX {
		block(unix.SYS_MMAP, func() {
			add(load, low(2))
			add(and, unix.PROT_WRITE|unix.PROT_EXEC)
			jump(equal, unix.PROT_WRITE|unix.PROT_EXEC, 0, 1)
			add(ret, deny|uint32(unix.EPERM))
		})
		for _, number := range []uint32{unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
			block(number, func() {
				add(load, low(2))
				jump(anyBit, unix.PROT_EXEC, 0, 1)
				add(ret, deny|uint32(unix.EPERM))
			})
		}
	}
	if j.NoSpaces {
		const spaces = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
			unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS
		block(unix.SYS_CLONE, func() {
			add(load, low(0))
			jump(anyBit, spaces, 0, 1)
			add(ret, deny|uint32(unix.EPERM))
		})
		// The flags of clone3 are in memory, where a filter cannot look.
		block(unix.SYS_CLONE3, func() { add(ret, deny|uint32(unix.ENOSYS)) })
	}
	for _, number := range j.Allowed {
		jump(equal, number, 0, 1)
		add(ret, unix.SECCOMP_RET_ALLOW)
	}
	add(ret, deny|uint32(unix.EPERM))
	return p
}

// command returns a command that runs a program in the jail.
func (j jail) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{program}, args...)...)
	cmd.Env = []string{jailVariable + "=" + string(spec)}
	return cmd
}

// jailOf translates the sandbox of a unit.
func jailOf(t *testing.T, u unit) jail {
	t.Helper()
	j := jail{
		NoWX:     u.one("Service", "MemoryDenyWriteExecute") == "yes",
		NoSpaces: u.one("Service", "RestrictNamespaces") == "yes",
		Limits:   map[int]uint64{},
	}
	numbers := syscallNumbers(t)
	names := map[string]bool{}
	for _, line := range u.all("Service", "SystemCallFilter") {
		rest, without := strings.CutPrefix(line, "~")
		for _, word := range strings.Fields(rest) {
			for _, name := range expand(t, word) {
				names[name] = !without
			}
		}
	}
	for name, allowed := range names {
		if number, ok := numbers[name]; ok && allowed {
			j.Allowed = append(j.Allowed, number)
		}
	}
	slices.Sort(j.Allowed)
	families := map[string]uint32{"AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_UNIX": unix.AF_UNIX}
	for _, word := range strings.Fields(u.one("Service", "RestrictAddressFamilies")) {
		family, ok := families[word]
		if !ok {
			t.Fatalf("RestrictAddressFamilies: %q is not known here", word)
		}
		j.Families = append(j.Families, family)
	}
	for name, resource := range map[string]int{"LimitNOFILE": unix.RLIMIT_NOFILE, "LimitCORE": unix.RLIMIT_CORE} {
		most, err := strconv.ParseUint(u.one("Service", name), 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		j.Limits[resource] = most
	}
	return j
}

// expand returns the system calls that a word of SystemCallFilter stands for.
// The sets are those of the systemd that is installed.
func expand(t *testing.T, word string) []string {
	t.Helper()
	if !strings.HasPrefix(word, "@") {
		return []string{word}
	}
	var names []string
	for line := range strings.Lines(output(t, exec.Command(tool(t, "systemd-analyze", "systemd"), "syscall-filter", word))) {
		line = strings.TrimSpace(line)
		if line != "" && line != word && !strings.HasPrefix(line, "#") {
			names = append(names, expand(t, line)...)
		}
	}
	if len(names) == 0 {
		t.Fatalf("systemd knows nothing of %s", word)
	}
	return names
}

var sysLine = regexp.MustCompile(`^\s*SYS_(\w+)\s*=\s*(\d+)$`)

// syscallNumbers reads the numbers of this machine's system calls from the source
// of golang.org/x/sys.
func syscallNumbers(t *testing.T) map[string]uint32 {
	t.Helper()
	dir := strings.TrimSpace(output(t, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys")))
	file, err := os.Open(filepath.Join(dir, "unix", "zsysnum_linux_"+runtime.GOARCH+".go"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	numbers := map[string]uint32{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if m := sysLine.FindStringSubmatch(lines.Text()); m != nil {
			n, err := strconv.ParseUint(m[2], 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			numbers[strings.ToLower(m[1])] = uint32(n)
		}
	}
	if err := lines.Err(); err != nil || len(numbers) < 200 {
		t.Fatalf("%d system calls, %v", len(numbers), err)
	}
	return numbers
}
