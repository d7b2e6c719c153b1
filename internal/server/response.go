package server

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"time"
)

// Times that a client may take. They bound what slow clients hold on to.
const (
	// bodyTime is for sending a request, its header and body. net/http ends
	// that when the body was read, and watches only for the client going away.
	bodyTime = time.Minute
	// writeTime is for taking what was written; each write begins anew.
	writeTime = time.Minute
	// writeExtend is how old a write deadline may get before it is renewed.
	writeExtend = 5 * time.Second
)

// response counts what is written and watches over it.
type response struct {
	http.ResponseWriter
	control http.ResponseController
	req     *Request
	now     func() time.Time
	renewed time.Time // when the write deadline was set
	status  int       // 0 until the header is written
	bytes   int64
	gone    bool // the client did not take what was written
}

// errNotAsked is a mistake in a handler: see auth.Scoped.
var errNotAsked = errors.New("a scoped route answered a limited key without asking whether it may")

// WriteHeader sends the status. It panics, before anything is sent, when the
// handler of a scoped route answers a key limited to an organization without
// having asked whose things these are.
func (w *response) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.status != 0 {
		return
	}
	r := w.req
	if status < 400 && r.route != nil && !r.asked && r.Route.Access.IsScoped() && r.Identity.Limited() {
		panic(errNotAsked)
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (w *response) Write(p []byte) (int, error) {
	w.prepare()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	w.gone = w.gone || err != nil
	return n, err
}

// sendStep is how much of a file is sent before the client's time begins anew: a
// client may be as slow as 70 kB/s.
const sendStep = 4 << 20

// ReadFrom sends all of src. io.Copy calls it, so that a file goes to the network
// without passing through the program.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	// Of readers, the kernel's copy takes a file within one limit.
	limit, ok := src.(*io.LimitedReader)
	if !ok {
		limit = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if _, ok := limit.R.(fs.File); !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	total := int64(0)
	for limit.N > 0 {
		w.prepare()
		asked := min(limit.N, sendStep)
		n, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: limit.R, N: asked})
		total, w.bytes, limit.N = total+n, w.bytes+n, limit.N-n
		_, ours := errors.AsType[*fs.PathError](err)
		w.gone = w.gone || err != nil && !ours
		if err != nil || n < asked {
			return total, err //nolint:wrapcheck // as Write does
		}
	}
	return total, nil
}

// FlushError sends what is buffered; http.ResponseController calls it.
func (w *response) FlushError() error {
	w.prepare()
	err := w.control.Flush()
	w.gone = w.gone || err != nil && !errors.Is(err, http.ErrNotSupported)
	return err
}

// Flush is FlushError for those who look for an http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) prepare() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if now := w.now(); now.Sub(w.renewed) > writeExtend {
		w.renew(now)
	}
}

// renew gives the client time to take what is written. Writers without
// deadlines, such as those of tests, do without. The deadline is the network's,
// which knows no clock but the machine's.
func (w *response) renew(now time.Time) {
	w.renewed = now
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTime)) //nolint:forbidigo // see above
}
