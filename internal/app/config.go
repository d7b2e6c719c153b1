// Package app puts the server together: it opens the store, wires everything
// that reads and writes it, and serves the HTTP surfaces. The command line and
// tests of the whole start the same App.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/egress"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/web"
)

// Config is every setting of a server. The tags are the command line's and the
// environment's names for it.
type Config struct {
	// Data is the data directory: database, checkpoint key and export files.
	Data string `help:"Data directory: database, checkpoint key, export files. Made (mode 0700) when missing." env:"STELE_DATA" type:"path" required:"" placeholder:"DIR"`
	// Listen is the address to serve on.
	Listen string `help:"Address to serve on." env:"STELE_LISTEN" default:"127.0.0.1:8420" placeholder:"HOST:PORT"`
	// Name is the server's name: the origin of every organization's log is
	// <name>/<organization>. It is fixed when the checkpoint key is made.
	Name string `help:"Name of the server, the first part of every log's origin; like audit.example.com. Fixed at the first start (then stele.local when not given); another one later is an error." env:"STELE_NAME" placeholder:"NAME"`
	// PublicURL is how clients reach the server, for links it hands out.
	PublicURL string `help:"Address under which clients reach the server, for the links it hands out; http://LISTEN when not given." env:"STELE_PUBLIC_URL" placeholder:"URL"`
	// RootKey is the text of the root API key. Without it one is made at the
	// first start and shown once.
	RootKey string `help:"Root API key, at least 24 characters. Without it one is made and printed at the first start. Best set in the environment." env:"STELE_ROOT_KEY" placeholder:"KEY"`
	// SchemaMode says what happens to events whose action is not registered.
	SchemaMode string `help:"Events of unregistered actions: strict refuses them, warn records and flags them, open records them." env:"STELE_SCHEMA_MODE" enum:"strict,warn,open" default:"warn"`
	// IdempotencyWindow is how long an idempotency key is remembered.
	IdempotencyWindow time.Duration `help:"How long an idempotency key is remembered, 24h or more." env:"STELE_IDEMPOTENCY_WINDOW" default:"168h" placeholder:"DURATION"`
	// ExportKeep is how long the file of an export can be downloaded.
	ExportKeep time.Duration `help:"How long the file of an export is kept." env:"STELE_EXPORT_KEEP" default:"168h" placeholder:"DURATION"`
	// SessionLife is how long a person who came with a portal link stays in; 0
	// is auth.DefaultSessionLife.
	SessionLife time.Duration `help:"How long a person who opened a portal link stays signed in, 5m to 720h." env:"STELE_SESSION_LIFE" default:"8h" placeholder:"DURATION"`
	// ProductName is the product's name on the pages.
	ProductName string `help:"Name of the product, shown on the pages." env:"STELE_PRODUCT_NAME" placeholder:"NAME"`
	// ProductLogo is a file with the product's logo.
	ProductLogo string `help:"Logo of the product (PNG, JPEG, WebP or SVG, up to 256 KiB), shown on the pages before its name." env:"STELE_PRODUCT_LOGO" type:"path" placeholder:"FILE"`
	// Accent is the colour of what can be clicked on the pages.
	Accent string `help:"Colour of links and buttons on the pages, such as '#2f5fd0'; made darker or lighter where it would not be legible." env:"STELE_ACCENT" placeholder:"COLOUR"`
	// FrameAncestors are the sites that may show the pages in a frame.
	FrameAncestors []string `help:"Sites that may show the pages in a frame, such as https://app.example.com or https://*.example.com; none when not given." env:"STELE_FRAME_ANCESTORS" placeholder:"ORIGIN,..."`
	// TrustedProxies are believed when they say where a request comes from.
	TrustedProxies []string `help:"Addresses of proxies in front of the server, such as 10.0.0.0/8: their X-Forwarded-For says where people are, in entries about what they do on the pages." env:"STELE_TRUSTED_PROXIES" placeholder:"ADDRESS,..."`
	// CacheMiB is the size of the caches of what was read: half of it as it is
	// stored, half decoded.
	CacheMiB int `name:"cache-mib" help:"Memory for caches of what was read, in MiB: half as stored, half decoded." env:"STELE_CACHE_MIB" default:"128" placeholder:"MIB"`
	// ReserveMiB is the free disk space below which events are refused.
	ReserveMiB int `name:"reserve-mib" help:"Free disk space below which events are refused, in MiB, so that reading and retention still work." env:"STELE_RESERVE_MIB" default:"256" placeholder:"MIB"`
	// TLSCert and TLSKey serve HTTPS.
	TLSCert string `name:"tls-cert" help:"Certificate file (PEM) to serve HTTPS with; needs --tls-key." env:"STELE_TLS_CERT" type:"path" placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"Private key file (PEM) of the certificate." env:"STELE_TLS_KEY" type:"path" placeholder:"FILE"`

	// StreamKeyFile and StreamKeys hold the keys that encrypt the secrets of
	// log streams; see stream.ParseKeyring. Without either one is made.
	StreamKeyFile string `help:"File with the keys that encrypt the secrets of log streams, the first of which is used; DATA/stream.keys when not given, made when there is none." env:"STELE_STREAM_KEY_FILE" type:"path" placeholder:"FILE"`
	StreamKeys    string `help:"The keys themselves instead of a file. Best set in the environment." env:"STELE_STREAM_KEYS" placeholder:"ID:KEY"`
	// StreamAllow opens addresses to log streams that are refused otherwise.
	StreamAllow []string `help:"What log streams may connect to beside public addresses: a range (10.1.0.0/16), an address, or a name with a port (splunk.corp.example:8088). Repeatable, or separated by commas." env:"STELE_STREAM_ALLOW" placeholder:"ADDRESS"`
	// StreamMaxInFlightMiB bounds the memory of batches being sent; 0 is 64.
	StreamMaxInFlightMiB int `name:"stream-max-in-flight-mib" help:"Memory for batches that log streams are sending, in MiB." env:"STELE_STREAM_MAX_IN_FLIGHT_MIB" default:"64" placeholder:"MIB"`
	// NotifyWebhook is told how log streams fare, signed with NotifySecret.
	NotifyWebhook string `help:"URL that is told when a log stream changes its state or lags more than its limit; signed as Standard Webhooks says. Needs --notify-secret." env:"STELE_NOTIFY_WEBHOOK" placeholder:"URL"`
	NotifySecret  string `help:"Secret that notices are signed with: whsec_ and 24 to 64 bytes in base64. Best set in the environment." env:"STELE_NOTIFY_SECRET" placeholder:"SECRET"`

	// WitnessPolicy is a file that names the witnesses of every log.
	WitnessPolicy string `help:"File that names witnesses, which counter-sign the checkpoints of every log, and how many of them suffice (C2SP tlog-policy, with the address of each)." env:"STELE_WITNESS_POLICY" type:"path" placeholder:"FILE"`
	// WitnessEvery is how often logs that have grown are witnessed.
	WitnessEvery time.Duration `help:"How often the witnesses are asked about logs that have grown." env:"STELE_WITNESS_EVERY" default:"1m" placeholder:"DURATION"`

	// Now is the clock; time.Now when nil. For tests and the demo.
	Now func() time.Time `kong:"-"`
	// ShowKey shows the operator the root key that is made when no key opens
	// the server; without it none is made.
	ShowKey func(key string) error `kong:"-"`
	// Version is this program's, which events sent to streams name.
	Version string `kong:"-"`
	// Logger takes the log; discarded when nil.
	Logger *slog.Logger `kong:"-"`

	// WrapEngine, when set, stands between the store and what searches it. For
	// tests of what people see when a search fails.
	WrapEngine func(search.Engine) search.Engine `kong:"-"`

	// demo is set while the demo is served.
	demo *web.Demo
	// unsynced is set while the demo is made: see pebblestore.Config.
	unsynced bool
	// uncompressed is set by tests: see pebblestore.Config.
	uncompressed bool
}

// minIdempotencyWindow is what the WorkOS routes promise.
const minIdempotencyWindow = 24 * time.Hour

// A session shorter than a link's life helps nobody; one of more than a month is
// a key, and there are keys for that.
const (
	minSessionLife = 5 * time.Minute
	maxSessionLife = 30 * 24 * time.Hour
)

// Validate says what is wrong with the settings, by their command line names.
// The command line calls it before it starts anything.
func (c *Config) Validate() error {
	if c.RootKey != "" && len(c.RootKey) < auth.MinRootKeyBytes {
		return fmt.Errorf("--root-key: has %d characters; use %d or more, such as \"sk_\" and the output of: openssl rand -hex 24", len(c.RootKey), auth.MinRootKeyBytes)
	}
	if c.IdempotencyWindow < minIdempotencyWindow {
		return fmt.Errorf("--idempotency-window: %s is less than %s, which clients rely on", c.IdempotencyWindow, minIdempotencyWindow)
	}
	if c.ExportKeep < time.Hour {
		return errors.New("--export-keep: less than an hour leaves no time to download")
	}
	if c.SessionLife != 0 && (c.SessionLife < minSessionLife || c.SessionLife > maxSessionLife) {
		return fmt.Errorf("--session-life: %s must be %s to %s", c.SessionLife, minSessionLife, maxSessionLife)
	}
	if c.CacheMiB < 1 || c.ReserveMiB < 0 {
		return errors.New("--cache-mib must be 1 or more, --reserve-mib 0 or more")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if _, err := schema.ParseMode(c.SchemaMode); err != nil {
		return fmt.Errorf("--schema-mode: %w", err)
	}
	if c.WitnessPolicy != "" && c.WitnessEvery < time.Second {
		return fmt.Errorf("--witness-every: %s is less than a second", c.WitnessEvery)
	}
	if err := c.validateStreams(); err != nil {
		return err
	}
	if err := c.validatePublicURL(); err != nil {
		return err
	}
	if _, err := c.brand(); err != nil {
		return err
	}
	_, err := c.proxies()
	return err
}

// minInFlightMiB is room for a few batches of the largest kind.
const minInFlightMiB = 8

func (c *Config) validateStreams() error {
	if c.StreamKeyFile != "" && c.StreamKeys != "" {
		return errors.New("--stream-key-file and --stream-keys: give one of them")
	}
	if c.StreamKeys != "" {
		if _, err := stream.ParseKeyring(c.StreamKeys); err != nil {
			return fmt.Errorf("--stream-keys: %w", err)
		}
	}
	if _, err := egress.New(c.StreamAllow); err != nil {
		return fmt.Errorf("--stream-allow: %w", err)
	}
	if n := c.StreamMaxInFlightMiB; n != 0 && n < minInFlightMiB || n > 1<<20 {
		return fmt.Errorf("--stream-max-in-flight-mib must be %d or more", minInFlightMiB)
	}
	if (c.NotifyWebhook == "") != (c.NotifySecret == "") {
		return errors.New("--notify-webhook and --notify-secret go together")
	}
	if c.NotifyWebhook == "" {
		return nil
	}
	if u, err := url.Parse(c.NotifyWebhook); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("--notify-webhook: must be an http:// or https:// URL")
	}
	_, err := noticeKey(c.NotifySecret)
	return err
}

func (c *Config) validatePublicURL() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return fmt.Errorf("--public-url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("--public-url: %q must be http:// or https:// and a host, nothing more", c.PublicURL)
	}
	return nil
}
