package catalog

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

func TestKeys(t *testing.T) {
	c, kv := newCatalog()
	mustCreate(t, c, Organization{ID: "acme", Name: "Acme"})
	var made []*Key
	for i, org := range []string{"", "acme", "", "acme"} {
		k, err := c.CreateKey(t.Context(), Key{
			Name: "k", Role: RoleReader, Organization: org, Hash: [32]byte{byte(i + 1)}, Hint: "abcd", CreatedBy: "root",
		})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, k)
	}
	for _, c := range []*Catalog{c, New(kv, clock())} {
		for _, k := range made {
			byID, err := c.Key(t.Context(), k.ID)
			if diff := cmp.Diff(k, byID); diff != "" || err != nil {
				t.Error(diff, err)
			}
			byHash, err := c.KeyByHash(t.Context(), &k.Hash)
			if diff := cmp.Diff(k, byHash); diff != "" || err != nil {
				t.Error(diff, err)
			}
		}
	}
	revoked, err := c.RevokeKey(t.Context(), made[1].ID)
	if err != nil || revoked.RevokedAt.IsZero() {
		t.Fatal(revoked, err)
	}
	if k, err := c.KeyByHash(t.Context(), &made[1].Hash); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("the cache shows a key that works: %+v, %v", k, err)
	}
	again, err := c.RevokeKey(t.Context(), made[1].ID)
	if diff := cmp.Diff(revoked, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	checkLists(t, c, made)
}

func checkLists(t *testing.T, c *Catalog, made []*Key) {
	tests := []struct {
		opts KeyOptions
		want []int
		more bool
	}{
		{KeyOptions{Limit: 9}, []int{0, 2, 3}, false},
		{KeyOptions{Limit: 9, Revoked: true}, []int{0, 1, 2, 3}, false},
		{KeyOptions{Limit: 2}, []int{0, 2}, true},
		{KeyOptions{Limit: 2, After: made[2].ID}, []int{3}, false},
		{KeyOptions{Limit: 9, Organization: "acme"}, []int{3}, false},
		{KeyOptions{Limit: 1, Organization: "acme", Revoked: true}, []int{1}, true},
	}
	for _, tt := range tests {
		keys, more, err := c.Keys(t.Context(), tt.opts)
		if err != nil || more != tt.more {
			t.Errorf("%+v: more %v, error %v", tt.opts, more, err)
		}
		var got, want []string
		for _, k := range keys {
			got = append(got, k.ID)
		}
		for _, i := range tt.want {
			want = append(want, made[i].ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s", tt.opts, diff)
		}
	}
}

func TestKeyIsRefused(t *testing.T) {
	c, _ := newCatalog()
	good := Key{Name: "k", Role: RoleAdmin, Hash: [32]byte{1}}
	for _, tt := range []struct {
		change func(*Key)
		code   audit.Code
		field  string
	}{
		{func(k *Key) { k.Name = "" }, audit.CodeInvalidRequest, "/name"},
		{func(k *Key) { k.Role = "owner" }, audit.CodeInvalidRequest, "/role"},
		{func(k *Key) { k.Organization = "nobody" }, audit.CodeNotFound, "organization"},
	} {
		k := good
		tt.change(&k)
		_, err := c.CreateKey(t.Context(), k)
		wantError(t, err, tt.code, tt.field)
	}
	if _, err := c.CreateKey(t.Context(), Key{Name: "k", Role: RoleAdmin}); err == nil {
		t.Error("a key without a hash was accepted")
	}
	if _, err := c.CreateKey(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateKey(t.Context(), good)
	wantError(t, err, audit.CodeConflict, "")
}

func TestUnknownKey(t *testing.T) {
	c, _ := newCatalog()
	for _, id := range []string{"", "key_1", "org/x", "key_/\x00"} {
		_, err := c.Key(t.Context(), id)
		wantError(t, err, audit.CodeNotFound, "")
		_, err = c.RevokeKey(t.Context(), id)
		wantError(t, err, audit.CodeNotFound, "")
	}
	if _, err := c.KeyByHash(t.Context(), &[32]byte{9}); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	_, _, err := c.Keys(t.Context(), KeyOptions{Limit: 1, After: "a/b"})
	wantError(t, err, audit.CodeInvalidCursor, "after")
}

// Revoking must hold although the store says that it failed.
func TestRevokeFailedButLanded(t *testing.T) {
	c, kv := newCatalog()
	k, err := c.CreateKey(t.Context(), Key{Name: "k", Role: RoleAdmin, Hash: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.KeyByHash(t.Context(), &k.Hash); err != nil {
		t.Fatal(err)
	}
	kv.after = func([]Change) error { return errors.New("disk gone") }
	if _, err := c.RevokeKey(t.Context(), k.ID); err == nil {
		t.Fatal("no error")
	}
	if got, err := c.KeyByHash(t.Context(), &k.Hash); err != nil || got.RevokedAt.IsZero() {
		t.Errorf("the key still works: %+v, %v", got, err)
	}
}
