//! Rules for names and texts that people write, and the key by which a name is found.
//!
//! The tables are those of Unicode. Nothing here changes stored or returned text: a name is returned as it was given.

use caseless::default_case_fold_str;
use icu_normalizer::{
    ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed,
    properties::CanonicalCombiningClassMapBorrowed,
};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// Form that a text must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One line, for example a name: no line break and no other control character.
    Line,
    /// Any number of lines, without U+0000.
    Lines,
}

/// Returns the fault of `text`, as the end of a sentence that begins with the field's name.
///
/// A valid text has 1 to `max_chars` characters, at least one of them visible; the result is `None` for it.
pub fn fault(text: &str, shape: Shape, max_chars: usize) -> Option<String> {
    let length = text.chars().count();
    if !(1..=max_chars).contains(&length) {
        return Some(format!("must have 1 to {max_chars} characters"));
    }
    let is_misshapen = match shape {
        Shape::Line => text.chars().any(breaks_line),
        Shape::Lines => text.contains('\0'),
    };
    match (is_misshapen, shape) {
        (true, Shape::Line) => Some("must be one line without control characters".to_owned()),
        (true, Shape::Lines) => Some("must not contain the character U+0000".to_owned()),
        (false, _) => is_blank(text).then(|| "must have a visible character".to_owned()),
    }
}

fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns true if `text` shows nothing: it is empty or has only white space and zero-width characters.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

fn is_invisible(c: char) -> bool {
    // U+2800 is the Braille pattern without dots; its category is symbol, so the tables do not include it.
    c.is_whitespace() || is_ignorable(c) || c == '\u{2800}'
}

/// Returns true if `c` is invisible by itself in Unicode: joiners, variation selectors, soft hyphens, fillers, tags.
fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Returns the key by which `text` is found.
///
/// Texts that differ only in case, Unicode form, or the variant of a space, dash or quotation mark have the same key. Accents are significant, because in
/// many languages they make another letter. Marks that a usual spelling omits are not: the accents of Greek, which capitals do not have, and the vowel
/// points of Hebrew and Arabic.
pub fn search_key(text: &str) -> String {
    // This precedes the compatibility form, which turns some of these characters into a space and an accent.
    let plain: String = text.chars().map(plain_punctuation).collect();
    let folded = if plain.is_ascii() {
        plain.to_ascii_lowercase()
    } else {
        fold(&plain)
    };
    let mut key = String::with_capacity(folded.len());
    for c in folded.chars() {
        if c.is_whitespace() || c.is_control() {
            if !key.is_empty() && !key.ends_with(' ') {
                key.push(' ');
            }
        } else {
            key.push(c);
        }
    }
    if key.ends_with(' ') {
        key.pop();
    }
    key
}

/// Returns the words of a key: the parts between spaces, and the parts of these between punctuation.
pub fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split(' ')
        .flat_map(|word| {
            let parts = word.split(|c: char| c.is_ascii_punctuation());
            std::iter::once(word).chain(parts)
        })
        .filter(|word| !word.is_empty())
}

/// Folds case in the compatibility form, as Unicode's compatibility caseless match does, and removes invisible characters.
fn fold(text: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd();
    let once = default_case_fold_str(&decomposed.normalize(text));
    let twice = default_case_fold_str(&decomposed.normalize(&once));
    let mut base = ' ';
    let kept = twice.chars().filter(|c| {
        let class = combining_class(*c);
        if class == 0 {
            base = *c;
        }
        !is_ignorable(*c) && !is_optional(*c, class, base)
    });
    // Folding may have left characters that have a decomposition.
    let kept: String = kept.collect();
    ComposingNormalizerBorrowed::new_nfkc()
        .normalize(&kept)
        .into_owned()
}

fn combining_class(c: char) -> u8 {
    if c.is_ascii() {
        0
    } else {
        CanonicalCombiningClassMapBorrowed::new().get_u8(c)
    }
}

/// Returns true if a spelling may omit the mark `c` of combining class `class` after `base`.
///
/// Such marks are the points of Hebrew, Arabic and Syriac, the accents and breathings of Greek, and the dot over the i of the folded Turkish capital.
fn is_optional(c: char, class: u8, base: char) -> bool {
    let is_greek = matches!(base, '\u{370}'..='\u{3ff}');
    matches!(class, 10..=36)
        || is_greek && matches!(c, '\u{300}' | '\u{301}' | '\u{313}' | '\u{314}' | '\u{342}')
        || base == 'i' && c == '\u{307}'
}

/// Replaces every variant of a dash or quotation mark by one character.
fn plain_punctuation(c: char) -> char {
    match c {
        '\''
        | '`'
        | '\u{b4}'
        | '\u{2b9}'..='\u{2bd}'
        | '\u{2c8}'
        | '\u{2ca}'
        | '\u{2cb}'
        | '\u{5f3}'
        | '\u{2018}'..='\u{201b}'
        | '\u{2032}'
        | '\u{2035}'
        | '\u{2039}'
        | '\u{203a}'
        | '\u{a78c}'
        | '\u{ff07}' => '\'',
        '"'
        | '\u{ab}'
        | '\u{bb}'
        | '\u{5f4}'
        | '\u{201c}'..='\u{201f}'
        | '\u{2033}'
        | '\u{2036}'
        | '\u{301d}'..='\u{301f}'
        | '\u{ff02}' => '"',
        '\u{2212}' => '-',
        // The tatweel, which only lengthens Arabic words, is ignored like a joiner.
        '\u{640}' => '\u{200d}',
        c if !c.is_ascii() && is_dash(c) => '-',
        c => c,
    }
}

fn is_dash(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::DashPunctuation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each item is one word in several spellings.
    #[test]
    fn spellings_of_a_name_have_the_same_key() {
        for spellings in [
            &[
                "José",
                "Jose\u{301}",
                "JOSÉ",
                "JOSE\u{301}",
                "ＪＯＳＥ\u{301}",
            ][..],
            &["ΟΔΥΣΣΕΑΣ", "Οδυσσέας", "οδυσσεας", "οδυσσεασ"],
            &["Straße", "STRASSE", "STRAẞE", "strasse"],
            &["İstanbul", "istanbul", "ISTANBUL", "i\u{307}stanbul"],
            &["Ὀδυσσεύς", "ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"],
            &["Ёлка", "Е\u{308}лка", "ЁЛКА"],
            &["ﬁn", "fin", "FIN"],
            &["Việt", "Vie\u{323}\u{302}t", "Vie\u{302}\u{323}t", "VIỆT"],
            &["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"],
            &["ｶﾞｯﾂ", "ガッツ"],
            &["שָׁלוֹם", "שלום"],
            &["مُحَمَّد", "محمد", "محـمد"],
            &["O'Brien", "O’Brien", "O\u{2bc}BRIEN", "O´Brien", "o`brien"],
            &["Jean-Luc", "Jean‐Luc", "Jean–Luc", "jean−luc"],
            &["\u{201c}Ace\u{201d}", "\"ace\"", "«Ace»"],
            &["a b", " A\u{a0}\u{2003}b\t", "a\n b", "a\u{3000}B"],
            &["zero", "ze\u{200b}ro", "\u{feff}Zero", "ze\u{ad}ro"],
            &["ᏣᎳᎩ", "ꮳꮃꭹ"],
            &["𐐀", "𐐨"],
        ] {
            let keys: Vec<String> = spellings.iter().map(|text| search_key(text)).collect();
            assert!(
                keys.iter().all(|key| *key == keys[0]),
                "{spellings:?} {keys:?}"
            );
            assert_eq!(
                search_key(&keys[0]),
                keys[0],
                "the key of a key is the key itself"
            );
        }
    }

    #[test]
    fn other_names_have_other_keys() {
        for (one, other) in [
            ("か", "が"),
            ("José", "Jose"),
            ("Андрей", "Андреи"),
            ("कि", "की"),
            ("กิน", "กัน"),
            ("Straße", "Strase"),
            ("a b", "ab"),
            ("100%", "100"),
        ] {
            assert_ne!(search_key(one), search_key(other), "{one} {other}");
        }
    }

    #[test]
    fn the_key_of_a_prefix_is_a_prefix_of_the_key() {
        for (name, beginning) in [
            ("ΟΔΥΣΣΕΑΣ", "ΟΔΥΣ"),
            ("한글", "한"),
            ("Škoda", "S\u{30c}ko"),
            ("नमस्ते", "नम"),
        ] {
            let (name, beginning) = (search_key(name), search_key(beginning));
            assert!(name.starts_with(&beginning), "{name} {beginning}");
        }
    }

    #[test]
    fn words_are_split_at_spaces_and_punctuation() {
        let found: Vec<&str> = words("jean-luc o'brien 100%").collect();
        assert_eq!(
            found,
            [
                "jean-luc", "jean", "luc", "o'brien", "o", "brien", "100%", "100"
            ]
        );
    }

    #[test]
    fn a_name_is_one_visible_line() {
        for good in ["a", "名前", "👍", "\u{200d}a", "e\u{301}", "🏳️‍🌈", " a "] {
            assert_eq!(fault(good, Shape::Line, 20), None, "{good:?}");
        }
        for bad in [
            "",
            " ",
            "\t",
            "\u{a0}",
            "\u{3000}",
            "\u{200b}",
            "\u{200b}\u{200d}\u{fe0f}",
            "\u{feff}",
            "\u{2060}",
            "\u{ad}",
            "\u{3164}",
            "\u{115f}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{e0020}",
            "a\nb",
            "a\r\nb",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\tb",
            "a\u{b}b",
            "a\u{0}b",
            "a\u{7f}",
        ] {
            assert!(fault(bad, Shape::Line, 20).is_some(), "{bad:?}");
        }
        assert_eq!(fault("a\nb\u{2028}c\td", Shape::Lines, 20), None);
        for bad in ["", "\n", "\u{200b}\n", "a\0", &"x".repeat(21)] {
            assert!(fault(bad, Shape::Lines, 20).is_some(), "{bad:?}");
        }
    }
}
