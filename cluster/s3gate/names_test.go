package s3gate

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
)

// FuzzAlias checks that every key passes versitygw under some name, and that no
// two keys share one.
func FuzzAlias(f *testing.F) {
	for _, k := range []string{"a", ".", "..", "/", "../a", "a/../../b", "", "\x00", aliasMark, aliasMark + "2e"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		name := alias(key)
		if key != "" && !utils.IsObjectNameValid(name) {
			t.Fatalf("%q passes as %q, which is refused", key, name)
		}
		if got := realKey(name); got != key && !strings.HasPrefix(key, aliasMark) {
			t.Fatalf("%q comes back as %q", key, got)
		}
	})
}

// TestAliasSource renames what a copy is made of once, and keeps its version.
func TestAliasSource(t *testing.T) {
	for _, c := range []struct{ header, key, version string }{
		{"bk/a", "a", ""},
		{"/bk/a%20b", "a b", ""},
		{"bk/..%2Fup?versionId=v1", "../up", "v1"},
		{"bk%2F..", "..", ""},
		{"bk/x%3FversionId%3D1", "x?versionId=1", ""},
		{"bk/x%3FversionId%3D1?versionId=null", "x?versionId=1", "null"},
		{"bk/%2F%2F", "//", ""},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.Set("X-Amz-Copy-Source", c.header)
		aliasSource(&ctx)
		once := string(ctx.Request.Header.Peek("X-Amz-Copy-Source"))
		aliasSource(&ctx)
		if again := string(ctx.Request.Header.Peek("X-Amz-Copy-Source")); again != once {
			t.Errorf("%s: %q, and then %q", c.header, once, again)
		}
		if _, rest, _ := strings.Cut(strings.TrimPrefix(once, "/"), "/"); !utils.IsObjectNameValid(rest) {
			t.Errorf("%s: renamed to %q, which is refused", c.header, once)
		}
		bucket, name, version, err := backend.ParseCopySource(once)
		if err != nil || bucket != "bk" || keyOf(&name) != c.key || version != c.version {
			t.Errorf("%s: %q of bucket %q, version %q, error %v", c.header, keyOf(&name), bucket, version, err)
		}
	}
}
