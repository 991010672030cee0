package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"edgefog.dev/isgw/cluster"
)

// TestVersionsOfAnObject stores an object three times at a real node, looks at its
// history, and has an older content back. That two sites list and settle a conflict
// is shown in package testenv.
func TestVersionsOfAnObject(t *testing.T) {
	n, err := cluster.Start(t.Context(), cluster.Options{
		Dir: filepath.Join(t.TempDir(), "n"), Site: "alpha", Node: "alpha-1", S3: cluster.None, Link: cluster.None, Metrics: cluster.None, Admin: cluster.None,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctl := func(status int, stdin string, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"--connect", "unix:" + n.Socket()}, args...)
		got := Main(t.Context(), args, strings.NewReader(stdin), &out, &errs, func(string) string { return "" })
		if got != status {
			t.Fatalf("isgwctl %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	ctl(0, "", "system", "init")
	ctl(0, "", "cluster", "create", "Hawaii")
	ctl(0, "", "tenant", "create", "Hawaii/Cola")
	ctl(0, "", "bucket", "create", "Hawaii/Cola/bk1", "-n", "2")
	const object = "Hawaii/Cola/bk1/dir/plan"
	for _, content := range []string{"one", "three", "seven!!"} {
		ctl(0, content, "object", "put", object, "-")
	}
	out, _ := ctl(0, "", "object", "versions", object, "-o", "json")
	var list []struct {
		Object struct {
			VersionID string `json:"versionId"`
			Size      uint64 `json:"size"`
		} `json:"object"`
		Latest bool `json:"latest"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || !list[0].Latest || list[0].Object.Size != 7 || list[1].Latest || list[1].Object.Size != 5 {
		t.Fatalf("versions: %v %+v\n%s", err, list, out)
	}
	if out, _ := ctl(0, "", "object", "versions", object, "-o", "wide"); !strings.Contains(out, "latest") || !strings.Contains(out, "older") || !strings.Contains(out, "S3-VERSION-ID") || !strings.Contains(out, list[1].Object.VersionID) {
		t.Errorf("versions as a table:\n%s", out)
	}
	if out, _ := ctl(0, "", "object", "conflicts", "Hawaii/Cola/bk1/dir/"); out != "Hawaii/Cola/bk1/dir/ has no conflicts\n" {
		t.Errorf("conflicts: %q", out)
	}
	for name, args := range map[string][]string{
		"already":       {object, list[0].Object.VersionID},
		"not kept":      {object, strings.Replace(list[0].Object.VersionID, "-1-", "-9-", 1)},
		"is no version": {object, "yesterday"},
	} {
		status := 5
		if name == "is no version" {
			status = 2
		}
		if _, errs := ctl(status, "", append([]string{"object", "promote"}, args...)...); !strings.Contains(errs, name) {
			t.Errorf("promote %v: %s", args, errs)
		}
	}
	ctl(3, "", "object", "versions", "Hawaii/Cola/bk1/nothing")
	if _, told := ctl(0, "", "object", "promote", object, list[1].Object.VersionID); !strings.Contains(told, "has the content of version "+list[1].Object.VersionID+" again") {
		t.Errorf("promote says %q", told)
	}
	if out, _ := ctl(0, "", "object", "get", object, "-"); out != "three" {
		t.Errorf("after the promotion the object is %q", out)
	}
}
