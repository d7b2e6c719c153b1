package event

import "github.com/stelehq/stele/audit"

// metadata reads a metadata object. It is returned as it stands when that is its
// canonical form, as it mostly is, and else rewritten into the decoder's buffer.
func (s *scanner) metadata(d *Decoder) []byte {
	s.space()
	if s.null() {
		return nil
	}
	s.loose = false
	s.keys = 0
	start := s.i
	s.object(1)
	switch text := s.b[start:s.i:s.i]; {
	case s.bad:
		return nil
	case len(text) == len("{}"):
		return nil
	case !s.loose:
		return text
	default:
		return s.rewrite(d, start)
	}
}

func (s *scanner) value(depth int) {
	s.space()
	if s.i == len(s.b) {
		s.bad = true
		return
	}
	switch s.b[s.i] {
	case '"':
		if len(s.quoted()) > audit.MaxStringBytes {
			s.bad = true
		}
	case '{':
		s.object(depth + 1)
	case '[':
		s.array(depth + 1)
	case 't', 'f', 'n':
		if !s.word("true") && !s.word("false") && !s.word("null") {
			s.bad = true
		}
	default:
		s.integer()
	}
}

// object checks an object and sees whether it is in canonical form.
func (s *scanner) object(depth int) {
	if depth > audit.MaxMetadataDepth {
		s.bad = true
		return
	}
	var last []byte
	n := 0
	for more := s.open('{'); more; more = s.more('}') {
		k := s.quoted()
		if n++; n > 1 && compareUTF16(last, k) >= 0 {
			s.loose = true
		}
		last = k
		if s.keys++; s.keys > audit.MaxMetadataKeys || len(k) > audit.MaxStringBytes || !s.take(':') {
			s.bad = true
			return
		}
		s.value(depth)
	}
}

func (s *scanner) array(depth int) {
	if depth > audit.MaxMetadataDepth {
		s.bad = true
		return
	}
	for more := s.open('['); more; more = s.more(']') {
		s.value(depth)
	}
}

// rewrite appends the metadata object from start to here to the decoder's buffer
// in canonical form.
func (s *scanner) rewrite(d *Decoder, start int) []byte {
	end := s.i
	s.i = start
	at := len(d.buf)
	clear(d.members)
	d.members = d.members[:0]
	s.rewriteObject(d)
	s.bad = s.bad || s.i != end
	if len(d.buf) == at+len("{}") {
		return nil
	}
	return d.buf[at:len(d.buf):len(d.buf)]
}

func (s *scanner) rewriteObject(d *Decoder) {
	base := d.beginObject()
	for more := s.open('{'); more; more = s.more('}') {
		start := len(d.buf)
		k := s.key()
		d.buf = append(d.buf, '"')
		d.buf = append(d.buf, k...)
		d.buf = append(d.buf, '"', ':')
		s.rewriteValue(d)
		d.addMember(k, start)
	}
	if !d.endObject(base) {
		s.bad = true
	}
}

func (s *scanner) rewriteValue(d *Decoder) {
	s.space()
	switch s.b[s.i] {
	case '{':
		s.rewriteObject(d)
	case '[':
		d.buf = append(d.buf, '[')
		n := 0
		for more := s.open('['); more; more = s.more(']') {
			d.buf = appendComma(d.buf, n > 0)
			n++
			s.rewriteValue(d)
		}
		d.buf = append(d.buf, ']')
	default:
		start := s.i
		s.value(0)
		d.buf = append(d.buf, s.b[start:s.i]...)
	}
}
