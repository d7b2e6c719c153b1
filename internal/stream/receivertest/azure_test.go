package receivertest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/stream/sink"
)

const (
	account      = "steleaudit"
	azureVersion = "2021-12-02"
)

// azurite is Microsoft's emulator of Azure Storage. It checks signatures.
type azurite struct {
	program
	cert certificate
	key  []byte // of the account
	http *http.Client
}

func newAzurite(t *testing.T) *azurite {
	t.Helper()
	a := &azurite{cert: newCertificate(t), key: make([]byte, 64)}
	_, _ = rand.Read(a.key) // never fails
	address, port := freeAddress(t)
	a.program = program{
		t: t, name: node(t), address: address, env: []string{"AZURITE_ACCOUNTS=" + account + ":" + base64.StdEncoding.EncodeToString(a.key)},
		args: []string{
			"node/node_modules/azurite/dist/src/blob/main.js", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", t.TempDir(),
			"--blobHost", "127.0.0.1", "--blobPort", port, "--cert", a.cert.certFile, "--key", a.cert.keyFile,
		},
	}
	transport := &http.Transport{TLSClientConfig: a.cert.trusting(t)}
	a.http = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return a
}

// sas is a shared access signature of the account, made as its documentation says.
func (a *azurite) sas(key []byte, permissions string) string {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join([]string{account, permissions, "b", "sco", "", end, "", "https", azureVersion, "", ""}, "\n")))
	return url.Values{
		"sv": {azureVersion}, "ss": {"b"}, "srt": {"sco"}, "sp": {permissions}, "se": {end}, "spr": {"https"},
		"sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}.Encode()
}

// call sends a request with all permissions.
func (a *azurite) call(method, path, query string) (status int, body []byte) {
	a.t.Helper()
	target := "https://" + a.address + "/" + account + path + "?" + query + "&" + a.sas(a.key, "rwlac")
	req, err := http.NewRequestWithContext(context.WithoutCancel(a.t.Context()), method, target, http.NoBody)
	if err != nil {
		a.t.Fatal(err)
	}
	res, err := a.http.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	body, err = io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode, body
}

// prepare starts it for the first time, and makes the container.
func (a *azurite) prepare() {
	a.t.Helper()
	a.start()
	if status, body := a.call(http.MethodPut, "/"+bucket, "restype=container"); status != http.StatusCreated {
		a.t.Fatalf("make container: %d %s", status, body)
	}
}

// lines are those of all blobs, in the order of their first seq.
func (a *azurite) lines() []string {
	a.t.Helper()
	_, body := a.call(http.MethodGet, "/"+bucket, "restype=container&comp=list&prefix=org%3D")
	var list struct {
		Names []string `xml:"Blobs>Blob>Name"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		a.t.Fatal(err)
	}
	objects := map[string][]byte{}
	for _, name := range list.Names {
		status, text := a.call(http.MethodGet, "/"+bucket+"/"+(&url.URL{Path: name}).EscapedPath(), "")
		if status != http.StatusOK {
			a.t.Fatalf("get %s: %d %s", name, status, text)
		}
		objects[name] = gunzip(a.t, text)
	}
	return objectLines(objects)
}

// settings are those of the container, without credentials.
func (a *azurite) settings(name, value string) sink.Values {
	return sink.Values{
		"account": account, "container": bucket, "endpoint": "https://" + a.address + "/" + account, "ca_certificate": a.cert.pem, name: value,
	}
}

// TestAzurite delivers with a shared access signature that may create and write,
// and list for reconciliation.
func TestAzurite(t *testing.T) {
	t.Parallel()
	a := newAzurite(t)
	a.prepare()
	a.stop()
	s := roundTrip(t, receiver{
		kind: "azure_blob", settings: a.settings("sas_token", a.sas(a.key, "cwl")), wrong: a.settings("sas_token", a.sas([]byte("another key"), "cwl")),
		says: "Allow the credentials to create and write blobs", start: a.start, stop: a.stop, received: a.lines, expected: (*scene).native,
	})
	certified(t, s)
}

// TestAzuriteAccountKey delivers with the account's key, which signs each request.
func TestAzuriteAccountKey(t *testing.T) {
	t.Parallel()
	a := newAzurite(t)
	a.prepare()
	s := newScene(t)
	s.record(allEvents(false)[:300])
	s.delivered(s.create("azure_blob", "", a.settings("account_key", base64.StdEncoding.EncodeToString(a.key))))
	sameEvents(t, a.lines(), s.native())
}
