package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	// pageLevel is how hard pages are compressed: a tenth of their size in about
	// a millisecond.
	pageLevel = 5
	// smallPage is what is sent as it is.
	smallPage = 1 << 10
)

// gzips are writers to use again: each holds about a megabyte.
var gzips = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool
	z, err := gzip.NewWriterLevel(nil, pageLevel)
	if err != nil {
		panic("web: " + err.Error())
	}
	return z
}}

// compressed is body with gzip.
func compressed(body []byte) []byte {
	z, _ := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	var out bytes.Buffer
	out.Grow(len(body)/6 + 64)
	z.Reset(&out)
	_, err := z.Write(body)
	if err == nil {
		err = z.Close()
	}
	if err != nil { // a buffer takes everything
		panic("web: " + err.Error())
	}
	return out.Bytes()
}

// takesGzip reports whether a client says that it reads gzip.
func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, ok := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			return !ok || strings.Trim(q, "0.") != ""
		}
	}
	return false
}

// sendPage answers with a whole page, compressed where the client reads that.
func sendPage(w http.ResponseWriter, r *http.Request, status int, page []byte) error {
	var zipped []byte
	if len(page) >= smallPage && takesGzip(r.Header) {
		zipped = compressed(page)
	}
	return send(w, r, status, page, zipped)
}

// send answers with a whole body or, where the client reads it, with its
// compressed form; nil is none.
func send(w http.ResponseWriter, r *http.Request, status int, body, zipped []byte) error {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if zipped != nil && takesGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		body = zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}
