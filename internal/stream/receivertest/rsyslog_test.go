package receivertest

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream/sink"
)

// rsyslog is one that takes messages over TLS and writes each on a line.
type rsyslog struct {
	program
	cert certificate
	port string
	out  string
}

func newRsyslog(t *testing.T) *rsyslog {
	t.Helper()
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		path = "/usr/sbin/rsyslogd" // not in everybody's path
	}
	dir := t.TempDir()
	r := &rsyslog{cert: newCertificate(t), out: filepath.Join(dir, "out.log")}
	address, port := freeAddress(t)
	r.port = port
	config := filepath.Join(dir, "rsyslog.conf")
	writeFile(t, config, fill(`
global(workDirectory="{dir}" maxMessageSize="128k" parser.escapeControlCharactersOnReceive="off"
  DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{cert}" DefaultNetstreamDriverCertFile="{cert}" DefaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="line" type="string" string="%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\n")
action(type="omfile" file="{out}" template="line" asyncWriting="off" flushOnTXEnd="on")
`, "dir", dir, "cert", r.cert.certFile, "key", r.cert.keyFile, "port", port, "out", r.out))
	r.program = program{t: t, name: path, args: []string{"-n", "-f", config, "-i", filepath.Join(dir, "pid")}, address: address}
	return r
}

// messages are the messages that have arrived, in order. What stands before them
// is the same in each but for the time.
func (r *rsyslog) messages() []string {
	r.t.Helper()
	var list []string
	for _, line := range wholeLines(r.t, r.out) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 8)
		if len(fields) != 8 {
			r.t.Fatalf("a line is %q", line)
		}
		if head := strings.Join(append(fields[:1:1], fields[2:7]...), "|"); head != "110|stele.example.com|stele|-|event|-" {
			r.t.Fatalf("before a message stands %q", head)
		}
		list = append(list, fields[7])
	}
	return list
}

func (r *rsyslog) settings() sink.Values {
	return sink.Values{"host": "127.0.0.1", "port": r.port, "ca_certificate": r.cert.pem, "max_message": "131072"}
}

// TestRsyslog delivers JSON to rsyslog over TLS.
func TestRsyslog(t *testing.T) {
	t.Parallel()
	r := newRsyslog(t)
	roundTrip(t, receiver{
		// rsyslog takes no year after 2099 in the header of a message.
		recent: true,
		kind:   "syslog", settings: r.settings(), start: r.start, stop: r.stop, received: r.messages, expected: (*scene).native,
	})
}

// TestCEF delivers CEF to rsyslog, and has liblognorm, which knows CEF for itself,
// read what arrived: it finds what the log says.
func TestCEF(t *testing.T) {
	t.Parallel()
	r := newRsyslog(t)
	s := roundTrip(t, receiver{
		recent: true,
		kind:   "syslog", format: "cef", settings: r.settings(), start: r.start, stop: r.stop, received: r.messages,
		expected: func(s *scene) []string { return s.formatted("cef") },
	})
	read := lognorm(t, r.messages())
	i, altered := 0, 0
	s.entries(func(e *event.Entry) {
		got := read[i]
		i++
		if got.Unread != "" {
			t.Fatalf("event %d: liblognorm cannot read %s", e.Seq, got.Unread)
		}
		says := strings.Split(got.F.Extensions["flexString1"], ",")
		for name, want := range wantCEF(e) {
			value := got.F.Extensions[name]
			if strings.HasPrefix(want, "{") || strings.HasPrefix(want, "[") {
				value, want = canonical(value), canonical(want)
			}
			switch {
			case slices.Contains(says, name):
				altered++
			case value != want:
				t.Errorf("event %d: %s is %q, want %q, and %q does not name it", e.Seq, name, value, want, says)
			}
		}
	})
	if i != len(read) || altered == 0 || altered > 500 {
		t.Errorf("%d events are read, want %d; %d fields are said to be altered", len(read), i, altered)
	}
}

// cef is what liblognorm makes of a line.
type cef struct {
	F struct {
		DeviceVendor, DeviceProduct, DeviceVersion, SignatureID, Name, Severity string
		Extensions                                                              map[string]string
	} `json:"f"`
	Unread string `json:"unparsed-data"`
}

// lognorm has liblognorm read lines of CEF.
func lognorm(t *testing.T, lines []string) []cef {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "lognormalizer", "-r", "testdata/cef.rulebase", "-e", "json")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("lognormalizer: %v", err)
	}
	var list []cef
	for line := range strings.Lines(string(out)) {
		var c cef
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, c)
	}
	return list
}

// wantCEF are extensions that an entry has to have, but for what the event itself
// says was altered.
func wantCEF(e *event.Entry) map[string]string {
	want := map[string]string{
		"externalId": e.ID.String(), "cn2": strconv.FormatUint(e.Seq, 10), "act": string(e.Action), "suid": string(e.Actor.ID),
		"suser": string(e.Actor.Name), "cs3": string(e.Actor.Type), "cs5": string(e.Metadata), "cs6": string(e.Actor.Metadata),
		"requestClientApplication": string(e.UserAgent), "rt": strconv.FormatInt(time.Unix(0, e.OccurredAt).UnixMilli(), 10),
		"cs1": organization, "dvchost": "stele.example.com",
	}
	maps.DeleteFunc(want, func(_, v string) bool { return v == "" })
	return want
}
