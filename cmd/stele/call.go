package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/stelehq/stele/audit"
)

// send makes one request; an answer other than 2xx is an error.
func (r *remote) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	if _, err := r.client(); err != nil {
		return nil, err
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = strings.TrimSuffix(r.Server, "/") + path
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.APIKey)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // its text is read below
	return nil, refusal(res)
}

// refusal reads a problem document, or says what came instead of one.
func refusal(res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", res.Status, err)
	}
	var problem struct {
		Code      audit.Code     `json:"code"`
		Detail    string         `json:"detail"`
		Field     string         `json:"field"`
		Line      int            `json:"line"`
		Errors    []*audit.Error `json:"errors"`
		RequestID string         `json:"request_id"`
	}
	if json.Unmarshal(text, &problem) != nil || problem.Code == "" {
		return fmt.Errorf("the server answered %s: %.200s", res.Status, text)
	}
	e := &audit.Error{Code: problem.Code, Message: problem.Detail, Field: problem.Field, Line: problem.Line, Errors: problem.Errors}
	if problem.Code == audit.CodeInternal {
		return fmt.Errorf("%w (request %s)", e, problem.RequestID)
	}
	return e
}
