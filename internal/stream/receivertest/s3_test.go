package receivertest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
)

const bucket = "audit"

// s3Server is versitygw over a folder: it checks every signature. Objects are
// files.
type s3Server struct {
	program
	dir  string
	cert certificate
}

func newS3(t *testing.T) *s3Server {
	t.Helper()
	s := &s3Server{dir: t.TempDir(), cert: newCertificate(t)}
	if err := os.Mkdir(filepath.Join(s.dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	address, _ := freeAddress(t)
	s.program = program{
		t: t, name: receiverBinary(t, "versitygw"), address: address,
		args: []string{"--port", address, "--access", "testkey", "--secret", "testsecret12", "--cert", s.cert.certFile, "--key", s.cert.keyFile, "--quiet", "posix", s.dir},
	}
	return s
}

func (s *s3Server) settings(more ...string) sink.Values {
	v := sink.Values{
		"bucket": bucket, "endpoint": "https://" + s.address, "access_key_id": "testkey", "secret_access_key": "testsecret12",
		"ca_certificate": s.cert.pem, "prefix": "stele/audit",
	}
	for i := 0; i < len(more); i += 2 {
		v[more[i]] = more[i+1]
	}
	return v
}

// objects are the texts of the objects of organizations by name, unpacked.
func (s *s3Server) objects() map[string][]byte {
	return objectFiles(s.t, filepath.Join(s.dir, bucket))
}

// objectFiles are the texts of the objects of organizations by name, unpacked, of
// a server that keeps an object as a file below root.
func objectFiles(t *testing.T, root string) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		if err != nil || d.IsDir() || !strings.Contains("/"+name, "/org=") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".gz") {
			text = gunzip(t, text)
		}
		list[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// lines are those of all objects, in the order of their first seq.
func (s *s3Server) lines() []string { return objectLines(s.objects()) }

// objectLines are the lines of objects, in the order of their first seq, which
// their names begin with.
func objectLines(objects map[string][]byte) []string {
	var names, lines []string
	for name := range objects {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, name := range names {
		for line := range strings.Lines(string(objects[name])) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// TestS3 delivers to an S3 server that checks signatures, and lets what lies there
// be certified.
func TestS3(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	s := roundTrip(t, receiver{
		kind: "s3", settings: server.settings(), wrong: server.settings("secret_access_key", "wrongsecret12"), says: "SignatureDoesNotMatch",
		start: server.start, stop: server.stop, received: server.lines, expected: (*scene).native,
	})
	key := regexp.MustCompile(`^stele/audit/org=` + organization + `/dt=\d{4}-\d\d-\d\d/hour=\d\d/\d{20}-\d{20}\.\d+\.stream_[0-9A-Z]{26}\.ndjson\.gz$`)
	for name := range server.objects() {
		if !key.MatchString(name) {
			t.Errorf("object %s", name)
		}
	}
	id := certified(t, s)
	for name := range server.objects() {
		if err := os.Remove(filepath.Join(server.dir, bucket, name)); err != nil {
			t.Fatal(err)
		}
		break
	}
	if got := reconciled(t, s, id); got.Missing == 0 || len(got.Gaps) != 1 {
		t.Errorf("with an object removed: %+v", got)
	}
}

// certified holds that the scene's only stream, asked what lies at its destination,
// finds all of the log and nothing twice. It returns the stream's id.
func certified(t *testing.T, s *scene) string {
	t.Helper()
	all, err := s.streams.List(t.Context(), organization)
	if err != nil {
		t.Fatal(err)
	}
	if got := reconciled(t, s, all[0].ID); got.Expected != total || got.Missing != 0 || got.Duplicates != 0 || got.To != total-1 {
		t.Errorf("reconciled: %+v", got)
	}
	return all[0].ID
}

// reconciled is what comes of comparing what lies there with the log.
func reconciled(t *testing.T, s *scene, id string) *stream.Findings {
	t.Helper()
	r, err := s.streams.Reconcile(t.Context(), organization, id, stream.ReconcileSpec{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all is compared", func() bool {
		if r, err = s.streams.Reconciliation(t.Context(), organization, id, r.ID); err != nil {
			t.Fatal(err)
		}
		return r.State != stream.ReconciliationRunning
	}, func() string { return fmt.Sprintf("%+v", r) })
	if r.Found == nil {
		t.Fatalf("it ended as %+v", r)
	}
	return r.Found
}
