//! Which file of `src` takes names from which other file, as the syntax tree says it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// Every arrow: a file, and the files from which it takes names. Paths are relative to `src`.
pub type Arrows = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

type ModulePath = Vec<String>;

/// One module, that is one file.
struct Module {
    file: PathBuf,
    syntax: syn::File,
    /// Names that the file re-exports, with the paths where they come from.
    exports: BTreeMap<String, ModulePath>,
}

/// The arrows between the files of a crate's `src`. Tests within the files are left out, and so are re-exports (`pub
/// use`): a name belongs to the file that defines it.
pub fn arrows(src: &Path) -> Arrows {
    let mut modules = BTreeMap::new();
    read(src, Path::new("lib.rs"), &[], &mut modules);
    let mut arrows = Arrows::new();
    for (path, module) in &modules {
        let mut names = Names { module: path, modules: &modules, found: Vec::new() };
        for item in module.syntax.items.iter().filter(|item| !is_test(item)) {
            match item {
                syn::Item::Use(import) if !matches!(import.vis, syn::Visibility::Inherited) => {}
                item => names.visit_item(item),
            }
        }
        let to = names.found.iter().filter_map(|name| file_of(name, &modules));
        let to: BTreeSet<PathBuf> = to.filter(|file| *file != module.file).collect();
        arrows.entry(module.file.clone()).or_default().extend(to);
    }
    arrows
}

/// Each circle of files: the files that can be reached from each other along the arrows.
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<PathBuf>> {
    let reachable = |from: &PathBuf| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&PathBuf, BTreeSet<PathBuf>> =
        arrows.keys().map(|file| (file, reachable(file))).collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in &all {
        let circle: BTreeSet<PathBuf> = reached
            .iter()
            .filter(|other| all.get(other).is_some_and(|back| back.contains(*file)))
            .cloned()
            .collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Reads a module and its children.
fn read(src: &Path, file: &Path, path: &[String], into: &mut BTreeMap<ModulePath, Module>) {
    let text = std::fs::read_to_string(src.join(file)).unwrap();
    let syntax = syn::parse_file(&text).unwrap();
    // Children of `x/mod.rs` and of `lib.rs` are beside it, those of `x.rs` in `x/`.
    let is_root = ["mod", "lib"].iter().any(|root| file.file_stem() == Some(root.as_ref()));
    let folder = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let mut exports = BTreeMap::new();
    for item in syntax.items.iter().filter(|item| !is_test(item)) {
        match item {
            syn::Item::Mod(child) if child.content.is_none() => {
                let name = child.ident.to_string();
                let beside = folder.join(format!("{name}.rs"));
                let below = folder.join(&name).join("mod.rs");
                let file = if src.join(&beside).is_file() { beside } else { below };
                read(src, &file, &[path, &[name]].concat(), into);
            }
            syn::Item::Use(export) if !matches!(export.vis, syn::Visibility::Inherited) => {
                for full in flat(&export.tree, &[]) {
                    exports.insert(full.last().unwrap().clone(), full);
                }
            }
            _ => {}
        }
    }
    into.insert(path.to_vec(), Module { file: file.to_owned(), syntax, exports });
}

fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

/// The paths of a `use`, each written out. `a::{self}` is `a`; of a rename the old name counts.
fn flat(tree: &syn::UseTree, before: &[String]) -> Vec<ModulePath> {
    let with = |name: String| [before, &[name]].concat();
    match tree {
        syn::UseTree::Path(path) => flat(&path.tree, &with(path.ident.to_string())),
        syn::UseTree::Group(group) => group.items.iter().flat_map(|item| flat(item, before)).collect(),
        syn::UseTree::Name(name) if name.ident == "self" => vec![before.to_vec()],
        syn::UseTree::Name(name) => vec![with(name.ident.to_string())],
        syn::UseTree::Rename(rename) => vec![with(rename.ident.to_string())],
        _ => vec![before.to_vec()],
    }
}

/// Collects the names that a file takes from others, as full paths from the root of the crate.
struct Names<'a> {
    module: &'a ModulePath,
    modules: &'a BTreeMap<ModulePath, Module>,
    found: Vec<ModulePath>,
}

impl Names<'_> {
    fn note(&mut self, path: &[String]) {
        self.found.extend(absolute(path, self.module, self.modules));
    }
}

impl Visit<'_> for Names<'_> {
    fn visit_item_use(&mut self, import: &syn::ItemUse) {
        for path in flat(&import.tree, &[]) {
            self.note(&path);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: ModulePath = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names);
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, _: &syn::ItemMod) {}

    // `pub(super)` takes nothing from the parent.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}
}

/// A path as it stands in a module, from the root of the crate; `None` for a foreign crate's, or a local name.
fn absolute(
    path: &[String],
    module: &ModulePath,
    modules: &BTreeMap<ModulePath, Module>,
) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let (_, mut parent) = module.split_last()?;
            let mut rest = rest;
            while let Some((_, more)) = rest.split_first().filter(|(next, _)| *next == "super") {
                (parent, rest) = (parent.split_last()?.1, more);
            }
            Some([parent, rest].concat())
        }
        child => {
            let below = [module.as_slice(), &[child.to_owned()]].concat();
            modules.contains_key(&below).then(|| [module, path].concat())
        }
    }
}

/// The file that defines a name: that of the innermost module of its path, or where that module re-exports it from.
fn file_of(path: &[String], modules: &BTreeMap<ModulePath, Module>) -> Option<PathBuf> {
    let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
    let module = &modules[&path[..depth]];
    let export = path.get(depth).and_then(|name| module.exports.get(name));
    let exported = export.and_then(|export| absolute(export, &path[..depth].to_vec(), modules));
    match exported.filter(|exported| exported != path) {
        Some(exported) => file_of(&exported, modules),
        None => Some(module.file.clone()),
    }
}
