package browsertest

import (
	"cmp"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

// receiver is a customer's own system, which log streams deliver to: it answers
// as a test says.
type receiver struct {
	*httptest.Server
	mu sync.Mutex
	receiverWish
	bodies []string
}

// receiverWish is how a receiver answers: with a status, and with 400 to what
// holds a text.
type receiverWish struct {
	Status int    `json:"status"`
	Says   string `json:"says"`
	Refuse string `json:"refuse"`
}

// ServeHTTP keeps what it is sent.
func (r *receiver) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	status := cmp.Or(r.Status, http.StatusOK)
	if r.Refuse != "" && strings.Contains(string(body), r.Refuse) {
		status = http.StatusBadRequest
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, r.Says)
}

// receivers are those that tests have opened, by number.
type receivers struct {
	mu  sync.Mutex
	all []*receiver
}

func (rs *receivers) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.all {
		r.Close()
	}
}

func (rs *receivers) control(mux *http.ServeMux) {
	mux.HandleFunc("POST /receivers", func(rw http.ResponseWriter, _ *http.Request) {
		r := &receiver{}
		r.Server = httptest.NewTLSServer(r)
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.all = append(rs.all, r)
		answer(rw, map[string]string{
			"url": r.URL, "path": "/receivers/" + strconv.Itoa(len(rs.all)-1),
			"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})),
		})
	})
	mux.HandleFunc("POST /receivers/{n}", rs.one(func(rw http.ResponseWriter, req *http.Request, r *receiver) {
		if read(rw, req, &r.receiverWish) {
			answer(rw, struct{}{})
		}
	}))
	mux.HandleFunc("GET /receivers/{n}", rs.one(func(rw http.ResponseWriter, _ *http.Request, r *receiver) {
		answer(rw, map[string][]string{"bodies": r.bodies})
	}))
}

// one is a handler about the receiver that the path names, which does not answer
// meanwhile.
func (rs *receivers) one(h func(http.ResponseWriter, *http.Request, *receiver)) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		n, err := strconv.Atoi(req.PathValue("n"))
		rs.mu.Lock()
		if err != nil || n < 0 || n >= len(rs.all) {
			rs.mu.Unlock()
			http.Error(rw, "no such receiver", http.StatusNotFound)
			return
		}
		r := rs.all[n]
		rs.mu.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		h(rw, req, r)
	}
}
