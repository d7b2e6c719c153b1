package sink

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// gcsFake is a strict bucket of Google with the authority for its tokens.
type gcsFake struct {
	t   *testing.T
	key *rsa.PrivateKey

	mu      sync.Mutex
	objects map[string]string
	keys    []string
	tokens  int
	aud     string
	scope   string
}

func (g *gcsFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.URL.Path == "/token" {
		g.token(w, r)
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer ya29.token-%d", g.tokens) {
		http.Error(w, `{"error":{"code":401,"message":"Invalid Credentials"}}`, http.StatusUnauthorized)
		return
	}
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/upload/storage/v1/b/acme-audit/o" && r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil || q.Get("uploadType") != "media" || q.Get("ifGenerationMatch") != "0" || r.Header.Get("Content-Encoding") != "" {
			g.t.Errorf("%s: %v", r.URL, err)
		}
		if old, there := g.objects[q.Get("name")]; there {
			if old != string(body) {
				g.t.Errorf("%s is written again with something else", q.Get("name"))
			}
			http.Error(w, `{"error":{"code":412,"message":"conditionNotMet"}}`, http.StatusPreconditionFailed)
			return
		}
		g.objects[q.Get("name")] = string(body)
		g.keys = append(g.keys, q.Get("name"))
		answerf(w, `{"kind":"storage#object"}`)
	case r.URL.Path == "/storage/v1/b/acme-audit/o" && r.Method == http.MethodGet:
		g.list(w, q.Get("prefix"), q.Get("pageToken"))
	default:
		http.Error(w, "no such bucket", http.StatusNotFound)
	}
}

func (g *gcsFake) list(w io.Writer, prefix, after string) {
	var items []map[string]string
	next := ""
	for _, k := range slices.Sorted(maps.Keys(g.objects)) {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if len(items) == 2 {
			next = items[1]["name"]
			break
		}
		items = append(items, map[string]string{"name": k, "size": fmt.Sprint(len(g.objects[k]))})
	}
	text, _ := json.Marshal(map[string]any{"items": items, "nextPageToken": next})
	answerf(w, "%s", text)
}

// token checks the assertion as RFC 7523 and Google's page on service accounts
// have it.
func (g *gcsFake) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.FormValue("assertion"), ".")
	fail := func(text string) {
		w.WriteHeader(http.StatusBadRequest)
		answerf(w, `{"error":"invalid_grant","error_description":%q}`, text)
	}
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		fail("no assertion")
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	sig, err1 := base64.RawURLEncoding.DecodeString(parts[2])
	claims, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if err1 != nil || err2 != nil || json.Unmarshal(claims, &c) != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		fail("Invalid JWT Signature.")
		return
	}
	if c.Iss != "w@p.iam.gserviceaccount.com" || c.Scope != g.scope || c.Aud != g.aud || c.Exp-c.Iat > 3600 {
		fail("Invalid claims.")
		return
	}
	g.tokens++
	answerf(w, `{"access_token":"ya29.token-%d","expires_in":3599,"token_type":"Bearer"}`, g.tokens)
}

func (g *gcsFake) lines() []string {
	var all []string
	for _, k := range g.keys {
		z, err := gzip.NewReader(strings.NewReader(g.objects[k]))
		if err != nil {
			g.t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			g.t.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

// account makes a service account's key file.
func account(t testing.TB, key *rsa.PrivateKey, url string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "w@p.iam.gserviceaccount.com", "private_key_id": "k1", "token_uri": url + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newGCSFake(t *testing.T) *gcsFake {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &gcsFake{t: t, key: key, objects: map[string]string{}, scope: "https://www.googleapis.com/auth/devstorage.read_write"}
}

func (g *gcsFake) settings(url, ca string) Values {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.aud = url + "/token"
	return Values{"endpoint": url, "ca_certificate": ca, "bucket": "acme-audit", "service_account": account(g.t, g.key, url)}
}

func TestGCS(t *testing.T) {
	g := newGCSFake(t)
	checkHTTP(t, httpCase{
		kind: GCS(), receiver: g, settings: g.settings, arrived: g.lines,
		secrets: []string{"ya29.token-1"}, own: map[int]Class{400: Invalid, 422: Invalid},
	})
	if want := "org=org_1/dt=2026-11-20/hour=10/00000000000000000000-00000000000000000039.40.str_1.ndjson.gz"; g.keys[0] != want {
		t.Errorf("key %s\nwant %s", g.keys[0], want)
	}
}

func TestGCSAgainAndList(t *testing.T) {
	g := newGCSFake(t)
	srv, ca := server(t, g)
	k := open(t, GCS(), g.settings(srv.URL, ca))
	var want []uint64
	for i := range 5 {
		send(t, k, batch(t, i*10, 10))
		send(t, k, batch(t, i*10, 10))
		want = append(want, uint64(i*10))
	}
	var got []uint64
	for h, err := range k.(Lister).List(t.Context(), "str_1", "org_1") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.First)
	}
	if !slices.Equal(got, want) || len(g.keys) != 5 || g.tokens != 1 {
		t.Errorf("listed %v; %d objects, %d tokens", got, len(g.keys), g.tokens)
	}
	// A token that is refused is replaced at the next attempt; one near its end too.
	g.tokens = 7
	refuse(t, k, batch(t, 50, 1), Invalid, "Make a new key")
	send(t, k, batch(t, 50, 1))
	k.(*gcs).now = func() time.Time { return clock().Add(56 * time.Minute) }
	send(t, k, batch(t, 51, 1))
	if g.tokens != 9 {
		t.Errorf("%d tokens", g.tokens)
	}
	other := newGCSFake(t)
	v := g.settings(srv.URL, ca)
	v["service_account"] = account(t, other.key, srv.URL)
	e := refuse(t, open(t, GCS(), v), batch(t, 0, 1), Invalid, "Invalid JWT Signature", "make a new key")
	if e.Code != "credentials" {
		t.Errorf("code %s", e.Code)
	}
	for _, bad := range []string{"{}", "key", `{"client_email":"a","private_key":"s3cret"}`} {
		if err := checkServiceAccount(bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// dcr is a strict data collection rule of Azure Monitor, and Entra ID.
type dcr struct {
	t      *testing.T
	mu     sync.Mutex
	events []string
	last   map[string]json.RawMessage
	quiet  bool // says 404 to what is too large
}

func (d *dcr) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.URL.Path == "/tenant-1/oauth2/v2.0/token" {
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "https://monitor.azure.com/.default" ||
			r.FormValue("client_id") != "client-1" || r.FormValue("client_secret") != "azure~secret" {
			w.WriteHeader(http.StatusUnauthorized)
			answerf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: %s"}`, r.FormValue("client_secret"))
			return
		}
		answerf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ.azure"}`)
		return
	}
	if r.Header.Get("Authorization") != "Bearer eyJ.azure" {
		http.Error(w, `{"error":{"code":"AuthenticationTokenInvalid"}}`, http.StatusUnauthorized)
		return
	}
	size := r.ContentLength
	body, err := readBody(r)
	var rows []map[string]json.RawMessage
	switch {
	case r.URL.Path != "/dataCollectionRules/dcr-0123456789abcdef/streams/Custom-SteleAudit_CL" || r.URL.Query().Get("api-version") != "2023-01-01":
		http.Error(w, `{"error":{"code":"NotFound"}}`, http.StatusNotFound)
		return
	case d.quiet && len(body) > 1000:
		http.Error(w, `{"error":{"code":"NotFound","message":"Resource was not found."}}`, http.StatusNotFound)
		return
	case err != nil || len(body) > 1<<20 || size > 1<<20:
		http.Error(w, `{"error":{"code":"ContentLengthLimitExceeded"}}`, http.StatusRequestEntityTooLarge)
		return
	case json.Unmarshal(body, &rows) != nil:
		http.Error(w, `{"error":{"code":"InvalidRequest"}}`, http.StatusBadRequest)
		return
	}
	for _, row := range rows {
		d.events = append(d.events, string(row["Event"]))
		d.last = row
	}
	w.WriteHeader(http.StatusNoContent)
}

func sentinelSettings(url, ca string) Values {
	return Values{
		"endpoint": url, "authority": url, "ca_certificate": ca, "tenant_id": "tenant-1", "client_id": "client-1",
		"client_secret": "azure~secret", "rule_id": "dcr-0123456789abcdef", "stream_name": "Custom-SteleAudit_CL",
	}
}

func TestSentinelNotFound(t *testing.T) {
	d := &dcr{t: t, quiet: true}
	srv, ca := server(t, d)
	s := open(t, Sentinel(), sentinelSettings(srv.URL, ca))
	refuse(t, s, batch(t, 0, 5), TooLarge, "Resource was not found", "Smaller")
	send(t, s, batch(t, 0, 1))
	v := sentinelSettings(srv.URL, ca)
	v["rule_id"] = "dcr-fedcba9876543210"
	refuse(t, open(t, Sentinel(), v), batch(t, 0, 5), Invalid, "immutable ID")
}

func TestSentinel(t *testing.T) {
	d := &dcr{t: t}
	checkHTTP(t, httpCase{
		kind: Sentinel(), receiver: d, arrived: func() []string { return d.events },
		settings: sentinelSettings,
		wrong:    "client_secret", value: "wrong~secret", says: "secrets expire", secrets: []string{"azure~secret", "eyJ.azure"},
	})
	for name, want := range map[string]string{
		"TimeGenerated": `"2026-11-20T10:30:00.042123Z"`, "EventTime": `"2026-11-20T10:30:00.042123Z"`, "Seq": "42",
		"EventId": `"01KAF000000000000000000042"`, "OrganizationId": `"org_1"`,
	} {
		if string(d.last[name]) != want {
			t.Errorf("%s is %s, want %s", name, d.last[name], want)
		}
	}
}
