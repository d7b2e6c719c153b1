package receivertest

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/stelehq/stele/internal/stream/sink"
)

// cluster is a Kafka of three brokers in this process, over TLS. While it is away
// it closes every connection with a request.
type cluster struct {
	*kfake.Cluster
	t    *testing.T
	cert certificate
	away atomic.Bool
}

const topic = "audit"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, cert: newCertificate(t)}
	c.away.Store(true)
	k, err := kfake.NewCluster(
		kfake.NumBrokers(3), kfake.SeedTopics(4, topic), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair(t, c.cert)}}),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "reader", "reader"), kfake.Superuser("SCRAM-SHA-512", "stele", "right-password"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	k.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if c.away.Load() {
			return nil, errors.New("the cluster is away"), true
		}
		return nil, nil, false
	})
	c.Cluster = k
	return c
}

// values are the records of the topic in their order; those of one organization
// lie in one partition.
func (c *cluster) values() []string {
	c.t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.SASL(plain.Auth{User: "reader", Pass: "reader"}.AsMechanism()),
		kgo.DialTLSConfig(c.cert.trusting(c.t)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	end := c.size(client)
	var list []string
	for n := int64(0); n < end; {
		fetches := client.PollFetches(c.t.Context())
		if err := fetches.Err(); err != nil {
			c.t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			n++
			if text := string(r.Value); !isTest(text) {
				list = append(list, text)
			}
			if string(r.Key) != organization {
				c.t.Errorf("the key of a record is %q", r.Key)
			}
		}
	}
	return list
}

// size is how many records the topic has.
func (c *cluster) size(client *kgo.Client) (n int64) {
	c.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	for p := range int32(4) {
		req.Topics = append(req.Topics, kmsg.ListOffsetsRequestTopic{
			Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Partition: p, CurrentLeaderEpoch: -1, Timestamp: -1}},
		})
	}
	for _, shard := range client.RequestSharded(context.WithoutCancel(c.t.Context()), req) {
		if shard.Err != nil {
			c.t.Fatal(shard.Err)
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics { //nolint:forcetypeassert // what was asked for
			for _, p := range t.Partitions {
				n += max(p.Offset, 0)
			}
		}
	}
	return n
}

// TestKafka delivers to a cluster of kfake, with SCRAM over TLS.
func TestKafka(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	settings := func(password string) sink.Values {
		return sink.Values{
			"brokers": strings.Join(c.ListenAddrs()[:1], ","), "topic": topic, "username": "stele", "password": password, "ca_certificate": c.cert.pem,
		}
	}
	roundTrip(t, receiver{
		kind: "kafka", settings: settings("right-password"), wrong: settings("wrong-password"), says: "Check user and password", breaksOff: true,
		start: func() { c.away.Store(false) }, stop: func() { c.away.Store(true) },
		received: c.values, expected: (*scene).native,
	})
}
