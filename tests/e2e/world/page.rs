//! The pages as their readers follow them: a page's commands are run by bash, one block after another, in a folder where the
//! files are that the page names, against the control plane of a test.
//!
//! [`RUN`] says which test runs which commands, [`NOT_RUN`] which nobody runs, and why. A command of one of [`PAGES`] that is
//! in neither fails a test.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

use control_plane::Tool;

use super::helm::ROOT;
use super::{Shared, World};

/// The pages whose commands are all accounted for.
pub const PAGES: &[&str] = &[
    "README.md",
    "docs/adoption.md",
    "docs/backup.md",
    "docs/conditions.md",
    "docs/deletion.md",
    "docs/flux.md",
    "docs/high-availability.md",
    "docs/install.md",
    "docs/moving.md",
    "docs/rotation.md",
    "docs/scale.md",
    "docs/templates.md",
    "docs/tenancy.md",
    "docs/troubleshooting.md",
    "docs/uninstall.md",
    "docs/upgrade.md",
];

/// A page, one of its headings or the beginning of one of its commands, and the test that runs what is there.
pub const RUN: &[(&str, &str, &str)] = &[
    ("README.md", "Your first integration", "platform::pages::the_first_integration"),
    ("docs/adoption.md", "Look first", "platform::pages::adopting"),
    ("docs/adoption.md", "Take over", "platform::pages::adopting"),
    ("docs/adoption.md", "Back out", "platform::pages::adopting"),
    ("docs/backup.md", "What to do", "platform::pages::adopting_a_namespace"),
    ("docs/conditions.md", "Conditions and reasons", "platform::pages::the_first_integration"),
    ("docs/conditions.md", "Reasons of Ready", "platform::pages::the_first_integration"),
    ("docs/conditions.md", "What a value may be", "platform::pages::the_first_integration"),
    ("docs/deletion.md", "When it does not end", "platform::pages::the_first_integration"),
    (
        "docs/deletion.md",
        "kubectl patch atlasintegration NAME",
        "platform::release::uninstalled_in_the_wrong_order",
    ),
    ("docs/deletion.md", "kubectl delete namespace", "platform::pages::from_installing_to_uninstalling"),
    (
        "docs/deletion.md",
        "kubectl get atlasintegrations -n NAME",
        "platform::pages::from_installing_to_uninstalling",
    ),
    (
        "docs/deletion.md",
        "kubectl apply -f deploy/cluster-finalizers.yaml",
        "platform::pages::from_installing_to_uninstalling",
    ),
    (
        "docs/high-availability.md",
        "kubectl -n atlas-integration-operator get lease",
        "platform::pages::the_first_integration",
    ),
    ("docs/troubleshooting.md", "Troubleshooting", "platform::pages::the_first_integration"),
    ("docs/troubleshooting.md", "The kind is not installed", "platform::pages::the_first_integration"),
    ("docs/troubleshooting.md", "The operator has not seen it", "platform::pages::the_first_integration"),
    ("docs/troubleshooting.md", "Ready is False", "platform::pages::the_first_integration"),
    ("docs/troubleshooting.md", "Atlas has something else", "platform::pages::the_first_integration"),
    ("docs/install.md", "Helm", "platform::pages::from_installing_to_uninstalling"),
    ("docs/install.md", "kustomize", "platform::pages::by_kustomize"),
    ("docs/install.md", "What a namespace may do", "platform::pages::by_kustomize"),
    ("docs/moving.md", "The way", "platform::moving::the_worked_example_works"),
    (
        "docs/moving.md",
        "From the list of an `AtlasProject`",
        "platform::moving::out_of_the_list_of_a_project",
    ),
    ("docs/rotation.md", "The key of a service", "platform::pages::rotating"),
    ("docs/rotation.md", "The Atlas API key, or the service account", "platform::pages::rotating"),
    ("docs/rotation.md", "leader=$(kubectl", "platform::pages::the_first_integration"),
    ("docs/rotation.md", "Write anyway", "platform::pages::rotating"),
    ("docs/scale.md", "By label", "platform::shards::divided_by_the_page"),
    ("docs/templates.md", "Headers", "platform::pages::templates_arrive_as_written"),
    ("docs/templates.md", "Helm", "platform::pages::templates_arrive_as_written"),
    ("docs/templates.md", "Shell", "platform::pages::templates_arrive_as_written"),
    ("docs/tenancy.md", "One platform key", "platform::pages::from_installing_to_uninstalling"),
    ("docs/tenancy.md", "kubectl apply -k overlay", "platform::pages::by_kustomize"),
    ("docs/uninstall.md", "In order", "platform::pages::from_installing_to_uninstalling"),
    (
        "docs/uninstall.md",
        "kubectl get atlasintegrations --all-namespaces",
        "platform::pages::from_installing_to_uninstalling",
    ),
    ("docs/uninstall.md", "kubectl delete deployment,", "platform::release::uninstalled_in_order"),
    ("docs/uninstall.md", "kubectl delete clusterrole,", "platform::release::uninstalled_in_order"),
    ("docs/uninstall.md", "kubectl wait --for=delete", "platform::waits::helm_waits_until_gone"),
    (
        "docs/uninstall.md",
        "kubectl patch atlasintegration NAME",
        "platform::release::uninstalled_in_the_wrong_order",
    ),
    ("docs/upgrade.md", "Upgrading", "platform::pages::from_installing_to_uninstalling"),
    ("docs/upgrade.md", "A copy beforehand", "platform::pages::from_installing_to_uninstalling"),
];

/// A page, how commands begin that no test runs, and why.
pub const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "make ", "what CI runs, and a program of its own"),
    ("README.md", "cargo run", "the tests start the same program, built before"),
    ("docs/adoption.md", "terraform ", "needs Terraform and a real Atlas"),
    ("docs/install.md", "docker ", "needs Docker and a registry"),
    ("docs/rotation.md", "kubectl -n atlas-integration-operator port-forward", "no pod runs here"),
    ("docs/troubleshooting.md", "kubectl -n atlas-integration-operator logs", "no pod runs here"),
    ("docs/rotation.md", "curl ", "needs the port of the command before"),
    (
        "docs/moving.md",
        "kubectl get atlasproject my-project -o jsonpath='{.status.id}",
        "no operator fills that status here",
    ),
];

/// A block of code of a page.
#[derive(Clone, Debug)]
pub struct Block {
    /// The heading that it stands below, without the marks.
    pub heading: String,
    /// What is said of its language; empty for an indented block.
    pub language: String,
    /// Its lines, without the indentation of the block.
    pub text: String,
}

impl Block {
    /// The file that it is, where its first line is a comment with nothing but a file's name.
    fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        (self.language == "yaml" && name.ends_with(".yaml") && !name.contains(' ')).then_some(name)
    }

    /// Its commands: indented blocks are for the shell, others are not.
    pub fn commands(&self) -> Vec<String> {
        if self.language.is_empty() { commands(&self.text) } else { Vec::new() }
    }
}

/// The commands of a text, each as a whole: with the lines that continue it, and those of a here-document or a loop.
fn commands(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let (line, continues) = (line.trim_end(), open || line.starts_with([' ', '\t']));
        match found.last_mut() {
            Some(last) if continues => *last = format!("{last}\n{line}"),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => found.push(line.to_owned()),
        }
        let Some(last) = found.last() else { continue };
        let document = last.contains("<<'EOF'") && !last.ends_with("\nEOF");
        let quoted = last.matches('\'').count() % 2 == 1;
        let bracketed = last.contains("while read") && !last.ends_with("done");
        open = document || quoted || bracketed || line.ends_with(['\\', '|']);
    }
    found
}

/// The blocks of code of a text in Markdown, as the pages are written: lists are not nested, and begin at the margin.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut heading, mut content, mut blank) = (String::new(), 0, true);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let block = |language: &str, text: String| {
            let (heading, language) = (heading.clone(), language.to_owned());
            Block { heading, language, text }
        };
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            let inside: Vec<&str> = inside.map(|line| line.get(indent..).unwrap_or_default()).collect();
            found.push(block(language, inside.join("\n") + "\n"));
        } else if blank && !line.trim().is_empty() && indent >= content + 4 {
            let cut = content + 4;
            let mut inside = vec![&line[cut..]];
            while let Some(next) =
                lines.next_if(|next| next.trim().is_empty() || next.len() - next.trim_start().len() >= cut)
            {
                inside.push(next.get(cut..).unwrap_or_default());
            }
            found.push(block("", inside.join("\n").trim_end().to_owned() + "\n"));
            blank = true;
            continue;
        } else if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
            content = 0;
        } else if indent == 0 && !line.is_empty() {
            let number = line.chars().take_while(char::is_ascii_digit).count();
            let rest = &line[number..];
            content = match number {
                0 if line.starts_with("- ") => 2,
                1.. if rest.starts_with(". ") => number + 2,
                // The text of a list's item goes on at the margin only without a blank line between.
                _ if !blank => content,
                _ => 0,
            };
        }
        blank = line.trim().is_empty();
    }
    found
}

/// A page by its path in the repository.
pub fn page(path: &str) -> Vec<Block> {
    blocks(&std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap())
}

/// Whether a command of a page is one that no test runs.
pub fn is_not_run(path: &str, command: &str) -> bool {
    let command = words(command);
    NOT_RUN.iter().any(|(page, begin, _)| *page == path && command.starts_with(begin))
}

/// A command on one line.
pub fn words(command: &str) -> String {
    command.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A reader at a shell: a folder with the repository's files, and the way to the cluster.
pub struct Reader {
    folder: tempfile::TempDir,
    path: String,
}

impl Reader {
    /// One who works in this namespace.
    pub fn new(shared: &Shared, namespace: &str) -> Reader {
        let folder = tempfile::tempdir().unwrap();
        for name in ["charts", "crds", "deploy"] {
            std::os::unix::fs::symlink(format!("{ROOT}/{name}"), folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("home")).unwrap();
        std::fs::copy(shared.plane.kubeconfig(), folder.path().join("home/kubeconfig")).unwrap();
        let kubectl = shared.plane.assets().kubectl();
        let helm = Tool::Helm.locate().unwrap();
        let folders = [&kubectl, &helm].map(|program| program.parent().unwrap().display().to_string());
        let reader = Reader { folder, path: format!("{}:/usr/local/bin:/usr/bin:/bin", folders.join(":")) };
        reader.run(&format!("kubectl config set-context --current --namespace={namespace}")).unwrap();
        reader
    }

    /// One who works in a world's namespace.
    pub fn of(world: &World) -> Reader {
        Reader::new(world.shared, &world.namespace)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a file, as an editor does.
    pub fn write(&self, name: &str, text: &str) -> &Reader {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Runs commands; what they wrote, to stdout where they succeed, else to stderr. The first that fails is the last.
    pub fn run(&self, commands: &str) -> Result<String, String> {
        let mut command = Command::new("bash");
        command.args(["-e", "-u", "-o", "pipefail", "-c", commands]).current_dir(self.folder()).env_clear();
        command.env("PATH", &self.path).env("HOME", self.folder().join("home"));
        command.env("KUBECONFIG", self.folder().join("home/kubeconfig"));
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{commands}\n{}{}", text(&output.stdout), text(&output.stderr)))
        }
    }

    /// Writes the files that a page shows. What stands first of each pair is replaced by what stands second.
    pub fn take_files(&self, path: &str, filled: &[(&str, &str)]) {
        for block in page(path) {
            if let Some(file) = block.file() {
                self.write(file, &fill(&block.text, filled));
            }
        }
    }

    /// Runs the one command of a page that begins like this, and what is added to it. What stands first of each pair is
    /// replaced by what stands second.
    pub fn one_of(&self, path: &str, begin: &str, filled: &[(&str, &str)], added: &str) -> String {
        let known = RUN.iter().any(|(page, what, _)| (*page, *what) == (path, begin));
        assert!(known, "{path}, {begin}: put it into the table of what tests run");
        let commands = page(path).iter().flat_map(Block::commands).collect::<Vec<_>>();
        let command = commands.iter().find(|command| command.starts_with(begin));
        let command = command.unwrap_or_else(|| panic!("no command of {path} begins with {begin}"));
        self.run(&format!("{}{added}", fill(command, filled)))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Begins to follow what a page says below a heading. What stands first of each pair is replaced by what stands
    /// second.
    pub fn follow(&self, path: &'static str, heading: &'static str, filled: &[(&str, &str)]) -> Way<'_> {
        let known = RUN.iter().any(|(page, what, _)| (*page, *what) == (path, heading));
        assert!(known, "{path}, {heading}: put it into the table of what tests run");
        let mut blocks: Vec<Block> =
            page(path).into_iter().filter(|block| block.heading == heading).collect();
        assert!(!blocks.is_empty(), "nothing to run below {heading} of {path}");
        for block in &mut blocks {
            block.text = fill(&block.text, filled);
        }
        Way { reader: self, path, blocks: blocks.into() }
    }
}

fn fill(text: &str, filled: &[(&str, &str)]) -> String {
    filled.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What is left of a section to be followed.
pub struct Way<'a> {
    reader: &'a Reader,
    path: &'static str,
    blocks: VecDeque<Block>,
}

impl Way<'_> {
    /// Writes the files up to the next commands, runs these, and returns what they wrote. Commands that no test runs, and
    /// those that other tests run, are left out.
    pub fn step(&mut self) -> String {
        while let Some(block) = self.blocks.pop_front() {
            if let Some(file) = block.file() {
                self.reader.write(file, &block.text);
            }
            let commands = self.commands(&block);
            if !commands.is_empty() {
                let told = self.reader.run(&commands.join("\n"));
                return told.unwrap_or_else(|error| panic!("{}: {error}", self.path));
            }
        }
        panic!("{} has no further commands below this heading", self.path)
    }

    /// Does all that is left, a step at a time; what each wrote.
    pub fn finish(mut self) -> Vec<String> {
        let mut told = Vec::new();
        while self.blocks.iter().any(|block| !self.commands(block).is_empty()) {
            told.push(self.step());
        }
        told
    }

    /// Asserts that nothing is left to be done.
    pub fn ends(&self) {
        let left: Vec<String> = self.blocks.iter().flat_map(|block| self.commands(block)).collect();
        assert!(left.is_empty(), "{}: not run: {left:#?}", self.path);
    }

    fn commands(&self, block: &Block) -> Vec<String> {
        let mut commands = block.commands();
        commands
            .retain(|command| !is_not_run(self.path, command) && runs_alone(self.path, command).is_none());
        commands
    }
}

/// The row of a command that a test runs apart from the rest of its section.
pub fn runs_alone(path: &str, command: &str) -> Option<&'static str> {
    let command = words(command);
    let mut rows = RUN.iter().filter(|(page, what, _)| *page == path && command.starts_with(what));
    rows.next().map(|(_, what, _)| *what)
}
