package securitylake

// Row is an event as a row; the names are those of OCSF.
type Row struct {
	Time         int64       `json:"time" parquet:"time"` // Unix milliseconds
	ActivityID   int32       `json:"activity_id" parquet:"activity_id"`
	ActivityName string      `json:"activity_name" parquet:"activity_name,optional,dict"`
	CategoryName string      `json:"category_name" parquet:"category_name,optional,dict"`
	CategoryUID  int32       `json:"category_uid" parquet:"category_uid"`
	ClassName    string      `json:"class_name" parquet:"class_name,optional,dict"`
	ClassUID     int32       `json:"class_uid" parquet:"class_uid"`
	TypeName     string      `json:"type_name" parquet:"type_name,optional,dict"`
	TypeUID      int64       `json:"type_uid" parquet:"type_uid"`
	Severity     string      `json:"severity" parquet:"severity,optional,dict"`
	SeverityID   int32       `json:"severity_id" parquet:"severity_id"`
	Status       string      `json:"status" parquet:"status,optional,dict"`
	StatusID     int32       `json:"status_id" parquet:"status_id"`
	Message      string      `json:"message" parquet:"message,optional"`
	Metadata     Metadata    `json:"metadata" parquet:"metadata"`
	Actor        Actor       `json:"actor" parquet:"actor"`
	API          API         `json:"api" parquet:"api"`
	Resources    []Resource  `json:"resources" parquet:"resources,list"`
	Source       Endpoint    `json:"src_endpoint" parquet:"src_endpoint"`
	Request      HTTPRequest `json:"http_request" parquet:"http_request"`
	Unmapped     JSON        `json:"unmapped" parquet:"unmapped,optional"`
}

// Metadata is the object of that name.
type Metadata struct {
	Version      string  `json:"version" parquet:"version,dict"`
	UID          string  `json:"uid" parquet:"uid"` // the event's id, for telling duplicates
	Sequence     int64   `json:"sequence" parquet:"sequence"`
	EventCode    string  `json:"event_code" parquet:"event_code,optional,dict"`
	OriginalTime string  `json:"original_time" parquet:"original_time,optional"`
	LoggedTime   int64   `json:"logged_time" parquet:"logged_time"`
	TenantUID    string  `json:"tenant_uid" parquet:"tenant_uid,optional,dict"`
	LogName      string  `json:"log_name" parquet:"log_name,optional,dict"`
	LogProvider  string  `json:"log_provider" parquet:"log_provider,optional,dict"`
	Product      Product `json:"product" parquet:"product"`
}

// Product is the object of that name.
type Product struct {
	Name       string `json:"name" parquet:"name,optional,dict"`
	VendorName string `json:"vendor_name" parquet:"vendor_name,optional,dict"`
	Version    string `json:"version" parquet:"version,optional,dict"`
}

// Actor is the object of that name.
type Actor struct {
	User    User   `json:"user" parquet:"user"`
	AppUID  string `json:"app_uid" parquet:"app_uid,optional,dict"`
	AppName string `json:"app_name" parquet:"app_name,optional,dict"`
}

// User is the object of that name.
type User struct {
	UID       string `json:"uid" parquet:"uid,optional,dict"`
	Name      string `json:"name" parquet:"name,optional,dict"`
	EmailAddr string `json:"email_addr" parquet:"email_addr,optional,dict"`
	Type      string `json:"type" parquet:"type,optional,dict"`
	TypeID    int32  `json:"type_id" parquet:"type_id"`
}

// API is the object of that name.
type API struct {
	Operation string `json:"operation" parquet:"operation,dict"`
	Version   string `json:"version" parquet:"version,optional,dict"`
}

// Resource is the object resource_details.
type Resource struct {
	UID    string `json:"uid" parquet:"uid,optional"`
	Name   string `json:"name" parquet:"name,optional"`
	Type   string `json:"type" parquet:"type,optional"`
	Data   JSON   `json:"data" parquet:"data,optional"`
	Role   string `json:"role" parquet:"role,optional"`
	RoleID int32  `json:"role_id" parquet:"role_id,optional"` // from OCSF 1.6
}

// Endpoint is the object network_endpoint.
type Endpoint struct {
	IP      string `json:"ip" parquet:"ip,optional,dict"`
	Name    string `json:"name" parquet:"name,optional,dict"`
	SvcName string `json:"svc_name" parquet:"svc_name,optional,dict"`
}

// HTTPRequest is the object of that name.
type HTTPRequest struct {
	UserAgent string `json:"user_agent" parquet:"user_agent,optional,dict"`
}

// JSON is text that is JSON, kept as it is.
type JSON string

// UnmarshalJSON keeps the text.
func (j *JSON) UnmarshalJSON(b []byte) error {
	*j = JSON(b)
	return nil
}
