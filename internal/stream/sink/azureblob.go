package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // Content-MD5 is what Azure checks transfers with, not what secures anything
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// azureVersion is the version of the Blob service's REST API that is spoken.
const azureVersion = "2023-11-03"

// AzureBlob is Azure Blob Storage over its REST API (learn.microsoft.com, "Put
// Blob"). A batch is one block blob, put with Content-MD5 and If-None-Match: * so
// that nothing is overwritten: 409 BlobAlreadyExists says that an earlier attempt
// has left it there. A 201 acknowledges; the service is consistent from then on.
//
// Credentials are a shared access signature, an application of Entra ID, or the
// account's key, which may do everything and is for stores that know no better.
func AzureBlob() Kind {
	k := Kind{
		Name: "azure_blob", Label: "Azure Blob Storage", Lists: true,
		Summary: "Writes blobs of JSON lines to a container of Azure Blob Storage. Each event lies in exactly one place.",
		Docs:    "https://learn.microsoft.com/azure/storage/common/storage-sas-overview",
		Steps:   azureBlobSteps(),
		Limits: []string{
			"A blob has at most 16 MiB of lines or 50,000 events, or what came in the minutes between objects.",
			"Blobs are written once and never changed: containers with an immutability policy stay as they are. There are no duplicates within a stream.",
			"Shared access signatures and client secrets expire: note when.",
		},
		Settings: withTLS(append([]Setting{
			{Name: "account", Label: "Storage account", Place: true, Required: true, Check: checkAccount, Example: "acmeaudit", Help: "The account's name alone."},
			{Name: "container", Label: "Container", Required: true, Check: checkContainer, Example: "audit", Help: "The container's name alone."},
			{
				Name: "sas_token", Label: "Shared access signature", Secret: true, Check: checkSAS, Expires: sasEnd,
				Help: "The SAS token of the container, with the permissions Create and Write, or the part of a SAS URL behind the question mark.",
			},
			{Name: "tenant_id", Label: "Tenant ID", Check: checkTenant, Example: "11111111-2222-3333-4444-555555555555", Help: "Of the Entra ID directory, instead of a shared access signature."},
			{Name: "client_id", Label: "Client ID", Check: checkWord, Example: "11111111-2222-3333-4444-555555555555", Help: "The application's in Entra ID."},
			{Name: "client_secret", Label: "Client secret", Secret: true, Check: checkWord, Help: "The application's secret: its value, not its ID."},
			{
				Name: "account_key", Label: "Account key", Secret: true, Advanced: true, Check: checkAccountKey,
				Help: "One of the account's two keys. It may do everything in the account: prefer one of the others.",
			},
			{
				Name: "endpoint", Label: "Endpoint", Place: true, Check: checkBaseURL, Advanced: true, Example: "https://acmeaudit.blob.core.usgovcloudapi.net",
				Help: "The Blob service's address. Empty is the account's in the public cloud.",
			},
			{
				Name: "authority", Label: "Authority", Place: true, Default: "https://login.microsoftonline.com", Check: checkBaseURL, Advanced: true,
				Help: "https://login.microsoftonline.us for Azure Government, https://login.chinacloudapi.cn for China.",
			},
		}, objectSettings()...)...),
		Check: checkAzureBlob,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		s := &azureBlob{client: c, v: v, base: v.base("endpoint"), sas: strings.TrimPrefix(v["sas_token"], "?")}
		if s.base == "" {
			s.base = "https://" + v["account"] + ".blob.core.windows.net"
		}
		c.explain, c.maxList, c.opaque = s.explain, 4<<20, true // a listing has up to 5000 blobs
		switch {
		case s.sas != "":
			q, err := url.ParseQuery(s.sas)
			if err != nil {
				return nil, &Error{Class: Invalid, Code: "sas_token", Message: "The shared access signature in the settings cannot be read: copy it again."}
			}
			c.secrets = append(c.secrets, secretForms([]string{s.sas, q.Get("sig")})...)
			s.until = sasEnd(s.sas)
		case v["tenant_id"] != "":
			s.tokens = clientCredentials(c, v.base("authority")+"/"+v["tenant_id"]+"/oauth2/v2.0/token",
				v["client_id"], v["client_secret"], "https://storage.azure.com/.default", "Check tenant ID, client ID and client secret: secrets expire.")
		}
		return s, nil
	}
	return k
}

func azureBlobSteps() []Step {
	return []Step{
		{Text: "Make a container in a storage account, or choose one. Leave anonymous access off.", Fills: []string{"account", "container"}},
		{
			Text: "Make a shared access signature of the container that may create and write blobs and nothing else, over HTTPS only, with an end that you note. For reconciliation add list: --permissions cwl.",
			Paste: "az storage container generate-sas --account-name {account} --name {container} \\\n" +
				"  --permissions cw --https-only --expiry 2027-12-31T00:00Z --output tsv",
			Fills: []string{"sas_token"},
		},
		{
			Text: "Or, without an end: register an application in Entra ID, make a client secret, and give the application the role Storage Blob Data Contributor on the container.",
			Paste: "az role assignment create --role \"Storage Blob Data Contributor\" --assignee {client_id} \\\n" +
				"  --scope $(az storage account show -n {account} --query id -o tsv)/blobServices/default/containers/{container}",
			Fills: []string{"tenant_id", "client_id", "client_secret"},
		},
		{Text: "If the account's firewall is on, allow the addresses of this server under Networking."},
	}
}

// checkAzureBlob wants exactly one way of identifying.
func checkAzureBlob(v Values) error {
	entra := v["tenant_id"] != "" || v["client_id"] != "" || v["client_secret"] != ""
	ways := 0
	for _, given := range []bool{v["sas_token"] != "", entra, v["account_key"] != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return fieldFault("sas_token", "a shared access signature, an application of Entra ID, or an account key is required")
	case ways > 1:
		return fieldFault("sas_token", "choose one: a shared access signature, an application of Entra ID, or an account key")
	case entra:
		for _, name := range []string{"tenant_id", "client_id", "client_secret"} {
			if v[name] == "" {
				return fieldFault(name, "is required for an application of Entra ID")
			}
		}
	}
	return checkTLS(v)
}

// sasEnd is when a shared access signature ends, in one of the forms of ISO 8601
// that Azure Storage takes; a stored access policy has the end instead.
func sasEnd(token string) time.Time {
	q, err := url.ParseQuery(strings.TrimPrefix(token, "?"))
	if err != nil {
		return time.Time{}
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if end, err := time.Parse(form, q.Get("se")); err == nil {
			return ending(end)
		}
	}
	return time.Time{}
}

type azureBlob struct {
	*client
	v      Values
	base   string // of the account, without "/" at its end
	sas    string
	until  time.Time // when sas ends; zero when it does not say
	tokens *tokens   // of Entra ID, or nil
}

// Limits are those of object stores.
func (s *azureBlob) Limits() Limits { return objectLimits(s.v) }

// Test writes the event as a blob below stele-check/.
func (s *azureBlob) Test(ctx context.Context, b *Batch) (Answer, error) {
	test := *b
	test.Test = true
	return s.Send(ctx, &test)
}

// Send puts the batch's blob.
func (s *azureBlob) Send(ctx context.Context, b *Batch) (Answer, error) {
	o := newObject(s.v, b)
	sum := md5.Sum(o.body) //nolint:gosec // see the import
	h := http.Header{
		"Content-Type": {o.contentType}, "Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])},
		"If-None-Match": {"*"}, "X-Ms-Blob-Type": {"BlockBlob"},
	}
	r, e := s.request(ctx, http.MethodPut, "/"+s.v["container"]+"/"+escapeKey(o.key), nil, h, o.body)
	if e != nil && r.status == http.StatusConflict && (e.Code == "BlobAlreadyExists" || e.Code == "BlobImmutableDueToPolicy") {
		return r.answer, nil // an earlier attempt wrote it
	}
	return result(r, e)
}

// List lists the stream's blobs of an organization.
func (s *azureBlob) List(ctx context.Context, stream, organization string) iter.Seq2[Held, error] {
	held := heldReader(stream)
	return listing(ctx, func(ctx context.Context, token string) (list []Held, next string, e *Error) {
		q := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {objectPrefix(s.v, organization)}}
		if token != "" {
			q.Set("marker", token)
		}
		r, e := s.request(ctx, http.MethodGet, "/"+s.v["container"], q, http.Header{}, nil)
		if e != nil {
			return nil, "", e
		}
		var page struct {
			Blobs []struct {
				Name string
				Size int64 `xml:"Properties>Content-Length"`
			} `xml:"Blobs>Blob"`
			NextMarker string
		}
		// What XML libraries of other languages put before it.
		if err := xml.Unmarshal(bytes.TrimPrefix(r.body, []byte("\ufeff")), &page); err != nil {
			return nil, "", unreadable(err)
		}
		for _, blob := range page.Blobs {
			if h, ok := held(blob.Name, blob.Size); ok {
				list = append(list, h)
			}
		}
		return list, page.NextMarker, nil
	})
}

// request sends a request with the credentials of the settings.
func (s *azureBlob) request(ctx context.Context, method, path string, q url.Values, h http.Header, body []byte) (*reply, *Error) {
	if !s.until.IsZero() && s.now().After(s.until) {
		return &reply{}, Errorf(Invalid, "sas_expired", "The shared access signature ended on %s. Make a new one and enter it here.",
			s.until.UTC().Format("2 January 2006, 15:04 UTC"))
	}
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	if s.sas != "" {
		query = strings.Trim(query+"&"+s.sas, "&")
	}
	target := s.base + path
	if query != "" {
		target += "?" + query
	}
	h.Set("X-Ms-Version", azureVersion)
	h.Set("X-Ms-Date", s.now().UTC().Format(http.TimeFormat))
	if s.tokens != nil {
		if _, e := s.tokens.header(ctx, h); e != nil {
			return &reply{}, e
		}
	}
	if s.v["account_key"] != "" {
		if err := s.sign(h, method, target, len(body)); err != nil {
			return &reply{}, &Error{Class: Invalid, Code: "account_key", Message: "The account key in the settings cannot be used: copy it again."}
		}
	}
	r, e := s.do(ctx, method, target, h, body)
	if s.tokens != nil && r.status == http.StatusUnauthorized {
		s.tokens.token = "" // the next attempt gets another
	}
	return r, e
}

// sign adds the SharedKey signature (learn.microsoft.com, "Authorize with Shared
// Key"). length is that of the body.
func (s *azureBlob) sign(h http.Header, method, target string, length int) error {
	key, err := base64.StdEncoding.DecodeString(s.v["account_key"])
	if err != nil {
		return err
	}
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	size := ""
	if length > 0 {
		size = strconv.Itoa(length)
	}
	lines := []string{
		method, "", "", size, h.Get("Content-Md5"), h.Get("Content-Type"), "", "", "", h.Get("If-None-Match"), "", "",
	}
	var own []string
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			own = append(own, lower+":"+h.Get(name))
		}
	}
	slices.Sort(own)
	lines = append(append(lines, own...), "/"+s.v["account"]+u.EscapedPath())
	q := u.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(q[name], ","))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(lines, "\n")))
	h.Set("Authorization", "SharedKey "+s.v["account"]+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}

// azureCodes says what codes of the Blob service mean (learn.microsoft.com,
// "Common REST API error codes" and "Blob service error codes"); what is not here
// goes by its status.
func azureCodes() map[string]codeMeaning {
	const may = "Allow the credentials to create and write blobs in the container, and to list them for reconciliation."
	const who = "Check the credentials: a shared access signature may have ended, or the account's keys may have been made anew."
	m := map[string]codeMeaning{}
	for class, codes := range map[Class]map[string]string{
		Invalid: {
			"AccountIsDisabled": "The storage account is disabled.", "AuthenticationFailed": who, "InvalidAuthenticationInfo": who,
			"NoAuthenticationInformation": who, "KeyBasedAuthenticationNotPermitted": "The account does not allow its keys: use an application of Entra ID.",
			"AuthorizationFailure":              "The account's firewall may refuse this server: allow its addresses under Networking. " + may,
			"AuthorizationPermissionMismatch":   may,
			"AuthorizationProtocolMismatch":     who,
			"AuthorizationSourceIPMismatch":     "The shared access signature is for other addresses than this server's.",
			"InsufficientAccountPermissions":    may,
			"AuthorizationResourceTypeMismatch": "The shared access signature is for something else than the container.",
			"AuthorizationServiceMismatch":      "The shared access signature is not for the Blob service.",
			"ContainerNotFound":                 "Check the container's name.",
			"ContainerDisabled":                 "The container is disabled.",
			"InvalidQueryParameterValue":        who,
			"InvalidUri":                        "Check account, container and endpoint.",
			"InvalidResourceName":               "Check the container's name and the prefix.",
			"FeatureVersionMismatch":            "The endpoint does not know version " + azureVersion + " of the interface.",
			"UnauthorizedBlobOverwrite":         may,
			"PublicAccessNotPermitted":          who,
			"ResourceTypeMismatch":              "Check the container's name.",
			"BlobTypeNotSupported":              "The account takes no block blobs.",
		},
		Retry: {
			"BlobAlreadyExists": "It is there already.", "BlobImmutableDueToPolicy": "It is there already.",
			"ContainerBeingDeleted": "The container is being deleted: make it again.", "InternalError": "It will be sent again.",
			"OperationTimedOut": "It will be sent again.", "Md5Mismatch": "The blob was damaged on the way and is sent again.",
			"AccountBeingCreated": "It will be tried again.", "MissingContentLengthHeader": "It will be sent again.",
		},
		RateLimited: {"ServerBusy": "It will be sent again, more slowly.", "IngressLimitExceeded": "It will be sent again, more slowly."},
		TooLarge:    {"RequestBodyTooLarge": "Smaller batches will be tried.", "BlobTooLarge": "Smaller batches will be tried."},
	} {
		for code, todo := range codes {
			m[code] = codeMeaning{class, code, todo}
		}
	}
	return m
}

// explain reads the code in x-ms-error-code or in the XML of the answer.
func (s *azureBlob) explain(r *reply) *Error {
	var said struct{ Code, Message, AuthenticationErrorDetail string }
	if xml.Unmarshal(bytes.TrimPrefix(r.body, []byte("\ufeff")), &said) != nil || said.Code == "" {
		said.Code = r.header.Get("X-Ms-Error-Code")
	}
	c, ok := azureCodes()[said.Code]
	if !ok {
		return nil
	}
	text, _, _ := strings.Cut(said.Message, "\n") // then come an id and a time
	if said.AuthenticationErrorDetail != "" && s.v["account_key"] == "" {
		text = strings.TrimRight(text, ". ") + ": " + said.AuthenticationErrorDetail
	}
	return Errorf(c.class, c.name, "%s answered %s, %s: %s. %s", s.label, statusText(r.status), said.Code,
		strings.TrimRight(Excerpt(text, s.secrets...), ". "), c.todo)
}

func checkAccount(value string) error {
	if !regexp.MustCompile(`^[a-z0-9]{3,24}$`).MatchString(value) {
		return errors.New("must be a storage account's name alone: 3 to 24 lower-case letters and digits")
	}
	return nil
}

func checkContainer(value string) error {
	if !regexp.MustCompile(`^(\$root|[a-z0-9](-?[a-z0-9]){2,62})$`).MatchString(value) {
		return errors.New("must be a container's name alone: 3 to 63 lower-case letters, digits and '-'")
	}
	return nil
}

func checkSAS(value string) error {
	if err := checkWord(value); err != nil {
		return err
	}
	q, err := url.ParseQuery(strings.TrimPrefix(value, "?"))
	switch {
	case strings.HasPrefix(value, "https://"):
		return errors.New("must be the token alone: the part of the SAS URL behind the question mark")
	case err != nil || q.Get("sig") == "":
		return errors.New("must be a SAS token such as sv=…&se=…&sp=cw&sig=…")
	case q.Get("spr") != "" && q.Get("spr") != "https":
		return errors.New("is for plain HTTP too: make one for HTTPS only")
	}
	return nil
}

func checkAccountKey(value string) error {
	if key, err := base64.StdEncoding.DecodeString(value); err != nil || len(key) < 32 {
		return errors.New("must be a key of the storage account, in Base64")
	}
	return nil
}
