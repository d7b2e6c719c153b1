package sink

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// tokens gets OAuth 2.0 access tokens and keeps one until 5 minutes before its
// end, over the destination's own client, so that its failures are the
// destination's.
type tokens struct {
	client *client
	url    string
	// form makes the request's parameters.
	form func(now time.Time) (url.Values, error)
	todo string // what to do when the authority refuses

	token string
	until time.Time
	known []string // the client's secrets without the token
}

// get returns a token.
func (t *tokens) get(ctx context.Context) (string, *Error) {
	now := t.client.now()
	if t.token != "" && now.Add(5*time.Minute).Before(t.until) {
		return t.token, nil
	}
	form, err := t.form(now)
	if err != nil {
		return "", &Error{Class: Invalid, Code: "credentials", Message: "The credentials in the settings cannot be used. " + t.todo, Err: err}
	}
	plain := *t.client
	plain.explain, plain.hints, plain.label = t.explain, nil, "The authority for access tokens"
	r, e := plain.do(ctx, http.MethodPost, t.url, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	if e != nil {
		if e.Class == Malformed || e.Class == TooLarge || e.Class == Permanent {
			e.Class = Invalid // it says nothing of the events
		}
		return "", e
	}
	var got struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	if !parse(r.body, &got) || got.Token == "" {
		return "", Errorf(Retry, "token_answer", "The authority for access tokens answered %d without a token. It will be tried again.", r.status)
	}
	t.token, t.until = got.Token, now.Add(time.Duration(max(got.Life, 0))*time.Second)
	if t.known == nil {
		t.known = slices.Clip(t.client.secrets)
	}
	t.client.secrets = append(t.known, got.Token)
	return t.token, nil
}

// header is that of a request with a token.
func (t *tokens) header(ctx context.Context, h http.Header) (http.Header, *Error) {
	token, e := t.get(ctx)
	h.Set("Authorization", "Bearer "+token)
	return h, e
}

// forget drops a token that was refused, so that the next attempt gets another.
func (t *tokens) forget(e *Error) {
	if e != nil && e.Code == "http_401" {
		t.token = ""
	}
}

// explain reads RFC 6749, 5.2: what is wrong with the credentials comes as 400.
func (t *tokens) explain(r *reply) *Error {
	var said struct {
		Error string `json:"error"`
		Text  string `json:"error_description"`
	}
	if r.status/100 != 4 || r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout || !parse(r.body, &said) || said.Error == "" {
		if r.status == http.StatusBadRequest {
			return Errorf(Invalid, "credentials", "%s", t.client.sentence(r, t.todo))
		}
		return nil
	}
	return Errorf(Invalid, "credentials", "The authority for access tokens answered %s: %s. %s",
		Excerpt(said.Error, t.client.secrets...), strings.TrimRight(Excerpt(said.Text, t.client.secrets...), ". "), t.todo)
}

// serviceAccount is the key file of a service account of Google.
type serviceAccount struct {
	Email    string `json:"client_email"`
	Key      string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURL string `json:"token_uri"`

	private *rsa.PrivateKey
}

// newServiceAccount reads a key file. Its errors name no part of it.
func newServiceAccount(text string) (*serviceAccount, error) {
	var a serviceAccount
	if !parse([]byte(text), &a) || a.Email == "" || a.Key == "" {
		return nil, errors.New("must be the JSON key file of a service account, whole, with client_email and private_key")
	}
	if a.TokenURL == "" {
		a.TokenURL = "https://oauth2.googleapis.com/token"
	}
	if err := checkURL(a.TokenURL); err != nil {
		return nil, errors.New("has a token_uri that is no https URL")
	}
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return nil, errors.New("has a private_key that is no PEM text")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("has a private_key that is no RSA key")
	}
	a.private = private
	return &a, nil
}

func checkServiceAccount(value string) error {
	_, err := newServiceAccount(value)
	return err
}

// tokens are the account's, for a scope: a JWT signed with its key is exchanged
// for an access token (RFC 7523).
func (a *serviceAccount) tokens(c *client, scope string) *tokens {
	return &tokens{
		client: c, url: a.TokenURL, todo: "Check that the service account and its key still exist, and make a new key if not.",
		form: func(now time.Time) (url.Values, error) {
			jwt, err := a.assertion(now, scope)
			return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}, err
		},
	}
}

// assertion is the signed JWT (RS256) of the account.
func (a *serviceAccount) assertion(now time.Time, scope string) (string, error) {
	head, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.KeyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": a.Email, "scope": scope, "aud": a.TokenURL, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString(head) + "." + b64.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.private, crypto.SHA256, sum[:])
	return text + "." + b64.EncodeToString(signature), err
}

// clientCredentials are tokens for a client id and secret (RFC 6749, 4.4).
func clientCredentials(c *client, tokenURL, id, secret, scope, todo string) *tokens {
	return &tokens{client: c, url: tokenURL, todo: todo, form: func(time.Time) (url.Values, error) {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "scope": {scope}}, nil
	}}
}
