package sink

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// pantherFake is a strict HTTP source with the stream type Lines.
type pantherFake struct {
	t      *testing.T
	mu     sync.Mutex
	events []string
}

func (p *pantherFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("X-Panther-Secret") != "panther-shared-secret" {
		http.Error(w, `{"message":"Forbidden"}`, http.StatusForbidden)
		return
	}
	body, err := readBody(r)
	size := len(body)
	for name, values := range r.Header {
		size += len(name) + len(strings.Join(values, ""))
	}
	switch {
	case err != nil || r.URL.Path != "/http/cb015ee4-token" || r.Method != http.MethodPost:
		http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
	case size > 1_000_000:
		http.Error(w, `{"message":"Request Too Long"}`, http.StatusRequestEntityTooLarge)
	default:
		for line := range strings.Lines(string(body)) {
			p.events = append(p.events, strings.TrimSuffix(line, "\n"))
		}
	}
}

func TestPanther(t *testing.T) {
	p := &pantherFake{t: t}
	checkHTTP(t, httpCase{
		kind: Panther(), receiver: p, arrived: func() []string { return p.events },
		settings: func(url, ca string) Values {
			return Values{"url": url + "/http/cb015ee4-token", "ca_certificate": ca, "header_value": "panther-shared-secret"}
		},
		wrong: "header_value", value: "wrong-shared-secret", says: "Panther answered 403 (Forbidden): Forbidden. Check the credentials",
		secrets: []string{"panther-shared-secret", "cb015ee4-token"},
	})
	k := Panther()
	if name, ok := k.Format("cef"); ok {
		t.Errorf("format %s is taken", name)
	}
	if name, ok := k.Format(""); !ok || name != "json" {
		t.Errorf("format %s", name)
	}
}

// TestSnowflake: what the pipe of the steps loads is what a bucket gets, and
// neither tests nor checkpoints.
func TestSnowflake(t *testing.T) {
	s := newBucket(t)
	srv, ca := server(t, s)
	v := s3Settings(srv.URL, ca)
	k := open(t, Snowflake(), v)
	b := batch(t, 0, 3)
	send(t, k, b)
	test := *batch(t, 3, 1)
	if _, err := k.Test(t.Context(), &test); err != nil {
		t.Fatal(err)
	}
	send(t, k, checkpoint())
	wantEvents(t, s.lines()[:3], b)
	if len(s.keys) != 3 {
		t.Fatalf("objects %v", s.keys)
	}
	for i, key := range s.keys {
		// .*org=.*[.]ndjson([.]gz)?
		_, rest, ok := strings.Cut(key, "org=")
		if loaded := ok && strings.HasSuffix(strings.TrimSuffix(rest, ".gz"), ".ndjson"); loaded != (i == 0) {
			t.Errorf("%s: loaded %v", key, loaded)
		}
	}
	v["secret_access_key"] = "wrongwrongwrongwrongwrongwrongwrongwrong"
	refuse(t, open(t, Snowflake(), v), b, Invalid, "Amazon S3", "Check the access key")
}

func TestGuide(t *testing.T) {
	k := Snowflake()
	all := ""
	for _, s := range k.Guide(Values{"bucket": "acme-audit", "secret_access_key": "s3cret"}) {
		all += s.Text + s.Paste
	}
	if strings.Contains(all, "{bucket}") || !strings.Contains(all, "arn:aws:s3:::acme-audit/*") || !strings.Contains(all, `{"Effect"`) || strings.Contains(all, "s3cret") {
		t.Error(all)
	}
	own := Kind{Steps: []Step{{Text: "{a} {b} {c} {d}"}}, Settings: []Setting{{Name: "a", Secret: true}, {Name: "b", Default: "x"}, {Name: "c"}}}
	if got := own.Guide(Values{"a": "s3cret", "c": "y"})[0].Text; got != "{a} x y {d}" {
		t.Error(got)
	}
	k = Syslog()
	if paste := k.Guide(nil)[0].Paste; !strings.Contains(paste, `port="6514"`) {
		t.Error(paste)
	}
	k = S3()
	if text := k.Guide(nil)[1].Paste; !strings.Contains(text, "{bucket}") {
		t.Error(text)
	}
}

// FuzzWordsOfAnswers: whatever is answered, words are words of it, and soon found.
func FuzzWordsOfAnswers(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"a"},"errors":["b",{"detail":"c"}]}`))
	f.Add([]byte(strings.Repeat(`{"error":`, 5000) + `"deep"` + strings.Repeat("}", 5000)))
	f.Fuzz(func(t *testing.T, body []byte) {
		text := saidIn(body)
		if len(text) > 3*len(body) || text != "" && !json.Valid(body) {
			t.Errorf("%q of %q", text, body)
		}
	})
}

// TestWordsOfAnswers: the sentence is found in what the makers answer.
func TestWordsOfAnswers(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"code":403,"message":"No access.","status":"PERMISSION_DENIED"}}`:  "No access.",
		`{"error":{"code":"InvalidStream","message":"The stream is unknown."}}`:       "The stream is unknown.",
		`{"errors":[{"status":"403","title":"Forbidden","detail":"API key is bad"}]}`: "API key is bad",
		`{"errors":["Forbidden"]}`:                      "Forbidden",
		`{"message":"Forbidden"}`:                       "Forbidden",
		`{"error":"invalid_client"}`:                    "invalid_client",
		`{"title":"Gone"}`:                              "Gone",
		`{"error":{"type":"x","reason":{"message":1}}}`: "",
		`{"text":"Invalid token","code":4}`:             "",
		strings.Repeat(`{"error":`, 3) + `"x"}}}`:       "x",
		strings.Repeat(`{"error":`, 4) + `"x"}}}}`:      "",
		`<html>`: "",
		``:       "",
		`7`:      "",
	} {
		if got := saidIn([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
