package demo

import (
	"fmt"
	"time"
)

// client is a program people use, with the version it has at a time: browsers
// update themselves every four weeks.
type client struct {
	browser string
	system  string
}

// release is the number of the release current at a time when one came out every
// four weeks since the first.
func release(number int, first, at time.Time) int {
	return number + int(at.Sub(first)/(28*24*time.Hour))
}

func (c client) userAgent(at time.Time) string {
	autumn := time.Date(2025, time.September, 15, 0, 0, 0, 0, time.UTC)
	n := release(140, autumn, at)
	switch c.browser {
	case "chrome":
		return fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", c.system, n)
	case "edge":
		return fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36 Edg/%d.0.0.0", c.system, n, n)
	case "firefox":
		return fmt.Sprintf("Mozilla/5.0 (%s; rv:%d.0) Gecko/20100101 Firefox/%d.0", c.system, n+3, n+3)
	case "safari":
		return fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.%d Safari/605.1.15", c.system, max(0, n-140)/2)
	default:
		return fmt.Sprintf("%s/6.%d.%d (%s)", c.browser, max(0, n-132), n%3, c.system)
	}
}

const (
	macOS   = "Macintosh; Intel Mac OS X 10_15_7"
	windows = "Windows NT 10.0; Win64; x64"
	linux   = "X11; Linux x86_64"
)

func (s *sim) desktop() client {
	return pick(s, []client{
		{"chrome", macOS},
		{"chrome", macOS},
		{"chrome", macOS},
		{"chrome", windows},
		{"chrome", linux},
		{"firefox", macOS},
		{"firefox", linux},
		{"safari", macOS},
		{"safari", macOS},
		{"edge", windows},
	})
}

func (s *sim) phone() client {
	return pick(s, []client{
		{"ResponderMobile", "iPhone; iOS 26.1; Scale/3.00"},
		{"ResponderMobile", "iPhone; iOS 18.7; Scale/3.00"},
		{"ResponderMobile", "Android 16; Pixel 9"},
		{"ResponderMobile", "Android 15; SM-S921B"},
	})
}

// agents are the programs that act on their own, each a thing with an API key,
// and what the product does without being asked.
type agents struct {
	terraform, catalogSync, warehouse, deploys, scim, backup *thing
	leaked                                                   *thing // a key that ends up where it should not
}

// origin is where something comes from.
type origin struct {
	location, userAgent string
}

func fromProgram(location, userAgent string) origin { return origin{location, userAgent} }

// fromProduct is the origin of what the product itself does.
func fromProduct() origin { return origin{location: "192.0.2.10"} }

// from returns where a person works from at a time: the office or home, or the
// phone when it is neither the time for the one nor the other.
func (s *sim) from(p *person, at time.Time) origin {
	local := at.Add(p.office.zone).UTC()
	working := busy(local) > 0.5 && local.Hour() >= 8 && local.Hour() < 19
	switch {
	case working && s.odds(45):
		return origin{pick(s, p.office.egress), p.desktop.userAgent(at)}
	case !working && s.odds(40):
		return s.fromPhone(p, at)
	default:
		return origin{p.home, p.desktop.userAgent(at)}
	}
}

func (s *sim) fromPhone(p *person, at time.Time) origin {
	if s.odds(40) {
		return origin{p.home, p.phone.userAgent(at)}
	}
	return origin{p.mobile, p.phone.userAgent(at)}
}
