// Flux's controllers, of which only the CRDs are used: go.sum pins what is fetched, and nothing is built.
module atlas-integrations.dev/flux

go 1.26.0
