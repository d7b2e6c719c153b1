package workos

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
)

// form reads the members of a JSON object as the WorkOS API does: members it
// does not know are ignored, null means absent. It gathers faults instead of
// ending at the first.
type form struct {
	at      string // dotted path of the object, "" for the body
	members map[string]jsontext.Value
	faults  *[]fault // of the whole body
}

// readForm reads the body of a request as an object.
func readForm(r *server.Request) (form, error) {
	body, err := server.ReadBody(r, server.MaxJSONBytes)
	if err != nil {
		return form{}, err
	}
	return parseForm(body)
}

// parseForm reads an object. What is not JSON, has a key twice or is not UTF-8
// is refused.
func parseForm(body []byte) (form, error) {
	f := form{faults: new([]fault)}
	err := json.Unmarshal(body, &f.members)
	if err == nil && f.members != nil {
		return f, nil
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return f, audit.Errorf(audit.CodeInvalidJSON, "the body is not JSON: byte %d: %v", syntax.ByteOffset, syntax.Err)
	}
	return f, audit.Errorf(audit.CodeInvalidJSON, "the body is not a JSON object")
}

// path is the dotted path of a member.
func (f form) path(name string) string {
	if f.at == "" {
		return name
	}
	return f.at + "." + name
}

func (f form) fault(code, name, message string) {
	*f.faults = append(*f.faults, fault{Code: code, Field: f.path(name), Message: message})
}

// failed says whether anything was wrong so far, anywhere in the body.
func (f form) failed() bool { return len(*f.faults) > 0 }

// raw returns a member's value; nil when it is absent or null.
func (f form) raw(name string) jsontext.Value {
	v := f.members[name]
	if v.Kind() == 'n' {
		return nil
	}
	return v
}

// has says whether a member is there, be it null.
func (f form) has(name string) bool {
	_, ok := f.members[name]
	return ok
}

// rawText returns a member that must be a string when it is there.
func (f form) rawText(name string) jsontext.Value {
	v := f.raw(name)
	if v != nil && v.Kind() != '"' {
		f.fault(faultType, name, "must be a string")
		return nil
	}
	return v
}

// requireText returns a member that must be a string, be it empty.
func (f form) requireText(name string) jsontext.Value {
	if f.raw(name) == nil {
		f.fault(faultRequired, name, "is required")
		return nil
	}
	return f.rawText(name)
}

// requireFilled returns a member that must be a string and not empty.
func (f form) requireFilled(name string) jsontext.Value {
	v := f.requireText(name)
	if string(v) == `""` {
		f.fault(faultRequired, name, "must not be empty")
		return nil
	}
	return v
}

// text returns a string; "" when it is absent.
func (f form) text(name string) string { return unquote(f.rawText(name)) }

// filled returns a string that must be there and not be empty.
func (f form) filled(name string) string { return unquote(f.requireFilled(name)) }

// flag returns a boolean; nil when it is absent.
func (f form) flag(name string) *bool {
	v := f.raw(name)
	switch v.Kind() {
	case 't', 'f':
		b := v.Kind() == 't'
		return &b
	case 0:
	default:
		f.fault(faultType, name, "must be true or false")
	}
	return nil
}

// number returns a whole number as text without a fraction, and whether it is
// there.
func (f form) number(name string) (n int64, ok bool) {
	v := f.raw(name)
	if v == nil {
		return 0, false
	}
	x, err := strconv.ParseFloat(string(v), 64)
	if v.Kind() != '0' || err != nil || x != float64(int64(x)) {
		f.fault(faultType, name, "must be a whole number")
		return 0, false
	}
	return int64(x), true
}

// object returns a member that must be an object when it is there. PHP writes
// an empty one as [].
func (f form) object(name string) (form, bool) {
	v := f.raw(name)
	if v == nil || isEmptyArray(v) {
		return form{}, false
	}
	return f.objectOf(name, v)
}

func (f form) requireObject(name string) (form, bool) {
	v := f.raw(name)
	if v == nil {
		f.fault(faultRequired, name, "is required")
		return form{}, false
	}
	return f.objectOf(name, v)
}

func (f form) objectOf(name string, v jsontext.Value) (form, bool) {
	sub := form{at: f.path(name), faults: f.faults}
	if v.Kind() != '{' || json.Unmarshal(v, &sub.members) != nil {
		f.fault(faultType, name, "must be an object")
		return form{}, false
	}
	return sub, true
}

// list returns the elements of a member that must be an array when it is there,
// and whether it is.
func (f form) list(name string) ([]jsontext.Value, bool) {
	v := f.raw(name)
	if v == nil {
		return nil, false
	}
	var elems []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &elems) != nil {
		f.fault(faultType, name, "must be an array")
		return nil, false
	}
	return elems, true
}

// objects returns the elements of an array of objects, and whether it is there.
func (f form) objects(name string) ([]form, bool) {
	elems, ok := f.list(name)
	forms := make([]form, 0, len(elems))
	for i, v := range elems {
		if sub, good := f.objectOf(name+"."+strconv.Itoa(i), v); good {
			forms = append(forms, sub)
		}
	}
	return forms, ok
}

// texts returns the elements of an array of strings.
func (f form) texts(name string) []string {
	elems, _ := f.list(name)
	texts := make([]string, 0, len(elems))
	for i, v := range elems {
		if v.Kind() != '"' {
			f.fault(faultType, name+"."+strconv.Itoa(i), "must be a string")
			continue
		}
		texts = append(texts, unquote(v))
	}
	return texts
}

// unquote decodes a string that was read as JSON before; "" for nil.
func unquote(v jsontext.Value) string {
	if v == nil {
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "" // it was parsed with the body
	}
	return string(text)
}

// isEmptyArray says whether a value is [].
func isEmptyArray(v jsontext.Value) bool {
	if v.Kind() != '[' {
		return false
	}
	for _, c := range v[1 : len(v)-1] {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return false
		}
	}
	return true
}
