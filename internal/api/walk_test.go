package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server/servertest"
)

// TestStrangersAreRefused walks over every route with wrong, foreign and missing
// keys.
func TestStrangersAreRefused(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.call("POST", "/v1/organizations", `{"id":"stranger","name":"Somebody Else"}`).want(201)
	id := h.append(strings.Replace(minimal, "a.b", "acme.secret", 1)).Entries[0].ID
	h.call("POST", "/v1/schemas", `{"action":"known","targets":[]}`).want(201)
	j := h.export(`{}`)
	secret := h.key(auth.RoleReader, "acme")
	identity, err := h.auth.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	revoked := h.key(auth.RoleAdmin, "")
	gone, err := h.auth.Authenticate(t.Context(), revoked)
	if err != nil {
		t.Fatal(err)
	}
	h.call("DELETE", "/v1/keys/"+gone.KeyID, "").want(200)
	at := h.stream("/v1/organizations/acme/streams", streamBody)
	own := at[strings.LastIndexByte(at, '/')+1:]
	erased := h.erase(`{"subject":"hush-subject"}`)
	size := h.size()
	values := map[string]string{
		"id": id, "exports.get id": j.ID, "keys.get id": identity.KeyID, "keys.revoke id": identity.KeyID,
		"erasures.get id": erased.ID,
		"path":            "0/000.p/1", "file": strings.TrimPrefix(j.ID, exportPrefix) + ".csv", "action": "known", "version": "1",
	}
	for _, route := range h.server.Routes() {
		if strings.HasPrefix(route.Name, "streams.") || strings.HasPrefix(route.Name, "operator_streams.") {
			values[route.Name+" id"] = own
		}
	}
	servertest.Walk(t, &servertest.World{
		Handler: h.server, Routes: h.server.Routes(), Organization: "acme", Stranger: "stranger",
		Key: h.key, Revoked: revoked,
		Values:  values,
		Queries: map[string]string{"events.facets": "?field=action"},
		Secrets: []string{"Acme Ltd", "acme.secret", id, j.ID, identity.KeyID, `"acme"`, own, "hush-hush", erased.ID, "hush-subject"},
	})
	// What was asked for by strangers has not been done.
	h.get("/v1/organizations/acme").want(200)
	h.get(at).want(200)
	var key struct {
		RevokedAt string `json:"revoked_at"`
	}
	h.get("/v1/keys/" + identity.KeyID).want(200).into(&key)
	if key.RevokedAt != "" || h.size() != size {
		t.Errorf("a stranger changed something: %+v, %d entries", key, h.size())
	}
}

// TestLimitedKeys is what a key limited to an organization may do of what is
// about the server or others.
func TestLimitedKeys(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.call("POST", "/v1/organizations", `{"id":"other","name":"Other","external_id":"ext-other"}`).want(201)
	otherKey := h.key(auth.RoleReader, "other")
	h.key(auth.RoleReader, "")
	admin := withKey(h.key(auth.RoleAdmin, "acme"))

	var list struct {
		Organizations []struct{ ID string }
	}
	h.get("/v1/organizations", admin).want(200).into(&list)
	if fmt.Sprint(list.Organizations) != "[{acme}]" {
		t.Errorf("sees %v", list.Organizations)
	}
	h.get("/v1/organizations?external_id=ext-other", admin).want(200).into(&list)
	if len(list.Organizations) > 0 {
		t.Errorf("sees %v by its external id", list.Organizations)
	}
	h.get("/v1/organizations/acme", admin).want(200)
	h.get("/v1/organizations/other", admin).fails(404, "not_found")
	h.call("PATCH", "/v1/organizations/acme", `{"state":"active"}`, admin).fails(403, "forbidden")
	h.call("DELETE", "/v1/organizations/acme", "", admin).fails(403, "forbidden")
	h.call("POST", "/v1/organizations", `{"name":"New"}`, admin).fails(403, "forbidden")
	h.call("POST", "/v1/schemas", `{"action":"x","targets":[]}`, admin).fails(403, "forbidden")
	h.get("/v1/schemas", admin).want(200)

	h.call("POST", "/v1/keys", `{"name":"k","role":"reader","organization_id":"acme"}`, admin).want(201)
	h.call("POST", "/v1/keys", `{"name":"k","role":"reader","organization_id":"other"}`, admin).fails(404, "not_found")
	h.call("POST", "/v1/keys", `{"name":"k","role":"reader"}`, admin).fails(403, "forbidden")
	var keys struct {
		Keys []struct {
			ID             string
			OrganizationID string `json:"organization_id"`
		}
	}
	h.get("/v1/keys", admin).want(200).into(&keys)
	for _, k := range keys.Keys {
		if k.OrganizationID != "acme" {
			t.Errorf("sees key %+v", k)
		}
	}
	if len(keys.Keys) != 2 {
		t.Errorf("sees %d keys", len(keys.Keys))
	}
	h.get("/v1/keys?organization_id=other", admin).fails(404, "not_found")
	identity, err := h.auth.Authenticate(t.Context(), otherKey)
	if err != nil {
		t.Fatal(err)
	}
	h.get("/v1/keys/"+identity.KeyID, admin).fails(404, "not_found")
	h.call("DELETE", "/v1/keys/"+identity.KeyID, "", admin).fails(404, "not_found")
	h.get("/v1/organizations/other", withKey(otherKey)).want(200)
}

// TestDownloadsNeedTheWholeLink changes each part of a link.
func TestDownloadsNeedTheWholeLink(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(minimal)
	link := strings.TrimPrefix(h.export(`{}`).Download.URL, h.url)
	other := strings.TrimPrefix(h.export(`{}`).Download.URL, h.url)
	none := withHeader("Authorization", "")
	got := h.get(link, none).want(200)
	if got.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment; filename=acme-audit-log-") {
		t.Errorf("%v", got.header)
	}
	file, query, _ := strings.Cut(link, "?")
	otherFile, _, _ := strings.Cut(other, "?")
	for _, bad := range []string{
		file, otherFile + "?" + query, strings.Replace(file, ".csv", ".jsonl", 1) + "?" + query,
		strings.Replace(link, "expires=", "expires=9", 1), link + "A", link + "&x=1", strings.Replace(link, "signature=", "signature=A", 1),
	} {
		if got := h.get(bad, none); got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
	part := h.get(link, none, withHeader("Range", "bytes=3-9")).want(206)
	if string(part.body) != string(got.body[3:10]) {
		t.Errorf("a part: %q", part.body)
	}
	head := h.call(http.MethodHead, link, "", none).want(200)
	if head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) {
		t.Errorf("HEAD: %v", head.header)
	}

	h.call("PATCH", "/v1/organizations/acme", fmt.Sprintf(`{"state":%q}`, catalog.StateInactive)).want(200)
	h.get(link, none).fails(403, "audit_log_inactive")
	h.call("PATCH", "/v1/organizations/acme", fmt.Sprintf(`{"state":%q}`, catalog.StateActive)).want(200)
	h.get(link, none).want(200)
	h.wind(11 * 60e9)
	h.get(link, none).fails(410, "gone")
}
