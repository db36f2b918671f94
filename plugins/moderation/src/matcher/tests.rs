//! Tests of compiled rules.

use chat_sdk::Timestamp;

use super::*;

fn rule(kind: RuleKind, entries: &[&str]) -> CompiledRule {
    let entries: Vec<String> = entries.iter().map(|text| (*text).to_owned()).collect();
    CompiledRule::of(&Rule {
        name: "sample".to_owned(),
        kind,
        mode: LinkMode::Deny,
        entries,
        action: Action::Refuse,
        conversation_types: Vec::new(),
        conversation_ids: Vec::new(),
        reason: None,
        created_at: Timestamp::now().as_millis(),
        updated_at: Timestamp::now().as_millis(),
    })
}

fn finds(rule: &CompiledRule, text: &str) -> Option<usize> {
    rule.find(&Folded::of(text)).and_then(|hit| hit.entry)
}

#[test]
fn words_match_whole_words_unless_an_asterisk_opens_a_side() {
    let rule = rule(
        RuleKind::Words,
        &["ass", "*fuck*", "spam*", "bad phrase", "坏话"],
    );
    for (text, entry) in [
        ("you ass!", Some(0)),
        ("ASS", Some(0)),
        ("class", None),
        ("assess", None),
        ("as_s", Some(0)),
        ("unfuckable", Some(1)),
        ("spammer", Some(2)),
        ("antispam", None),
        ("a bad \n phrase", Some(3)),
        ("bad **phrase**", Some(3)),
        ("badphrase", None),
        ("你说坏话了", Some(4)),
        ("one_ass_two", Some(0)),
    ] {
        assert_eq!(finds(&rule, text), entry, "{text}");
    }
}

#[test]
fn patterns_match_folded_and_original_texts() {
    let rule = rule(
        RuleKind::Patterns,
        &[
            r"\bcall \d{3}-\d{4}\b",
            r"free\s+money",
            r"\*\*win\*\*",
            "чай",
            "café",
        ],
    );
    for (text, entry) in [
        ("Call 555-1234 now", Some(0)),
        ("FREE   money", Some(1)),
        ("fr\u{200b}ee mon\u{ad}ey", Some(1)),
        ("free **money**", Some(1)),
        ("**win**", Some(2)),
        ("Зелёный ЧАЙ", Some(3)),
        ("ча\u{200b}й", Some(3)),
        ("чаи", None),
        ("Cafe\u{301}", Some(4)),
        ("nothing", None),
    ] {
        assert_eq!(finds(&rule, text), entry, "{text}");
    }
}

#[test]
fn an_invalid_entry_is_named_and_the_others_stay_active() {
    let rule = rule(
        RuleKind::Patterns,
        &["one", "(", "two", r"\w{999}{999}", ".*", "(?=x)"],
    );
    let faults: Vec<usize> = rule.faults.iter().map(|fault| fault.index).collect();
    assert_eq!(faults, [1, 3, 4, 5]);
    assert_eq!(
        (finds(&rule, "one"), finds(&rule, "two")),
        (Some(0), Some(2))
    );
}

#[test]
fn emoji_and_joiners_match_nothing_by_themselves() {
    let rule = rule(RuleKind::Words, &["banned"]);
    for text in ["👨‍👩‍👧‍👦", "می‌خواهم", "❤️", ""] {
        assert_eq!(finds(&rule, text), None, "{text}");
    }
}

/// The work of a dry run: a thousand patterns. A release build searches 100,000 texts, as the test runner's duration shows; no time is asserted.
#[test]
fn a_thousand_patterns_search_many_texts() {
    let patterns: Vec<String> = (0..1000)
        .map(|n| format!(r"\b(?:offer|deal)\s+{n}x\w*"))
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let rule = rule(RuleKind::Patterns, &patterns);
    assert!(rule.faults.is_empty() && !rule.is_too_large);
    let count = if cfg!(debug_assertions) { 300 } else { 100_000 };
    let found = (0..count)
        .filter(|n| {
            let text = format!("Message {n} is about the weather, the game and offer {n}xyz today");
            rule.find(&Folded::of(&text)).is_some()
        })
        .count();
    assert_eq!(found, count.min(1000));
}
