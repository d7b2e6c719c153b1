package app

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/egress"
	"github.com/stelehq/stele/internal/stream"
)

const (
	prefixNotice = "stream_notice/" // ULID → stream.Change, until it is sent

	noticeTimeout = 15 * time.Second
	firstNotice   = time.Second // pause after a failure, doubled up to maxNotice
	maxNotice     = 5 * time.Minute
	// maxAnswer bounds what is read so that the connection can be used again.
	maxAnswer = 4 << 10
	// noticeLife is how long a notice is worth sending.
	noticeLife = 24 * time.Hour
)

// notices tells the operator's webhook how streams fare, so that the product can
// tell their owners. They are kept until they are sent, and sent one after
// another, signed as Standard Webhooks says. Without a webhook there are none.
type notices struct {
	kv     catalog.KV
	url    string
	key    []byte
	client *http.Client
	now    func() time.Time
	logger *slog.Logger

	kick chan struct{}
	stop context.CancelFunc
	work sync.WaitGroup
}

// notice is what is sent.
type notice struct {
	Type      string        `json:"type"`
	Timestamp time.Time     `json:"timestamp"`
	Data      stream.Change `json:"data"`
}

func openNotices(kv catalog.KV, cfg *Config) (*notices, error) {
	n := &notices{kv: kv, url: cfg.NotifyWebhook, now: cfg.Now, logger: cfg.Logger, kick: make(chan struct{}, 1), stop: func() {}}
	if n.url == "" {
		return n, nil
	}
	var err error
	if n.key, err = noticeKey(cfg.NotifySecret); err != nil {
		return nil, err
	}
	// The address is the operator's own, so any may be dialed.
	n.client = egress.Client(egress.Transport((&net.Dialer{Timeout: egress.ConnectTimeout}).DialContext, nil, noticeTimeout))
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	n.work.Go(func() { n.run(ctx) })
	return n, nil
}

// noticeKey reads a secret of Standard Webhooks.
func noticeKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("--notify-secret: must be \"whsec_\" and 24 to 64 bytes in base64, such as the output of: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}

// add keeps a notice to be sent; the same change is kept once.
func (n *notices) add(ctx context.Context, c stream.Change) error {
	switch c.Action {
	case stream.ActionStateChanged, stream.ActionLagExceeded, stream.ActionLagRecovered:
	default:
		return nil // somebody did it, and knows
	}
	if n.url == "" {
		return nil
	}
	err := catalog.Save(ctx, n.kv, prefixNotice+c.ID, c, 0)
	if err != nil && !errors.Is(err, catalog.ErrConflict) {
		return fmt.Errorf("keep notice: %w", err)
	}
	select {
	case n.kick <- struct{}{}:
	default:
	}
	return nil
}

// Forget removes what notices that were not sent yet have of a person of an
// organization.
func (n *notices) Forget(ctx context.Context, org, person string) error {
	for c, err := range catalog.All[stream.Change](ctx, n.kv, prefixNotice, "") {
		if err != nil {
			return err
		}
		if c.Value.Owner != org || !c.Value.Forget(person) {
			continue
		}
		err := catalog.Save(ctx, n.kv, c.Key, c.Value, c.Rev)
		if err != nil && !errors.Is(err, catalog.ErrConflict) { // sent meanwhile: nobody else writes it
			return fmt.Errorf("forget in notices: %w", err)
		}
	}
	return nil
}

// Close ends sending; what is left is sent after the next start.
func (n *notices) Close() error {
	n.stop()
	n.work.Wait()
	return nil
}

func (n *notices) run(ctx context.Context) {
	wait := firstNotice
	for {
		var again <-chan time.Time
		if err := n.sendAll(ctx); err == nil {
			wait = firstNotice
		} else if ctx.Err() == nil {
			n.logger.LogAttrs(ctx, slog.LevelWarn, "notify webhook", slog.Any("error", err), slog.Duration("again_in", wait))
			again = time.After(wait)
			wait = min(2*wait, maxNotice)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-n.woken(again):
		}
	}
}

// woken is when there are new notices; while the webhook fails they wait too.
func (n *notices) woken(failing <-chan time.Time) <-chan struct{} {
	if failing != nil {
		return nil
	}
	return n.kick
}

// errRefused says that the webhook answered, and did not take the notice.
var errRefused = errors.New("it did not take a notice")

// sendAll sends what is kept. One that is refused keeps no other back; it is sent
// again later.
func (n *notices) sendAll(ctx context.Context) error {
	var refused error
	for c, err := range catalog.All[stream.Change](ctx, n.kv, prefixNotice, "") {
		if err != nil {
			return err
		}
		if n.now().Sub(c.Value.At) > noticeLife {
			n.logger.LogAttrs(ctx, slog.LevelError, "a notice could not be sent for a day and is dropped",
				slog.String("stream", c.Value.Stream), slog.String("action", c.Value.Action))
		} else if err := n.send(ctx, c.Value); errors.Is(err, errRefused) {
			refused = err
			continue
		} else if err != nil {
			return err
		}
		err := n.kv.Apply(ctx, catalog.Change{Key: c.Key, Rev: c.Rev, Delete: true})
		if err != nil && !errors.Is(err, catalog.ErrConflict) {
			return fmt.Errorf("note that a notice was sent: %w", err)
		}
	}
	return refused
}

// send makes one attempt. Its errors do not tell the address, which may hold a
// secret.
func (n *notices) send(ctx context.Context, c stream.Change) error {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	body, err := json.Marshal(notice{Type: c.Action, Timestamp: c.At, Data: c})
	if err != nil {
		return fmt.Errorf("make notice: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is no URL")
	}
	id, at := "notice_"+c.ID, strconv.FormatInt(n.now().Unix(), 10)
	mac := hmac.New(sha256.New, n.key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, body) // never fails
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	res, err := n.client.Do(req)
	if err != nil {
		return errors.New("it could not be reached, or did not answer in time")
	}
	defer res.Body.Close()                                          //nolint:errcheck // only read
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // the status is the answer
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%w: it answered %d", errRefused, res.StatusCode)
	}
	return nil
}
