package block

import "slices"

// plan is how metadata objects are put together.
type plan struct {
	paths  []planPath
	shapes [][]byte // the paths of each shape, in order
	raw    int      // the path of whole objects, -1 when there is none
}

// planPath is one path.
type planPath struct {
	kind           int
	texts          column // of its dictionary
	name           []byte // escaped
	label          []byte // what comes before a value: "name":
	prefix, suffix []byte
	letters        alphabet
}

func (p *planPath) dict() bool { return p.kind > pathDict }

// getPlan returns the plan of the block's metadata.
func (r *Reader) getPlan() (*plan, error) {
	if p := r.plan.Load(); p != nil {
		return p, nil
	}
	p := &plan{raw: -1}
	for i := range r.h.counts[perShape] {
		s, err := r.text(colShapePaths, i)
		if err != nil {
			return nil, err
		}
		p.shapes = append(p.shapes, s)
	}
	next := colPathTexts
	for i, kind := range r.h.pathKinds {
		path, err := r.planPath(i, int(kind))
		if err != nil {
			return nil, err
		}
		switch {
		case path.dict():
			path.texts = next
			next++
		case kind == pathRaw:
			p.raw = i
		}
		p.paths = append(p.paths, path)
	}
	if why := p.check(); why != "" {
		return nil, r.corrupt(colShapePaths, 0, why)
	}
	if r.plan.CompareAndSwap(nil, p) {
		r.memory.Add(int64(64 + 160*cap(p.paths) + 24*cap(p.shapes)))
	}
	return p, nil
}

func (r *Reader) planPath(i, kind int) (planPath, error) {
	var texts [pathTexts][]byte
	for j := range texts {
		t, err := r.text(colPath, i*pathTexts+j)
		if err != nil {
			return planPath{}, err
		}
		texts[j] = t
	}
	if len(texts[3]) != alphabetBytes {
		return planPath{}, r.corrupt(colPath, 0, "a path's letters do not have their size")
	}
	label := slices.Concat([]byte{'"'}, texts[0], []byte(`":`))
	return planPath{
		kind: kind, name: texts[0], label: label, prefix: texts[1], suffix: texts[2], letters: readAlphabet(texts[3]),
	}, nil
}

// check says what is wrong with the shapes.
func (p *plan) check() string {
	for _, s := range p.shapes {
		for _, path := range s {
			if int(path) >= len(p.paths) {
				return "a shape has a path that there is not"
			}
			if int(path) == p.raw && len(s) > 1 {
				return "a shape has more than its whole object"
			}
		}
	}
	return ""
}
