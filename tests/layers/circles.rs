//! Import circles: none between the modules of `src/`, and none of more than three files within a module.
//!
//! An import is followed through re-exports to the file that defines the item: a module that only passes names on depends on nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, files};

/// Maximum number of files of one module that may import each other in a circle.
const MOST_FILES: usize = 3;

/// Names of a path: `["store", "log", "Writer"]`.
type Names = Vec<String>;

/// A `use` of one name.
struct Import {
    name: String,
    /// Path of the name as it is written.
    path: Names,
    /// True if the module passes the name on.
    is_public: bool,
}

/// A file as a module of the crate.
struct Module {
    imports: Vec<Import>,
    /// Paths that the code outside `use` statements names.
    paths: Vec<Names>,
    /// All names of the code outside `use` statements.
    words: BTreeSet<String>,
}

/// The modules by their paths, joined with `::`; that of `lib.rs` is empty.
struct Modules(BTreeMap<String, Module>);

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without its test module.
fn without_tests(code: &str) -> &str {
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(test)]\n").map(|at| from + at) {
        let line = code[at..].lines().nth(1).unwrap_or_default();
        if line.contains("mod ") && line.ends_with('{') {
            return &code[..at];
        }
        from = at + 1;
    }
    code
}

/// Splits the code into its imports and the rest.
fn split_imports(code: &str) -> (Vec<Import>, String) {
    let (mut imports, mut rest) = (Vec::new(), String::new());
    let mut statement = String::new();
    for line in code.lines() {
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        let at = words.iter().position(|word| *word == "use");
        let is_start = at.is_some_and(|at| at == 0 || words[0].starts_with("pub"));
        if statement.is_empty() && !is_start {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        statement.push_str(line.trim());
        statement.push(' ');
        if line.trim_end().ends_with(';') {
            let is_public = statement.starts_with("pub");
            let tree = statement.split_once("use ").map_or("", |(_, tree)| tree);
            let mut found = Vec::new();
            leaves(&[], tree.trim().trim_end_matches(';'), &mut found);
            imports.extend(found.into_iter().map(|(name, path)| Import {
                name,
                path,
                is_public,
            }));
            statement.clear();
        }
    }
    (imports, rest)
}

/// Adds the names of a tree of `use`, with their paths.
fn leaves(head: &[String], tree: &str, found: &mut Vec<(String, Names)>) {
    let joined = |path: &str| -> Names {
        let parts = path
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty());
        head.iter()
            .cloned()
            .chain(parts.map(str::to_owned))
            .collect()
    };
    let Some((before, list)) = tree.split_once('{') else {
        let (path, alias) = match tree.split_once(" as ") {
            Some((path, alias)) => (path, Some(alias.trim().to_owned())),
            None => (tree, None),
        };
        let mut path = joined(path);
        if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
            path.pop();
        }
        let name = alias.or(path.last().cloned()).unwrap_or_default();
        found.push((name, path));
        return;
    };
    let head = joined(before);
    let list = list.trim_end();
    let list = list.strip_suffix('}').unwrap_or(list);
    let (mut depth, mut item) = (0_i32, String::new());
    for c in list.chars().chain([',']) {
        match c {
            ',' if depth == 0 => {
                if !item.trim().is_empty() {
                    leaves(&head, item.trim(), found);
                }
                item.clear();
            }
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                item.push(c);
            }
        }
    }
}

/// Returns the paths of several names in code without `use` statements, and all its names.
fn paths_of(code: &str) -> (Vec<Names>, BTreeSet<String>) {
    let (mut paths, mut words) = (Vec::new(), BTreeSet::new());
    let mut path: Names = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let (between, word) = rest.split_at(start);
        let (word, after) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
        let is_next = between == "::";
        // A method or field has the name of no module.
        let is_member = between.ends_with('.') && !between.ends_with("..");
        if !is_next {
            paths.push(std::mem::take(&mut path));
        }
        if is_next != path.is_empty() && !is_member {
            path.push(word.to_owned());
        }
        words.insert(word.to_owned());
        rest = after;
    }
    paths.push(path);
    paths.retain(|path| path.len() > 1);
    (paths, words)
}

impl Module {
    fn import(&self, name: &str) -> Option<&Import> {
        self.imports.iter().find(|import| import.name == name)
    }
}

impl Modules {
    fn of(files: &[File]) -> Self {
        let is_test = |path: &str| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with("tests"))
        };
        let modules = files
            .iter()
            .filter(|file| !is_test(&file.path) && file.path != "main.rs");
        Self(modules.map(Self::module).collect())
    }

    fn module(file: &File) -> (String, Module) {
        let path = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let path = path.replace('/', "::");
        let path = if path == "lib" { String::new() } else { path };
        let (imports, rest) = split_imports(without_tests(&file.code));
        let (paths, words) = paths_of(&rest);
        let module = Module {
            imports,
            paths,
            words,
        };
        (path, module)
    }

    /// Returns the path from the root of the crate of a path in the module `at`; `None` if it is that of another crate or of a local item.
    fn absolute(&self, at: &str, path: &[String]) -> Option<Names> {
        let base = at.split("::").filter(|name| !name.is_empty());
        let mut base: Names = base.map(str::to_owned).collect();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => rest = &path[1..],
            "super" => {}
            name => {
                base.push(name.to_owned());
                let is_module = self.0.contains_key(&base.join("::"));
                return is_module.then(|| [base.as_slice(), &path[1..]].concat());
            }
        }
        while rest.first().is_some_and(|name| name == "super") {
            base.pop();
            rest = &rest[1..];
        }
        Some([base.as_slice(), rest].concat())
    }

    /// Returns the module that defines the item at `path`; `None` if the path is that of a module, or if the item is of another crate.
    fn definition(&self, path: &[String], depth: usize) -> Option<String> {
        let mut at = String::new();
        for (index, name) in path.iter().enumerate() {
            let below = match at.as_str() {
                "" => name.clone(),
                _ => format!("{at}::{name}"),
            };
            if self.0.contains_key(&below) {
                at = below;
                continue;
            }
            let Some(import) = self.0.get(&at)?.import(name) else {
                return Some(at);
            };
            let target = self.absolute(&at, &import.path)?;
            if depth == 8 || target == path[..=index] {
                return Some(at);
            }
            let target = [target.as_slice(), &path[index + 1..]].concat();
            return self.definition(&target, depth + 1).or(Some(at));
        }
        None
    }

    /// Returns the modules that the module at `path` depends on.
    fn needs(&self, path: &str, module: &Module) -> BTreeSet<String> {
        // A name that is only passed on is no dependency.
        let is_used = |import: &&Import| !import.is_public || module.words.contains(&import.name);
        let used = module.imports.iter().filter(is_used);
        let used = used.filter_map(|import| self.absolute(path, &import.path));
        let qualified = module.paths.iter().filter_map(|names| {
            let Some(import) = module.import(&names[0]) else {
                return self.absolute(path, names);
            };
            let target = self.absolute(path, &import.path)?;
            Some([target.as_slice(), &names[1..]].concat())
        });
        let needs = used.chain(qualified);
        let needs = needs.filter_map(|names| self.definition(&names, 0));
        needs.filter(|other| other != path).collect()
    }

    fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
        let needs = |(path, module): (&String, &Module)| (path.clone(), self.needs(path, module));
        self.0.iter().map(needs).collect()
    }
}

/// Returns the groups of two and more nodes that reach each other.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut found, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = open.pop() {
            for next in graph.get(&node).into_iter().flatten() {
                if graph.contains_key(next) && found.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        found
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|node| (node, reached(node))).collect();
    let circle_of = |node: &&String| -> Vec<String> {
        let others = reach[*node]
            .iter()
            .filter(|other| reach[other].contains(*node));
        others.cloned().collect()
    };
    let found: BTreeSet<Vec<String>> = graph
        .keys()
        .collect::<Vec<_>>()
        .iter()
        .map(circle_of)
        .collect();
    found
        .into_iter()
        .filter(|circle| circle.len() > 1)
        .collect()
}

fn room(path: &str) -> String {
    path.split("::").next().unwrap_or_default().to_owned()
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, needs) in Modules::of(&files()).graph() {
        // The root only declares the modules.
        let others = needs
            .iter()
            .map(|other| room(other))
            .filter(|other| !other.is_empty());
        rooms
            .entry(room(&path))
            .or_default()
            .extend(others.filter(|other| *other != room(&path)));
    }
    assert_eq!(circles(&rooms), Vec::<Vec<String>>::new());
}

#[test]
fn at_most_three_files_of_a_module_import_each_other_in_a_circle() {
    let graph = Modules::of(&files()).graph();
    let rooms: BTreeSet<String> = graph.keys().map(|path| room(path)).collect();
    for room_name in rooms {
        let files = graph.iter().filter(|(path, _)| room(path) == room_name);
        let files = files
            .map(|(path, needs)| (path.clone(), needs.clone()))
            .collect();
        for circle in circles(&files) {
            assert!(
                circle.len() <= MOST_FILES,
                "a circle in {room_name}: {circle:#?}"
            );
        }
    }
}

#[test]
fn the_check_follows_imports_to_the_file_that_defines_the_item() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        code: super::without_comments_and_texts(text),
        text: text.to_owned(),
    };
    let graph = Modules::of(&[
        file(
            "a/mod.rs",
            "mod b;\nmod c;\npub use b::B;\npub use self::c::{\n    C,\n    d::D as E,\n};\n",
        ),
        file(
            "a/b.rs",
            "use super::C;\nuse crate::x;\npub struct B(C);\nfn f() { x::y::g(); }\n",
        ),
        file(
            "a/c/mod.rs",
            "mod d;\nuse super::B;\n#[cfg(test)]\nmod tests {\n    use crate::z::Z;\n}\n",
        ),
        file("a/c/d.rs", "fn f(b: &crate::a::B) { b.z(); }\n"),
        file("x/mod.rs", "pub mod y;\n"),
        file("x/y.rs", "pub fn g() {}\n"),
        file("z.rs", "pub struct Z;\n"),
    ]);
    let graph = graph.graph();
    let needs = |path: &str| graph[path].iter().map(String::as_str).collect::<Vec<_>>();
    assert!(needs("a").is_empty(), "it only passes names on");
    assert_eq!(needs("a::b"), ["a::c", "x::y"]);
    assert_eq!(needs("a::c"), ["a::b"], "imports of tests do not count");
    assert_eq!(needs("a::c::d"), ["a::b"]);
    let circle = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let pairs = [("p", "q"), ("q", "p"), ("p", "r")];
    let mut pairs_graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in pairs {
        pairs_graph
            .entry(from.to_owned())
            .or_default()
            .insert(to.to_owned());
        pairs_graph.entry(to.to_owned()).or_default();
    }
    assert_eq!(circles(&pairs_graph), [circle(["p", "q"])]);
}
