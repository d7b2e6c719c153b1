package auth

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newSigner signs at noon, or whenever *at says.
func newSigner(t testing.TB, at *time.Time) *Signer {
	t.Helper()
	s, err := NewSigner(t.Context(), catalog.New(storetest.NewMemory(), time.Now), func() time.Time { return *at })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignURL(t *testing.T) {
	at := noon
	s := newSigner(t, &at)
	link, err := s.SignURL("/v1/exports/a%2Fb/file?name=x+y&name=z", PurposeDownload, noon.Add(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(path, query string, p Purpose) string { return codeOf(s.VerifyURL(path, query, p)) }
	if got := verify(u.EscapedPath(), u.RawQuery, PurposeDownload); got != "" {
		t.Fatalf("%s: %s", link, got)
	}
	// A proxy may put parameters into another order.
	parts := strings.Split(u.RawQuery, "&")
	parts[0], parts[len(parts)-1] = parts[len(parts)-1], parts[0]
	if got := verify(u.EscapedPath(), strings.Join(parts, "&"), PurposeDownload); got != "" {
		t.Errorf("reordered: %s", got)
	}
	for name, got := range map[string]string{
		"other purpose":     verify(u.EscapedPath(), u.RawQuery, PurposePortal),
		"other path":        verify("/v1/exports/a/b/file", u.RawQuery, PurposeDownload),
		"no query":          verify(u.EscapedPath(), "", PurposeDownload),
		"later expiry":      verify(u.EscapedPath(), strings.Replace(u.RawQuery, "expires=1", "expires=2", 1), PurposeDownload),
		"more parameters":   verify(u.EscapedPath(), u.RawQuery+"&all=true", PurposeDownload),
		"parameter missing": verify(u.EscapedPath(), strings.Replace(u.RawQuery, "&name=z", "", 1), PurposeDownload),
		"second signature":  verify(u.EscapedPath(), u.RawQuery+"&signature=x", PurposeDownload),
		"bad query":         verify(u.EscapedPath(), u.RawQuery+"&%", PurposeDownload),
		"other secret":      codeOf(newSigner(t, &at).VerifyURL(u.EscapedPath(), u.RawQuery, PurposeDownload)),
	} {
		if got != "forbidden" {
			t.Errorf("%s: %q", name, got)
		}
	}
	at = noon.Add(10*time.Minute - 1)
	if got := verify(u.EscapedPath(), u.RawQuery, PurposeDownload); got != "" {
		t.Errorf("just before its end: %s", got)
	}
	at = noon.Add(10 * time.Minute)
	if got := verify(u.EscapedPath(), u.RawQuery, PurposeDownload); got != "gone" {
		t.Errorf("at its end: %q", got)
	}
}

// A signature has one spelling: the last character's unused bits count.
func TestSignatureHasOneSpelling(t *testing.T) {
	at := noon
	s := newSigner(t, &at)
	token, err := s.SignPortal(Portal{Organization: "acme", Expires: noon.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.SignURL("/x", PurposeDownload, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(link, "?")
	accepted := 0
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if _, err := s.VerifyPortal(token[:len(token)-1] + string(c)); err == nil {
			accepted++
		}
		if err := s.VerifyURL("/x", query[:len(query)-1]+string(c), PurposeDownload); err == nil {
			accepted++
		}
	}
	if accepted != 2 {
		t.Errorf("%d spellings, want one of each", accepted)
	}
}

// No change of one character passes.
func TestAnyChangeBreaksALink(t *testing.T) {
	at := noon
	s := newSigner(t, &at)
	link, err := s.SignURL("/d/x?a=b", PurposeDownload, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(link)-1).Draw(rt, "place")
		c := rapid.SampledFrom([]byte("abcXYZ0189-_/&=%")).Draw(rt, "character")
		changed := link[:i] + string(c) + link[i+1:]
		path, query, _ := strings.Cut(changed, "?")
		if err := s.VerifyURL(path, query, PurposeDownload); (err == nil) != (changed == link) {
			rt.Fatalf("%s: %v", changed, err)
		}
	})
}

func TestSignURLRefusesTakenParameters(t *testing.T) {
	s := newSigner(t, &noon)
	for _, target := range []string{"/x?expires=1", "/x?signature=", "/x?%"} {
		if link, err := s.SignURL(target, PurposeDownload, noon); err == nil {
			t.Errorf("%s became %s", target, link)
		}
	}
}

func TestPortal(t *testing.T) {
	at := noon
	s := newSigner(t, &at)
	want := Portal{Organization: "acme", Intent: "audit_logs", ReturnURL: "https://x.y/?a=b", Expires: noon.Add(5 * time.Minute)}
	token, err := s.SignPortal(want)
	if err != nil {
		t.Fatal(err)
	}
	if url.QueryEscape(token) != token {
		t.Errorf("%q is not safe in a URL", token)
	}
	got, err := s.VerifyPortal(token)
	want.Nonce = got.Nonce
	if diff := cmp.Diff(want, got); diff != "" || err != nil || got.Nonce == "" {
		t.Error(diff, err)
	}
	again, err := s.SignPortal(want)
	if err != nil || again == token {
		t.Errorf("two links are the same, %v", err)
	}
	link, err := s.SignURL("/x", PurposePortal, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for i, bad := range []string{"", ".", token + "A", "A" + token, token[1:], strings.ReplaceAll(token, ".", ""), link} {
		if p, err := s.VerifyPortal(bad); codeOf(err) != "forbidden" {
			t.Errorf("bad token %d: %+v, %v", i, p, err)
		}
	}
	at = want.Expires
	if _, err := s.VerifyPortal(token); codeOf(err) != "gone" {
		t.Errorf("expired: %v", err)
	}
}

// The secret is made once and kept.
func TestSignerOutlivesARestart(t *testing.T) {
	kv := storetest.NewMemory()
	now := func() time.Time { return noon }
	sign := func() *Signer {
		s, err := NewSigner(t.Context(), catalog.New(kv, now), now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	token, err := sign().SignPortal(Portal{Organization: "acme", Expires: noon.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign().VerifyPortal(token); err != nil {
		t.Error(err)
	}
}
