package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
)

// collect writes what a splitter yields as "line:data", an error as "line!".
func collect(seq iter.Seq2[Item, error]) (out []string, err error) {
	for item, e := range seq {
		if e != nil {
			return append(out, fmt.Sprintf("%d!", item.Line)), e
		}
		out = append(out, fmt.Sprintf("%d:%s", item.Line, item.Data))
	}
	return out, nil
}

func TestSplitNDJSON(t *testing.T) {
	for body, want := range map[string][]string{
		"":                          nil,
		"\n\r\n \t\n":               nil,
		"{}":                        {"1:{}"},
		"{}\n":                      {"1:{}"},
		"{}\r\n{}\r\n":              {"1:{}", "2:{}"},
		"\n{\"a\":1}\n\n  {} \n[\n": {"2:{\"a\":1}", "4:{}", "5:["},
		"{}\n[":                     {"1:{}", "2:["},
		"{}\r{}":                    {"1:{}\r{}"},
	} {
		got, err := collect(SplitNDJSON([]byte(body)))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", body, err, diff)
		}
	}
}

func TestSplitArray(t *testing.T) {
	tests := []struct {
		body string
		want []string
		err  string
	}{
		{`[]`, nil, ""},
		{" [ ]\r\n", nil, ""},
		{`[{}]`, []string{"1:{}"}, ""},
		{"[ {\"a\":[1,{}]} ,\n{\"b\":\"]}\\\"\"}\n]", []string{`1:{"a":[1,{}]}`, `2:{"b":"]}\""}`}, ""},
		{`[{"a":"\\"},{}]`, []string{`1:{"a":"\\"}`, "2:{}"}, ""},
		{`[{]},{}]`, []string{"1!"}, `followed by "}"`},
		{`[{],{}]`, []string{"1:{]", "2:{}"}, ""}, // Decode refuses {]
		{``, []string{"0!"}, "must be a JSON array"},
		{`{}`, []string{"0!"}, "must be a JSON array"},
		{`[`, []string{"1!"}, "is not closed"},
		{`[{}`, []string{"1!"}, "is not closed"},
		{`[{},`, []string{"1:{}", "2!"}, "is not closed"},
		{`[{},{`, []string{"1:{}", "2!"}, "is not closed"},
		{`[{"a":"]}`, []string{"1!"}, "is not closed"},
		{`[{},]`, []string{"1:{}", "2!"}, `begins with "]"`},
		{`[,{}]`, []string{"1!"}, `begins with ","`},
		{`[{},1]`, []string{"1:{}", "2!"}, `begins with "1"`},
		{`[{} {}]`, []string{"1!"}, `followed by "{"`},
		{`[{}]]`, []string{"1:{}", "0!"}, "more after"},
		{`[] {}`, []string{"0!"}, "more after"},
	}
	for _, tt := range tests {
		got, err := collect(SplitArray([]byte(tt.body)))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.body, diff)
		}
		if tt.err == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.body, err)
			}
			continue
		}
		var e *audit.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, tt.err) || e.Code != audit.CodeInvalidJSON {
			t.Errorf("%s: %v, want …%s…", tt.body, err, tt.err)
		} else if want := got[len(got)-1]; want != fmt.Sprintf("%d!", e.Line) {
			t.Errorf("%s: the error is about line %d, the item about %s", tt.body, e.Line, want)
		}
	}
}

func TestSplitRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var texts, lines []string
		for i, e := range rapid.SliceOfN(eventtest.Events(), 0, 4).Draw(t, "events") {
			text := string(eventtest.JSON(e))
			texts = append(texts, text)
			lines = append(lines, fmt.Sprintf("%d:%s", i+1, text))
		}
		got, err := collect(SplitArray([]byte("[" + strings.Join(texts, ", ") + "]")))
		if diff := cmp.Diff(lines, got); diff != "" || err != nil {
			t.Fatalf("array: %v %s", err, diff)
		}
		if got, _ = collect(SplitNDJSON([]byte(strings.Join(texts, "\r\n")))); !slices.Equal(got, lines) {
			t.Fatalf("NDJSON: %q", got)
		}
	})
}

// Whatever is split without an error, with every element valid, is valid itself:
// an array cannot be read differently here than elsewhere.
func FuzzSplitArray(f *testing.F) {
	for _, s := range []string{`[{"a":"]}\""},{}]`, `[]`, `[{]},{}]`, `[{"\\":1} , {}] `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n := 0
		for item, err := range SplitArray(body) {
			if err != nil || !json.Valid(item.Data) {
				return
			}
			n++
		}
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil || len(elements) != n {
			t.Fatalf("%d elements, but %d: %v", n, len(elements), err)
		}
	})
}
