package words

import (
	"strings"

	"github.com/mileusna/useragent"
)

// Client is what a user agent says of itself. It can say anything.
type Client struct {
	// Program is a browser or another program, with its version.
	Program string
	// System is the operating system, Device the device, where they are told.
	System, Device string
	// Kind is "browser", "phone", "tablet", "bot" or "program".
	Kind string
}

// maxUserAgent is how much of a user agent is looked at: those of browsers have
// some 200 bytes.
const maxUserAgent = 1 << 10

// ReadUserAgent reads a user agent. ok is false when it makes no sense of it.
func ReadUserAgent(text string) (c Client, ok bool) {
	if len(text) > maxUserAgent {
		text = text[:maxUserAgent]
	}
	if !strings.HasPrefix(text, "Mozilla/") {
		return readProgram(text)
	}
	ua := useragent.Parse(text)
	if ua.Name == "" || len(ua.Name) > 64 || ua.OS == "" && !ua.Bot {
		return Client{}, false
	}
	c = Client{Program: withVersion(ua.Name, shortVersion(ua.Version)), System: system(&ua), Device: ua.Device, Kind: "browser"}
	switch {
	case ua.Bot:
		c.Kind = "bot"
	case ua.Tablet:
		c.Kind = "tablet"
	case ua.Mobile:
		c.Kind = "phone"
	}
	return c, true
}

func withVersion(name, version string) string {
	if version == "" {
		return name
	}
	return name + " " + version
}

// shortVersion drops the zeros at the end that browsers send instead of what
// would tell people apart: "142.0.0.0".
func shortVersion(v string) string {
	for strings.HasSuffix(v, ".0") {
		v = strings.TrimSuffix(v, ".0")
	}
	return v
}

// system names the operating system, and its version where it is not one that
// browsers have frozen.
func system(ua *useragent.UserAgent) string {
	v := ua.OSVersion
	switch {
	case ua.OS == useragent.Windows && (v == "10.0" || v == "10"):
		return "Windows 10 or later"
	case ua.OS == useragent.MacOS && (strings.HasPrefix(v, "10.15") || v == ""):
		return "macOS"
	case ua.OS == useragent.Android && (v == "10" || v == ""):
		return "Android"
	}
	return strings.TrimSpace(ua.OS + " " + v)
}

// readProgram reads the user agents of programs: "name/version (comment)".
func readProgram(text string) (Client, bool) {
	product, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	name, version, ok := strings.Cut(product, "/")
	if !ok || name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>\"'&", r) }) {
		return Client{}, false
	}
	c := Client{Program: withVersion(name, strings.TrimPrefix(version, "v")), Kind: "program"}
	if len(version) > 32 || Hides(version) {
		c.Program = name
	}
	lower := strings.ToLower(text)
	for _, os := range []struct{ word, name string }{{"android", "Android"}, {"darwin", "macOS"}, {"macos", "macOS"}, {"windows", "Windows"}, {"linux", "Linux"}} {
		if strings.Contains(lower, os.word) {
			c.System = os.name
			break
		}
	}
	return c, true
}
