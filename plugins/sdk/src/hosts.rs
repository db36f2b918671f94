//! Names of hosts that use NATS: one name for the host's account in the broker, its durable, and a token in the subjects of its commands.

/// Maximum length of a name, in characters.
const MAX_NAME: usize = 32;

/// Returns true if `text` can be the name of a host: 1 to 32 of `a-z`, `0-9` and `_`, beginning with a letter.
///
/// No durable of a plugin can have such a name, because all of those contain a hyphen.
pub fn is_host_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::is_host_name;

    #[test]
    fn host_names_are_valid_accounts_and_subject_tokens() {
        for name in ["shop", "a", "game_2", "a0_"] {
            assert!(is_host_name(name), "{name}");
        }
        let long = "a".repeat(33);
        for name in [
            "", "Shop", "2shop", "_shop", "shop-a", "shop.a", "*", ">", "a b", "名", "SYS", &long,
        ] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
