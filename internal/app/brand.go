package app

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/stelehq/stele/internal/web"
)

// brand is how the pages look. Errors name the setting.
func (c *Config) brand() (web.Brand, error) {
	b := web.Brand{ProductName: c.ProductName, Accent: c.Accent, FrameAncestors: c.FrameAncestors}
	if err := b.Validate(); err != nil {
		if bad, ok := errors.AsType[*web.BrandError](err); ok {
			flag := map[string]string{"ProductName": "--product-name", "Accent": "--accent", "FrameAncestors": "--frame-ancestors"}[bad.Field]
			return b, fmt.Errorf("%s: %w", flag, bad.Err)
		}
		return b, err
	}
	if c.ProductLogo == "" {
		return b, nil
	}
	data, err := readAtMost(c.ProductLogo, web.MaxLogoBytes+1)
	if err != nil {
		return b, fmt.Errorf("--product-logo: %w", err)
	}
	if b.Logo, err = web.ParseLogo(data); err != nil {
		return b, fmt.Errorf("--product-logo: %s %w", c.ProductLogo, err)
	}
	return b, nil
}

// readAtMost reads the beginning of a file.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, errors.Join(err, f.Close())
}

// proxies are the addresses of TrustedProxies: single ones, or networks.
func (c *Config) proxies() ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(c.TrustedProxies))
	for _, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			at, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("--trusted-proxies: %q is no address such as 10.0.0.1 or 10.0.0.0/8", text)
			}
			network = netip.PrefixFrom(at.WithZone(""), at.BitLen())
		}
		out = append(out, network.Masked())
	}
	return out, nil
}
