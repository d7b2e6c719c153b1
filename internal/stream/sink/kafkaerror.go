package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stelehq/stele/internal/egress"
)

// kafkaCodes says what error codes of brokers mean (kafka.apache.org, "Error
// codes"); others are tried again.
func kafkaCodes() map[*kerr.Error]codeMeaning {
	const who = "Check user and password, and that the mechanism is the one the user has."
	const again = "It will be sent again."
	return map[*kerr.Error]codeMeaning{
		kerr.SaslAuthenticationFailed:   {Invalid, "sasl_authentication_failed", who},
		kerr.UnsupportedSaslMechanism:   {Invalid, "unsupported_sasl_mechanism", "Choose another mechanism: the broker does not offer this one."},
		kerr.IllegalSaslState:           {Invalid, "illegal_sasl_state", "Check that the port is one with SASL, and choose none if it is not."},
		kerr.TopicAuthorizationFailed:   {Invalid, "topic_authorization_failed", "Allow the user the operation Write on the topic."},
		kerr.ClusterAuthorizationFailed: {Invalid, "cluster_authorization_failed", "Allow the user the operation IdempotentWrite on the cluster (Kafka before 3.0)."},
		kerr.UnknownTopicOrPartition:    {Invalid, "unknown_topic", "Make the topic, check its name, and that the user may write to it."},
		kerr.UnknownTopicID:             {Invalid, "unknown_topic", "Make the topic, check its name, and that the user may write to it."},
		kerr.InvalidTopicException:      {Invalid, "invalid_topic", "Check the topic's name."},
		kerr.InvalidRequiredAcks:        {Invalid, "invalid_required_acks", "The brokers must accept acks=all."},
		kerr.UnsupportedVersion:         {Invalid, "unsupported_version", "The brokers are too old: Kafka 0.11 or later is needed."},
		kerr.UnsupportedForMessageFormat: {
			Invalid, "unsupported_for_message_format", "The topic's message.format.version is too old: 0.11 or later is needed.",
		},
		kerr.UnsupportedCompressionType: {Invalid, "unsupported_compression", "Choose another compression."},
		kerr.PolicyViolation:            {Invalid, "policy_violation", "The brokers' policy forbids it."},
		kerr.MessageTooLarge:            {TooLarge, "message_too_large", "Smaller batches will be tried."},
		kerr.RecordListTooLarge:         {TooLarge, "record_list_too_large", "Smaller batches will be tried."},
		kerr.InvalidRecord:              {Malformed, "invalid_record", "The topic does not take the event: is it compacted, or does it have a schema?"},
		kerr.InvalidTimestamp:           {Malformed, "invalid_timestamp", "Set the topic's message.timestamp.type to LogAppendTime, or widen what it takes."},
		kerr.ThrottlingQuotaExceeded:    {RateLimited, "throttling_quota_exceeded", "It will be sent again, more slowly."},
		kerr.NotEnoughReplicas:          {Retry, "not_enough_replicas", "Fewer replicas are in sync than the topic's min.insync.replicas. " + again},
		kerr.NotEnoughReplicasAfterAppend: {
			Retry, "not_enough_replicas", "Fewer replicas are in sync than the topic's min.insync.replicas. " + again,
		},
		kerr.KafkaStorageError: {Retry, "storage_error", "A broker's disk fails. " + again},
	}
}

// explain makes an error of what a batch failed with.
func (s *kafka) explain(ctx context.Context, err error) *Error {
	s.mu.Lock()
	fault, host, logins := s.fault, s.host, s.logins
	s.mu.Unlock()
	if r, ok := egress.AsRefused(err); ok {
		return &Error{Class: Invalid, Code: "address_refused", Err: err, Message: r.Error() + " Brokers name each other's addresses: all of them must be open."}
	}
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return s.said(e, err)
	}
	first, eof := errors.AsType[*kgo.ErrFirstReadEOF](err)
	if logins > 0 && (eof || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return s.loginCut(err)
	}
	switch {
	case fault != nil:
		return faultOf(ctx, s.label, host, fault, s.secrets)
	case eof:
		return &Error{Class: Retry, Code: "connection_lost", Err: first, Message: fmt.Sprintf(
			"%s closed the connection at once. Check that the port is the one for TLS with this way of authentication. It will be tried again.", s.label)}
	}
	return faultOf(ctx, s.label, s.brokers[0], err, s.secrets)
}

// said makes an error of a broker's code.
func (s *kafka) said(e *kerr.Error, err error) *Error {
	c, ok := kafkaCodes()[e]
	if !ok {
		c = codeMeaning{Retry, strings.ToLower(e.Message), "It will be sent again."}
	}
	return &Error{Class: c.class, Code: c.name, Err: err, Message: fmt.Sprintf("%s answered %s. %s",
		s.label, strings.TrimRight(Excerpt(err.Error(), s.secrets...), ". "), c.todo)}
}

// loginCut is for brokers that end the connection instead of refusing a login. One
// that goes down in that moment does so too: only the third time in a row says
// that the credentials are wrong.
func (s *kafka) loginCut(err error) *Error {
	const sure = 3
	s.cut++
	class := Retry
	if s.cut >= sure {
		class = Invalid
	}
	return &Error{Class: class, Code: "login_broken_off", Err: err, Message: s.label +
		" closed the connection during the login. Check user and password, and that the mechanism is the one the user has."}
}
