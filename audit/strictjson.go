package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxJSONDepth is more than anything that Stele writes nests.
const maxJSONDepth = 32

// decodeStrict reads JSON that means one thing to every reader: valid UTF-8, one
// value, no key twice in an object. Numbers are json.Number.
func decodeStrict(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more after the JSON value")
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if depth > maxJSONDepth {
		return nil, errors.New("nested too deep")
	}
	switch t {
	case json.Delim('['):
		return decodeArray(dec, depth)
	case json.Delim('{'):
		return decodeObject(dec, depth)
	default:
		return t, nil
	}
}

func decodeArray(dec *json.Decoder, depth int) (any, error) {
	elems := []any{}
	for dec.More() {
		elem, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		elems = append(elems, elem)
	}
	_, err := dec.Token() // the bracket
	return elems, err
}

func decodeObject(dec *json.Decoder, depth int) (any, error) {
	members := map[string]any{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		key, ok := t.(string)
		if !ok {
			return nil, errors.New("not JSON: a key is no string")
		}
		if _, twice := members[key]; twice {
			return nil, fmt.Errorf("the key %q is there twice", shorten(key))
		}
		if members[key], err = decodeValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the brace
	return members, err
}
