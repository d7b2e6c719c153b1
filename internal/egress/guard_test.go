package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func guard(t testing.TB, allow ...string) *Guard {
	t.Helper()
	g, err := New(allow)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWhatIsRefused(t *testing.T) {
	g := guard(t)
	for text, what := range map[string]string{
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "no address", "0.1.2.3": "no address", "::": "no address",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"fd12::1": "private", "fc00::1": "private", "::ffff:10.1.1.1": "private", "fec0::1": "private",
		"169.254.169.254": "metadata", "::ffff:169.254.169.254": "metadata", "fd00:ec2::254": "metadata",
		"100.100.100.200": "metadata", "168.63.129.16": "metadata", "169.254.170.2": "metadata",
		"169.254.1.1": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"100.64.0.1": "shared", "100.127.255.255": "shared",
		"224.0.0.1": "multicast", "239.1.1.1": "multicast", "ff02::1": "multicast",
		"255.255.255.255": "reserved", "240.0.0.1": "reserved", "192.0.0.8": "reserved", "2001::1": "reserved",
		"192.0.2.1": "documentation", "198.18.0.1": "documentation", "2001:db8::1": "documentation",
		"64:ff9b::a00:1": "IPv4", "64:ff9b:1::1": "IPv4", "2002:a00:1::1": "IPv4", "::10.0.0.1": "IPv4", "::ffff:0:a00:1": "IPv4",
		"4000::1": "not given out", "1::1": "not given out",
	} {
		err := g.Check("h:443", netip.MustParseAddr(text))
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want words with %q", text, err, what)
		}
	}
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "11.0.0.0",
		"192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2003::1", "::ffff:1.1.1.1",
	} {
		if err := g.Check("h:443", netip.MustParseAddr(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// anyAddr favours what lies in and around the blocks.
func anyAddr(g *Guard) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		case 1:
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		}
		p := g.blocks[rapid.IntRange(0, len(g.blocks)-1).Draw(t, "block")].prefix
		bytes := p.Addr().AsSlice()
		random := rapid.SliceOfN(rapid.Byte(), len(bytes), len(bytes)).Draw(t, "rest")
		for i := range bytes {
			keep := byte(0)
			if n := p.Bits() - 8*i; n >= 8 {
				keep = 0xff
			} else if n > 0 {
				keep = byte(0xff << (8 - n))
			}
			bytes[i] = bytes[i]&keep | random[i]&^keep
		}
		a, _ := netip.AddrFromSlice(bytes)
		switch rapid.IntRange(0, 4).Draw(t, "near") {
		case 0:
			if prev := a.Prev(); prev.IsValid() {
				return prev
			}
		case 1:
			if next := a.Next(); next.IsValid() {
				return next
			}
		}
		return a
	})
}

// TestStandardAgrees holds the table to what the standard library knows of
// addresses: whatever it names special is refused.
func TestStandardAgrees(t *testing.T) {
	g := guard(t)
	rapid.Check(t, func(t *rapid.T) {
		a := anyAddr(g).Draw(t, "addr")
		u := a.Unmap()
		special := u.IsPrivate() || u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsLinkLocalMulticast() ||
			u.IsInterfaceLocalMulticast() || u.IsMulticast() || u.IsUnspecified() || !u.IsGlobalUnicast()
		if special && g.Check("h:1", a) == nil {
			t.Fatalf("%s is let through", a)
		}
	})
}

// TestFormsOfAnAddress: no way of writing an IPv4 address as an IPv6 one reaches
// what the plain form does not.
func TestFormsOfAnAddress(t *testing.T) {
	g := guard(t)
	rapid.Check(t, func(t *rapid.T) {
		a := anyAddr(g).Filter(netip.Addr.Is4).Draw(t, "addr")
		four := a.As4()
		mapped := netip.AddrFrom16(a.As16())
		if (g.Check("h:1", a) == nil) != (g.Check("h:1", mapped) == nil) {
			t.Fatalf("%s and %s are judged differently", a, mapped)
		}
		if mapped = mapped.WithZone("x"); g.Check("h:1", a) != nil && g.Check("h:1", mapped) == nil {
			t.Fatalf("%s with a zone is let through", mapped)
		}
		for _, prefix := range []string{"::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"} {
			b := netip.MustParseAddr(prefix).As16()
			copy(b[12:], four[:])
			embedded := netip.AddrFrom16(b)
			if g.Check("h:1", embedded) == nil {
				t.Fatalf("%s is let through", embedded)
			}
		}
		b := netip.MustParseAddr("2002::1").As16()
		copy(b[2:], four[:])
		if g.Check("h:1", netip.AddrFrom16(b)) == nil {
			t.Fatalf("%s is let through", netip.AddrFrom16(b))
		}
	})
}

// TestAllowListOpensNoMore: a range opens what it holds, but for exact
// addresses, and nothing else.
func TestAllowListOpensNoMore(t *testing.T) {
	closed := guard(t)
	rapid.Check(t, func(t *rapid.T) {
		addrs := anyAddr(closed)
		base := plain(addrs.Draw(t, "base"))
		p, err := base.Prefix(rapid.IntRange(0, base.BitLen()).Draw(t, "bits"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Addr().Is4In6() {
			t.Skip("written as IPv4")
		}
		g, err := New([]string{p.String()})
		if err != nil {
			t.Fatal(err)
		}
		a := addrs.Draw(t, "addr")
		before, after := closed.Check("h:1", a) == nil, g.Check("h:1", a) == nil
		switch {
		case before && !after:
			t.Fatalf("%s was open and %s closes it", a, p)
		case !before && after && !p.Contains(plain(a)):
			t.Fatalf("%s opens %s", p, a)
		case !before && after && closed.special(plain(a)).exact && !p.IsSingleIP():
			t.Fatalf("%s opens %s, which has to be named itself", p, a)
		case !after && p.IsSingleIP() && p.Addr() == plain(a):
			t.Fatalf("%s does not open itself", p)
		}
	})
}

func TestAllowListEntries(t *testing.T) {
	for _, bad := range []string{"", "10.0.0.1/8", "10.0.0.0/33", "host", "host:0", "host:99999", "host:http", ":443", "*:443", "http://a:1", "::ffff:10.0.0.0/104"} {
		if _, err := New([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	g := guard(t, "Splunk.corp.example:8088", "minio.corp.example:*", "[fd00::1]:443", "169.254.169.254", " 10.1.0.0/16 ")
	for address, open := range map[string]bool{
		"10.1.2.3:1": true, "10.2.0.1:1": false, "[fd00::1]:443": true, "[fd00:0::1]:443": true, "[fd00::1]:444": false,
		"169.254.169.254:80": true, "169.254.169.253:80": false, "some.name:443": true,
	} {
		if err := g.CheckHost(address); (err == nil) != open {
			t.Errorf("%s: %v, want open=%v", address, err, open)
		}
	}
	private, metadata := netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("169.254.170.2")
	for host, want := range map[string]bool{
		"splunk.corp.example:8088": true, "SPLUNK.corp.example.:8088": true, "splunk.corp.example:443": false, "minio.corp.example:9000": true,
	} {
		h, p, _ := net.SplitHostPort(host)
		named := g.hosts[hostKey(h, p)] || g.hosts[hostKey(h, "*")]
		if named != want {
			t.Errorf("%s: named %v, want %v", host, named, want)
		}
		if named && (g.check(host, private, named) != nil || g.check(host, metadata, named) == nil) {
			t.Errorf("%s: a named host opens private addresses and no metadata service", host)
		}
	}
}

// TestDial connects for real: to loopback, which is refused and then opened in
// the three ways there are.
func TestDial(t *testing.T) {
	var accepted atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			shut(t, c)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", ""} {
		c, err := guard(t).Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			shut(t, c)
			t.Errorf("%q was connected to", host)
			continue
		}
		if _, ok := AsRefused(err); !ok {
			t.Errorf("%q: %v is no refusal", host, err)
		}
	}
	if n := accepted.Load(); n != 0 {
		t.Fatalf("%d connections arrived", n)
	}
	for _, allow := range []string{"127.0.0.0/8", "127.0.0.1", "127.0.0.1:" + port, "127.0.0.1:*"} {
		c, err := guard(t, allow).Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Errorf("allowed by %s: %v", allow, err)
			continue
		}
		shut(t, c)
	}
	for _, network := range []string{"unix", "udp", "ip4:icmp", "unixgram"} {
		if _, err := guard(t, "127.0.0.1:"+port).Dial(t.Context(), network, l.Addr().String()); err == nil {
			t.Errorf("network %s was dialed", network)
		}
	}
}

// TestRebinding: a name that is public when it is looked at and private when it
// is dialed is refused, because only what is dialed counts.
func TestRebinding(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var answer atomic.Value
	answer.Store([4]byte{1, 1, 1, 1})
	g := guard(t)
	g.resolver = fakeDNS(t, &answer)

	addrs, err := g.resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
	if err != nil || len(addrs) != 1 || g.Check("rebind.example", addrs[0]) != nil {
		t.Fatalf("first look: %v, %v", addrs, err)
	}
	answer.Store([4]byte{127, 0, 0, 1})
	_, err = g.Dial(t.Context(), "tcp4", net.JoinHostPort("rebind.example", port))
	refused, ok := AsRefused(err)
	if !ok || refused.Addr != netip.MustParseAddr("127.0.0.1") {
		t.Fatalf("%v is no refusal of 127.0.0.1", err)
	}
	if strings.Contains(refused.Error(), "127.0.0.1") {
		t.Errorf("%q tells how the name resolves in here", refused)
	}
	// The same name, opened by the operator.
	g = guard(t, "rebind.example:"+port)
	g.resolver = fakeDNS(t, &answer)
	c, err := g.Dial(t.Context(), "tcp4", net.JoinHostPort("rebind.example", port))
	if err != nil {
		t.Fatal(err)
	}
	shut(t, c)
}

// fakeDNS resolves every name to one IPv4 address.
func fakeDNS(t *testing.T, answer *atomic.Value) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, pc) })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) || n < 12 {
				return
			}
			end := 12
			for buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5
			r := append([]byte(nil), buf[:end]...)
			binary.BigEndian.PutUint16(r[2:], 0x8180)
			copy(r[4:], []byte{0, 1, 0, 1, 0, 0, 0, 0})
			a := answer.Load().([4]byte)
			r = append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			if _, err := pc.WriteTo(append(r, a[:]...), from); err != nil {
				return
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func shut(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
