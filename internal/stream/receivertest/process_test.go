package receivertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/egress"
)

// repository is its root, from here.
const repository = "../../.."

// receiverBinary is where make deps has built a receiver.
func receiverBinary(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, "bin", runtime.Version(), name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: run make deps (%v)", name, err)
	}
	return path
}

// program is a receiver in a process of its own.
type program struct {
	t    *testing.T
	name string
	args []string
	env  []string
	dir  string
	// address is where it answers once it is up.
	address string

	cmd    *exec.Cmd
	output bytes.Buffer // of the process that runs; read after exited
	exited chan struct{}
}

// start runs it and waits until it can be connected to. It ends with the test.
func (p *program) start() {
	p.t.Helper()
	p.output.Reset()
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Dir, p.cmd.Env = p.dir, append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// A test that is killed takes its receivers with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	exited := make(chan struct{})
	p.exited = exited
	cmd := p.cmd
	go func() {
		_ = cmd.Wait() // how it ended is of no interest
		close(exited)
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	waitFor(p.t, p.name+" listens", func() bool {
		select {
		case <-exited:
			p.t.Fatalf("%s ended at once:\n%s", p.name, p.output.String())
		default:
		}
		return listens(p.address)
	}, func() string { return "nothing listens at " + p.address })
}

// stop asks it to end, as a system that shuts down does, and waits until it has.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
}

// kill ends it at once.
func (p *program) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.exited
}

func listens(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// freeAddress is an address on the loopback interface that nothing listens at. Its
// port is below those that systems give to outgoing connections, so that it is
// still free when a receiver comes back.
func freeAddress(t testing.TB) (address, port string) {
	t.Helper()
	for range 1000 {
		port = strconv.Itoa(20_000 + mathrand.IntN(12_000))
		address = net.JoinHostPort("127.0.0.1", port)
		ln, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return address, port
	}
	t.Fatal("no port is free")
	return "", ""
}

// certificate is a certificate for the loopback interface with its key, as files
// and as text. It is its own authority.
type certificate struct {
	certFile, keyFile string
	pem               string
}

func newCertificate(t testing.TB) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "receiver"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	c.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, c.certFile, c.pem)
	writeFile(t, c.keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return c
}

// trusting is a configuration that trusts only this certificate.
func (c certificate) trusting(t testing.TB) *tls.Config {
	t.Helper()
	config, err := egress.TLS([]byte(c.pem), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill puts values into a receiver's configuration: "{name}" is replaced.
func fill(text string, values ...string) string {
	pairs := make([]string, 0, len(values))
	for i := 0; i < len(values); i += 2 {
		pairs = append(pairs, "{"+values[i]+"}", values[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// wholeLines are the lines of a file that is being written, as far as they are
// complete; none when there is no file yet.
func wholeLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return lines[:len(lines)-1]
}
