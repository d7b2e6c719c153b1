// Package egress connects to addresses that customers give: log streams and
// notices. A customer must not reach through the server what only the server can
// reach, so the address that is really dialed is judged, after names have been
// resolved and before a packet leaves (a name that resolves to something else the
// second time gains nothing), and the operator alone opens exceptions.
//
// What is made here follows no redirects, knows no proxies (one would hide the
// address), speaks TLS 1.2 or later, and bounds time and bytes.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ConnectTimeout bounds resolving and connecting, all addresses of a name
// together.
const ConnectTimeout = 10 * time.Second

// Guard decides what may be connected to. It is immutable and may be used
// concurrently.
type Guard struct {
	blocks   []block
	prefixes []netip.Prefix
	// hosts are "host:port" and "host:*", lower case.
	hosts map[string]bool
	// resolver is the system's when nil.
	resolver *net.Resolver
}

// New makes a guard with the operator's allow-list. An entry is a range
// (10.1.0.0/16), an address (10.1.2.3), or a name or address with a port
// (splunk.corp.example:8088, [fd00::1]:443; the port may be *).
//
// A range opens what lies in it but for link-local addresses and the metadata
// services of clouds: those are opened by naming the very address. An entry with
// a name opens whatever that name resolves to, with the same exception; the
// operator thereby trusts who answers for the name.
func New(allow []string) (*Guard, error) {
	g := &Guard{blocks: blocks(), hosts: map[string]bool{}}
	for _, entry := range allow {
		if err := g.allow(strings.TrimSpace(entry)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *Guard) allow(entry string) error {
	if p, err := netip.ParsePrefix(entry); err == nil {
		if p != p.Masked() {
			return fmt.Errorf("egress allow-list: %q has bits set after its length: write %s", entry, p.Masked())
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("egress allow-list: %q: write the IPv4 range itself", entry)
		}
		g.prefixes = append(g.prefixes, p)
		return nil
	}
	if a, err := netip.ParseAddr(entry); err == nil {
		a = plain(a)
		g.prefixes = append(g.prefixes, netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil || host == "" || strings.ContainsAny(host, "/*@ ") || port != "*" && !isPort(port) {
		return fmt.Errorf("egress allow-list: %q is neither a range (10.1.0.0/16) nor an address nor a name with a port "+
			"(splunk.corp.example:8088)", entry)
	}
	g.hosts[hostKey(host, port)] = true
	return nil
}

// Refused is the error for an address that the guard does not connect to.
type Refused struct {
	// Host is the name or address that was asked for, with its port.
	Host string
	// Addr is what it resolved to. It is for the operator, who may read how
	// names resolve inside the network; Error does not say it.
	Addr netip.Addr
	// What is what kind of address that is, such as "a private address".
	What string
}

// Error says what was refused and who can change that.
func (e *Refused) Error() string {
	return fmt.Sprintf("%s is %s, and this server does not connect to those. "+
		"Whoever runs it can open the address with its egress allow-list.", e.Host, e.What)
}

// Dial connects to a TCP address, as net.Dialer.DialContext does. A refusal is a
// *[Refused] in the error's chain.
func (g *Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &Refused{Host: address, What: "no TCP address (" + network + ")"}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	named := g.hosts[hostKey(host, port)] || g.hosts[hostKey(host, "*")]
	d := net.Dialer{
		Timeout:  ConnectTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, network, resolved string, _ syscall.RawConn) error {
			return g.judge(network, address, resolved, named)
		},
	}
	return d.DialContext(ctx, network, address)
}

// judge says whether an address may be connected to, the moment before it is.
func (g *Guard) judge(network, asked, resolved string, named bool) error {
	if network != "tcp4" && network != "tcp6" {
		return &Refused{Host: asked, What: "no TCP address (" + network + ")"}
	}
	ap, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return &Refused{Host: asked, What: "no TCP address"}
	}
	return g.check(asked, ap.Addr(), named)
}

// Check says whether an address may be connected to: nil or a *[Refused]. Host is
// what it was asked for by, for the error.
func (g *Guard) Check(host string, a netip.Addr) error { return g.check(host, a, false) }

func (g *Guard) check(host string, a netip.Addr, named bool) error {
	a = plain(a)
	b := g.special(a)
	if b.what == "" || named && !b.exact {
		return nil
	}
	for _, p := range g.prefixes {
		if p.Contains(a) && (!b.exact || p.IsSingleIP()) {
			return nil
		}
	}
	return &Refused{Host: host, Addr: a, What: b.what}
}

// CheckHost judges an address as soon as a customer gives it, when it is written
// as an IP address: a name is only judged when it is dialed. The address is
// "host:port".
func (g *Guard) CheckHost(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil //nolint:nilerr // a name: what it resolves to is judged when it is dialed
	}
	return g.check(address, a, g.hosts[hostKey(host, port)] || g.hosts[hostKey(host, "*")])
}

// AsRefused returns the refusal in an error's chain.
func AsRefused(err error) (*Refused, bool) { return errors.AsType[*Refused](err) }

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// hostKey is how entries with a port are compared: names in lower case and
// without the dot of the root, addresses in their one form.
func hostKey(host, port string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = plain(a).String()
	}
	return net.JoinHostPort(host, port)
}
