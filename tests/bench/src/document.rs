//! The page of figures: an introduction, and a section for each scenario. A run replaces the sections that it measured.

const INTRODUCTION: &str = "\
    Each section is a scenario of `make bench` and names the command that measured it, which replaces that \
    section and leaves the others as they are. In a run, the operator, kube-apiserver, etcd, the simulator \
    of Atlas and the measuring program share the cores of one machine. The operator's binary is linked in \
    the same way as that of the image. On other machines the times differ, so compare the ratios: both of \
    their sides are from the same run. A run that was ended early has the columns that were complete.";

/// The width of the page.
const WIDTH: usize = 120;

/// A section: its title, and what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its title, the text after `## `.
    pub title: &'static str,
    /// All below it.
    pub text: String,
}

/// The page with these sections, and of `before` the others, as they were.
pub fn with(before: &str, sections: Vec<Section>) -> String {
    let mut parts: Vec<(String, String)> = before
        .split("\n## ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
        .map(|(title, text)| (title.to_owned(), text.trim().to_owned()))
        .collect();
    for Section { title, text } in sections {
        match parts.iter_mut().find(|(known, _)| known == title) {
            Some((_, old)) => *old = text,
            None => parts.push((title.to_owned(), text)),
        }
    }
    let parts = parts.iter().map(|(title, text)| format!("\n## {title}\n\n{}\n", text.trim()));
    format!("# Figures\n\n{}\n{}", wrapped(INTRODUCTION), parts.collect::<String>())
}

/// A paragraph in lines of the page's width.
pub fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.len() + 1 + word.len() <= WIDTH) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_replaces_its_own_sections_and_keeps_the_others() {
        let section = |title, text: &str| Section { title, text: text.to_owned() };
        let head = with("", Vec::new());
        assert!(head.starts_with("# Figures\n\n") && !head.contains("## "), "{head}");
        let one = with("# Figures\n\nA table of long ago.\n", vec![section("A", "1"), section("B", "2")]);
        assert_eq!(one, format!("{head}\n## A\n\n1\n\n## B\n\n2\n"));
        let two = with(&one, vec![section("B", "3"), section("C", "4")]);
        assert_eq!(two, format!("{head}\n## A\n\n1\n\n## B\n\n3\n\n## C\n\n4\n"));
        assert_eq!(with(&two, Vec::new()), two);
    }

    #[test]
    fn the_page_in_the_repository_is_of_this_form() {
        let page = include_str!("../../../docs/figures.md");
        assert_eq!(with(page, Vec::new()), page, "make bench would change what it did not measure");
    }

    #[test]
    fn a_paragraph_keeps_within_the_page() {
        let text = "word ".repeat(60);
        let lines: Vec<_> = wrapped(&text).lines().map(str::len).collect();
        assert_eq!(lines, [119, 119, 59]);
        assert_eq!(wrapped(&"x".repeat(130)).len(), 130, "a long word is left whole");
    }
}
