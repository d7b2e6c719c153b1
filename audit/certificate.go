package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// certificateLine is how the first line of a destruction certificate ends, after
// the name of the log.
const certificateLine = " destruction certificate v1"

// CertificateStatement is what a destruction certificate states: that entries past
// their time were removed from a log, by which rules, and how many.
type CertificateStatement struct {
	// Origin is the name of the log: that of the server and the organization's id.
	Origin       string                  `json:"-"`
	ID           string                  `json:"id"`
	Organization CertificateOrganization `json:"organization"`
	// CreatedAt is when it was signed: the bytes were gone. DueAt is the moment by
	// which everything that went was past its time.
	CreatedAt time.Time `json:"created_at"`
	DueAt     time.Time `json:"due_at"`
	// Policy is the policy in words, Rules what was past its time by it.
	Policy string            `json:"policy"`
	Rules  []CertificateRule `json:"rules"`
	// FromSeq ≤ seq < ToSeq are the entries of which Removed went. Held is how
	// many beside them stayed under legal holds though they were past their time.
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	Removed uint64 `json:"removed"`
	Held    uint64 `json:"held"`
	// Oldest and Newest are the first and the last received_at of what went.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	// Server is the program that removed them.
	Server string `json:"server"`
}

// CertificateOrganization is whose log it is.
type CertificateOrganization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// CertificateRule is a class of entries that were past their time: those that the
// filter finds ("" for all) which were received before a time.
type CertificateRule struct {
	Entries        string    `json:"entries"`
	ReceivedBefore time.Time `json:"received_before"`
}

// IsCertificate reports whether a file looks like a destruction certificate. It
// says nothing about its signature.
func IsCertificate(data []byte) bool {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.HasSuffix(first, []byte(certificateLine))
}

// OpenCertificate checks the signature of a destruction certificate and returns
// what it states. Errors are *[VerifyError].
func (v *Verifier) OpenCertificate(signed []byte) (*CertificateStatement, error) {
	first, _, _ := strings.Cut(string(signed), "\n")
	origin, ok := strings.CutSuffix(first, certificateLine)
	if !ok {
		return nil, failed(CheckFormat, "this is no destruction certificate: its first line is %q", shorten(first))
	}
	text, err := v.OpenNote(signed, first)
	if err != nil {
		return nil, err
	}
	if _, err := decodeStrict([]byte(text)); err != nil {
		return nil, failed(CheckFormat, "the certificate cannot be read: %v", err)
	}
	c := &CertificateStatement{Origin: origin}
	if err := json.Unmarshal([]byte(text), c); err != nil {
		return nil, failed(CheckFormat, "the certificate cannot be read: %v", err)
	}
	if !strings.HasSuffix(origin, "/"+c.Organization.ID) {
		return nil, failed(CheckOrigin, "the certificate of the log %q is about the organization %q", origin, shorten(c.Organization.ID))
	}
	return c, nil
}
