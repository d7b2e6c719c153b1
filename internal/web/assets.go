package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// embedName is the script that a product's own pages load.
const embedName = "embed.js"

// styleName is the one stylesheet, which is in no file.
const styleName = "stele.css"

// assets are the static files by name, such as "js/page.js".
type assets struct {
	byName map[string]asset
}

type asset struct {
	data        []byte
	contentType string
	hash        string
	policy      string // Content-Security-Policy; "" is that of every answer
	shared      bool   // other sites may load it
	zipped      []byte // data with gzip; nil where that is not smaller
}

// loadAssets reads the embedded files, and puts the product's own style after
// the pages'. A fault is a mistake in the program.
func loadAssets(fsys fs.FS, style string) *assets {
	a := &assets{byName: map[string]asset{}}
	var sheet bytes.Buffer
	err := fs.WalkDir(fsys, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if path.Dir(name) == "static/css" {
			sheet.Write(data) // in the order of names
			return nil
		}
		a.add(name[len("static/"):], data)
		return nil
	})
	if err != nil {
		panic("web: " + err.Error())
	}
	sheet.WriteString(style)
	a.add(styleName, sheet.Bytes())
	a.linkModules()
	a.compress()
	return a
}

func (a *assets) add(name string, data []byte) {
	a.byName[name] = asset{data: data, contentType: contentTypeOf(name), hash: hashOf(data), shared: name == embedName}
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// compress makes the compressed form of every file that gets smaller, once.
func (a *assets) compress() {
	for name, found := range a.byName {
		if zipped := compressed(found.data); len(zipped) < len(found.data) {
			found.zipped = zipped
			a.byName[name] = found
		}
	}
}

// logoPolicy lets an SVG style itself and do nothing else, wherever it is opened.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// addLogo adds the product's logo and returns its address; "" without one.
func (a *assets) addLogo(logo *Logo) string {
	if logo == nil {
		return ""
	}
	const name = "logo"
	a.byName[name] = asset{data: logo.Data, contentType: logo.Type, hash: hashOf(logo.Data), policy: logoPolicy}
	return a.url(name)
}

// contentTypeOf does not ask the machine's own tables for what scripts are.
func contentTypeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// url is the address of a static file with the hash of what it holds, so that it
// can be cached for ever. A name that is not there is a mistake in a template.
func (a *assets) url(name string) string {
	found, ok := a.byName[name]
	if !ok {
		panic("web: there is no static file " + name)
	}
	return "/static/" + name + "?" + found.hash
}

func (p *pages) assetRoutes() []server.Route {
	return []server.Route{{
		Name: "static", Method: http.MethodGet, Pattern: "/static/{name...}", Access: auth.Public(), Handler: p.static, Quiet: true,
	}}
}

// static answers with a file. Under the hash of its content it never changes;
// under another, such as that of an older server, it is not kept.
func (p *pages) static(w http.ResponseWriter, r *server.Request) error {
	found, ok := p.assets.byName[r.PathValue("name")]
	if !ok {
		return audit.Errorf(audit.CodeNotFound, "there is no such file")
	}
	h := w.Header()
	h.Set("Content-Type", found.contentType)
	tag := `W/"` + found.hash + `"` // weak: it is that of both forms, plain and compressed
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if found.policy != "" {
		h.Set("Content-Security-Policy", found.policy)
	}
	if found.shared {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	if r.URL.RawQuery == found.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return send(w, r.Request, http.StatusOK, found.data, found.zipped)
}
