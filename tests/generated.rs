//! Generated files are current. `make generate` writes them (by `UPDATE=1`).

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;

fn current(file: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == fresh, "{file} is not what the sources say: run `make generate`");
}

#[test]
fn crds_are_current() {
    current("crds/atlasintegrations.yaml", &atlas_integration_operator::api::crd_yaml().unwrap());
}

#[test]
fn reference_is_current() {
    current("docs/reference.md", &atlas_integration_operator::cli::reference().unwrap());
}

#[test]
fn errors_are_current() {
    current("docs/errors.md", &atlas_integration_operator::cli::errors_page().unwrap());
}
