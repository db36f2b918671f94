//! Forms of a text in which rules search, so that spelling tricks do not hide a word.
//!
//! A form is made for one search and is never stored or returned. This module knows no rules.

use caseless::default_case_fold_str;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};
use unicode_security::skeleton;

/// Characters that mark up a text: bold, italic, struck, code, spoiler.
const MARKUP: [char; 6] = ['*', '_', '~', '`', '|', '\\'];

/// Returns true if `c` shows nothing by itself, or only changes the character before it.
fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !c.is_ascii_whitespace();
    }
    let is_mark = matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        GeneralCategory::NonspacingMark
            | GeneralCategory::EnclosingMark
            | GeneralCategory::Format
            | GeneralCategory::Control
    );
    let is_ignorable = || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    is_mark && !c.is_whitespace() || is_ignorable() || c == '\u{2800}'
}

/// Returns `text` in the compatibility form, without characters that show nothing.
fn visible(text: &str) -> String {
    let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
    let decomposed = nfkd.normalize(text);
    decomposed.chars().filter(|c| !is_unseen(*c)).collect()
}

/// Returns `text` in small letters and the composed compatibility form, so that its accents stay, without other characters that show nothing.
fn composed(text: &str) -> String {
    if text.is_ascii() {
        let seen = text.chars().filter(|c| !is_unseen(*c));
        return seen.map(|c| c.to_ascii_lowercase()).collect();
    }
    let is_mark = |c: char| {
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        matches!(category, GeneralCategory::NonspacingMark)
    };
    let is_ignorable = |c: char| CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    // An ignorable mark does not compose; an accent does.
    let kept = |c: &char| !is_unseen(*c) || is_mark(*c) && !is_ignorable(*c);
    let text: String = text.chars().filter(kept).collect();
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let text: String = nfkc
        .normalize(&text)
        .chars()
        .filter(|c| !is_unseen(*c))
        .collect();
    default_case_fold_str(&text)
}

/// Replaces every character outside ASCII by the one that it looks like.
///
/// ASCII stays as it is: Unicode's table also makes "rn" of "m" and "l" of "1", so that common words would become others.
fn alike(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut bytes = [0; 4];
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.extend(skeleton(c.encode_utf8(&mut bytes)));
        }
    }
    out
}

/// Returns the spellings of `text` by which words are found: lower case, without marks, with look-alikes replaced.
///
/// There are up to two, because a capital may look like another letter than its small form does. Texts in one case and in ASCII have one.
pub fn spellings(text: &str) -> Vec<String> {
    if text.is_ascii() {
        let seen = text.chars().filter(|c| !is_unseen(*c));
        return vec![seen.map(|c| c.to_ascii_lowercase()).collect()];
    }
    let visible = visible(text);
    let small = default_case_fold_str(&visible);
    let small_first = visible_again(&alike(&visible_again(&small)));
    let look_first = visible_again(&alike(&visible));
    let mut all = vec![default_case_fold_str(&small_first)];
    let other = visible_again(&default_case_fold_str(&look_first));
    if !all.contains(&other) {
        all.push(other);
    }
    all
}

/// Removes what a replacement has added: marks, and forms that decompose.
fn visible_again(text: &str) -> String {
    if text.is_ascii() {
        text.to_owned()
    } else {
        visible(text)
    }
}

/// Returns `text` with every run of white space as one space.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_whitespace() {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

fn without_markup(text: &str) -> String {
    text.replace(MARKUP, "")
}

/// Returns the spellings of an entry of a list.
pub fn entry(text: &str) -> Vec<String> {
    let mut all: Vec<String> = spellings(text)
        .iter()
        .map(|text| spaced(&without_markup(text)).trim().to_owned())
        .filter(|text| !text.is_empty())
        .collect();
    all.dedup();
    all
}

/// A text in all forms in which rules search.
#[derive(Debug, Clone)]
pub struct Folded {
    /// Spellings for words, with markup removed and with markup as white space.
    pub forms: Vec<String>,
    /// Texts for patterns: the spellings, the text with its accents and its own letters, and the text as it was given.
    pub texts: Vec<String>,
    /// Forms for links: only case, compatibility form and unseen characters are folded. Look-alikes are other domains.
    pub addresses: Vec<String>,
}

impl Folded {
    /// Returns the forms of `text`.
    pub fn of(text: &str) -> Self {
        let mut forms = Vec::with_capacity(2);
        for spelling in spellings(text) {
            let has_markup = spelling.contains(MARKUP);
            let joined = if has_markup {
                spaced(&without_markup(&spelling))
            } else {
                spaced(&spelling)
            };
            if !forms.contains(&joined) {
                forms.push(joined);
            }
            if has_markup {
                forms.push(spaced(&spelling.replace(MARKUP, " ")));
            }
        }
        let plain = default_case_fold_str(&visible(text));
        // A browser reads both as the character of an address.
        let plain = plain.replace('\u{3002}', ".").replace('\\', "/");
        let mut addresses = vec![plain.clone()];
        if plain.contains(MARKUP) {
            addresses.push(without_markup(&plain));
        }
        let mut texts = forms.clone();
        let own = spaced(&without_markup(&composed(text)));
        for other in [own, text.to_owned()] {
            // Patterns do not distinguish the case of ASCII.
            if !texts.iter().any(|known| known.eq_ignore_ascii_case(&other)) {
                texts.push(other);
            }
        }
        Self {
            forms,
            texts,
            addresses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// True if a form of `text` contains the spelling of `word`.
    fn shows(text: &str, word: &str) -> bool {
        let folded = Folded::of(text);
        let words = entry(word);
        folded
            .forms
            .iter()
            .any(|form| words.iter().any(|word| form.contains(word.as_str())))
    }

    #[test]
    fn unseen_characters_between_letters_hide_nothing() {
        let mut unseen = vec!['\u{ad}', '\u{34f}', '\u{feff}', '\u{301}', '\u{20dd}', '\0'];
        unseen.extend('\u{200b}'..='\u{200f}');
        unseen.extend('\u{2060}'..='\u{2064}');
        unseen.extend('\u{202a}'..='\u{202e}');
        unseen.extend('\u{2066}'..='\u{2069}');
        unseen.extend('\u{fe00}'..='\u{fe0f}');
        unseen.extend('\u{e0100}'..='\u{e0105}');
        for c in unseen {
            let text = format!("a ba{c}nn{c}ed word");
            assert!(shows(&text, "banned"), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn markup_case_width_and_look_alikes_hide_nothing() {
        for text in [
            "ban**ned**",
            "||ban||ned",
            "b`a`n_n_ed",
            "BANNED",
            "ｂａｎｎｅｄ",
            "𝐛𝐚𝐧𝐧𝐞𝐝",
            "b\u{430}nned",
            "\u{412}ANNED",
            "bànnêd",
        ] {
            assert!(shows(text, "banned"), "{text}");
        }
    }

    #[test]
    fn capitals_of_other_scripts_match_their_small_letters() {
        for (text, word) in [
            ("ВОР", "вор"),
            ("вор", "ВОР"),
            ("ΚΑΚΟΣ", "κακός"),
            ("İstanbul", "istanbul"),
            ("STRASSE", "straße"),
        ] {
            assert!(shows(text, word), "{text} {word}");
        }
    }

    #[test]
    fn common_words_stay_apart() {
        for (text, word) in [("burn", "bum"), ("modern", "modem"), ("1st", "lst")] {
            assert!(!shows(text, word), "{text} {word}");
        }
    }

    #[test]
    fn an_entry_without_visible_letters_has_no_spelling() {
        for text in ["", " ", "\u{200b}", "**", "\u{301}"] {
            assert!(entry(text).is_empty(), "{text:?}");
        }
    }
}
