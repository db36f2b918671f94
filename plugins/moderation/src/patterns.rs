//! Many regular expressions over one text: a search for the literals that each needs comes first, and only candidates run.
//!
//! A thousand expressions one after the other cost a thousand times as much, and one automaton of all is too large for the classes of Unicode. This module
//! knows no rules.

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::{
    Parser,
    hir::literal::{ExtractKind, Extractor},
};

/// Sizes up to which an expression is compiled, in bytes. The first that suffices is what it counts for.
const SIZES: [usize; 3] = [16 << 10, 64 << 10, 256 << 10];
/// Maximum size of all expressions together, in bytes.
const MAX_TOTAL: usize = 64 << 20;
/// Maximum size of the automaton for expressions without literals, in bytes.
const MAX_SET: usize = 8 << 20;
/// Memory for the search with it, in bytes. Too little makes it many times slower.
const SEARCH_MEMORY: usize = 16 << 20;
/// Minimum length of a literal, in bytes. Shorter ones are in most texts.
const MIN_LITERAL: usize = 2;
/// Maximum number of literals of an expression.
const MAX_LITERALS: usize = 64;

/// Expressions with the indexes of their entries.
#[derive(Debug)]
pub struct Patterns {
    expressions: Vec<(usize, Regex)>,
    /// Finds the literals; the numbers of its patterns are indexes of `owners`.
    literals: Option<AhoCorasick>,
    /// Positions in `expressions`.
    owners: Vec<usize>,
    /// Positions of the expressions without literals, and the automaton of all of them unless it is too large.
    others: Vec<usize>,
    other_set: Option<RegexSet>,
    size: usize,
}

/// Compiles an expression, and returns the size that it counts for.
///
/// # Errors
/// The fault, as a text that can follow the name of the entry.
fn compile(pattern: &str) -> Result<(Regex, usize), &'static str> {
    for size in SIZES {
        let compiled = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(size)
            .build();
        match compiled {
            Ok(regex) if regex.is_match("") => {
                return Err("matches the empty text, so it would match every message");
            }
            Ok(regex) => return Ok((regex, size)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => return Err("is no pattern of the documented syntax"),
        }
    }
    Err("is too large; shorten its repetitions")
}

/// Returns literals of which every match contains one; `None` if there are no useful ones.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let expression = Parser::new().parse(pattern).ok()?;
    [ExtractKind::Prefix, ExtractKind::Suffix]
        .into_iter()
        .find_map(|kind| {
            let found = Extractor::new().kind(kind).extract(&expression);
            let found = found.literals()?;
            let is_useful = !found.is_empty() && found.len() <= MAX_LITERALS;
            let texts: Option<Vec<String>> = found
                .iter()
                .map(|literal| {
                    let text = std::str::from_utf8(literal.as_bytes()).ok()?;
                    (text.len() >= MIN_LITERAL).then(|| text.to_lowercase())
                })
                .collect();
            texts.filter(|_| is_useful)
        })
}

impl Patterns {
    /// Compiles expressions. `fault` gets the index of each invalid one, which is left out.
    pub fn of(entries: &[String], mut fault: impl FnMut(usize, &'static str)) -> Self {
        let mut expressions = Vec::with_capacity(entries.len());
        let (mut texts, mut owners, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut size = 0;
        for (index, pattern) in entries.iter().enumerate() {
            let (regex, own) = match compile(pattern) {
                Ok(compiled) => compiled,
                Err(problem) => {
                    fault(index, problem);
                    continue;
                }
            };
            size += own;
            let position = expressions.len();
            expressions.push((index, regex));
            match literals(pattern) {
                Some(found) => {
                    owners.extend(found.iter().map(|_| position));
                    texts.extend(found);
                }
                None => others.push(position),
            }
        }
        let literals = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&texts);
        let literals = literals.ok();
        if literals.is_none() {
            // Without the search for literals every expression runs.
            others = (0..expressions.len()).collect();
        }
        let set = others
            .iter()
            .map(|position| expressions[*position].1.as_str());
        let other_set = RegexSetBuilder::new(set)
            .case_insensitive(true)
            .size_limit(MAX_SET)
            .dfa_size_limit(SEARCH_MEMORY)
            .build();
        Self {
            expressions,
            literals,
            owners,
            others,
            other_set: other_set.ok(),
            size,
        }
    }

    /// True if the expressions together take more memory than a rule may.
    pub fn is_too_large(&self) -> bool {
        self.size > MAX_TOTAL
    }

    /// Returns the index of the first entry that matches one of `texts`, each of which has folded case.
    pub fn find(&self, texts: &[String]) -> Option<usize> {
        texts.iter().filter_map(|text| self.find_in(text)).min()
    }

    fn find_in(&self, text: &str) -> Option<usize> {
        let mut candidates: Vec<usize> = Vec::new();
        if let Some(literals) = &self.literals {
            let found = literals.find_overlapping_iter(text);
            candidates
                .extend(found.filter_map(|found| self.owners.get(found.pattern().as_usize())));
        }
        match &self.other_set {
            Some(set) => {
                let found = set.matches(text).into_iter();
                candidates.extend(found.filter_map(|number| self.others.get(number)));
            }
            None => candidates.extend(&self.others),
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().find_map(|position| {
            let (index, regex) = self.expressions.get(position)?;
            regex.is_match(text).then_some(*index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_needed_by_every_match() {
        assert_eq!(
            literals(r"\b(?:Offer|deal)\s+\d"),
            Some(vec!["offer".to_owned(), "deal".to_owned()])
        );
        let suffix = literals(r"\w+@spam").expect("literals");
        assert!(
            suffix.iter().all(|text| "@spam".ends_with(text.as_str())),
            "{suffix:?}"
        );
        assert_eq!(literals(r"\d{3}-\d{4}"), None);
        assert_eq!(literals("(?:word)?"), None);
    }

    #[test]
    fn all_expressions_are_found_with_and_without_literals() {
        let entries = [r"\d{3}-\d{4}", "free\\s+money", r"\w+@spam", "скидк[аи]"];
        let entries = entries.map(str::to_owned);
        let patterns = Patterns::of(&entries, |index, problem| panic!("{index} {problem}"));
        for (text, index) in [
            ("call 555-1234", Some(0)),
            ("FREE  money", Some(1)),
            ("me@spam", Some(2)),
            ("большие скидки", Some(3)),
            ("nothing", None),
        ] {
            assert_eq!(patterns.find(&[text.to_owned()]), index, "{text}");
        }
    }
}
