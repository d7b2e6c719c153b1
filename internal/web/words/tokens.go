package words

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokens cuts a name such as "api_key", "apiKey" or "api-key" into words in
// lower case.
func tokens(name string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_' || r == '-' || unicode.IsSpace(r):
			flush()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])):
			flush() // apiKey, APIKey
		}
		word.WriteRune(r)
	}
	flush()
	return out
}

// segments cuts an action at its dots, or at what other products write there.
func segments(action string) []string {
	return strings.FieldsFunc(action, func(r rune) bool { return r == '.' || r == ':' || r == '/' })
}

// spellings are words that are not written in lower case, or not as they are.
var spellings = map[string]string{ //nolint:gochecknoglobals // a table that is only read
	"acl": "ACL", "ai": "AI", "api": "API", "apis": "APIs", "arn": "ARN", "aws": "AWS", "cidr": "CIDR", "cors": "CORS",
	"cpu": "CPU", "csv": "CSV", "dkim": "DKIM", "dmarc": "DMARC", "dns": "DNS", "fido": "FIDO", "fido2": "FIDO2",
	"gcp": "GCP", "gdpr": "GDPR", "gpg": "GPG", "gpu": "GPU", "hipaa": "HIPAA", "hris": "HRIS", "hsm": "HSM",
	"html": "HTML", "http": "HTTP", "https": "HTTPS", "iam": "IAM", "id": "ID", "idp": "IdP", "ids": "IDs",
	"imap": "IMAP", "ip": "IP", "ips": "IPs", "ipv4": "IPv4", "ipv6": "IPv6", "json": "JSON", "jwks": "JWKS",
	"jwt": "JWT", "kms": "KMS", "ldap": "LDAP", "llm": "LLM", "mcp": "MCP", "mfa": "MFA", "mtls": "mTLS",
	"oauth": "OAuth", "oauth2": "OAuth2", "oidc": "OIDC", "os": "OS", "otp": "OTP", "pdf": "PDF", "pgp": "PGP",
	"pii": "PII", "qr": "QR", "rbac": "RBAC", "rpc": "RPC", "saml": "SAML", "scim": "SCIM", "sdk": "SDK",
	"siem": "SIEM", "sla": "SLA", "slo": "SLO", "sms": "SMS", "smtp": "SMTP", "sql": "SQL", "ssh": "SSH",
	"ssl": "SSL", "sso": "SSO", "tls": "TLS", "totp": "TOTP", "ttl": "TTL", "ui": "UI", "uri": "URI", "url": "URL",
	"urls": "URLs", "uuid": "UUID", "vm": "VM", "vms": "VMs", "vpc": "VPC", "vpn": "VPN", "webauthn": "WebAuthn",
	"xml": "XML", "2fa": "2FA", "u2f": "U2F", "i": "I",
}

// compounds are pairs of words with a hyphen between them.
var compounds = map[string]bool{ //nolint:gochecknoglobals // a table that is only read
	"on call": true, "follow up": true, "sign in": true, "sign up": true, "sign out": true, "log in": true, "opt in": true,
	"opt out": true, "read only": true, "two factor": true, "multi factor": true, "single sign": true, "sign on": true,
	"co owner": true, "built in": true, "add on": true, "real time": true, "third party": true, "end user": true,
	"e mail": true, "check in": true, "stand by": true, "time off": true, "post incident": true,
}

// prefixes are parts of words that cannot stand alone.
var prefixes = map[string]bool{ //nolint:gochecknoglobals // a table that is only read
	"sub": true, "non": true, "multi": true, "anti": true, "inter": true, "co": true, "pre": true, "self": true,
}

// phrase writes words as people do.
func phrase(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(joiner(words[i-1], w))
		}
		if s, ok := spellings[w]; ok {
			w = s
		}
		b.WriteString(w)
	}
	return b.String()
}

func joiner(left, right string) byte {
	if compounds[left+" "+right] || prefixes[left] {
		return '-'
	}
	return ' '
}

// Readable writes a name such as a type or a key of metadata as people do:
// "api_key" as "API key".
func Readable(name string) string {
	var words []string
	for _, s := range segments(name) {
		words = append(words, tokens(s)...)
	}
	if len(words) == 0 {
		return name
	}
	return phrase(words)
}

// Title is Readable with a capital at its beginning.
func Title(name string) string {
	s := Readable(name)
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || strings.HasPrefix(s, "mTLS") {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// plural makes the last word of a noun plural.
func plural(noun []string) []string {
	if len(noun) == 0 {
		return noun
	}
	last := noun[len(noun)-1]
	out := append([]string(nil), noun...)
	out[len(out)-1] = pluralWord(last)
	return out
}

func pluralWord(w string) string {
	irregular := map[string]string{
		"person": "people", "child": "children", "status": "statuses", "address": "addresses", "access": "accesses", "alias": "aliases",
		"process": "processes", "branch": "branches", "series": "series", "metadata": "metadata", "index": "indexes", "bus": "buses",
	}
	switch {
	case irregular[w] != "":
		return irregular[w]
	case spellings[w] != "" && !strings.HasSuffix(w, "s"):
		spellings := spellings[w]
		return spellings + "s"
	case strings.HasSuffix(w, "ss"), strings.HasSuffix(w, "x"), strings.HasSuffix(w, "ch"), strings.HasSuffix(w, "sh"):
		return w + "es"
	case strings.HasSuffix(w, "s"):
		return w // settings, insights
	case strings.HasSuffix(w, "y") && len(w) > 1 && !strings.ContainsRune("aeiou", rune(w[len(w)-2])):
		return w[:len(w)-1] + "ies"
	}
	return w + "s"
}
