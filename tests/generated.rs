//! Generated files are current.

use std::path::Path;

#[test]
fn crds_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/atlasintegrations.yaml");
    let stored = std::fs::read_to_string(path).unwrap();
    let fresh = atlas_integration_operator::api::crd_yaml().unwrap();
    assert!(stored == fresh, "crds/atlasintegrations.yaml is not what the types say: run `make generate`");
}
