//! E-mail addresses and user names: the form in which they are compared, and those that are refused.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use unicode_security::{
    GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection, skeleton,
};

/// Maximum length of an address in bytes, after normalisation (RFC 5321).
const MAX_ADDRESS: usize = 254;
/// Maximum length of the part before the `@` in bytes (RFC 5321).
const MAX_LOCAL: usize = 64;
/// Maximum length of an address as it is sent, in bytes; normalisation may shorten it.
pub const MAX_INPUT: usize = 1024;
/// Range of the length of a user name in characters.
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=32;

/// User names that could pass for the operator of the product.
const RESERVED: [&str; 28] = [
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "auth",
    "bot",
    "everyone",
    "help",
    "here",
    "host",
    "info",
    "me",
    "moderator",
    "mod",
    "null",
    "official",
    "owner",
    "postmaster",
    "root",
    "security",
    "staff",
    "support",
    "system",
    "webmaster",
];

/// An e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Form in which addresses are compared: compatibility form, case folded, the domain as punycode.
    pub key: String,
    /// Form to which e-mails are sent: as it was given, with the domain as punycode.
    pub mailbox: String,
}

/// Reads an e-mail address.
///
/// # Errors
/// The fault, as a sentence that can follow the name of the field.
pub fn address(text: &str) -> Result<Address, &'static str> {
    const FORM: &str = "must be an e-mail address such as ann@shop.example";
    if text.len() > MAX_INPUT {
        return Err("must have at most 254 bytes");
    }
    let text = compatible(text.trim());
    let (local, domain) = text.rsplit_once('@').ok_or(FORM)?;
    let domain = idna::domain_to_ascii_strict(domain).map_err(|_| FORM)?;
    if !domain.contains('.') || domain.ends_with('.') {
        return Err(FORM);
    }
    if local.is_empty() || local.len() > MAX_LOCAL || local.len() + domain.len() >= MAX_ADDRESS {
        return Err(FORM);
    }
    let is_plain =
        |c: char| !c.is_control() && !c.is_whitespace() && !r#"()<>[]:;,\"@"#.contains(c);
    if !local.chars().all(is_plain)
        || local.starts_with('.')
        || local.ends_with('.')
        || local.contains("..")
    {
        return Err(FORM);
    }
    if imitates(local) {
        return Err("must not mix scripts, or imitate Latin letters with those of another script");
    }
    Ok(Address {
        key: format!("{}@{domain}", fold(local)),
        mailbox: format!("{local}@{domain}"),
    })
}

/// A user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName {
    /// Form in which names are compared: two names that look alike have the same key.
    pub key: String,
    /// The name as it is shown.
    pub shown: String,
}

/// Reads a user name.
///
/// # Errors
/// The fault, as a sentence that can follow the name of the field.
pub fn user_name(text: &str) -> Result<UserName, &'static str> {
    if text.len() > MAX_INPUT {
        return Err("must have 3 to 32 characters");
    }
    let shown = compatible(text.trim());
    if !NAME_LENGTH.contains(&shown.chars().count()) {
        return Err("must have 3 to 32 characters");
    }
    let is_allowed = |c: char| c.identifier_allowed() || matches!(c, '.' | '_' | '-');
    if !shown.chars().all(is_allowed) || !shown.chars().any(char::is_alphanumeric) {
        return Err("must consist of letters, digits, '.', '_' and '-'");
    }
    if imitates(&shown) {
        return Err("must not mix scripts, or imitate Latin letters with those of another script");
    }
    let key = name_key(&shown);
    if RESERVED.iter().any(|reserved| name_key(reserved) == key) {
        return Err("is reserved");
    }
    Ok(UserName {
        key,
        shown: shown.into_owned(),
    })
}

fn name_key(name: &str) -> String {
    let letters = |c: &char| !matches!(*c, '.' | '_' | '-');
    // The tables see 1 and l as alike, but not i, as in "adm1n".
    let alike = |c: char| if c == 'i' { 'l' } else { c };
    let look: String = skeleton(&fold(name)).filter(letters).map(alike).collect();
    fold(&look)
}

fn compatible(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfkc().normalize(text)
}

/// Returns the form of a text that ignores case, also after the folding has made it denormalised.
fn fold(text: &str) -> String {
    compatible(&caseless::default_case_fold_str(text)).into_owned()
}

/// Returns true if a text mixes scripts in a way that no language does, or looks like ASCII without being it.
fn imitates(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    // Punctuation of ASCII belongs to no script.
    let letters = text.chars().filter(|c| !c.is_ascii_punctuation());
    let letters: String = letters.collect();
    let level = RestrictionLevel::HighlyRestrictive;
    let is_readable = letters.as_str().check_restriction_level(level);
    !is_readable || skeleton(&fold(text)).all(|c| c.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_mailbox_have_one_key() {
        let key = |text: &str| address(text).map(|address| address.key);
        for (one, other) in [
            ("Ann@Example.org", "ann@example.ORG"),
            ("ann@example.org", "  ann@example.org\t"),
            ("ren\u{e9}e@example.org", "rene\u{301}e@example.org"),
            ("ann@example.org", "ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@bücher.example", "ann@BU\u{308}CHER.example"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
            assert!(key(one).is_ok(), "{one}");
        }
        for (one, other) in [
            ("a.nn@example.org", "ann@example.org"),
            ("ann+shop@example.org", "ann@example.org"),
            ("ann@example.org", "ann@example.com"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn texts_that_are_no_address_or_imitate_one_are_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@localhost",
            "ann@example.org.",
            "a b@example.org",
            "ann@exa mple.org",
            "ann\0@example.org",
            "ann\r\nBcc:x@example.org",
            "<ann@example.org>",
            "ann..b@example.org",
            ".ann@example.org",
            "ann@-x-.org",
            &long,
            "\u{430}nn@example.org",
            "\u{430}\u{441}\u{435}@example.org",
            "ann@[127.0.0.1]",
            "a\u{202e}nn@example.org",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
        assert!(address("юля@example.org").is_ok(), "a word of one script");
    }

    #[test]
    fn user_names_that_look_alike_have_one_key() {
        let key = |text: &str| user_name(text).map(|name| name.key);
        for (one, other) in [
            ("paypal", "PayPal"),
            ("paypal", "paypa1"),
            ("paypal", "pay_pal"),
            ("modern", "rnodern"),
            ("ann", "ＡＮＮ"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
            assert!(key(one).is_ok(), "{one}");
        }
        for text in [
            "ab",
            "admin",
            "Adm1n",
            "r00t",
            "\u{430}dmin",
            "support_",
            "a b c",
            "a\u{200b}nn",
            "p\u{430}ypal",
            "\u{440}\u{430}\u{443}",
            "ann@shop",
            "...",
            &"a".repeat(33),
        ] {
            assert!(
                user_name(text).is_err(),
                "{text:?} is {:?}",
                user_name(text)
            );
        }
    }
}
