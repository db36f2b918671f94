//! Bodies of the operations on rules.

use chat_sdk::{ConversationId, ConversationType, MessageId, Timestamp, http::ApiError};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Faults, check_text};
use crate::{
    dry_run,
    matcher::{CompiledRule, EntryFault},
    rules::{Action, LinkMode, MAX_ENTRY_BYTES, Rule, RuleKind, now},
};

/// Maximum length of a word or domain, in characters.
const MAX_WORD: usize = 200;
/// Maximum length of a pattern, in characters.
const MAX_PATTERN: usize = 500;
/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 200;
/// Maximum number of faults that an error names.
const MAX_FAULTS: usize = 20;

/// A rule as the host gives it.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct SetRule {
    /// Kind of the entries: `words`, `patterns` or `links`.
    pub kind: RuleKind,
    /// Words, patterns or domains, 1 to 2,000 and together at most 256 KiB. A word has at most 200 characters; `*` at its beginning or end also matches parts
    /// of words. A pattern is a regular expression of at most 500 characters. A domain includes its subdomains.
    #[oai(validator(min_items = 1, max_items = 2000))]
    pub entries: Vec<String>,
    /// With `links`: `deny` (default) matches links to these domains, `allow` matches links to all others.
    pub mode: Option<LinkMode>,
    /// Action on a match: `refuse`, `hold` or `report`.
    pub action: Action,
    /// Types of conversations in which the rule applies, beside `conversationIds`. Without both it applies everywhere.
    #[oai(validator(max_items = 3))]
    pub conversation_types: Option<Vec<ConversationType>>,
    /// Conversations in which the rule applies, at most 100.
    #[oai(validator(max_items = 100))]
    pub conversation_ids: Option<Vec<ConversationId>>,
    /// Reason that the author of a refused text is shown, at most 200 characters. Default: a general sentence.
    #[oai(validator(max_length = 200))]
    pub reason: Option<String>,
}

impl SetRule {
    /// Checks the rule and compiles it. `prefix` precedes the names of fields in faults.
    ///
    /// # Errors
    /// [`ApiError::Invalid`], which names each invalid entry by its index.
    pub fn compile(self, name: &str, prefix: &str) -> Result<(Rule, CompiledRule), ApiError> {
        let mut faults = Faults::new();
        let field = |name: &str| format!("{prefix}{name}");
        check_text(
            &mut faults,
            &field("reason"),
            self.reason.as_deref(),
            MAX_REASON,
        );
        if self.mode.is_some() && self.kind != RuleKind::Links {
            faults.push((field("mode"), "is allowed with the kind links only".into()));
        }
        let most = match self.kind {
            RuleKind::Patterns => MAX_PATTERN,
            RuleKind::Words | RuleKind::Links => MAX_WORD,
        };
        for (index, text) in self.entries.iter().enumerate() {
            if !(1..=most).contains(&text.chars().count()) || text.contains('\0') {
                let problem = format!("must have 1 to {most} characters, none of them U+0000");
                faults.push((field(&format!("entries[{index}]")), problem.into()));
            }
        }
        if self.entries.iter().map(String::len).sum::<usize>() > MAX_ENTRY_BYTES {
            let problem = "must have at most 262144 bytes together";
            faults.push((field("entries"), problem.into()));
        }
        if !faults.is_empty() {
            faults.truncate(MAX_FAULTS);
            return Err(ApiError::Invalid(faults));
        }
        let now = now();
        let rule = Rule {
            name: name.to_owned(),
            kind: self.kind,
            mode: self.mode.unwrap_or_default(),
            entries: self.entries,
            action: self.action,
            conversation_types: self.conversation_types.unwrap_or_default(),
            conversation_ids: self.conversation_ids.unwrap_or_default(),
            reason: self.reason,
            created_at: now,
            updated_at: now,
        };
        let compiled = CompiledRule::of(&rule);
        let invalid = compiled.faults.iter().take(MAX_FAULTS).map(|fault| {
            let entry = field(&format!("entries[{}]", fault.index));
            (entry, fault.problem.into())
        });
        faults.extend(invalid);
        if compiled.is_too_large {
            let problem = "are too large together as patterns; make two rules of them";
            faults.push((field("entries"), problem.into()));
        }
        if faults.is_empty() {
            Ok((rule, compiled))
        } else {
            Err(ApiError::Invalid(faults))
        }
    }
}

/// Entry that is not active.
#[derive(Debug, Serialize, Object)]
pub struct InvalidEntry {
    /// Index of the entry.
    pub index: u64,
    /// Problem of the entry.
    pub problem: String,
}

impl From<&EntryFault> for InvalidEntry {
    fn from(fault: &EntryFault) -> Self {
        Self {
            index: fault.index as u64,
            problem: fault.problem.to_owned(),
        }
    }
}

/// A rule. Lists leave out its entries.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationRule {
    /// Name of the rule.
    pub name: String,
    /// Kind of the entries.
    pub kind: RuleKind,
    /// Number of entries.
    pub entry_count: u64,
    /// Words, patterns or domains; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<String>>,
    /// Meaning of the domains; absent unless the kind is `links`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<LinkMode>,
    /// Action on a match.
    pub action: Action,
    /// Types of conversations in which it applies.
    pub conversation_types: Vec<ConversationType>,
    /// Conversations in which it applies.
    pub conversation_ids: Vec<ConversationId>,
    /// Reason that authors are shown; absent for the general one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Stored entries that this version cannot compile. All others are active.
    pub invalid_entries: Vec<InvalidEntry>,
    /// Time of the creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

impl ModerationRule {
    /// Returns a rule with the faults of its entries.
    pub fn of(rule: Rule, faults: &[EntryFault], has_entries: bool) -> Self {
        Self {
            name: rule.name,
            kind: rule.kind,
            entry_count: rule.entries.len() as u64,
            entries: has_entries.then_some(rule.entries),
            mode: (rule.kind == RuleKind::Links).then_some(rule.mode),
            action: rule.action,
            conversation_types: rule.conversation_types,
            conversation_ids: rule.conversation_ids,
            reason: rule.reason,
            invalid_entries: faults.iter().map(InvalidEntry::from).collect(),
            created_at: Timestamp::from_millis(rule.created_at),
            updated_at: Timestamp::from_millis(rule.updated_at),
        }
    }
}

/// Page of rules.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ModerationRulePage {
    /// Rules of the page, by name.
    pub rules: Vec<ModerationRule>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more rules.
    pub has_more: bool,
}

/// A rule to try on past messages.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct TryRule {
    /// The rule; its action and the conversations in which it applies do not matter.
    pub rule: SetRule,
    /// Conversations to search, at most 20. Default: all.
    #[oai(validator(max_items = 20))]
    pub conversation_ids: Option<Vec<ConversationId>>,
    /// Time from which messages are searched, to the second. Default: the beginning.
    pub since: Option<Timestamp>,
    /// `nextCursor` of the previous call, to continue.
    #[oai(validator(min_length = 1, max_length = 20, pattern = "^[0-9]+$"))]
    pub cursor: Option<String>,
    /// Maximum number of messages to search, 1 to 10,000. Default: 1,000.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    pub limit: Option<i64>,
}

/// Number of matches of an entry.
#[derive(Debug, Serialize, Object)]
pub struct EntryMatches {
    /// Index of the entry.
    pub index: u64,
    /// Number of texts that match it first.
    pub count: u64,
}

/// Message that a tried rule matches.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct MatchedMessage {
    /// Id of the message.
    pub message_id: MessageId,
    /// Id of its conversation.
    pub conversation_id: ConversationId,
    /// Index of the entry; absent for a link outside a list of allowed domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
}

/// Result of a dry run.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct TriedRule {
    /// Number of texts that were searched: messages and their edits.
    pub scanned: u64,
    /// Number of these that match.
    pub matched: u64,
    /// Matches by entry, in the order of the entries.
    pub entries: Vec<EntryMatches>,
    /// The first messages that match, at most 20 per call.
    pub samples: Vec<MatchedMessage>,
    /// Value of `cursor` for the next call; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl From<dry_run::Found> for TriedRule {
    fn from(found: dry_run::Found) -> Self {
        let entries = found.entries.into_iter();
        let samples = found.samples.into_iter();
        Self {
            scanned: found.scanned as u64,
            matched: found.matched as u64,
            entries: entries
                .map(|(index, count)| EntryMatches {
                    index: index as u64,
                    count: count as u64,
                })
                .collect(),
            samples: samples
                .map(|sample| MatchedMessage {
                    message_id: sample.message,
                    conversation_id: sample.conversation,
                    entry: sample.entry.map(|index| index as u64),
                })
                .collect(),
            next_cursor: found.next.map(|position| position.0.to_string()),
        }
    }
}
