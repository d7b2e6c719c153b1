package sink

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/egress"
)

// tlsSettings are the settings of every destination that is reached over TLS.
func tlsSettings() []Setting {
	return []Setting{
		{
			Name: "ca_certificate", Label: "Certificate authority", Multiline: true, Advanced: true,
			Help: "The certificates (PEM) of the authority that issued the destination's certificate, if it is your own. " +
				"Only these are trusted then.",
			Example: "-----BEGIN CERTIFICATE-----", Check: checkCertificates,
		},
		{
			Name: "client_certificate", Label: "Client certificate", Multiline: true, Advanced: true,
			Help:    "The certificate (PEM, with its chain) that the destination asks for, if it does.",
			Example: "-----BEGIN CERTIFICATE-----", Check: checkCertificates, Expires: certificateEnd,
		},
		{
			Name: "client_key", Label: "Client key", Multiline: true, Advanced: true, Secret: true,
			Help:    "The private key of the client certificate (PEM, not encrypted).",
			Example: "-----BEGIN PRIVATE KEY-----", Check: checkPEM,
		},
	}
}

// withTLS appends the settings for TLS to a kind's own.
func withTLS(settings ...Setting) []Setting { return append(settings, tlsSettings()...) }

// checkTLS is the part of Kind.Check about the settings for TLS.
func checkTLS(v Values) error {
	if _, err := egress.TLS([]byte(v["ca_certificate"]), nil, nil); err != nil {
		return fieldFault("ca_certificate", err.Error())
	}
	if _, err := egress.TLS(nil, []byte(v["client_certificate"]), []byte(v["client_key"])); err != nil {
		return fieldFault("client_certificate", err.Error())
	}
	return nil
}

// certificateEnd is when the first certificate of a chain ends.
func certificateEnd(chain string) time.Time {
	for rest := []byte(chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return time.Time{}
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}
		}
		return ending(certificate.NotAfter)
	}
}

// ending is an end as it is shown: zero for what is no time of ours, and for the
// last day of 9999, which says that there is none (RFC 5280, 4.1.2.5).
func ending(at time.Time) time.Time {
	at = at.UTC()
	if at.Year() < 1 || at.Year() >= 9999 {
		return time.Time{}
	}
	return at
}

func fieldFault(name, text string) error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, name, "%s", text)
}

// checkCertificates wants certificates, and no key: they are shown to whoever may
// see the stream.
func checkCertificates(value string) error {
	if strings.Contains(value, "PRIVATE KEY-----") {
		return errors.New("holds a private key, and this setting is no secret: enter certificates alone, and the key as the client key")
	}
	return checkPEM(value)
}

func checkPEM(value string) error {
	if !strings.HasPrefix(strings.TrimSpace(value), "-----BEGIN ") {
		return errors.New("must be PEM text: from -----BEGIN to the end of the last -----END … -----")
	}
	return nil
}

// checkURL accepts an https URL without credentials or fragment.
func checkURL(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("must be a URL such as https://collector.example.com")
	case u.Scheme != "https":
		return errors.New("must begin with https://: events are not sent in the clear")
	case u.User != nil:
		return errors.New("must not hold a user name or password: there are settings for credentials")
	case u.Fragment != "":
		return errors.New("must not have a part after #")
	case u.Port() != "":
		return checkPort(u.Port())
	}
	return nil
}

// checkBaseURL is checkURL for a URL that a path is appended to.
func checkBaseURL(value string) error {
	if err := checkURL(value); err != nil {
		return err
	}
	if strings.Contains(value, "?") {
		return errors.New("must not have a part after ?")
	}
	return nil
}

func checkPort(value string) error {
	if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// checkHost accepts a name or an IP address, without a port.
func checkHost(value string) error {
	if net.ParseIP(strings.Trim(value, "[]")) != nil {
		return nil
	}
	if strings.ContainsAny(value, ":/@?#% []\\") {
		return errors.New("must be a host name or an IP address alone, such as collector.example.com")
	}
	return nil
}

// checkPrintable accepts visible ASCII and spaces, as values of HTTP headers are.
func checkPrintable(value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("must be letters, digits and signs of ASCII")
	}
	return nil
}

// checkWord accepts visible ASCII without spaces, as tokens and keys are.
func checkWord(value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("must not have spaces or signs outside ASCII: was it copied whole and alone?")
	}
	return nil
}

// checkRange makes a check for a whole number.
func checkRange(low, high int) func(string) error {
	return func(value string) error {
		if n, err := strconv.Atoi(value); err != nil || n < low || n > high {
			return errors.New("must be a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high))
		}
		return nil
	}
}

// number is a value that checkRange has accepted.
func (v Values) number(name string) int {
	n, err := strconv.Atoi(v[name])
	if err != nil {
		return 0
	}
	return n
}

// minutes is a number as a duration.
func (v Values) minutes(name string) time.Duration {
	return time.Duration(v.number(name)) * time.Minute
}

// newToken makes a random value of 128 bits in letters and digits.
func newToken() string { return rand.Text() }

const (
	yes = "yes"
	no  = "no"
)

// base is a URL setting without the slashes at its end.
func (v Values) base(name string) string { return strings.TrimRight(v[name], "/") }
