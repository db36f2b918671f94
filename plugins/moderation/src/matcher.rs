//! Compiled rules: finds the entry of a list that a text matches. This module knows no storage and no request.

use aho_corasick::AhoCorasick;
use chat_sdk::{ConversationId, ConversationType};

use crate::{
    fold::{self, Folded},
    links::{self, Domain},
    patterns::Patterns,
    rules::{Action, LinkMode, Rule, RuleKind},
};

/// Fault of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFault {
    /// Index of the entry in its list.
    pub index: usize,
    /// Problem, as a text that can follow the name of the entry.
    pub problem: &'static str,
}

/// Conversation in which a text appears.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// Id of the conversation; `None` if it does not exist yet.
    pub conversation: Option<&'a ConversationId>,
    /// Type of the conversation; `None` if it is unknown.
    pub kind: Option<ConversationType>,
}

/// A rule that can search texts.
#[derive(Debug)]
pub struct CompiledRule {
    /// Name of the rule.
    pub name: String,
    /// Action on a match.
    pub action: Action,
    /// Reason for the author; `None` for the general one.
    pub reason: Option<String>,
    /// Entries that could not be compiled. The others are active.
    pub faults: Vec<EntryFault>,
    /// True if the patterns together are too large.
    pub is_too_large: bool,
    conversation_types: Vec<ConversationType>,
    conversation_ids: Vec<ConversationId>,
    search: Search,
}

#[derive(Debug)]
enum Search {
    Words(Option<AhoCorasick>, Vec<Word>),
    Patterns(Box<Patterns>),
    Denied(Vec<(usize, Domain)>),
    Allowed(Vec<(usize, Domain)>),
}

/// Spelling of an entry of a word list.
#[derive(Debug)]
struct Word {
    entry: usize,
    /// True if a letter may precede it.
    is_open_before: bool,
    /// True if a letter may follow it.
    is_open_after: bool,
}

/// Match of a text.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The rule.
    pub rule: &'a CompiledRule,
    /// Index of the entry; `None` for a link outside a list of allowed domains.
    pub entry: Option<usize>,
}

impl CompiledRule {
    /// Compiles a rule. Invalid entries are left out and named in [`CompiledRule::faults`].
    pub fn of(rule: &Rule) -> Self {
        let mut faults = Vec::new();
        let mut is_too_large = false;
        let search = match (rule.kind, rule.mode) {
            (RuleKind::Words, _) => words(&rule.entries, &mut faults),
            (RuleKind::Patterns, _) => {
                let compiled = Patterns::of(&rule.entries, |index, problem| {
                    faults.push(EntryFault { index, problem });
                });
                is_too_large = compiled.is_too_large();
                Search::Patterns(Box::new(compiled))
            }
            (RuleKind::Links, LinkMode::Deny) => Search::Denied(domains(rule, &mut faults)),
            (RuleKind::Links, LinkMode::Allow) => Search::Allowed(domains(rule, &mut faults)),
        };
        Self {
            name: rule.name.clone(),
            action: rule.action,
            reason: rule.reason.clone(),
            faults,
            is_too_large,
            conversation_types: rule.conversation_types.clone(),
            conversation_ids: rule.conversation_ids.clone(),
            search,
        }
    }

    /// True if the rule depends on the type of the conversation.
    pub fn needs_type(&self) -> bool {
        !self.conversation_types.is_empty()
    }

    /// True if the rule applies in this place.
    pub fn applies(&self, place: Place<'_>) -> bool {
        if self.conversation_types.is_empty() && self.conversation_ids.is_empty() {
            return true;
        }
        let is_type = place
            .kind
            .is_some_and(|kind| self.conversation_types.contains(&kind));
        let is_one = place
            .conversation
            .is_some_and(|id| self.conversation_ids.contains(id));
        is_type || is_one
    }

    /// Searches a text.
    pub fn find(&self, text: &Folded) -> Option<Hit<'_>> {
        let entry = match &self.search {
            Search::Words(words, of) => {
                let words = words.as_ref()?;
                Some(
                    text.forms
                        .iter()
                        .find_map(|form| find_word(words, of, form))?,
                )
            }
            Search::Patterns(patterns) => Some(patterns.find(&text.texts)?),
            Search::Denied(domains) => Some(links::denied(text, domains)?),
            Search::Allowed(domains) => {
                if !links::is_outside(text, domains) {
                    return None;
                }
                None
            }
        };
        Some(Hit { rule: self, entry })
    }
}

fn words(entries: &[String], faults: &mut Vec<EntryFault>) -> Search {
    let (mut spellings, mut words) = (Vec::new(), Vec::new());
    for (index, text) in entries.iter().enumerate() {
        let text = text.trim();
        let inner = text.trim_matches('*');
        let found = fold::entry(inner);
        if found.is_empty() {
            faults.push(EntryFault {
                index,
                problem: "must have a visible character beside * and markup",
            });
        }
        for spelling in found {
            spellings.push(spelling);
            words.push(Word {
                entry: index,
                is_open_before: text.starts_with('*'),
                is_open_after: text.ends_with('*'),
            });
        }
    }
    // Entries are bounded in number and length, so the automaton is too.
    Search::Words(AhoCorasick::new(&spellings).ok(), words)
}

/// Scripts that write no space between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3130}'..='\u{318f}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{20000}'..='\u{3ffff}')
}

/// True if a word may begin or end between these characters.
fn is_border(edge: Option<char>, beyond: Option<char>) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() && !is_unspaced(c);
    !(edge.is_some_and(is_letter) && beyond.is_some_and(is_letter))
}

fn find_word(words: &AhoCorasick, of: &[Word], form: &str) -> Option<usize> {
    let mut found = words.find_overlapping_iter(form);
    found.find_map(|found| {
        let word = of.get(found.pattern().as_usize())?;
        let inside = &form[found.range()];
        let before = form[..found.start()].chars().next_back();
        let after = form[found.end()..].chars().next();
        let begins = word.is_open_before || is_border(inside.chars().next(), before);
        let ends = word.is_open_after || is_border(inside.chars().next_back(), after);
        (begins && ends).then_some(word.entry)
    })
}

fn domains(rule: &Rule, faults: &mut Vec<EntryFault>) -> Vec<(usize, Domain)> {
    let mut valid = Vec::with_capacity(rule.entries.len());
    for (index, text) in rule.entries.iter().enumerate() {
        match Domain::parse(text) {
            Ok(domain) => valid.push((index, domain)),
            Err(problem) => faults.push(EntryFault { index, problem }),
        }
    }
    valid
}

#[cfg(test)]
mod tests;
