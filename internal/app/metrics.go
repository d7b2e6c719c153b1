package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/pebblestore"
)

// metrics are those of the log; the HTTP ones are the server package's. They are
// fed at the two seams, ledger and store, and nowhere else.
type metrics struct {
	registry *prometheus.Registry

	events, duplicates, bytes prometheus.Counter
	commits, failures         *prometheus.CounterVec
	seconds, size             prometheus.Histogram
	sealed                    prometheus.Counter
	sealing                   prometheus.Histogram
	queue                     prometheus.Gauge
	witnessed                 *prometheus.CounterVec // by witness and result

	streamed, streamBytes, dead, skipped *prometheus.CounterVec // by kind
	attempts                             *prometheus.CounterVec // by kind and result
	attempt                              *prometheus.HistogramVec

	retired  prometheus.Counter
	removals *prometheus.CounterVec // by result
	removal  prometheus.Histogram
}

func newMetrics(registry *prometheus.Registry) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry:   registry,
		events:     counter("stele_events_total", "Events recorded."),
		duplicates: counter("stele_duplicates_total", "Events answered with the receipt of an earlier one."),
		bytes:      counter("stele_event_bytes_total", "Size of the rows recorded, before compression."),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stele_commits_total", Help: "Groups of commits synced to disk, by result.",
		}, []string{"result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stele_commit_rounds_total", Help: "Rounds of the organizations' owners, by result.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stele_commit_seconds", Help: "Time to make a group of commits durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stele_commit_events", Help: "Events in a group of commits.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 9),
		}),
		sealed: counter("stele_sealed_events_total", "Events put in blocks; those of merged blocks again."),
		sealing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stele_seal_seconds", Help: "Time to seal one range of events.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
		}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stele_queue_events", Help: "Events waiting in the pool of the organization that committed last.",
		}),
	}
	m.witnessed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_witness_requests_total", Help: "Requests to witnesses to sign a checkpoint, by witness and result.",
	}, []string{"witness", "result"})
	m.countStreams()
	m.countRetention()
	registry.MustRegister(
		m.retired, m.removals, m.removal,
		m.streamed, m.streamBytes, m.dead, m.skipped, m.attempts, m.attempt,
		m.witnessed, m.events, m.duplicates, m.bytes, m.commits, m.failures, m.seconds, m.size, m.sealed, m.sealing, m.queue,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// group is called by the store after each group of commits.
func (m *metrics) group(s pebblestore.CommitStats) {
	m.commits.WithLabelValues(result(s.Err)).Inc()
	m.seconds.Observe(s.Duration.Seconds())
	m.size.Observe(float64(s.Rows))
}

// seal is called by the store after a range of events was put in blocks.
func (m *metrics) seal(s pebblestore.SealStats) {
	m.sealed.Add(float64(s.Rows))
	m.sealing.Observe(s.Duration.Seconds())
}

// commit is called by the ledger after each round of an owner.
func (m *metrics) commit(s ledger.CommitStats) {
	m.failures.WithLabelValues(result(s.Err)).Inc()
	m.events.Add(float64(s.Events))
	m.duplicates.Add(float64(s.Duplicates))
	m.bytes.Add(float64(s.Bytes))
	m.queue.Set(float64(s.Waiting))
}

// cosigned is called after each request to a witness.
func (m *metrics) cosigned(witness string, err error) {
	m.witnessed.WithLabelValues(witness, result(err)).Inc()
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// watchStore shows how the store stands whenever metrics are read.
func (m *metrics) watchStore(store *pebblestore.Store) {
	gauge := func(name, help string, value func(pebblestore.Stats) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(store.Stats()) }))
	}
	gauge("stele_store_disk_bytes", "Space the database uses on disk.", func(s pebblestore.Stats) float64 { return float64(s.DiskBytes) })
	gauge("stele_store_free_bytes", "Free space on the database's disk.", func(s pebblestore.Stats) float64 { return float64(s.FreeBytes) })
	gauge("stele_store_memory_bytes", "Memory of the store's cache and memtables.", func(s pebblestore.Stats) float64 {
		return float64(s.CacheBytes) + float64(s.MemTableBytes)
	})
	gauge("stele_store_waiting", "Commits of organizations that wait for a group.", func(s pebblestore.Stats) float64 { return float64(s.Waiting) })
	gauge("stele_store_compaction_debt_bytes", "Table data that waits to be compacted.", func(s pebblestore.Stats) float64 { return float64(s.CompactionDebtBytes) })
	gauge("stele_store_receipts", "Idempotency receipts remembered.", func(s pebblestore.Stats) float64 { return float64(s.Receipts) })
	gauge("stele_store_unsealed_events", "Events that are rows and in no block.", func(s pebblestore.Stats) float64 { return float64(s.UnsealedEntries) })
	gauge("stele_store_due_events", "Events that are about to be put in blocks.", func(s pebblestore.Stats) float64 { return float64(s.DueEntries) })
	gauge("stele_store_index_bytes", "Memory of the headers and filters of blocks.", func(s pebblestore.Stats) float64 { return float64(s.IndexBytes) })
	gauge("stele_store_column_bytes", "Memory of the decoded columns of blocks.", func(s pebblestore.Stats) float64 { return float64(s.ColumnBytes) })
	gauge("stele_store_failed", "1 when the store takes no more commits until it is restarted.", func(s pebblestore.Stats) float64 {
		if s.Failed != nil {
			return 1
		}
		return 0
	})
}
