package auth

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

const rootKey = "sk_root_0123456789abcdefghij"

func setUp(t testing.TB) (*Authenticator, *catalog.Catalog) {
	t.Helper()
	c := catalog.New(storetest.NewMemory(), time.Now)
	a, err := New(c, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"acme", "globex"} {
		if _, err := c.CreateOrganization(t.Context(), catalog.Organization{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	return a, c
}

// codeOf is the code of an audit error; "" for nil, the text for others.
func codeOf(err error) string {
	if e, ok := errors.AsType[*audit.Error](err); ok {
		return string(e.Code)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestAuthenticate(t *testing.T) {
	a, c := setUp(t)
	secret, key, err := a.CreateKey(t.Context(), catalog.Key{Name: "ci", Role: RoleWriter, Organization: "acme", CreatedBy: RootKeyID})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^sk_[A-Za-z0-9_-]{43}$`).MatchString(secret) || !strings.HasSuffix(secret, key.Hint) {
		t.Errorf("secret %q, hint %q", secret, key.Hint)
	}
	if who, err := a.Authenticate(t.Context(), rootKey); err != nil || who != (Identity{KeyID: "root", KeyName: "root key", Role: RoleAdmin}) {
		t.Errorf("root key is %+v, %v", who, err)
	}
	want := Identity{KeyID: key.ID, KeyName: "ci", Role: RoleWriter, Organization: "acme"}
	for range 2 { // read, then cached
		if who, err := a.Authenticate(t.Context(), secret); err != nil || who != want {
			t.Errorf("key is %+v, %v", who, err)
		}
	}
	for _, bad := range []string{"", "sk_", secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), rootKey + " ", strings.Repeat("x", 1<<20)} {
		if _, err := a.Authenticate(t.Context(), bad); codeOf(err) != "unauthorized" {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	if _, err := c.RevokeKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), secret); codeOf(err) != "unauthorized" {
		t.Errorf("a revoked key: %v", err)
	}
}

func TestKeyOfDeletedOrganization(t *testing.T) {
	a, c := setUp(t)
	secret, _, err := a.CreateKey(t.Context(), catalog.Key{Name: "ci", Role: RoleReader, Organization: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), secret); codeOf(err) != "unauthorized" {
		t.Errorf("error %v", err)
	}
}

func TestAuthenticateAllocatesNothing(t *testing.T) {
	a, _ := setUp(t)
	secret, _, err := a.CreateKey(t.Context(), catalog.Key{Name: "ci", Role: RoleReader, Organization: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Authenticate(ctx, secret); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRootKeyIsRefused(t *testing.T) {
	for _, root := range []string{strings.Repeat("x", MinRootKeyBytes-1), strings.Repeat("x", maxSecretBytes+1), "with a space in the middle of it", "with-a-ü-in-the-middle-of-it"} {
		if _, err := New(nil, root); err == nil || strings.Contains(err.Error(), root) {
			t.Errorf("%.60q: error %v", root, err)
		}
	}
}

// TestNoRootKey holds that an Authenticator without a root key lets nobody in
// who brings none, or the hash of nothing.
func TestNoRootKey(t *testing.T) {
	a, err := New(catalog.New(storetest.NewMemory(), time.Now), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "x", string(make([]byte, 32))} {
		if id, err := a.Authenticate(t.Context(), key); err == nil {
			t.Errorf("%q is %+v", key, id)
		}
	}
}

// TestAllow is the whole table: every access, role and organization.
func TestAllow(t *testing.T) {
	const forbidden, missing = "forbidden", "not_found"
	all, own := "", "acme"
	tests := []struct {
		access Access
		role   Role
		limit  string
		// for no organization, acme, globex
		want [3]string
	}{
		{Public(), "", all, [3]string{"", "", ""}},
		{Signed(PurposeDownload), "", all, [3]string{"", "", ""}},
		{Need(RoleReader), "", all, [3]string{"unauthorized", "unauthorized", "unauthorized"}},
		{Access{}, RoleAdmin, all, [3]string{"route without access", "route without access", "route without access"}},

		{Need(RoleReader), RoleAdmin, all, [3]string{"", "", ""}},
		{Need(RoleReader), RoleReader, all, [3]string{"", "", ""}},
		{Need(RoleReader), RoleWriter, all, [3]string{forbidden, forbidden, forbidden}},
		{Need(RoleReader), RoleAdmin, own, [3]string{forbidden, "", missing}},
		{Need(RoleReader), RoleReader, own, [3]string{forbidden, "", missing}},
		{Need(RoleReader), RoleWriter, own, [3]string{forbidden, forbidden, forbidden}},
		{Need(RoleWriter), RoleReader, all, [3]string{forbidden, forbidden, forbidden}},
		{Need(RoleWriter, RoleReader), RoleReader, all, [3]string{"", "", ""}},
		{Need(RoleAdmin), RoleWriter, all, [3]string{forbidden, forbidden, forbidden}},

		{Shared(RoleReader), RoleReader, own, [3]string{"", "", ""}},
		{Shared(RoleReader), RoleWriter, own, [3]string{forbidden, forbidden, forbidden}},
		{Scoped(RoleReader), RoleReader, own, [3]string{"", "", missing}},
		{Scoped(RoleReader), RoleReader, all, [3]string{"", "", ""}},
		{Scoped(RoleReader), RoleWriter, own, [3]string{forbidden, forbidden, forbidden}},
	}
	for _, tt := range tests {
		who := Identity{KeyID: "k", Role: tt.role, Organization: tt.limit}
		got := [3]string{}
		for i, org := range []string{"", "acme", "globex"} {
			got[i] = codeOf(who.Allow(tt.access, org))
		}
		if got != tt.want {
			t.Errorf("%v as %q of %q: %q, want %q", tt.access, tt.role, tt.limit, got, tt.want)
		}
	}
}

// What a foreign organization answers is what none answers.
func TestForeignIsAsIfMissing(t *testing.T) {
	who := Identity{KeyID: "k", Role: RoleReader, Organization: "acme"}
	if diff := cmp.Diff(error(catalog.NoOrganization("globex")), who.Allow(Need(RoleReader), "globex")); diff != "" {
		t.Error(diff)
	}
}

func TestCheckState(t *testing.T) {
	limited, wide := Identity{Organization: "acme"}, Identity{}
	need := Need(RoleReader)
	tests := []struct {
		access Access
		who    Identity
		want   [3]string // active, inactive, disabled
	}{
		{need, limited, [3]string{"", "", ""}},
		{need.ReadsLog(), limited, [3]string{"", "audit_log_inactive", ""}},
		{need.ReadsLog(), wide, [3]string{"", "", ""}},
		{need.SharesLog(), limited, [3]string{"", "audit_log_inactive", ""}},
		{need.SharesLog(), wide, [3]string{"", "audit_log_inactive", ""}},
		{need.WritesLog(), limited, [3]string{"", "", "audit_log_disabled"}},
		{need.WritesLog(), wide, [3]string{"", "", "audit_log_disabled"}},
	}
	for i, tt := range tests {
		got := [3]string{}
		for j, state := range []catalog.State{catalog.StateActive, catalog.StateInactive, catalog.StateDisabled} {
			got[j] = codeOf(tt.access.CheckState(tt.who, &catalog.Organization{ID: "acme", State: state}))
		}
		if got != tt.want {
			t.Errorf("case %d: %q, want %q", i, got, tt.want)
		}
	}
}

func TestValid(t *testing.T) {
	for _, a := range []Access{Public(), Signed(PurposePortal), Need(RoleAdmin), Shared(RoleReader, RoleWriter), Scoped(RoleReader).ReadsLog()} {
		if !a.Valid() {
			t.Errorf("%v is not valid", a)
		}
	}
	for _, a := range []Access{{}, Signed(""), Need(), Shared(), Scoped("owner"), Access{}.ReadsLog()} {
		if a.Valid() {
			t.Errorf("%v is valid", a)
		}
	}
	if got := Need(RoleReader).Roles(); !cmp.Equal(got, []Role{RoleAdmin, RoleReader}) {
		t.Errorf("roles %q", got)
	}
	if Public().Roles() != nil {
		t.Error("public has roles")
	}
}
