package sink

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestSumoLogic(t *testing.T) {
	const path = "/receiver/v1/http/ZaVnC4dhaV0token=="
	var mu sync.Mutex
	var events []string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != path {
			http.Error(w, `{"code":"unauthorized.token"}`, http.StatusUnauthorized)
			return
		}
		body, err := readBody(r)
		if err != nil || len(body) > 1_000_000 || r.Header.Get("Content-Encoding") != "gzip" ||
			r.Header.Get("X-Sumo-Category") != "prod/audit" || r.Header.Get("X-Sumo-Host") != "audit.example.com" || r.Header.Get("X-Sumo-Name") != "" {
			t.Errorf("%d bytes, %v, %v", len(body), r.Header, err)
		}
		for line := range strings.Lines(string(body)) {
			events = append(events, strings.TrimSuffix(line, "\n"))
		}
	})
	checkHTTP(t, httpCase{
		kind: SumoLogic(), receiver: h, arrived: func() []string { return events },
		settings: func(url, ca string) Values {
			return Values{"url": url + path, "ca_certificate": ca, "category": "prod/audit"}
		},
		secrets: []string{"ZaVnC4dhaV0token"},
	})
	srv, ca := server(t, h)
	refuse(t, open(t, SumoLogic(), Values{"url": srv.URL + "/receiver/v1/http/other", "ca_certificate": ca}), batch(t, 0, 1), Invalid, "Copy the HTTP source address again")
}
