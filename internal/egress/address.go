package egress

import "net/netip"

// block is a range of addresses that no customer may make the server connect to,
// with the words that say why.
type block struct {
	prefix netip.Prefix
	what   string
	// exact says that the operator must name such an address itself to open
	// it: a wide entry of the allow-list does not.
	exact bool
}

// blocks is what is refused: the special-purpose registries of IANA (RFC 6890
// and its updates), what embeds an IPv4 address in an IPv6 one, and where clouds
// serve credentials to their machines. The first one that holds an address says
// what it is. Of IPv6, everything outside 2000::/3 is refused besides.
//
// Addresses mapped from IPv4 (::ffff:0:0/96) are judged as the IPv4 address that
// the kernel connects to; those embedded in another way (6to4, NAT64, Teredo,
// compatible) are refused whatever they embed.
func blocks() []block {
	of := func(what string, exact bool, prefixes ...string) []block {
		list := make([]block, len(prefixes))
		for i, p := range prefixes {
			list[i] = block{netip.MustParsePrefix(p), what, exact}
		}
		return list
	}
	var all []block
	for _, list := range [][]block{
		of("a metadata service of a cloud", true,
			"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32",
			"192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"),
		of("a loopback address", false, "127.0.0.0/8", "::1/128"),
		of("no address to connect to", false, "0.0.0.0/8", "::/128"),
		of("a private address", false, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
		of("a link-local address", true, "169.254.0.0/16", "fe80::/10"),
		of("a shared address (carrier-grade NAT)", false, "100.64.0.0/10"),
		of("a multicast address", false, "224.0.0.0/4", "ff00::/8"),
		of("an address for documentation or measurements", false,
			"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32", "3fff::/20"),
		of("a reserved address", false,
			"192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24", "240.0.0.0/4",
			"2001::/23", "2620:4f:8000::/48", "100::/64", "5f00::/16"),
		of("an IPv4 address in the form of an IPv6 one", false,
			"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::ffff:0:0:0/96"),
	} {
		all = append(all, list...)
	}
	return all
}

// globalUnicast is all of IPv6 that is given out.
func globalUnicast() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

// Special says what kind of address no customer may reach a is, such as "a
// private address", or "" when it is an ordinary public one. A zone does not
// matter.
func (g *Guard) Special(a netip.Addr) string { return g.special(plain(a)).what }

func (g *Guard) special(a netip.Addr) block {
	for _, b := range g.blocks {
		if b.prefix.Contains(a) {
			return b
		}
	}
	if a.Is6() && !globalUnicast().Contains(a) {
		return block{what: "an address that is not given out"}
	}
	return block{}
}

// plain is the address that the kernel connects to, without its zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
