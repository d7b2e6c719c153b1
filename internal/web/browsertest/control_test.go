package browsertest

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// control answers what the tests ask of the servers beside their own API.
func (ws *worlds) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /worlds", func(rw http.ResponseWriter, r *http.Request) {
		var s settings
		if !read(rw, r, &s) {
			return
		}
		n, w, err := ws.add(s)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(rw, map[string]string{"url": w.url, "path": "/worlds/" + strconv.Itoa(n)})
	})
	mux.HandleFunc("POST /worlds/{n}/clock", ws.change(func(rw http.ResponseWriter, r *http.Request, w *world) {
		var move struct {
			Seconds int64 `json:"seconds"`
		}
		if read(rw, r, &move) {
			w.offset.Add(move.Seconds * int64(time.Second))
			answer(rw, map[string]time.Time{"now": w.demo.Now()})
		}
	}))
	mux.HandleFunc("POST /worlds/{n}/failures", ws.change(func(rw http.ResponseWriter, r *http.Request, w *world) {
		var f struct {
			Organization string `json:"organization"`
			Times        int    `json:"times"`
		}
		if read(rw, r, &f) {
			w.engine.fail(f.Organization, f.Times)
			answer(rw, struct{}{})
		}
	}))
	mux.HandleFunc("POST /worlds/{n}/exports", ws.change(func(rw http.ResponseWriter, r *http.Request, w *world) {
		var e struct {
			Organization string `json:"organization"`
			Percent      uint64 `json:"percent"`
		}
		if !read(rw, r, &e) {
			return
		}
		w.engine.hold(e.Organization, e.Percent)
		answer(rw, struct{}{})
	}))
	ws.receivers.control(mux)
	mux.HandleFunc("GET /product", product)
	return mux
}

// product is a page of the product that shows the audit log within it: the page
// of a portal link that another server made.
func product(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = productPage.Execute(rw, map[string]string{"Server": r.FormValue("server"), "Link": r.FormValue("link")})
}

var productPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>The product</title>
  <link rel="icon" href="data:,">
  <script type="module" src="{{.Server}}/static/embed.js"></script>
</head>
<body>
<h1>The product's settings</h1>
<stele-audit-log src="{{.Link}}"></stele-audit-log>
<p>The end of the product's page</p>
</body>
</html>
`))

// change is a handler about the server that the path names.
func (ws *worlds) change(h func(http.ResponseWriter, *http.Request, *world)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		w := ws.get(n)
		if err != nil || w == nil {
			http.Error(rw, "no such server", http.StatusNotFound)
			return
		}
		h(rw, r, w)
	}
}

func read(rw http.ResponseWriter, r *http.Request, v any) bool {
	err := json.NewDecoder(r.Body).Decode(v)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

func answer(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v)
}
