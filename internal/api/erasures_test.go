package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/schema"
)

// erase erases somebody from the log of acme and waits until that is done.
func (h *host) erase(body string) audit.Erasure {
	h.t.Helper()
	var e audit.Erasure
	h.call("POST", "/v1/organizations/acme/erasures", body).want(201).into(&e)
	rec, err := h.erasures.Wait(h.t.Context(), "acme", e.ID)
	if err != nil || rec.State != erasure.StateDone {
		h.t.Fatalf("%+v, %v", rec, err)
	}
	h.get("/v1/organizations/acme/erasures/" + e.ID).want(200).into(&e)
	return e
}

const adaInvites = `{"action":"user.invited","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":"u1","name":"Ada Lovelace"},` +
	`"targets":[{"type":"user","id":"u2","name":"Ben Bit"}],"context":{"location":"192.0.2.7"},"metadata":{"note":"for Ada"}}`

// TestErasures: a dry run changes nothing; an erasure does, and whoever asks for
// the entry then gets the marker, with a proof that holds.
func TestErasures(t *testing.T) {
	h := start(t, schema.ModeOpen)
	id := h.append(adaInvites).Entries[0].ID
	h.append(strings.Replace(adaInvites, `"u1"`, `"u3"`, 1))
	job := h.export(`{}`)
	var p audit.ErasurePreview
	h.call("POST", "/v1/organizations/acme/erasures", `{"subject":"u1","dry_run":true}`).want(200).into(&p)
	if p.Found != 1 || p.WouldErase != 1 || p.Exports != 1 || p.Oldest == nil || len(p.Actions) != 1 || h.size() != 2 {
		t.Errorf("%+v, %d entries", p, h.size())
	}
	e := h.erase(`{"subject":"u1","reference":"DSR-1"}`)
	if e.Found != 1 || e.Erased != 1 || e.RemovedExports != 1 || e.Entry == nil || e.RequestedBy.ID != auth.RootKeyID {
		t.Errorf("%+v", e)
	}
	var entry audit.Entry
	got := h.get("/v1/organizations/acme/events/" + id).want(200)
	got.into(&entry)
	if strings.Contains(string(got.body), "Ada") || entry.ErasedAt.IsZero() || entry.Actor.ID != "u1" {
		t.Errorf("%s", got.body)
	}
	h.get("/v1/organizations/acme/events/" + id + "/proof").want(200)
	for _, q := range []string{"Ada+Lovelace", "actor.name:%22Ada+Lovelace%22", "location:192.0.2.7+actor:u1"} {
		var found struct {
			Entries []audit.Entry
		}
		h.get("/v1/organizations/acme/events?q=" + q).want(200).into(&found)
		for _, e := range found.Entries {
			if e.Actor.ID == "u1" {
				t.Errorf("%s finds %+v", q, e)
			}
		}
	}
	var export audit.Export
	h.get("/v1/organizations/acme/exports/" + job.ID).want(200).into(&export)
	if export.State != audit.ExportExpired || !strings.Contains(export.Error, "erased") {
		t.Errorf("%+v", export)
	}
}

// TestErasureFaults: what is refused.
func TestErasureFaults(t *testing.T) {
	h := start(t, schema.ModeOpen)
	at := "/v1/organizations/acme/erasures"
	for body, field := range map[string]string{
		`{}`:                            "/subject",
		`{"subject":"","dry_run":true}`: "/subject",
		`{"subject":"u1","reference":"` + strings.Repeat("x", 201) + `"}`: "/reference",
		`{"subject":"u1","who":"?"}`:                                      "/who",
	} {
		var problem struct{ Field string }
		r := h.call("POST", at, body)
		if r.into(&problem); r.status/100 != 4 || problem.Field != field {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	h.get(at + "/erasure_01KJMJ6R3VH5N8J2Q4W6Y8Z0AB").want(404)
	h.get(at + "/x").want(404)
	h.get(at + "?cursor=x").want(400)
	for _, role := range []auth.Role{auth.RoleReader, auth.RoleWriter} {
		h.call("POST", at, `{"subject":"u1","dry_run":true}`, withKey(h.key(role, ""))).want(403)
		h.get(at, withKey(h.key(role, "acme"))).want(403)
	}
	admin := withKey(h.key(auth.RoleAdmin, "acme"))
	h.call("POST", at, `{"subject":"u1","dry_run":true}`, admin).want(200)
	for i := range 3 {
		h.erase(fmt.Sprintf(`{"subject":"u%d"}`, i))
	}
	var list struct {
		Erasures []audit.Erasure
		Next     *string
	}
	h.get(at+"?limit=2", admin).want(200).into(&list)
	if len(list.Erasures) != 2 || list.Next == nil || list.Erasures[0].Subject != "u2" {
		t.Fatalf("%+v", list)
	}
	h.get(at+"?limit=2&cursor="+*list.Next, admin).want(200).into(&list)
	if len(list.Erasures) != 1 || list.Next != nil || list.Erasures[0].Subject != "u0" {
		t.Errorf("%+v", list)
	}
}
