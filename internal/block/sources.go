package block

// addColumns puts the columns of the block in the writer's table.
func (e *Encoder) addColumns() {
	w := &e.writer
	counts := e.counts()
	for c, info := range columns {
		w.cols = append(w.cols, source{columnInfo: info, shape: shape{n: counts[info.per], group: info.group}})
		e.setSource(column(c), &w.cols[c])
	}
	for _, p := range e.metadata.paths[:e.metadata.used] {
		if p.kind > pathDict {
			w.cols = append(w.cols, source{
				columnInfo: columnInfo{kind: kindSorted},
				shape:      shape{n: p.kind - pathDict, group: groupSmall},
				text:       e.sortedText(&p.texts, &p.sort),
			})
		}
	}
	w.addPairs()
	for i := range w.cols {
		if c := &w.cols[i]; c.alphabet {
			var l letters
			for j := range c.n {
				l.add(c.text(j))
			}
			c.letters = l.alphabet()
		}
	}
}

func (e *Encoder) counts() [numCounted]int {
	return [numCounted]int{
		perRow: len(e.occurred), perSlot: len(e.target), perAction: len(e.actions.entries),
		perActorType: len(e.actors.types.spans), perActorID: len(e.actors.idents), perActor: len(e.actors.profiles),
		perTargetType: len(e.targets.types.spans), perTargetID: len(e.targets.idents), perTarget: len(e.targets.profiles),
		perLocation: len(e.locations.spans), perAgent: len(e.agents.spans),
		perShape: len(e.metadata.shapes.spans), perPath: pathTexts * e.metadata.used, perPairs: len(pairColumns),
	}
}

// setSource says where a column's values are.
func (e *Encoder) setSource(c column, s *source) {
	a := &e.arena
	switch c {
	case colOccurred:
		unit, _ := timeUnit(e.occurred)
		s.num = func(i int) uint64 { return uint64(e.occurred[i] / unit) } //nolint:gosec // not negative
	case colReceived:
		s.num = func(i int) uint64 { return uint64(e.received[i]) } //nolint:gosec // not negative
	case colTargetEnd:
		s.num = func(i int) uint64 { return uint64(e.targetEnd[i]) }
	case colAction:
		s.num = ranked(e.action, &e.actionSort)
	case colShape:
		s.num = func(i int) uint64 { return uint64(e.shape[i]) }
	case colLocation:
		s.num = ranked(e.location, &e.locationSort)
	case colAgent:
		s.num = ranked(e.agent, &e.agentSort)
	case colActionText:
		s.text = func(i int) []byte { return a.at(e.actionAt(i).text) }
	case colActionVersion:
		s.num = func(i int) uint64 { return uint64(e.actionAt(i).version) }
	case colActionFlags:
		s.num = func(i int) uint64 { return uint64(e.actionAt(i).flags) }
	case colPath:
		s.text = e.metadata.pathText(a)
	case colShapePaths:
		s.text = func(i int) []byte { return a.at(e.metadata.shapes.spans[i]) }
	case colPairs:
		s.text = func(i int) []byte { return e.writer.pairs[i] }
	case colLocationText:
		s.text = e.sortedText(&e.locations, &e.locationSort)
	case colAgentText:
		s.text = e.sortedText(&e.agents, &e.agentSort)
	case colActor:
		s.num = ranked(e.actor, &e.actors.profileSort)
	case colTarget:
		s.num = ranked(e.target, &e.targets.profileSort)
	case colTargetTypeText, colTargetType, colTargetID, colTargetProfileEnd, colTargetName, colTargetMetadata:
		e.targets.setSource(a, c-colTargetTypeText, s)
	case colActorTypeText, colActorType, colActorID, colActorEnd, colActorName, colActorMetadata:
		e.actors.setSource(a, c-colActorTypeText, s)
	}
}

// setSource is Encoder.setSource for the columns of a dictionary of parties, by
// their number from that of the types.
func (d *parties) setSource(a *arena, c column, s *source) {
	switch c {
	case 0:
		s.text = func(i int) []byte { return a.at(d.types.spans[d.typeSort.order[i]]) }
	case 1:
		s.num = func(i int) uint64 { return uint64(d.typeSort.rank[d.idents[d.identSort.order[i]].typ]) }
	case 2:
		s.text = func(i int) []byte { return a.at(d.idents[d.identSort.order[i]].id) }
	case 3:
		s.num = func(i int) uint64 { return uint64(d.ends[i]) }
	case 4:
		s.text = func(i int) []byte { return a.at(d.profiles[d.profileSort.order[i]].nameSpan()) }
	case 5:
		s.text = func(i int) []byte { return a.at(d.profiles[d.profileSort.order[i]].metaSpan()) }
	}
}

func (e *Encoder) actionAt(i int) *action { return &e.actions.entries[e.actionSort.order[i]] }

// ranked gives codes by the place of their entry in the sorted dictionary.
func ranked(codes []uint16, s *sorter) func(int) uint64 {
	return func(i int) uint64 { return uint64(s.rank[codes[i]]) }
}

// pathText gives the texts of paths: name, prefix, suffix and letters of each.
func (m *metadata) pathText(a *arena) func(int) []byte {
	return func(i int) []byte {
		p := m.paths[i/pathTexts]
		switch i % pathTexts {
		case 0:
			return a.at(p.name)
		case 1:
			return p.prefix
		case 2:
			return p.suffix
		default:
			return p.letters.append(nil)
		}
	}
}

// bytes is the size of all values as they are stored.
func (m *metadata) bytes() int {
	n := 0
	for _, p := range m.paths[:m.used] {
		n += p.size
	}
	return n
}

// appendMeta encodes the metadata of rows lo ≤ i < hi, which is next to those
// encoded before: for each path that is there, in order, the codes of its values,
// or their lengths and, of a path with frames of its own, the values. At the end
// are the values of all other paths.
func (e *Encoder) appendMeta(dst []byte, lo, hi int) []byte {
	m, w := &e.metadata, &e.writer
	var counts [maxPaths + 1]int
	for _, s := range e.shape[lo:hi] {
		for _, p := range e.arena.at(m.shapes.spans[s]) {
			counts[p]++
		}
	}
	w.shared = w.shared[:0]
	for i, p := range m.paths[:m.used] {
		if counts[i] > 0 {
			dst = e.appendPath(dst, p, p.vals[p.at:p.at+counts[i]])
			p.at += counts[i]
		}
	}
	if len(w.shared) > 0 {
		dst = w.texts.appendBytes(dst, w.shared, &m.store)
	}
	return dst
}

func (e *Encoder) appendPath(dst []byte, p *path, vals []uint32) []byte {
	w := &e.writer
	w.nums = w.nums[:0]
	if p.kind > pathDict {
		for _, v := range vals {
			w.nums = append(w.nums, uint64(p.sort.rank[v]))
		}
		return w.texts.ints.append(dst, w.nums)
	}
	from := len(w.shared)
	for _, v := range vals {
		text := e.arena.at(p.texts.spans[v])
		text = text[len(p.prefix) : len(text)-len(p.suffix)]
		w.nums = append(w.nums, uint64(len(text)))
		w.shared = append(w.shared, text...)
	}
	dst = w.texts.ints.append(dst, w.nums)
	if p.kind != pathShared {
		dst = w.texts.appendBytes(dst, w.shared[from:], &p.store)
		w.shared = w.shared[:from]
	}
	return dst
}
