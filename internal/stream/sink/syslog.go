package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/egress"
)

// Syslog is RFC 5424 over TLS with octet counting (RFC 5425): LEN SP MSG. The
// facility is 13 (log audit), the severity 6 (informational). MSG is the event,
// without a byte order mark: receivers hand that through, and the event is no
// JSON any more then.
//
// Syslog has no acknowledgement. Here each batch has a connection of its own: the
// batch, close_notify, and then the receiver's close is waited for, which comes
// once it has read all. A receiver that breaks off earlier is noticed that way.
// Receivers must take messages of 2048 bytes and should take 8192; the rest is
// cut by many without a word, so what is longer than the setting is not sent but
// rejected.
func Syslog() Kind {
	k := Kind{
		Name: "syslog", Label: "Syslog", Formats: nil,
		Summary: "Sends one syslog message for each event over TLS (RFC 5424, RFC 5425).",
		Docs:    "https://www.rfc-editor.org/rfc/rfc5425",
		Steps: []Step{
			{Text: "Let your syslog receiver listen with TLS and octet-counted framing, usually on port 6514. For rsyslog with its OpenSSL driver:", Paste: rsyslogConfig, Fills: []string{"host", "port", "max_message"}},
			{Text: "If the receiver's certificate is of an authority of your own, copy that authority's certificate.", Fills: []string{"ca_certificate"}},
			{Text: "If it asks for a client certificate, issue one for this stream and copy it with its key.", Fills: []string{"client_certificate", "client_key"}},
		},
		Limits: []string{
			"Syslog has no acknowledgement: a batch counts as delivered when the receiver has read it and closed the connection. That it is stored is the receiver's promise.",
			"An event longer than the largest message becomes a dead letter instead of being cut.",
			"Receivers remove no duplicates: events have an id, in CEF externalId.",
		},
		Settings: withTLS(
			Setting{Name: "host", Label: "Host", Place: true, Required: true, Check: checkHost, Example: "syslog.example.com", Help: "The receiver's host name or IP address."},
			Setting{Name: "port", Label: "Port", Place: true, Default: "6514", Check: checkPort, Help: "Its port for TLS."},
			Setting{Name: "app_name", Label: "APP-NAME", Default: "stele", Check: checkField(48), Help: "The name of the application in each message, at most 48 bytes."},
			Setting{
				Name: "hostname", Label: "HOSTNAME", Check: checkField(255), Advanced: true,
				Help: "The name of the sender in each message. Empty is that of this server.",
			},
			Setting{
				Name: "structured_data", Label: "Structured data", Secret: true, Advanced: true, Check: checkStructuredData, Example: "[token@41058 tag=\"audit\"]",
				Help: "What to send as STRUCTURED-DATA, such as the token that a hosted receiver knows you by.",
			},
			Setting{
				Name: "max_message", Label: "Largest message", Default: "65536", Check: checkRange(2048, 1<<20), Advanced: true,
				Help: "The receiver's largest message in bytes. A longer event becomes a dead letter instead of being cut.",
			},
			Setting{
				Name: "confirm", Label: "Confirmation", Default: "close", Options: []string{"close", "none"}, Advanced: true,
				Help: "close: waits until the receiver has closed the connection, having read all. none: is for receivers that do not close; loss is then not noticed.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		config, err := egress.TLS([]byte(v["ca_certificate"]), []byte(v["client_certificate"]), []byte(v["client_key"]))
		if err != nil {
			return nil, &Error{Class: Invalid, Code: "certificate", Message: "The certificates in the settings: " + err.Error() + "."}
		}
		config.ServerName = strings.Trim(v["host"], "[]")
		s := &syslog{v: v, config: config, dial: env.Dial, secrets: secretForms(k.Secrets(v)), hostname: v["hostname"], max: v.number("max_message")}
		if s.hostname == "" {
			s.hostname = env.Server
		}
		if checkField(255)(s.hostname) != nil || s.hostname == "" {
			s.hostname = "-"
		}
		return s, nil
	}
	return k
}

// rsyslogConfig is a configuration of rsyslog with rsyslog-openssl.
const rsyslogConfig = `global(
  maxMessageSize="64k"
  defaultNetstreamDriverCAFile="/etc/rsyslog.d/ca.pem"
  defaultNetstreamDriverCertFile="/etc/rsyslog.d/cert.pem"
  defaultNetstreamDriverKeyFile="/etc/rsyslog.d/key.pem"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="{port}")`

type syslog struct {
	v        Values
	config   *tls.Config
	dial     egress.DialFunc
	secrets  []string
	hostname string
	max      int
}

// syslogHead bounds what comes before the event in a message, in bytes, the
// structured data apart.
const syslogHead = 420

// Limits: see [Syslog].
func (s *syslog) Limits() Limits {
	return Limits{MaxEvents: 5000, MaxBytes: 4 << 20, EventOverhead: syslogHead + len(s.v["structured_data"]), SendTimeout: sendTimeout}
}

// Close does nothing: no connection outlives its batch.
func (s *syslog) Close() error { return nil }

// Test sends the event.
func (s *syslog) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send writes the batch on a connection of its own.
func (s *syslog) Send(ctx context.Context, b *Batch) (Answer, error) {
	var rejected []Rejection
	body := make([]byte, 0, b.Bytes+len(b.Events)*syslogHead)
	var msg []byte
	for i := range b.Events {
		msg = s.appendMessage(msg[:0], b, &b.Events[i])
		if len(msg) > s.max {
			rejected = append(rejected, Rejection{Index: i, Code: "too_long", Text: "The message has " + strconv.Itoa(len(msg)) + " bytes"})
			continue
		}
		body = append(append(strconv.AppendInt(body, int64(len(msg)), 10), ' '), msg...)
	}
	if len(rejected) > 0 {
		return Answer{}, &Error{
			Class: Rejected, Code: "too_long", Rejected: rejected,
			Message: "Some events are longer than the receiver's largest message, " + strconv.Itoa(s.max) +
				" bytes. Raise it there and here, and send the dead letters again.",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.deliver(ctx, body); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return Answer{}, e
		}
		return Answer{}, faultOf(ctx, "Syslog", s.v["host"], err, s.secrets)
	}
	return Answer{}, nil
}

// deliver writes body, says that it was all, and waits for the receiver's close.
func (s *syslog) deliver(ctx context.Context, body []byte) (err error) {
	raw, err := s.dial(ctx, "tcp", net.JoinHostPort(strings.Trim(s.v["host"], "[]"), s.v["port"]))
	if err != nil {
		return err
	}
	conn := tls.Client(raw, s.config)
	// Nothing is to be learned from closing: all that matters was read before.
	defer func() { _ = raw.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	if _, err := conn.Write(body); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if s.v["confirm"] == "none" {
		return nil
	}
	if _, err = io.Copy(io.Discard, io.LimitReader(conn, maxAnswer)); err == nil {
		// Behind close_notify comes the end of the connection: a reset when
		// the receiver's system had to throw away what was not read.
		_, err = io.Copy(io.Discard, io.LimitReader(raw, maxAnswer))
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return &Error{
			Class: Retry, Code: "not_closed", Err: err,
			Message: "The receiver took the events but did not close the connection, so it is not known whether it has read them. " +
				"They will be sent again. If it never closes, set confirmation to none.",
		}
	}
	return err
}

// appendMessage appends one message without its length.
func (s *syslog) appendMessage(dst []byte, b *Batch, ev *Event) []byte {
	const priority = "<110>1 " // 13*8 + 6
	dst = append(dst, priority...)
	dst = ev.OccurredAt.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(append(append(dst, ' '), s.hostname...), ' ')
	dst = append(append(dst, s.v["app_name"]...), " - "...)
	switch {
	case b.Checkpoint != nil:
		dst = append(dst, "checkpoint"...)
	case b.Test:
		dst = append(dst, "test"...)
	default:
		dst = append(dst, "event"...)
	}
	sd := s.v["structured_data"]
	if sd == "" {
		sd = "-"
	}
	return append(append(append(append(dst, ' '), sd...), ' '), ev.Encoded...)
}

// checkField accepts a field of a syslog header: visible ASCII, at most n bytes.
func checkField(n int) func(string) error {
	return func(value string) error {
		if len(value) > n {
			return errors.New("must be at most " + strconv.Itoa(n) + " bytes")
		}
		return checkWord(value)
	}
}

func checkStructuredData(value string) error {
	if err := checkPrintable(value); err != nil {
		return err
	}
	if len(value) > 1024 || !strings.HasPrefix(value, "[") || !strings.HasSuffix(value, "]") {
		return errors.New("must be elements such as [token@41058 tag=\"audit\"], at most 1024 bytes")
	}
	return nil
}
