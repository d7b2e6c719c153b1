package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

// door is sessions with the organizations acme and globex, at a time of the
// test's own.
type door struct {
	t        *testing.T
	at       time.Time
	kv       catalog.KV
	catalog  *catalog.Catalog
	signer   *Signer
	sessions *Sessions
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, at: noon, kv: storetest.NewMemory()}
	now := func() time.Time { return d.at }
	d.catalog = catalog.New(d.kv, now)
	for _, id := range []string{"acme", "globex"} {
		if _, err := d.catalog.CreateOrganization(t.Context(), catalog.Organization{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if d.signer, err = NewSigner(t.Context(), d.catalog, now); err != nil {
		t.Fatal(err)
	}
	d.sessions = NewSessions(d.kv, d.catalog, d.signer, 8*time.Hour, now)
	return d
}

// link makes a link's token, good for five minutes.
func (d *door) link(change func(*Portal)) string {
	d.t.Helper()
	p := Portal{Organization: "acme", Intent: IntentAuditLogs, Role: PersonManager, PersonID: "u1", PersonName: "Ada", ReturnURL: "https://x.y/", Expires: d.at.Add(5 * time.Minute)}
	if change != nil {
		change(&p)
	}
	token, err := d.signer.SignPortal(p)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

func (d *door) redeem(token string) (string, *Session) {
	d.t.Helper()
	cookie, s, err := d.sessions.Redeem(d.t.Context(), token)
	if err != nil {
		d.t.Fatal(err)
	}
	return cookie, s
}

// code is the code of the error that a cookie is answered with.
func (d *door) code(cookie string) string {
	_, err := d.sessions.Get(d.t.Context(), cookie)
	return codeOf(err)
}

// records are the keys under a prefix.
func (d *door) records(prefix string) []string {
	d.t.Helper()
	recs, err := d.kv.List(d.t.Context(), prefix, "", 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	keys := make([]string, len(recs))
	for i, rec := range recs {
		keys[i] = rec.Key
	}
	return keys
}

func TestRedeem(t *testing.T) {
	d := newDoor(t)
	token := d.link(nil)
	cookie, made := d.redeem(token)
	s, err := d.sessions.Get(t.Context(), cookie)
	if err != nil {
		t.Fatal(err)
	}
	if *s != *made {
		t.Errorf("read %+v, made %+v", s, made)
	}
	want := Session{
		ID: s.ID, Organization: "acme", Intent: IntentAuditLogs, Role: PersonManager, PersonID: "u1", PersonName: "Ada",
		ReturnURL: "https://x.y/", CreatedAt: noon, ExpiresAt: noon.Add(8 * time.Hour), csrf: s.csrf,
	}
	if *s != want || !strings.HasPrefix(s.ID, "session_") || !s.Manager() {
		t.Errorf("session %+v, want %+v", s, want)
	}
	if _, _, err := d.sessions.Redeem(t.Context(), token); codeOf(err) != "conflict" {
		t.Errorf("the used link: %v", err)
	}
	// A link that says nothing about the person lets them read only.
	_, plain := d.redeem(d.link(func(p *Portal) { p.Role, p.PersonID, p.PersonName = "", "", "" }))
	if plain.Manager() || plain.Role != PersonViewer {
		t.Errorf("a link without a role gives %q", plain.Role)
	}
}

// TestCookieIsNowhere holds that what is stored opens nothing, and that neither
// does what the pages show.
func TestCookieIsNowhere(t *testing.T) {
	d := newDoor(t)
	cookie, s := d.redeem(d.link(nil))
	if len(cookie) != 43 || s.CSRF() == "" || strings.Contains(cookie, s.CSRF()) || strings.Contains(s.CSRF(), cookie) {
		t.Errorf("cookie %q, CSRF %q", cookie, s.CSRF())
	}
	recs, err := d.kv.List(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs {
		for _, secret := range []string{cookie, s.CSRF()} {
			if strings.Contains(rec.Key, secret) || strings.Contains(string(rec.Value), secret) {
				t.Errorf("%s holds a secret", rec.Key)
			}
		}
		if d.code(rec.Key) != "unauthorized" || d.code(strings.TrimPrefix(rec.Key, prefixSession)) != "unauthorized" {
			t.Errorf("the key %s opens something", rec.Key)
		}
	}
	shown, err := json.Marshal(s)
	if err != nil || strings.Contains(string(shown), s.CSRF()) {
		t.Errorf("%s, %v", shown, err)
	}
}

// TestRace holds that of many who open one link at once one gets in.
func TestRace(t *testing.T) {
	d := newDoor(t)
	for range 20 {
		token := d.link(nil)
		var won, lost int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, _, err := d.sessions.Redeem(t.Context(), token)
				mu.Lock()
				defer mu.Unlock()
				switch codeOf(err) {
				case "":
					won++
				case "conflict":
					lost++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won != 1 || lost != 7 {
			t.Fatalf("%d got in, %d were told that it was used", won, lost)
		}
	}
}

// TestRefusedLinks holds that a link which opens nothing is not burned for it.
func TestRefusedLinks(t *testing.T) {
	d := newDoor(t)
	refused := func(what, token, want string) {
		t.Helper()
		if _, s, err := d.sessions.Redeem(t.Context(), token); codeOf(err) != want || s != nil {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
		if left := d.records(prefixLinkUsed); len(left) > 0 {
			t.Errorf("%s: left %q", what, left)
		}
	}
	good := d.link(nil)
	refused("altered", good[:len(good)-4]+"AAAA", "forbidden")
	refused("empty", "", "forbidden")
	refused("no organization", d.link(func(p *Portal) { p.Organization = "nobody" }), "not_found")
	d.at = noon.Add(5 * time.Minute)
	refused("expired", good, "gone")
	d.setState("acme", catalog.StateInactive)
	late := d.link(nil)
	refused("inactive", late, "audit_log_inactive")
	d.setState("acme", catalog.StateActive)
	d.redeem(late)
}

func (d *door) setState(org string, state catalog.State) {
	d.t.Helper()
	_, err := d.catalog.UpdateOrganization(d.t.Context(), org, func(o *catalog.Organization) error {
		o.State = state
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// TestSessionEnds is each way in which a session ends.
func TestSessionEnds(t *testing.T) {
	d := newDoor(t)
	cookie, s := d.redeem(d.link(nil))
	other, _ := d.redeem(d.link(nil))
	for _, none := range []string{"", "x", cookie + "x", cookie[1:], strings.Repeat("a", 600), s.ID} {
		if got := d.code(none); got != "unauthorized" {
			t.Errorf("the cookie %.50q: %q", none, got)
		}
	}
	for range 2 { // twice does no harm
		if err := d.sessions.End(t.Context(), cookie); err != nil {
			t.Fatal(err)
		}
	}
	if d.code(cookie) != "unauthorized" || d.code(other) != "" {
		t.Errorf("after sign-out: %q, the other %q", d.code(cookie), d.code(other))
	}
	d.at = noon.Add(8*time.Hour - time.Millisecond)
	if got := d.code(other); got != "" {
		t.Errorf("just before its end: %q", got)
	}
	d.at = noon.Add(8 * time.Hour)
	if got := d.code(other); got != "unauthorized" {
		t.Errorf("at its end: %q", got)
	}
	if got := d.sessions.ReturnURL(t.Context(), other); got != "https://x.y/" {
		t.Errorf("nobody knows the way back: %q", got)
	}
	if got := d.sessions.ReturnURL(t.Context(), "x"); got != "" {
		t.Errorf("a way back from nowhere: %q", got)
	}
}

// TestClean holds that everything goes when it is over, and nothing before.
func TestClean(t *testing.T) {
	d := newDoor(t)
	clean := func(want int) {
		t.Helper()
		if n, err := d.sessions.Clean(t.Context()); err != nil || n != want {
			t.Errorf("cleaned %d, %v; want %d", n, err, want)
		}
	}
	const many = 2*cleanPage + 3
	for range many {
		d.redeem(d.link(nil))
	}
	cookie, _ := d.redeem(d.link(nil))
	if err := d.sessions.End(t.Context(), cookie); err != nil {
		t.Fatal(err)
	}
	clean(0)
	d.at = noon.Add(time.Hour)
	clean(many + 1) // links
	late, _ := d.redeem(d.link(nil))
	d.at = noon.Add(8*time.Hour + endedKept - time.Minute)
	clean(1) // the late link
	d.at = noon.Add(8*time.Hour + endedKept + time.Minute)
	clean(many + 1) // sessions
	if left := len(d.records(prefixSession)); left != 1 {
		t.Errorf("%d sessions are left, want the late one", left)
	}
	if d.sessions.ReturnURL(t.Context(), late) == "" {
		t.Error("the late session is gone")
	}
	d.at = d.at.Add(2 * time.Hour)
	clean(1)
	for _, prefix := range []string{prefixSession, prefixSessionEnd, prefixLinkUsed} {
		if left := d.records(prefix); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

// brokenKV fails what the test says.
type brokenKV struct {
	catalog.KV
	err error
}

func (k *brokenKV) Get(ctx context.Context, key string) (catalog.Record, error) {
	if k.err != nil && strings.HasPrefix(key, prefixSession) {
		return catalog.Record{}, k.err
	}
	return k.KV.Get(ctx, key)
}

func (k *brokenKV) Apply(ctx context.Context, changes ...catalog.Change) error {
	if k.err != nil {
		return k.err
	}
	return k.KV.Apply(ctx, changes...)
}

// TestFaultIsNoRefusal holds that a failing store is not taken for a session that
// has ended, or for a link that was used.
func TestFaultIsNoRefusal(t *testing.T) {
	d := newDoor(t)
	kv := &brokenKV{KV: d.kv}
	s := NewSessions(kv, d.catalog, d.signer, time.Hour, func() time.Time { return d.at })
	cookie, _, err := s.Redeem(t.Context(), d.link(nil))
	if err != nil {
		t.Fatal(err)
	}
	kv.err = fmt.Errorf("disk: %w", context.DeadlineExceeded)
	_, getErr := s.Get(t.Context(), cookie)
	_, _, redeemErr := s.Redeem(t.Context(), d.link(nil))
	for what, err := range map[string]error{"Get": getErr, "End": s.End(t.Context(), cookie), "Redeem": redeemErr} {
		if err == nil || codeOf(err) != err.Error() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSessionAccess(t *testing.T) {
	viewer, manager := &Session{Role: PersonViewer}, &Session{Role: PersonManager}
	tests := []struct {
		access Access
		s      *Session
		want   string
	}{
		{Person(), viewer, ""},
		{Person(), manager, ""},
		{Person(), nil, "unauthorized"},
		{Managers(), viewer, "forbidden"},
		{Managers(), manager, ""},
		{Managers(), nil, "unauthorized"},
		{Public(), manager, "unauthorized"},
		{Need(RoleReader), manager, "unauthorized"},
	}
	for _, tt := range tests {
		if got := codeOf(tt.access.AllowSession(tt.s)); got != tt.want {
			t.Errorf("%v for %+v: %q, want %q", tt.access, tt.s, got, tt.want)
		}
	}
	// A key is no session.
	for _, a := range []Access{Person(), Managers()} {
		if err := (Identity{KeyID: "k", Role: RoleAdmin}).Allow(a, ""); err == nil {
			t.Errorf("a key opens %v", a)
		}
		if !a.Valid() || !a.NeedsSession() || a.NeedsKey() {
			t.Errorf("%v is not what it says", a)
		}
	}
}
