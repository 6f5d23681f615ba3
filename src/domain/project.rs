//! Ids that reach a URL path: checked again here, since a stored object may be older than the admission rule.

use std::fmt;

/// Id of an Atlas project (group): 24 lower-case hexadecimal digits (v2 specification: `^([a-f0-9]{24})$`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId([u8; 24]);

impl ProjectId {
    /// `None` unless `text` is exactly 24 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<ProjectId> {
        let bytes: [u8; 24] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(ProjectId(bytes))
    }

    /// The 24 digits.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits and letters get past `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ProjectId;

    #[test]
    fn takes_24_lower_case_hex_digits_and_nothing_else() {
        assert_eq!(
            ProjectId::parse("5d791c84ff7a2522cc4f9aa1").map(|id| id.to_string()),
            Some("5d791c84ff7a2522cc4f9aa1".to_owned())
        );
        for bad in [
            "",
            "5d791c84ff7a2522cc4f9aa",
            "5D791C84FF7A2522CC4F9AA1",
            "5d791c84ff7a2522cc4f9aa1\n",
            "../../../../orgs/5d791c84",
        ] {
            assert!(ProjectId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
