//! Ids of projects. They become part of URL paths and are checked again here, since a stored object may be older than
//! the admission rule.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::hex;

/// Id of an Atlas project (group): 24 lower-case hexadecimal digits (v2 specification: `^([a-f0-9]{24})$`).
///
/// It holds the digits as 12 bytes, since every project is in several maps.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId([u8; 12]);

impl ProjectId {
    /// `None` unless `text` is exactly 24 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<ProjectId> {
        hex::pack(text.bytes()).map(ProjectId)
    }

    /// Parses a list of ids, separated by commas, white space or both, from the annotation of a Namespace. Anything in
    /// it that is not an id is skipped, so that a typing error does not affect the other ids.
    pub fn parse_list(text: &str) -> BTreeSet<ProjectId> {
        text.split(|c: char| c == ',' || c.is_whitespace()).filter_map(ProjectId::parse).collect()
    }
}

/// Shows the 24 digits.
impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::unpack(&self.0).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::ProjectId;
    use rstest::rstest;

    const A: &str = "5d791c84ff7a2522cc4f9aa1";
    const B: &str = "5d791c84ff7a2522cc4f9aa2";

    #[rstest]
    #[case::none("", &[])]
    #[case::only_separators(" ,\n,\t ", &[])]
    #[case::one("5d791c84ff7a2522cc4f9aa1", &[A])]
    #[case::commas("5d791c84ff7a2522cc4f9aa2,5d791c84ff7a2522cc4f9aa1", &[A, B])]
    #[case::lines("\n  5d791c84ff7a2522cc4f9aa1\r\n  5d791c84ff7a2522cc4f9aa2\n", &[A, B])]
    #[case::commas_and_spaces(",5d791c84ff7a2522cc4f9aa1 , ,\u{a0}5d791c84ff7a2522cc4f9aa2,", &[A, B])]
    #[case::twice("5d791c84ff7a2522cc4f9aa1 5d791c84ff7a2522cc4f9aa1", &[A])]
    #[case::short("5d791c84ff7a2522cc4f9aa,5d791c84ff7a2522cc4f9aa2", &[B])]
    #[case::long("5d791c84ff7a2522cc4f9aa10 5d791c84ff7a2522cc4f9aa2", &[B])]
    #[case::upper_case("5D791C84FF7A2522CC4F9AA1", &[])]
    #[case::all_projects("*", &[])]
    #[case::other_separators("5d791c84ff7a2522cc4f9aa1;5d791c84ff7a2522cc4f9aa2", &[])]
    #[case::json("[\"5d791c84ff7a2522cc4f9aa1\"]", &[])]
    #[case::look_alike("5d791c84ff7a2522cc4f9\u{430}a1", &[])]
    #[case::full_width("\u{ff15}d791c84ff7a2522cc4f9aa1", &[])]
    #[case::zero_width("5d791c84ff7a\u{200b}2522cc4f9aa1", &[])]
    #[case::byte_order_mark("\u{feff}5d791c84ff7a2522cc4f9aa1", &[])]
    #[case::broken_by_a_line_break("5d791c84ff7a\n2522cc4f9aa1", &[])]
    #[case::a_path("x/5d791c84ff7a2522cc4f9aa1", &[])]
    #[case::quoted("\"5d791c84ff7a2522cc4f9aa1\"", &[])]
    #[case::a_prefix("5d791c84*", &[])]
    fn lists(#[case] text: &str, #[case] expected: &[&str]) {
        let found: Vec<String> = ProjectId::parse_list(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    /// The API server accepts annotations of up to 256 KiB.
    #[test]
    fn a_huge_list() {
        let text: String = (0..10_486).map(|n| format!("{n:024x} ")).collect();
        assert!(text.len() > 256 << 10);
        assert_eq!(ProjectId::parse_list(&text).len(), 10_486);
        assert!(ProjectId::parse_list(&"a".repeat(256 << 10)).is_empty());
    }

    #[test]
    fn takes_24_lower_case_hex_digits_and_nothing_else() {
        assert_eq!(
            ProjectId::parse("5d791c84ff7a2522cc4f9aa1").map(|id| id.to_string()),
            Some("5d791c84ff7a2522cc4f9aa1".to_owned())
        );
        let logged = ProjectId::parse(A).map(|id| format!("{id:?}"));
        assert_eq!(logged.as_deref(), Some(A), "a log shows the digits, not their bytes");
        for bad in [
            "",
            "5d791c84ff7a2522cc4f9aa",
            "5D791C84FF7A2522CC4F9AA1",
            "5d791c84ff7a2522cc4f9aag",
            "5d791c84ff7a2522cc4f9aa1\n",
            "../../../../orgs/5d791c84",
        ] {
            assert!(ProjectId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
