package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is where a request comes from: the network's address, or when
// that is a trusted proxy's, the last address in X-Forwarded-For that is not.
// Anything left of that anybody could have written.
func (p *pages) clientAddress(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at := from.Addr().Unmap().WithZone("")
	if !p.trusts(at) {
		return at.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, err := hopAddress(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		at = next.Unmap().WithZone("")
		if !p.trusts(at) {
			break
		}
	}
	return at.String()
}

// hopAddress reads an address in X-Forwarded-For, which some proxies write with a
// port or in brackets.
func hopAddress(hop string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(hop); err == nil {
		return at.Addr(), nil
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		hop = strings.TrimSuffix(inner, "]")
	}
	return netip.ParseAddr(hop)
}

func (p *pages) trusts(at netip.Addr) bool {
	return slices.ContainsFunc(p.TrustedProxies, func(net netip.Prefix) bool { return net.Contains(at) })
}
