package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/stelehq/stele/internal/egress"
)

// Kafka is a topic of Apache Kafka and what speaks its protocol, over TLS. An
// event is a record with the organization's id as key, so that an organization's
// events lie in one partition in their order. A batch is acknowledged when all
// replicas in sync have each record (acks=all); the producer is idempotent, which
// keeps retries within one connection of this server from making duplicates.
// After a restart or a failure duplicates are possible: the header event-id tells
// them apart.
//
// Brokers name each other's addresses. Those are dialed through [Env.Dial] too.
func Kafka() Kind {
	k := Kind{
		Name: "kafka", Label: "Apache Kafka",
		Summary: "Writes events to a topic of Apache Kafka or of a service that speaks its protocol, such as Confluent Cloud, Redpanda or Amazon MSK.",
		Docs:    "https://kafka.apache.org/documentation/#security",
		Steps:   kafkaSteps(),
		Limits: []string{
			"TLS only. An organization's events go to one partition, in their order.",
			"An event longer than the largest message becomes a dead letter.",
			"After a failure an event can be there twice: the header event-id tells.",
			"The topic must not be compacted: compaction keeps one event of each organization.",
			"Brokers name each other's addresses: whoever runs this server must have opened all of them, if they are private.",
		},
		Settings: withTLS(
			Setting{
				Name: "brokers", Label: "Brokers", Place: true, Required: true, Check: checkBrokers, Example: "b-1.kafka.example.com:9093,b-2.kafka.example.com:9093",
				Help: "Host and port of some brokers' TLS listener, with commas between. The others are found through them.",
			},
			Setting{Name: "topic", Label: "Topic", Required: true, Check: checkTopic, Example: "stele-audit", Help: "The topic to write to. It is not made."},
			Setting{
				Name: "mechanism", Label: "Authentication", Default: "scram-sha-512", Options: []string{"scram-sha-512", "scram-sha-256", "plain", "none"},
				Help: "The SASL mechanism. none is for brokers that go by the client certificate.",
			},
			Setting{Name: "username", Label: "User", Check: checkPrintable, Example: "stele", Help: "The user, or the API key of a hosted service."},
			Setting{Name: "password", Label: "Password", Secret: true, Help: "That user's password, or the API key's secret."},
			Setting{
				Name: "compression", Label: "Compression", Default: "snappy", Options: []string{"snappy", "gzip", "lz4", "zstd", "none"}, Advanced: true,
				Help: "zstd is the smallest, and needs Kafka 2.1.",
			},
			Setting{
				Name: "max_message", Label: "Largest message", Default: "1000000", Check: checkRange(10_000, 16<<20), Advanced: true,
				Help: "The topic's max.message.bytes.",
			},
		),
		Check: func(v Values) error {
			if v["mechanism"] == "none" {
				return checkTLS(v)
			}
			for _, name := range []string{"username", "password"} {
				if v[name] == "" {
					return fieldFault(name, "is required for "+v["mechanism"])
				}
			}
			return checkTLS(v)
		},
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		s := &kafka{
			label: k.Label, brokers: strings.Split(v["brokers"], ","), topic: v["topic"], secrets: secretForms(k.Secrets(v)),
			compression: v["compression"], max: v.number("max_message"),
		}
		switch v["mechanism"] {
		case "plain":
			s.mechanism = plain.Auth{User: v["username"], Pass: v["password"]}.AsMechanism()
		case "scram-sha-256":
			s.mechanism = scram.Auth{User: v["username"], Pass: v["password"]}.AsSha256Mechanism()
		case "scram-sha-512":
			s.mechanism = scram.Auth{User: v["username"], Pass: v["password"]}.AsSha512Mechanism()
		}
		return s.open(v, env)
	}
	return k
}

func kafkaSteps() []Step {
	return []Step{
		{
			Text:  "Make a topic that is not compacted, and keep its events as long as you need them.",
			Paste: "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 6 \\\n  --config cleanup.policy=delete --config min.insync.replicas=2",
			Fills: []string{"brokers", "topic"},
		},
		{
			Text:  "Make a user for this stream alone. In a hosted service, make a service account and an API key instead, and choose plain.",
			Paste: "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type users --entity-name {username} \\\n  --add-config 'SCRAM-SHA-512=[password=PASSWORD]'",
			Fills: []string{"mechanism", "username", "password"},
		},
		{
			Text:  "Let it write to the topic, and nothing else.",
			Paste: "kafka-acls.sh --bootstrap-server {brokers} --add --allow-principal User:{username} \\\n  --operation Write --topic {topic}",
		},
	}
}

// kafka is a sink of records. The engine calls its methods one at a time; mu
// guards what the client's own goroutines tell.
type kafka struct {
	label       string
	brokers     []string
	topic       string
	mechanism   sasl.Mechanism // nil for none
	compression string
	max         int // bytes of a record
	secrets     []string
	tls         *tls.Config
	dialer      egress.DialFunc

	client *kgo.Client // nil until the first batch and after a failure
	cut    int         // logins broken off, in a row

	mu     sync.Mutex
	abort  context.CancelCauseFunc // ends the batch being sent
	fault  error                   // of the last connection that failed, and its host
	host   string
	logins int // begun and not finished
}

func (s *kafka) open(v Values, env Env) (Sink, error) {
	config, err := egress.TLS([]byte(v["ca_certificate"]), []byte(v["client_certificate"]), []byte(v["client_key"]))
	if err != nil {
		return nil, &Error{Class: Invalid, Code: "certificate", Message: "The certificates in the settings: " + err.Error() + "."}
	}
	s.tls, s.dialer = config, env.Dial
	for i := range s.brokers {
		s.brokers[i] = strings.TrimSpace(s.brokers[i])
	}
	return s, nil
}

// kafkaOverhead is what a record has beside its value, in bytes: key, headers,
// lengths.
const kafkaOverhead = 400

// kafkaAnswer bounds an answer of a broker, in bytes. The largest is about the
// brokers and the partitions of one topic.
const kafkaAnswer = 4 << 20

// Limits: a batch is one to a few requests.
func (s *kafka) Limits() Limits {
	return Limits{MaxEvents: 5000, MaxBytes: 4 << 20, EventOverhead: kafkaOverhead, SendTimeout: sendTimeout}
}

// Close ends the connections.
func (s *kafka) Close() error {
	s.drop()
	return nil
}

// drop ends the client: the next batch begins with a new one, and a new session
// of the idempotent producer.
func (s *kafka) drop() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// Test sends the event.
func (s *kafka) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send produces the batch's records and waits until all are acknowledged.
func (s *kafka) Send(ctx context.Context, b *Batch) (Answer, error) {
	records, rejected := s.records(b)
	if len(rejected) > 0 {
		return Answer{}, &Error{
			Class: Rejected, Code: "too_long", Rejected: rejected,
			Message: "Some events are longer than the topic's largest message, " + strconv.Itoa(s.max) +
				" bytes. Raise max.message.bytes there and the setting here, and send the dead letters again.",
		}
	}
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	s.mu.Lock()
	s.abort, s.fault, s.logins = abort, nil, 0
	s.mu.Unlock()
	err := s.produce(ctx, records)
	if err == nil {
		s.cut = 0
		return Answer{}, nil
	}
	s.drop()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		err = cause
	}
	return Answer{}, s.explain(ctx, err)
}

// records makes the batch's records, or says which are too long.
func (s *kafka) records(b *Batch) (records []*kgo.Record, rejected []Rejection) {
	kind := "event"
	switch {
	case b.Test:
		kind = "test"
	case b.Checkpoint != nil:
		kind = "checkpoint"
	}
	for i := range b.Events {
		ev := &b.Events[i]
		if n := len(ev.Encoded) + kafkaOverhead; n > s.max {
			rejected = append(rejected, Rejection{Index: i, Code: "too_long", Text: "The record has about " + strconv.Itoa(n) + " bytes"})
			continue
		}
		r := &kgo.Record{
			Topic: s.topic, Key: []byte(b.Organization), Value: ev.Encoded, Timestamp: ev.OccurredAt,
			Headers: []kgo.RecordHeader{
				{Key: "type", Value: []byte(kind)}, {Key: "content-type", Value: []byte(b.ContentType)}, {Key: "schema", Value: []byte(b.Format)},
			},
		}
		if ev.hasID() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "event-id", Value: []byte(ev.ID.String())})
		}
		if b.Replay != "" {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "replay", Value: []byte(b.Replay)})
		}
		records = append(records, r)
	}
	return records, rejected
}

// produce sends records and returns the first error, soon after ctx ends.
func (s *kafka) produce(ctx context.Context, records []*kgo.Record) error {
	if s.client == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	// The client calls back after Send has returned too: it is told to a
	// channel that takes everything.
	results := make(chan error, len(records))
	for _, r := range records {
		s.client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
	}
	for range records {
		select {
		case err := <-results:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// connect makes a client and asks a broker something, so that what is wrong with
// addresses and credentials is known at once: the client tries producing on.
func (s *kafka) connect(ctx context.Context) error {
	codecs := map[string]kgo.CompressionCodec{
		"snappy": kgo.SnappyCompression(), "gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[s.compression]
	if !ok {
		codec = kgo.NoCompression()
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.brokers...), kgo.Dialer(s.dial), kgo.ClientID("stele"),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(int32(s.max)), kgo.MaxBufferedRecords(10_000), //nolint:gosec // at most 16 MiB
		// A few tries for what passes at once, such as a new leader; the rest is
		// the engine's. What was sent and not answered may be given up: it is
		// sent again with the same id.
		kgo.RecordRetries(3), kgo.UnknownTopicRetries(2), kgo.RequestRetries(2), kgo.RetryTimeout(20 * time.Second),
		kgo.MetadataMinAge(500 * time.Millisecond),
		// A broker is the customer's: what it says is bounded before it is read.
		kgo.BrokerMaxReadBytes(kafkaAnswer), kgo.FetchMaxBytes(kafkaAnswer),
		kgo.ProduceRequestTimeout(30 * time.Second), kgo.AllowIdempotentProduceCancellation(), kgo.DisableClientMetrics(),
	}
	if s.mechanism != nil {
		opts = append(opts, kgo.SASL(login{s.mechanism, s}))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	s.client = client
	return client.Ping(ctx)
}

// dial connects to a broker, one of the settings or one that another has named.
func (s *kafka) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	raw, err := s.dialer(ctx, network, address)
	if err != nil {
		s.failed(host, err)
		return nil, err
	}
	config := s.tls.Clone()
	config.ServerName = host
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		s.failed(host, err)
		_ = raw.Close() // the handshake's error is what matters
		return nil, err
	}
	return conn, nil
}

// failed notes why a connection failed. One to an address that is not open ends
// the batch: no other broker has its partition.
func (s *kafka) failed(host string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.host = err, host
	if _, refused := egress.AsRefused(err); refused && s.abort != nil {
		s.abort(err)
	}
}

// login is a mechanism whose logins are counted, since brokers may break the
// connection off instead of saying no.
type login struct {
	sasl.Mechanism
	s *kafka
}

// Authenticate begins a login.
func (l login) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := l.Mechanism.Authenticate(ctx, host)
	l.s.count(+1)
	return loginSession{session, l.s}, first, err
}

type loginSession struct {
	sasl.Session
	s *kafka
}

// Challenge goes on with a login.
func (l loginSession) Challenge(challenge []byte) (bool, []byte, error) {
	done, next, err := l.Session.Challenge(challenge)
	if done {
		l.s.count(-1)
	}
	return done, next, err
}

func (s *kafka) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins += n
}

func checkBrokers(value string) error {
	for broker := range strings.SplitSeq(value, ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(broker))
		if err != nil || host == "" {
			return errors.New("must be hosts with ports and commas between, such as kafka.example.com:9093")
		}
		if err := errors.Join(checkHost(host), checkPort(port)); err != nil {
			return err
		}
	}
	return nil
}

func checkTopic(value string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`).MatchString(value) || value == "." || value == ".." {
		return errors.New("must be a topic's name: at most 249 letters, digits, '.', '_' and '-'")
	}
	return nil
}
