package sink

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	azureKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	azureSAS = "sv=2023-11-03&se=2027-01-01T00%3A00%3A00Z&sr=c&sp=cw&spr=https&sig=c2lnbmF0dXJlc2VjcmV0%2B%3D"
)

// azureFake is a strict container of Azure, with Entra ID.
type azureFake struct {
	t       *testing.T
	objects gcsFake // what it holds, read as lines
	page    int

	mu     sync.Mutex
	fail   string // a code to answer with
	tokens int    // given out; only the last is known
}

func newAzureFake(t *testing.T) *azureFake {
	return &azureFake{t: t, page: 2, objects: gcsFake{t: t, objects: map[string]string{}}}
}

func (a *azureFake) refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
	answerf(w, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%s\nRequestId:1\nTime:2</Message></Error>", code, message)
}

func (a *azureFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
		if r.FormValue("scope") != "https://storage.azure.com/.default" || r.FormValue("client_secret") != "azure~secret" {
			w.WriteHeader(http.StatusUnauthorized)
			answerf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
			return
		}
		a.tokens++
		answerf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ.azure-%d"}`, a.tokens)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/audit")
	switch {
	case a.fail != "":
		a.refuse(w, 403, a.fail, "No. c2lnbmF0dXJlc2VjcmV0+=")
	case r.Header.Get("X-Ms-Version") != "2023-11-03" || r.Header.Get("X-Ms-Date") != "Fri, 20 Nov 2026 10:30:00 GMT":
		a.refuse(w, 400, "MissingRequiredHeader", "A required header is missing.")
	case !a.knows(r, len(body)):
		status := 403
		if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			status = 401
		}
		a.refuse(w, status, "AuthenticationFailed", "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.")
	case !ok:
		a.refuse(w, 404, "ContainerNotFound", "The specified container does not exist.")
	case r.Method == http.MethodGet:
		a.list(w, r.URL.Query())
	default:
		a.put(w, r, strings.TrimPrefix(key, "/"), body)
	}
}

// knows checks credentials as "Authorize with Shared Key" and the pages on SAS
// have it.
func (a *azureFake) knows(r *http.Request, length int) bool {
	auth := r.Header.Get("Authorization")
	if strings.HasPrefix(auth, "Bearer ") {
		return auth == fmt.Sprintf("Bearer eyJ.azure-%d", a.tokens)
	}
	if auth == "" {
		return r.URL.Query().Get("sig") == "c2lnbmF0dXJlc2VjcmV0+="
	}
	text := r.Method + "\n\n\n"
	if length > 0 {
		text += fmt.Sprint(length)
	}
	text += "\n" + r.Header.Get("Content-MD5") + "\n" + r.Header.Get("Content-Type") + "\n\n\n\n" + r.Header.Get("If-None-Match") + "\n\n\n"
	if r.Method == http.MethodPut {
		text += "x-ms-blob-type:BlockBlob\n"
	}
	text += "x-ms-date:Fri, 20 Nov 2026 10:30:00 GMT\nx-ms-version:2023-11-03\n/acmeaudit" + r.URL.EscapedPath()
	for _, name := range slices.Sorted(maps.Keys(r.URL.Query())) {
		text += "\n" + name + ":" + r.URL.Query().Get(name)
	}
	key, err := base64.StdEncoding.DecodeString(azureKey)
	if err != nil {
		a.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return auth == "SharedKey acmeaudit:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (a *azureFake) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	sum := md5.Sum(body)
	if r.Header.Get("X-Ms-Blob-Type") != "BlockBlob" || r.Header.Get("If-None-Match") != "*" || r.Header.Get("Content-Encoding") != "" ||
		r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) {
		a.t.Errorf("headers %v", r.Header)
	}
	if old, there := a.objects.objects[key]; there {
		if old != string(body) {
			a.t.Errorf("%s is written again with something else", key)
		}
		a.refuse(w, 409, "BlobAlreadyExists", "The specified blob already exists.")
		return
	}
	a.objects.objects[key] = string(body)
	a.objects.keys = append(a.objects.keys, key)
	w.WriteHeader(http.StatusCreated)
}

func (a *azureFake) list(w io.Writer, q url.Values) {
	if q.Get("restype") != "container" || q.Get("comp") != "list" {
		a.t.Errorf("query %v", q)
	}
	var text strings.Builder
	n, next := 0, ""
	for _, k := range slices.Sorted(maps.Keys(a.objects.objects)) {
		if !strings.HasPrefix(k, q.Get("prefix")) || k < q.Get("marker") {
			continue
		}
		if n == a.page {
			next = k
			break
		}
		n++
		fmt.Fprintf(&text, "<Blob><Name>%s</Name><Properties><Content-Length>%d</Content-Length></Properties></Blob>", k, len(a.objects.objects[k]))
	}
	answerf(w, "\ufeff<?xml version=\"1.0\"?><EnumerationResults><Blobs>%s</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", text.String(), next)
}

func azureSettings(url, ca string, more Values) Values {
	v := Values{"endpoint": url, "authority": url, "ca_certificate": ca, "account": "acmeaudit", "container": "audit"}
	maps.Copy(v, more)
	return v
}

func TestAzureBlob(t *testing.T) {
	for name, c := range map[string]struct {
		more               Values
		wrong, value, says string
	}{
		"sas":   {Values{"sas_token": "?" + azureSAS}, "sas_token", strings.Replace(azureSAS, "c2ln", "d3Ju", 1), "may have ended"},
		"key":   {Values{"account_key": azureKey}, "account_key", "QUFB" + azureKey[4:], "made anew"},
		"entra": {Values{"tenant_id": "t-1", "client_id": "c-1", "client_secret": "azure~secret"}, "client_secret", "wrong~secret", "secrets expire"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAzureFake(t)
			checkHTTP(t, httpCase{
				kind: AzureBlob(), receiver: a, arrived: a.objects.lines,
				settings: func(url, ca string) Values { return azureSettings(url, ca, c.more) },
				wrong:    c.wrong, value: c.value, says: c.says,
				secrets: []string{"c2lnbmF0dXJlc2VjcmV0", azureKey, "azure~secret", "eyJ.azure"}, own: map[int]Class{400: Invalid, 422: Invalid},
			})
			if want := "org=org_1/dt=2026-11-20/hour=10/00000000000000000000-00000000000000000039.40.str_1.ndjson.gz"; a.objects.keys[0] != want {
				t.Errorf("key %s\nwant %s", a.objects.keys[0], want)
			}
		})
	}
}

func TestAzureBlobAgainAndList(t *testing.T) {
	for _, more := range []Values{{"sas_token": azureSAS}, {"account_key": azureKey}} {
		a := newAzureFake(t)
		srv, ca := server(t, a)
		k := open(t, AzureBlob(), azureSettings(srv.URL, ca, more))
		var want, got []uint64
		for i := range 5 {
			send(t, k, batch(t, i*10, 10))
			send(t, k, batch(t, i*10, 10)) // 409: it is there
			want = append(want, uint64(i*10))
		}
		for h, err := range k.(Lister).List(t.Context(), "str_1", "org_1") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, h.First)
		}
		if !slices.Equal(got, want) || len(a.objects.keys) != 5 {
			t.Errorf("listed %v; %d objects", got, len(a.objects.keys))
		}
	}
}

func TestAzureBlobRefusals(t *testing.T) {
	a := newAzureFake(t)
	srv, ca := server(t, a)
	k := open(t, AzureBlob(), azureSettings(srv.URL, ca, Values{"sas_token": azureSAS}))
	for code, c := range map[string]struct {
		class Class
		says  string
	}{
		"AuthorizationFailure":            {Invalid, "firewall"},
		"AuthorizationPermissionMismatch": {Invalid, "create and write"},
		"ServerBusy":                      {RateLimited, "more slowly"},
		"OperationTimedOut":               {Retry, "sent again"},
		"RequestBodyTooLarge":             {TooLarge, "Smaller"},
		"SomethingNew":                    {Invalid, "SomethingNew"}, // by its status
	} {
		a.fail = code
		hidden(t, []string{"c2lnbmF0dXJlc2VjcmV0"}, refuse(t, k, batch(t, 0, 1), c.class, c.says, code).Message)
	}
	a.fail = ""
	refuse(t, open(t, AzureBlob(), azureSettings(srv.URL, ca, Values{"sas_token": azureSAS, "container": "other"})), batch(t, 0, 1), Invalid, "Check the container's name")
	// A token that is refused is replaced at the next attempt.
	e := open(t, AzureBlob(), azureSettings(srv.URL, ca, Values{"tenant_id": "t-1", "client_id": "c-1", "client_secret": "azure~secret"}))
	send(t, e, batch(t, 0, 1))
	a.tokens = 7
	refuse(t, e, batch(t, 1, 1), Invalid)
	send(t, e, batch(t, 1, 1))
	k.(*azureBlob).now = func() time.Time { return clock().AddDate(0, 6, 0) }
	if e := refuse(t, k, batch(t, 0, 1), Invalid, "1 January 2027", "Make a new one"); e.Code != "sas_expired" {
		t.Errorf("code %s", e.Code)
	}
}

// TestExpires reads when credentials end by themselves.
func TestExpires(t *testing.T) {
	srv, ca := server(t, newBucket(t))
	k := AzureBlob()
	at := func(name, value string) time.Time {
		s, ok := k.Setting(name)
		if !ok || s.Expires == nil {
			t.Fatalf("%s does not expire", name)
		}
		return s.Expires(value)
	}
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, token := range []string{azureSAS, "?" + azureSAS, "se=2027-01-01T00%3A00Z&sig=x", "sig=x&se=2027-01-01", "se=2027-01-01T01%3A00%3A00%2B01%3A00"} {
		if got := at("sas_token", token); !got.Equal(end) {
			t.Errorf("%s ends %s", token, got)
		}
	}
	// The chain ends when its first certificate does.
	key := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	if got := at("client_certificate", key+ca+ca); !got.Equal(srv.Certificate().NotAfter) {
		t.Errorf("the certificate ends %s", got)
	}
	for _, text := range []string{"", "sv=1&sig=x", "se=tomorrow", "se=9999-12-31T23%3A59%3A59Z", "se=0000-01-01T00%3A00%3A00%2B24%3A00", "%", "-----BEGIN CERTIFICATE-----", "-----BEGIN X-----\nAAAA\n-----END X-----\n"} {
		for _, name := range []string{"sas_token", "client_certificate"} {
			if got := at(name, text); !got.IsZero() {
				t.Errorf("%s %q ends %s", name, text, got)
			}
		}
	}
}

func TestAzureBlobSettings(t *testing.T) {
	k := AzureBlob()
	for text, v := range map[string]Values{
		"none":       {},
		"two":        {"sas_token": azureSAS, "account_key": azureKey},
		"half":       {"client_id": "c"},
		"whole URL":  {"sas_token": "https://a.blob.core.windows.net/audit?" + azureSAS},
		"plain HTTP": {"sas_token": strings.Replace(azureSAS, "spr=https", "spr=https,http", 1)},
		"no sig":     {"sas_token": "sv=1"},
		"key":        {"account_key": "c2hvcnQ="},
		"container":  {"sas_token": azureSAS, "container": "Audit"},
		"account":    {"sas_token": azureSAS, "account": "a.b"},
	} {
		settings := azureSettings("https://a.example", "", v)
		delete(settings, "ca_certificate")
		if _, err := k.Resolve(settings); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}
