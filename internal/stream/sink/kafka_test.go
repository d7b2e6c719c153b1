package sink

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/stelehq/stele/internal/egress"
)

const kafkaPassword = "kafka-s3cret"

// brokers starts a cluster of three brokers over TLS with one user who may write
// to one topic, and returns its settings.
func brokers(t *testing.T) (*kfake.Cluster, Values) {
	t.Helper()
	srv, ca := server(t, http.NotFoundHandler()) // for its certificate
	c, err := kfake.NewCluster(
		kfake.NumBrokers(3), kfake.SeedTopics(4, "audit"), kfake.SeedTopics(1, "other"), kfake.TLS(&tls.Config{Certificates: srv.TLS.Certificates}),
		kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "reader", "reader"),
		kfake.User("SCRAM-SHA-512", "stele", kafkaPassword, kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: "audit", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationWrite, Allow: true,
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, Values{
		"brokers": strings.Join(c.ListenAddrs()[:1], ", "), "topic": "audit", "username": "stele", "password": kafkaPassword, "ca_certificate": ca,
	}
}

// consumed reads n records of a topic.
func consumed(t *testing.T, c *kfake.Cluster, topic string, n int, auth plain.Auth) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.SASL(auth.AsMechanism()),
		kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true}),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func values(records []*kgo.Record) []string {
	var list []string
	for _, r := range records {
		list = append(list, string(r.Value))
	}
	return list
}

func TestKafka(t *testing.T) {
	t.Parallel()
	c, v := brokers(t)
	for _, codec := range []string{"snappy", "gzip", "lz4", "zstd", "none"} {
		v["compression"] = codec
		send(t, open(t, Kafka(), v), batch(t, 0, 1))
	}
	s := open(t, Kafka(), v)
	var batches []*Batch
	for i := range 2 {
		batches = append(batches, batch(t, 1+i*5000, 5000))
		send(t, s, batches[i])
	}
	records := consumed(t, c, "audit", 10_005, plain.Auth{User: "reader", Pass: "reader"})
	wantEvents(t, values(records[5:]), batches...)
	for i, r := range records {
		if r.Partition != records[0].Partition || r.Offset != int64(i) || string(r.Key) != "org_1" {
			t.Fatalf("record %d is at %d/%d with key %s", i, r.Partition, r.Offset, r.Key)
		}
	}
	last := records[len(records)-1]
	if got := fmt.Sprint(last.Headers); got != fmt.Sprint([]kgo.RecordHeader{
		{Key: "type", Value: []byte("event")},
		{Key: "content-type", Value: []byte("application/json")},
		{Key: "schema", Value: []byte("json")},
		{Key: "event-id", Value: []byte("01KAF000000000000000010000")},
	}) {
		t.Errorf("headers %s", got)
	}
	if !last.Timestamp.Equal(clock().Add(10 * time.Second)) {
		t.Errorf("timestamp %s", last.Timestamp)
	}
	send(t, s, checkpoint())
	replayed := batch(t, 7, 1)
	replayed.Replay = "rp_1"
	send(t, s, replayed)
	records = consumed(t, c, "audit", 10_007, plain.Auth{User: "reader", Pass: "reader"})
	if h := fmt.Sprintf("%s", records[10_005].Headers); !strings.Contains(h, "checkpoint") || strings.Contains(h, "event-id") {
		t.Errorf("checkpoint: %s", h)
	}
	if h := fmt.Sprintf("%s", records[10_006].Headers); !strings.Contains(h, "{replay rp_1}") {
		t.Errorf("replay: %s", h)
	}
}

// TestKafkaCodes: what brokers answer to a batch.
func TestKafkaCodes(t *testing.T) {
	t.Parallel()
	c, v := brokers(t)
	s := open(t, Kafka(), v)
	var code atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return produced(t, req, int16(code.Load())), nil, code.Load() != 0
	})
	for e, want := range map[*kerr.Error]struct {
		class Class
		says  string
	}{
		kerr.MessageTooLarge:          {TooLarge, "Smaller"},
		kerr.InvalidRecord:            {Malformed, "compacted"},
		kerr.InvalidTimestamp:         {Malformed, "LogAppendTime"},
		kerr.TopicAuthorizationFailed: {Invalid, "Write"},
		kerr.PolicyViolation:          {Invalid, "policy"},
		kerr.UnknownServerError:       {Retry, "UNKNOWN_SERVER_ERROR"},
	} {
		code.Store(int32(e.Code))
		got := refuse(t, s, batch(t, 0, 3), want.class, want.says, "Kafka")
		if got.Code == "" || strings.ToLower(got.Code) != got.Code {
			t.Errorf("%s: code %q", e.Message, got.Code)
		}
	}
	code.Store(0)
	send(t, s, batch(t, 0, 3))
	long := batch(t, 0, 3)
	long.Events[1].Encoded = []byte(strings.Repeat("x", 1_000_000))
	if e := refuse(t, s, long, Rejected, "max.message.bytes"); len(e.Rejected) != 1 || e.Rejected[0].Index != 1 || e.RestTaken {
		t.Errorf("%+v", e.Rejected)
	}
}

// produced answers a produce request with one code for all of it.
func produced(t *testing.T, req kmsg.Request, code int16) kmsg.Response {
	t.Helper()
	in, ok := req.(*kmsg.ProduceRequest)
	if !ok {
		t.Fatalf("%T", req)
	}
	res, ok := in.ResponseKind().(*kmsg.ProduceResponse)
	if !ok {
		t.Fatalf("%T", res)
	}
	for _, topic := range in.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

func TestKafkaAccess(t *testing.T) {
	t.Parallel()
	c, v := brokers(t)
	with := func(name, value string) Sink {
		changed := Values{name: value}
		for k, old := range v {
			if k != name {
				changed[k] = old
			}
		}
		return open(t, Kafka(), changed)
	}
	// This broker breaks the connection off when a password is wrong.
	s := with("password", "wrong-s3cret")
	refuse(t, s, batch(t, 0, 1), Retry, "during the login")
	refuse(t, s, batch(t, 0, 1), Retry, "during the login")
	e := refuse(t, s, batch(t, 0, 1), Invalid, "Check user and password")
	hidden(t, []string{"wrong-s3cret"}, e.Message, fmt.Sprint(e.Err))
	// Kafka says so.
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		in, ok := req.(*kmsg.SASLAuthenticateRequest)
		if !ok {
			t.Errorf("%T", req)
			return nil, nil, false
		}
		res, ok := in.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !ok {
			t.Errorf("%T", res)
			return nil, nil, false
		}
		res.ErrorCode, res.ErrorMessage = kerr.SaslAuthenticationFailed.Code, new("Authentication failed: bad kafka-s3cret")
		return res, nil, true
	})
	e = refuse(t, with("client_key", ""), batch(t, 0, 1), Invalid, "Check user and password", "SASL_AUTHENTICATION_FAILED")
	hidden(t, []string{kafkaPassword}, e.Message)

	refuse(t, with("mechanism", "scram-sha-256"), batch(t, 0, 1), Retry, "mechanism")
	refuse(t, with("topic", "missing"), batch(t, 0, 1), Invalid, "topic")
	if e := refuse(t, with("topic", "other"), batch(t, 0, 1), Invalid, "Write"); e.Code != "topic_authorization_failed" {
		t.Errorf("code %s", e.Code)
	}
	if e := refuse(t, with("ca_certificate", ""), batch(t, 0, 1), Retry, "certificate"); e.Code != "tls" {
		t.Errorf("code %s", e.Code)
	}
}

// TestKafkaAdvertised: the address that a broker names is judged as that of the
// settings is.
func TestKafkaAdvertised(t *testing.T) {
	t.Parallel()
	c, v := brokers(t)
	node := (c.LeaderFor("audit", 0) + 1) % 3
	seed := c.ListenAddrs()[node]
	g, err := egress.New([]string{seed})
	if err != nil {
		t.Fatal(err)
	}
	k := Kafka()
	v["brokers"] = seed
	settings, err := k.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	guarded := env(t)
	guarded.Dial = g.Dial
	s, err := k.Open(settings, guarded)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	// Whatever partition the key leads to: its leader is another broker.
	for p := range int32(4) {
		if err := c.MoveTopicPartition("audit", p, c.LeaderFor("audit", 0)); err != nil {
			t.Fatal(err)
		}
	}
	e := refuse(t, s, batch(t, 0, 1), Invalid, "loopback", "all of them must be open")
	if e.Code != "address_refused" || strings.Contains(e.Message, seed) {
		t.Errorf("%s: %s", e.Code, e.Message)
	}
}

// TestKafkaAway: brokers that hang, that are gone, and that come back.
func TestKafkaAway(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := open(t, Kafka(), Values{"brokers": l.Addr().String(), "topic": "audit", "mechanism": "none"})
	ctx, cancel := shortly(t)
	defer cancel()
	start := time.Now()
	_, fault := s.Send(ctx, batch(t, 0, 1))
	if e := AsError(fault); e.Class != Retry || e.Code != "timeout" || time.Since(start) > 5*time.Second {
		t.Errorf("a broker that hangs: %v %s after %s", e, e.Code, time.Since(start))
	}

	c, v := brokers(t)
	s = open(t, Kafka(), v)
	send(t, s, batch(t, 0, 2))
	// It takes the records and does not answer.
	release := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, cancel = shortly(t)
	defer cancel()
	start = time.Now()
	_, fault = s.Send(ctx, batch(t, 2, 2))
	if e := AsError(fault); e.Class != Retry || e.Code != "timeout" || time.Since(start) > 5*time.Second {
		t.Errorf("a broker that does not answer: %v %s after %s", e, e.Code, time.Since(start))
	}
	close(release)
	send(t, s, batch(t, 2, 2))
	c.Close()
	if e := refuse(t, s, batch(t, 4, 1), Retry); e.Code != "connection_refused" && e.Code != "connection_lost" {
		t.Errorf("brokers that are gone: %s %s", e.Code, e.Message)
	}
}

func TestKafkaSettings(t *testing.T) {
	t.Parallel()
	k := Kafka()
	for name, v := range map[string]Values{
		"brokers":   {"brokers": "kafka.example.com", "topic": "t", "username": "u", "password": "p"},
		"brokers ":  {"brokers": "a:9093,,b:9093", "topic": "t", "username": "u", "password": "p"},
		"topic":     {"brokers": "a:9093", "topic": "a b", "username": "u", "password": "p"},
		"username":  {"brokers": "a:9093", "topic": "t", "password": "p"},
		"password":  {"brokers": "a:9093", "topic": "t", "username": "u"},
		"mechanism": {"brokers": "a:9093", "topic": "t", "username": "u", "password": "p", "mechanism": "gssapi"},
	} {
		if _, err := k.Resolve(v); fieldOf(err) != "/settings/"+strings.TrimSpace(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventHubs(t *testing.T) {
	t.Parallel()
	srv, ca := server(t, http.NotFoundHandler())
	const text = "Endpoint=sb://127.0.0.1:%s/;SharedAccessKeyName=stele;SharedAccessKey=c2VjcmV0LWtleQ==;EntityPath=audit"
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	secret := fmt.Sprintf(text, port)
	c, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.SeedTopics(4, "audit"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "$ConnectionString", secret),
		kfake.ListenFn(func(string, string) (net.Listener, error) {
			return tls.NewListener(l, &tls.Config{Certificates: srv.TLS.Certificates}), nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	k := EventHubs()
	// The table has no certificate authority: Azure's are public.
	resolved, err := k.Resolve(Values{"connection_string": secret})
	if err != nil {
		t.Fatal(err)
	}
	resolved["ca_certificate"] = ca
	s, err := k.Open(resolved, env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	b := batch(t, 0, 50)
	send(t, s, b)
	wantEvents(t, values(consumed(t, c, "audit", 50, plain.Auth{User: "$ConnectionString", Pass: secret})), b)
	for _, bad := range []Values{
		{"connection_string": "Endpoint=https://a.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b", "event_hub": "h"},
		{"connection_string": "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=a", "event_hub": "h"},
		{"connection_string": "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b"},
	} {
		if _, err := k.Resolve(bad); err == nil || strings.Contains(err.Error(), "SharedAccessKey=b") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestKafkaLongAnswer: a broker that announces an answer of 50 MiB is left, and
// no memory is made for it.
func TestKafkaLongAnswer(t *testing.T) {
	srv, ca := server(t, nil) // for its certificate
	l, err := tls.Listen("tcp", "127.0.0.1:0", srv.TLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // the test's end
				if _, err := conn.Read(make([]byte, 1024)); err == nil {
					_, _ = conn.Write([]byte{3, 0x20, 0, 0, 0, 0, 0, 0}) // 50 MiB, and nothing of it
					_, _ = io.Copy(io.Discard, conn)
				}
			}()
		}
	}()
	s := open(t, Kafka(), Values{"brokers": l.Addr().String(), "topic": "audit", "mechanism": "none", "ca_certificate": ca})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = s.Send(ctx, batch(t, 0, 1))
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v, after waiting: %v", err, ctx.Err())
	}
}
