package s3gate

import (
	"encoding/xml"
	"testing"
)

func TestOwnersOnly(t *testing.T) {
	const head = `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>N/T</ID></Owner><AccessControlList>`
	grant := func(id, permission string) string {
		return `<Grant><Grantee><ID>` + id + `</ID></Grantee><Permission>` + permission + `</Permission></Grant>`
	}
	for _, c := range []struct {
		name, grants string
		want         bool
	}{
		{"none", "", true},
		{"the owner's", grant("N/T", "FULL_CONTROL"), true},
		{"somebody else's", grant("N/U", "FULL_CONTROL"), false},
		{"a group's", `<Grant><Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>`, false},
		{"less for the owner", grant("N/T", "READ"), false},
		{"both", grant("N/T", "FULL_CONTROL") + grant("N/U", "READ"), false},
	} {
		var p accessControlPolicy
		if err := xml.Unmarshal([]byte(head+c.grants+`</AccessControlList></AccessControlPolicy>`), &p); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := p.ownersOnly("N/T"); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
