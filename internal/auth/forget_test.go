package auth

import (
	"testing"
	"time"
)

// TestEndPerson: somebody's sessions end and leave nothing, links made before open
// nothing, and those of others and later ones work.
func TestEndPerson(t *testing.T) {
	d := newDoor(t)
	ended, _ := d.redeem(d.link(nil))
	old := d.link(nil)
	others := map[string]string{}
	for name, change := range map[string]func(*Portal){
		"another person":          func(p *Portal) { p.PersonID = "u2" },
		"nobody known":            func(p *Portal) { p.PersonID = "" },
		"the same id, other log":  func(p *Portal) { p.Organization = "globex" },
		"an id that begins alike": func(p *Portal) { p.PersonID = "u11" },
	} {
		others[name], _ = d.redeem(d.link(change))
	}
	for range 2 {
		if err := d.sessions.EndPerson(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.code(ended); got != "unauthorized" {
		t.Errorf("the session: %s", got)
	}
	if got := d.records(prefixSession); len(got) != len(others) {
		t.Errorf("sessions kept: %v", got)
	}
	for name, cookie := range others {
		if got := d.code(cookie); got != "" {
			t.Errorf("session of %s: %s", name, got)
		}
	}
	if _, _, err := d.sessions.Redeem(t.Context(), old); codeOf(err) != "gone" {
		t.Errorf("a link from before: %v", err)
	}
	d.at = d.at.Add(time.Millisecond)
	d.redeem(d.link(nil))

	// The bar goes when no link from before can be opened any more.
	d.at = d.at.Add(MaxLinkLife)
	d.clean()
	if got := d.records(prefixBarred); len(got) != 1 {
		t.Errorf("bars while links may live: %v", got)
	}
	d.at = d.at.Add(2 * time.Minute)
	d.clean()
	if got := d.records(prefixBarred); len(got) != 0 {
		t.Errorf("bars after that: %v", got)
	}
}

func (d *door) clean() {
	d.t.Helper()
	if _, err := d.sessions.Clean(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}
