package plan

import (
	"testing"
	"time"

	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// TestTokensGoWithTheirTenant: who may do everything in a tenant may do nothing in
// the next one of that name.
func TestTokensGoWithTheirTenant(t *testing.T) {
	s := newSite(t)
	s.must(s.create(namespace, "Hawaii"))
	token := func(name, role, tenant string) {
		t.Helper()
		s.must(CreateToken(s.Config, &statepb.Token{Name: name, Role: role, Tenant: tenant, SecretHash: key32(1)}, now))
	}
	s.must(s.create(tenant, "Hawaii/Cola"))
	s.must(s.create(tenant, "Hawaii/Pepsi"))
	token("cola", "tenant-admin", "Hawaii/Cola")
	token("pepsi", "tenant-admin", "Hawaii/Pepsi")
	token("eye", "viewer", "")
	s.must(s.remove(tenant, "Hawaii/Cola"))
	s.must(s.create(tenant, "Hawaii/Cola"))
	var left []string
	for _, t := range s.Tokens() {
		left = append(left, t.GetName())
	}
	if len(left) != 2 || left[0] != "eye" || left[1] != "pepsi" {
		t.Errorf("tokens %v are left, want eye and pepsi", left)
	}
}

// TestForgettingIsChecked: what has expired is forgotten on the condition that it is
// as it was seen, because another may have taken its name meanwhile.
func TestForgettingIsChecked(t *testing.T) {
	s := newSite(t)
	later := now.Add(time.Hour)
	old := &statepb.Token{Name: "eye", Role: "viewer", SecretHash: key32(1), Created: now.UnixNano(), Expires: now.Add(time.Minute).UnixNano()}
	s.must(CreateToken(s.Config, old, now))
	stale, err := CreateToken(s.Config, &statepb.Token{Name: "ops", Role: "operator", SecretHash: key32(2), Created: later.UnixNano()}, later)
	if err != nil {
		t.Fatal(err)
	}
	s.must(CreateToken(s.Config, &statepb.Token{Name: "eye", Role: "viewer", SecretHash: key32(3), Created: later.UnixNano()}, later))
	if _, err := s.Apply(stale, s.Revision()+1); err == nil {
		t.Error("a token that somebody made meanwhile was forgotten as expired")
	}
	if kept, _, ok := s.Token("eye"); !ok || kept.GetSecretHash()[0] != 3 {
		t.Errorf("the new token is %v", kept)
	}
}
