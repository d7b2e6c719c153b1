module github.com/stelehq/stele/internal/workos/sdktest

go 1.26

require (
	github.com/workos/workos-go/v4 v4.46.1
	github.com/workos/workos-go/v6 v6.5.0
	github.com/workos/workos-go/v7 v7.1.2
)

require (
	github.com/google/go-querystring v1.2.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
)
