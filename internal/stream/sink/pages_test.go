package sink

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"
	collogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/stelehq/stele/internal/stream/format/securitylake"
)

var update = flag.Bool("update", false, "write what is made from the tables into docs/streams")

// TestPages holds the page of each kind to its table and its encoder: what stands
// between "<!-- NAME -->" and "<!-- end -->" is made from them.
//
//	go test ./internal/stream/sink -run TestPages -update
func TestPages(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "streams", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Standard().All() {
		if !strings.Contains(string(readme), "("+k.Name+".md)") {
			t.Errorf("README.md does not link to the page of %s", k.Name)
		}
		path := filepath.Join("..", "..", "..", "docs", "streams", k.Name+".md")
		page, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		text := string(page)
		for name, want := range map[string]string{
			"title": pageTitle(&k), "setup": pageSteps(&k), "settings": pageSettings(&k), "limits": pageLimits(&k), "example": pageExample(t, &k),
		} {
			begin := "<!-- " + name + " -->\n"
			_, rest, ok := strings.Cut(text, begin)
			got, _, closed := strings.Cut(rest, "<!-- end -->")
			switch {
			case !ok || !closed || strings.Count(text, begin) != 1:
				t.Errorf("%s.md has no part %q", k.Name, name)
			case got == want:
			case *update:
				text = strings.Replace(text, begin+got, begin+want, 1)
			default:
				t.Errorf("%s.md: the part %q is not what the table says (run with -update):\n%s\nwant\n%s", k.Name, name, got, want)
			}
		}
		if *update && text != string(page) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}

func pageTitle(k *Kind) string {
	return fmt.Sprintf("# %s\n\n%s Its name in the API is `%s`. What the maker says: <%s>.\n", k.Label, k.Summary, k.Name, k.Docs)
}

func pageSteps(k *Kind) string {
	var s strings.Builder
	for i, step := range k.Steps {
		fmt.Fprintf(&s, "%d. %s", i+1, step.Text)
		if len(step.Fills) > 0 {
			fmt.Fprintf(&s, " → `%s`", strings.Join(step.Fills, "`, `"))
		}
		s.WriteString("\n")
		if step.Paste != "" {
			s.WriteString("\n   ```\n")
			for line := range strings.Lines(step.Paste + "\n") {
				s.WriteString("   " + line)
			}
			s.WriteString("   ```\n\n")
		}
	}
	return s.String()
}

func pageSettings(k *Kind) string {
	var s strings.Builder
	s.WriteString("| Setting | In the form | |\n|---|---|---|\n")
	for i := range k.Settings {
		c := &k.Settings[i]
		name := c.Label
		if c.Required {
			name += ", required"
		}
		if c.Secret {
			name += ", secret"
		}
		help := c.Help
		if len(c.Options) > 0 {
			help += " One of `" + strings.Join(c.Options, "`, `") + "`."
		}
		switch {
		case c.Default != "":
			help += " Default: `" + c.Default + "`."
		case c.Example != "" && !c.Multiline:
			help += " Such as `" + c.Example + "`."
		}
		fmt.Fprintf(&s, "| `%s` | %s | %s |\n", c.Name, name, strings.ReplaceAll(help, "|", "\\|"))
	}
	return s.String()
}

func pageLimits(k *Kind) string {
	var s strings.Builder
	for _, l := range k.Limits {
		s.WriteString("- " + l + "\n")
	}
	return s.String()
}

// recorder writes down what a sink sends, as the pages show it.
type recorder struct {
	t    *testing.T
	text strings.Builder
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		rec.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/token") {
		answerf(w, `{"access_token":"ey.token","expires_in":3600}`)
		return
	}
	answerf(w, `{"errors":false,"items":[],"code":0}`)
	fmt.Fprintf(&rec.text, "%s %s\n", r.Method, r.URL.RequestURI())
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := r.Header.Get(name)
		switch name {
		case "Accept-Encoding", "Content-Length", "User-Agent", "X-Amz-Date":
			continue
		case "Authorization":
			value, _, _ = strings.Cut(value, " ")
			value += " …"
		case "X-Splunk-Request-Channel", "Dd-Api-Key", "X-Panther-Secret", "Content-Md5", "X-Amz-Checksum-Sha256", "X-Amz-Content-Sha256":
			value = "…" // random, secret, or of how the bytes were compressed
		}
		fmt.Fprintf(&rec.text, "%s: %s\n", name, value)
	}
	rec.text.WriteString("\n" + rec.body(r, body))
}

// body is a body as people read it.
func (rec *recorder) body(r *http.Request, body []byte) string {
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			rec.t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			rec.t.Fatal(err)
		}
	}
	if r.Header.Get("Content-Type") == "application/x-protobuf" {
		var req collogs.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			rec.t.Fatal(err)
		}
		text, err := protojson.Marshal(&req)
		if err != nil {
			rec.t.Fatal(err)
		}
		var out bytes.Buffer
		if err := json.Compact(&out, text); err != nil { // its own blanks are random
			rec.t.Fatal(err)
		}
		body = out.Bytes()
	}
	return strings.TrimRight(string(body), "\n") + "\n"
}

// pageExample is what the kind sends for one event.
func pageExample(t *testing.T, k *Kind) string {
	t.Helper()
	rec := &recorder{t: t}
	srv, ca := server(t, rec)
	v := Values{}
	for _, s := range k.Settings {
		if s.Required {
			v[s.Name] = s.Example
		}
	}
	more := map[string]Values{
		"splunk_hec":           {"url": srv.URL},
		"s3":                   {"endpoint": srv.URL, "secret_access_key": s3Secret},
		"snowflake":            {"endpoint": srv.URL, "secret_access_key": s3Secret},
		"amazon_security_lake": {"secret_access_key": s3Secret, "external_id": "stele-7f3a"},
		"datadog":              {"url": srv.URL},
		"webhook":              {"url": srv.URL + "/audit", "signing_secret": hookSecret},
		"panther":              {"url": srv.URL + "/http/cb015ee4-543c-4489-9f4b-testing"},
		"elasticsearch":        {"url": srv.URL, "api_key": "keyid:keysecret"},
		"sumo_logic":           {"url": srv.URL + "/receiver/v1/http/TOKEN", "category": "prod/audit"},
		"google_cloud_storage": {"endpoint": srv.URL},
		"google_secops":        {"endpoint": srv.URL},
		"microsoft_sentinel":   {"endpoint": srv.URL, "authority": srv.URL, "client_secret": "azure~secret"},
		"azure_blob":           {"endpoint": srv.URL, "sas_token": azureSAS},
		"otlp":                 {"url": srv.URL, "headers": "Authorization: Bearer x"},
	}[k.Name]
	maps.Copy(v, more)
	if s, ok := k.Setting("service_account"); ok {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		v[s.Name] = account(t, key, srv.URL)
	}
	v["ca_certificate"] = ca
	b := batch(t, 0, 1)
	switch k.Name {
	case "syslog":
		return "```\n" + syslogExample(t, v, b) + "```\n"
	case "amazon_security_lake":
		return "```\n" + lakeExample(t, v, b) + "```\n"
	case "kafka", "azure_event_hubs":
		return "```\n" + kafkaExample(b) + "```\n"
	}
	send(t, open(t, *k, v), b)
	return "```\n" + rec.text.String() + "```\n"
}

// syslogExample is the stream of bytes of a batch.
func syslogExample(t *testing.T, v Values, b *Batch) string {
	t.Helper()
	s, ok := open(t, Syslog(), v).(*syslog)
	if !ok {
		t.Fatal("no syslog")
	}
	msg := s.appendMessage(nil, b, &b.Events[0])
	return fmt.Sprintf("%d %s\n", len(msg), msg)
}

// kafkaExample is the record of an event.
func kafkaExample(b *Batch) string {
	records, _ := (&kafka{topic: "stele-audit", max: 1_000_000}).records(b)
	var s strings.Builder
	for _, r := range records {
		fmt.Fprintf(&s, "topic: %s\nkey: %s\ntimestamp: %s\n", r.Topic, r.Key, r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"))
		for _, h := range r.Headers {
			fmt.Fprintf(&s, "header %s: %s\n", h.Key, h.Value)
		}
		fmt.Fprintf(&s, "\n%s\n", r.Value)
	}
	return s.String()
}

// lakeExample is the row of an event, without what is empty.
func lakeExample(t *testing.T, v Values, b *Batch) string {
	t.Helper()
	s, ok := open(t, SecurityLake(), v).(*securityLake)
	if !ok {
		t.Fatal("no lake")
	}
	b.Format = "ocsf-1.1"
	files, err := s.files(b)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.Read[securitylake.Row](bytes.NewReader(files[0].Data), int64(len(files[0].Data)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(rows[0])
	if err != nil {
		t.Fatal(err)
	}
	var row any
	if err := json.Unmarshal(text, &row); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(dense(row)); err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// dense drops what is empty.
func dense(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, inner := range m {
		if inner = dense(inner); inner != nil && inner != "" && fmt.Sprint(inner) != "map[]" {
			out[name] = inner
		}
	}
	return out
}
