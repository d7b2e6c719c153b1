package web

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/complete"
	"github.com/stelehq/stele/internal/web/logview"
	"github.com/stelehq/stele/internal/web/words"
)

// view is a page to be shown.
type view struct {
	// Title is the page's, for the window and the reader.
	Title string
	// Section is the part of the navigation that the page belongs to, such as
	// "audit-log".
	Section string
	// Status is the HTTP status; 0 is 200.
	Status int
	// Data is the page's own, .Data in its template.
	Data any
	// Scripts are the modules that the page uses, such as "js/log.js".
	Scripts []string
}

// layout is the dot of every template, of pages and of fragments.
type layout struct {
	view
	Session      *auth.Session         // nil at the door
	Organization *catalog.Organization // nil at the door
	Brand        Brand
	Logo         string // address of the product's; "" without
	Product      string // its name, or how to call it without one
	// Embed is for pages shown inside the product: without a header.
	Embed bool
	// Frames are the sites that the page may be shown in, for the script that
	// tells them its size.
	Frames    string
	CSRF      string
	Zone      Zone
	ReturnURL string
	Path      string
}

// loadTemplates parses all templates, so that a fault shows at the start.
func (p *pages) loadTemplates() {
	p.parts = template.Must(template.New("").Funcs(p.funcs()).ParseFS(files, "templates/layout.html", "templates/parts/*.html"))
	p.pages = map[string]*template.Template{}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic("web: " + err.Error())
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" {
			continue
		}
		page := template.Must(p.parts.Clone())
		p.pages[name] = template.Must(page.ParseFS(files, file))
	}
}

// funcs are what templates may call besides the built-in ones.
func (p *pages) funcs() template.FuncMap {
	return template.FuncMap{
		"abs":    absolute,
		"day":    date,
		"rel":    p.relative,
		"csrf":   csrfField,
		"static": p.assets.url,
		"num":    thousands,
		"inc":    func(n uint64) uint64 { return n + 1 },
		"inc1":   func(n int) int { return n + 1 },
		"typed":  func(c confirmation, fault string) typedView { return typedView{c, fault} },
		"icon":   p.icon,
		"link":   newSectionLink,
		"shell":  shellWord,
		"base":   func() string { return Base },
		// Of the list.
		"longday":  func(z Zone, at time.Time) string { return at.In(z.Location).Format("2 January 2006") },
		"sentence": sentence,
		"fields":   complete.Names,
		"through":  func(at *audit.Position, z Zone) logThrough { return logThrough{at, z} },
	}
}

// sectionLink is a link of the navigation.
type sectionLink struct {
	Section, Text string
	Current       bool
}

func newSectionLink(l layout, section, text string) sectionLink {
	return sectionLink{Section: section, Text: text, Current: l.Section == section}
}

// csrfField is the field that every form has: {{csrf $}}.
func csrfField(l layout) template.HTML {
	return template.HTML(`<input type="hidden" name="` + server.CSRFField + `" value="` + //nolint:gosec // escaped
		template.HTMLEscapeString(l.CSRF) + `">`)
}

// thousands writes a whole number as 18,233.
func thousands(n any) string {
	if p, ok := n.(*uint64); ok && p != nil {
		n = *p
	}
	text := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// icon is a symbol of static/icons.svg, silent to readers: {{icon "search"}}.
func (p *pages) icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" aria-hidden="true" focusable="false"><use href="` + //nolint:gosec // escaped
		template.HTMLEscapeString(p.assets.url("icons.svg")+"#"+name) + `"></use></svg>`)
}

// layoutOf is what every template sees of a request.
func (p *pages) layoutOf(r *server.Request, v view) layout {
	l := layout{
		view: v, Session: r.Session, Organization: r.Organization, Brand: p.Brand, Logo: p.logoURL,
		Product: cmp.Or(p.Brand.ProductName, "the product"),
		Embed:   embedded(r), Zone: p.zone(r), Path: r.URL.Path,
	}
	if l.Embed {
		l.Frames = p.frame.origins
	}
	if r.Session != nil {
		l.CSRF, l.ReturnURL = server.MaskCSRF(r.Session.CSRF()), safeURL(r.Session.ReturnURL)
	}
	return l
}

// show answers with the page templates/<name>.html, whole or not at all.
func (p *pages) show(w http.ResponseWriter, r *server.Request, name string, v view) error {
	page, ok := p.pages[name]
	if !ok {
		return fmt.Errorf("there is no page %q", name)
	}
	return p.render(w, r, page, "layout.html", v)
}

// fragment answers with one template of templates/parts, for a script to put
// into the page. Its dot is that of a page, with data as .Data.
func (p *pages) fragment(w http.ResponseWriter, r *server.Request, name string, data any) error {
	return p.render(w, r, p.parts, name, view{Data: data})
}

// render writes a template whole or not at all.
func (p *pages) render(w http.ResponseWriter, r *server.Request, t *template.Template, name string, v view) error {
	var page bytes.Buffer
	if err := t.ExecuteTemplate(&page, name, p.layoutOf(r, v)); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	h := w.Header()
	p.protect(h)
	p.noteEmbed(w, r)
	h.Set("Content-Type", "text/html; charset=utf-8")
	return sendPage(w, r.Request, cmp.Or(v.Status, http.StatusOK), page.Bytes())
}

// absolute is an exact time with its zone: {{abs $.Zone .At}}.
func absolute(z Zone, at time.Time) string {
	return at.In(z.Location).Format("2 Jan 2006, 15:04:05 ") + logview.Offset(at, z.Location) + z.Label
}

// date is the day of a time: {{day $.Zone .At}}. The zone is to be said nearby.
func date(z Zone, at time.Time) string { return at.In(z.Location).Format("2 Jan 2006") }

// relative is how long ago something was, with the exact time on hover:
// {{rel $.Zone .At}}.
func (p *pages) relative(z Zone, at time.Time) template.HTML {
	return template.HTML(`<time datetime="` + at.UTC().Format(time.RFC3339Nano) + `" title="` + //nolint:gosec // escaped
		template.HTMLEscapeString(absolute(z, at)) + `">` + template.HTMLEscapeString(words.Ago(at, p.Now(), z.Location)) + `</time>`)
}
