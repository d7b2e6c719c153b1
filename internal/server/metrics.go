package server

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// metrics counts requests. No label comes from what a client sent.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(reg *prometheus.Registry) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stele_http_requests_total",
			Help: "Requests answered, by route, method and status code (499: the client went away).",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stele_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stele_http_requests_in_flight",
			Help: "Requests being answered now.",
		}),
	}
	reg.MustRegister(m.requests, m.duration, m.inFlight)
	return m
}

// routeMetrics are those of one route, found once.
type routeMetrics struct {
	name, method string
	duration     prometheus.Observer
	requests     *prometheus.CounterVec

	mu     sync.RWMutex
	byCode map[int]prometheus.Counter
}

func (m *metrics) route(name, method string) *routeMetrics {
	return &routeMetrics{
		name: name, method: method, requests: m.requests,
		duration: m.duration.WithLabelValues(name),
		byCode:   map[int]prometheus.Counter{},
	}
}

func (m *metrics) observe(r *Request, status int, took time.Duration) {
	if r.route == nil {
		m.requests.WithLabelValues(r.name(), methodLabel(r.Method), strconv.Itoa(status)).Inc()
		return
	}
	r.route.metrics.count(status)
	r.route.metrics.duration.Observe(took.Seconds())
}

// count adds a request. Statuses outside the protocol are a handler's mistake.
func (m *routeMetrics) count(status int) {
	if status < http.StatusContinue || status > 599 {
		status = http.StatusInternalServerError
	}
	m.mu.RLock()
	counter := m.byCode[status]
	m.mu.RUnlock()
	if counter == nil {
		counter = m.requests.WithLabelValues(m.name, m.method, strconv.Itoa(status))
		m.mu.Lock()
		m.byCode[status] = counter
		m.mu.Unlock()
	}
	counter.Inc()
}
