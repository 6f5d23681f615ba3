// Modules of which only CRDs are used: go.sum pins what is fetched, and nothing is built.
module atlas-integrations.dev/crds

go 1.26.0
