package schema_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

// accepts says whether a string of a format may be text.
func accepts(t testing.TB, format, text string) bool {
	t.Helper()
	s := schema.Schema{Action: "a.b", Version: 1, Metadata: &schema.Property{
		Type: schema.TypeObject, Properties: map[string]*schema.Property{"x": {Type: schema.TypeString, Format: format}},
	}}
	ev := audit.Event{
		Action: "a.b", Version: 1, OccurredAt: clock(), Actor: audit.Actor{Type: "user", ID: "1"}, Metadata: audit.Metadata{"x": text},
	}
	return registered(t, s).Check(toEvent(t, ev)) == nil
}

func TestFormats(t *testing.T) {
	tests := map[string]struct{ good, bad []string }{
		"date":      {[]string{"2026-03-01", "2024-02-29"}, []string{"", "2026-3-1", "2026-02-29", "2026-03-01Z", "20260301", "2026-03-0\""}},
		"date-time": {[]string{"2026-03-01T09:30:00Z", "2026-03-01T09:30:00.123456789+02:00"}, []string{"", "2026-03-01", "2026-03-01T09:30:00", "2026-03-01 09:30:00Z", "2026-03-01T24:00:00Z", "2026-03-01T9:30:00Z", "2026-03-01T09:30:00,5Z", "2026-03-01T09:30:00+24:00", "2026-03-01T09:30:00+0200"}},
		"email":     {[]string{"a@b", "amara.lindqvist+x@mail.example.com", "ä@bücher.example", "o'hara@example.com"}, []string{"", "a", "@b", "a@", "a@b@c", ".a@b.c", "a.@b.c", "a..b@c.d", "a b@c.d", "\"a\"@b.c", "a@-b.c", "a@b..c", strings.Repeat("a", 65) + "@b.c"}},
		"hostname":  {[]string{"a", "status.example.com", "1.example", "xn--bcher-kva.example"}, []string{"", ".", "a.", "a..b", "-a", "a-", "a_b", "a b", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"}},
		"ip":        {[]string{"203.0.113.7", "2001:db8::7"}, []string{"", "203.0.113", "2001:db8", "example.com"}},
		"ipv4":      {[]string{"0.0.0.0", "255.255.255.255"}, []string{"", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "::1", "1..2.3"}},
		"ipv6":      {[]string{"::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:203.0.113.7", "1:2:3:4:5:6:203.0.113.7", "1::203.0.113.7"}, []string{"", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "fe80::1%eth0", "1.2.3.4::", "1.2.3.4", "1:2:3:4:5:6:7::8", "::1.2.3.4:5"}},
		"uri":       {[]string{"https://example.com/a?b=c#d", "mailto:a@example.com", "urn:isbn:0451450523", "https://example.com/%C3%A4"}, []string{"", "example.com", "//example.com", "1http:x", "https:", "https://exa mple.com", "https://example.com/%zz", "https://example.com/ä", "https://example.com/\"", "https://example.com/\\"}},
		"uuid":      {[]string{"5f0c1b0a-8a3e-4b52-9d5d-3f9f6f6f2c11", "5F0C1B0A-8A3E-4B52-9D5D-3F9F6F6F2C11"}, []string{"", "5f0c1b0a8a3e4b529d5d3f9f6f6f2c11", "5f0c1b0a-8a3e-4b52-9d5d-3f9f6f6f2c1g", "{5f0c1b0a-8a3e-4b52-9d5d-3f9f6f6f2c}"}},
	}
	for _, name := range schema.Formats() {
		tt, ok := tests[name]
		if !ok {
			t.Errorf("format %s has no examples here", name)
		}
		for _, text := range tt.good {
			if !accepts(t, name, text) {
				t.Errorf("%s: %q is refused", name, text)
			}
		}
		for _, text := range tt.bad {
			if accepts(t, name, text) {
				t.Errorf("%s: %q is accepted", name, text)
			}
		}
	}
}

func TestAddressesAgreeWithNetip(t *testing.T) {
	pieces := rapid.SampledFrom([]string{":", "::", ".", "0", "1", "ff", "1234", "12345", "203.0.113.7", "255", "256", "00", "g"})
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(pieces, 1, 16).Draw(rt, "pieces"), "")
		ip, err := netip.ParseAddr(text)
		if got, want := accepts(t, "ipv4", text), err == nil && ip.Is4(); got != want {
			rt.Fatalf("ipv4 %q: %v, netip says %v", text, got, want)
		}
		if got, want := accepts(t, "ipv6", text), err == nil && ip.Is6(); got != want {
			rt.Fatalf("ipv6 %q: %v, netip says %v", text, got, want)
		}
	})
}

func TestAddressesOfEveryKind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := [16]byte(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xff}), 16, 16).Draw(rt, "bytes"))
		if text := netip.AddrFrom16(raw).String(); !accepts(t, "ipv6", text) {
			rt.Fatalf("ipv6 %q is refused", text)
		}
	})
}

func TestTimesAgreeWithTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := time.Unix(rapid.Int64Range(-6e10, 2e11).Draw(rt, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(rt, "ns")).UTC()
		if text := at.Format(time.RFC3339Nano); !accepts(t, "date-time", text) {
			rt.Fatalf("date-time %q is refused", text)
		}
		if text := at.Format(time.DateOnly); !accepts(t, "date", text) {
			rt.Fatalf("date %q is refused", text)
		}
	})
}
