package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// DialFunc connects; [Guard.Dial] is one.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

const (
	tlsTimeout     = 10 * time.Second
	idleTimeout    = 90 * time.Second
	maxHeaderBytes = 64 << 10
	// pingAfter and pingTimeout find dead HTTP/2 connections: without them a
	// request waits for one until its own time is up.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// ErrCertificate is in the chain of errors about certificates and keys that a
// customer gave. Their texts name no part of a key.
var ErrCertificate = errors.New("certificate")

// TLS makes a configuration for a customer's settings, all PEM and each optional:
// the certificates of the authorities to trust instead of the system's, and a
// client certificate (with its chain) and its key.
func TLS(ca, cert, key []byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, certificateError("holds no certificate: paste the PEM text, from -----BEGIN CERTIFICATE----- to the end")
		}
	}
	switch {
	case len(cert) == 0 && len(key) == 0:
		return c, nil
	case len(cert) == 0:
		return nil, certificateError("a client key without a client certificate: give both or none")
	case len(key) == 0:
		return nil, certificateError("a client certificate without its key: give both or none")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, certificateError("the client certificate and key do not belong together, or are no unencrypted PEM")
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

type certificateFault string

func certificateError(text string) error        { return certificateFault(text) }
func (f certificateFault) Error() string        { return string(f) }
func (f certificateFault) Is(target error) bool { return target == ErrCertificate }

// Transport makes a transport over a dialer of this package. It sends no
// Accept-Encoding, so that nothing is inflated on the way in. headers bounds the
// time from the end of a request to the end of the answer's headers.
func Transport(dial DialFunc, config *tls.Config, headers time.Duration) *http.Transport {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Transport{
		Proxy:                  nil, // one would be the address that is judged
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headers,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// Client makes a client that hands redirects out as answers instead of following
// them.
func Client(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ReadBody reads at most limit bytes of an answer and closes it. more says that
// there was more. A body that is read to its end leaves the connection for the
// next request.
func ReadBody(body io.ReadCloser, limit int) (text []byte, more bool, err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	text, err = io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if len(text) > limit {
		return text[:limit], true, err
	}
	return text, false, err
}
