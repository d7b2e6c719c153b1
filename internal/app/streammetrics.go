package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stelehq/stele/internal/stream"
)

// countStreams makes the metrics of log streams: by kind of destination, never by
// stream or address.
func (m *metrics) countStreams() {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"kind"}, labels...))
	}
	m.streamed = counter("stele_stream_events_total", "Events that destinations have acknowledged.")
	m.streamBytes = counter("stele_stream_bytes_total", "Size of these events as they were encoded.")
	m.dead = counter("stele_stream_dead_letters_total", "Events that destinations refused for good.")
	m.skipped = counter("stele_stream_skipped_total", "Events that were not sent because a destination does not take them.")
	m.attempts = counter("stele_stream_attempts_total", "Attempts to deliver a batch, by result.", "result")
	m.attempt = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "stele_stream_attempt_seconds", Help: "Time until a destination had acknowledged a batch or refused it.",
		Buckets: prometheus.ExponentialBuckets(0.004, 4, 8),
	}, []string{"kind"})
}

// delivered is called by the streams after each attempt.
func (m *metrics) delivered(p stream.Progress) {
	if p.Skipped > 0 {
		m.skipped.WithLabelValues(p.Kind).Add(float64(p.Skipped))
		return
	}
	result := "ok"
	if p.Failed {
		result = "error"
	}
	m.attempts.WithLabelValues(p.Kind, result).Inc()
	m.attempt.WithLabelValues(p.Kind).Observe(p.Latency.Seconds())
	m.streamed.WithLabelValues(p.Kind).Add(float64(p.Delivered))
	m.streamBytes.WithLabelValues(p.Kind).Add(float64(p.Bytes))
	m.dead.WithLabelValues(p.Kind).Add(float64(p.DeadLetters))
}

// watchStreams shows how the streams stand whenever metrics are read.
func (m *metrics) watchStreams(streams *stream.Streams) {
	m.registry.MustRegister(&streamStands{
		streams: streams,
		count:   prometheus.NewDesc("stele_streams", "Log streams by kind of destination and state.", []string{"kind", "state"}, nil),
		events:  prometheus.NewDesc("stele_stream_lag_events", "Entries not yet delivered, by kind of destination.", []string{"kind"}, nil),
		seconds: prometheus.NewDesc("stele_stream_lag_seconds", "Age of the oldest entry not yet delivered, by kind of destination.", []string{"kind"}, nil),
		expiry:  prometheus.NewDesc("stele_stream_credentials_expiry_timestamp_seconds", "When the first credential of a stream expires, by kind of destination; Unix time.", []string{"kind"}, nil),
		memory:  prometheus.NewDesc("stele_stream_in_flight_bytes", "Memory of the batches being sent.", nil, nil),
	})
}

// streamStands collects how streams stand.
type streamStands struct {
	streams                                *stream.Streams
	count, events, seconds, expiry, memory *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *streamStands) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.count, c.events, c.seconds, c.expiry, c.memory} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *streamStands) Collect(ch chan<- prometheus.Metric) {
	type where struct{ kind, state string }
	counts := map[where]int{}
	events, seconds, expiry := map[string]uint64{}, map[string]float64{}, map[string]float64{}
	for _, s := range c.streams.Stats() {
		counts[where{s.Kind, string(s.State)}]++
		events[s.Kind] += s.LagEvents
		seconds[s.Kind] = max(seconds[s.Kind], s.LagSeconds)
		if at := float64(s.ExpiresAt.Unix()); !s.ExpiresAt.IsZero() && (expiry[s.Kind] == 0 || at < expiry[s.Kind]) {
			expiry[s.Kind] = at
		}
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for at, n := range counts {
		gauge(c.count, float64(n), at.kind, at.state)
	}
	for kind, n := range events {
		gauge(c.events, float64(n), kind)
		gauge(c.seconds, seconds[kind], kind)
	}
	for kind, at := range expiry {
		gauge(c.expiry, at, kind)
	}
	gauge(c.memory, float64(c.streams.InFlight()))
}
