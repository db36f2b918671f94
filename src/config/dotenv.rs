//! Parses the text of a `.env` file.
//!
//! Each line is `NAME=value`, optionally after `export `. `#` starts a comment at the start of a line or after white space. In single quotes
//! everything is literal; in double quotes `\n`, `\"` and `\\` are read and the text may span several lines, as a PEM key does. `$` has no meaning: a
//! password with a `$` must arrive as it was written. The crate dotenvy replaces `$name` by a variable of the process, rejects values with spaces, and
//! quotes the faulty line, which may hold a secret, instead of its number.

/// Returns the pairs in order (a later one wins), or the number of the wrong line and its problem.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line
            .split_once('=')
            .ok_or((number, "has no \"=\"; write NAME=value"))?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err((
                number,
                "has no valid name before the \"=\"; write NAME=value",
            ));
        }
        let value = value.trim();
        let value = match value.as_bytes().first() {
            Some(b'\'') => {
                let (inside, after) = value[1..]
                    .split_once('\'')
                    .ok_or((number, "has a quote that is not closed"))?;
                only_comment(after, number)?;
                inside.to_owned()
            }
            Some(b'"') => {
                let mut whole = value[1..].to_owned();
                loop {
                    if let Some((inside, after)) = unquote(&whole) {
                        only_comment(&after, number)?;
                        break inside;
                    }
                    let (_, next) = lines
                        .next()
                        .ok_or((number, "has a quote that is not closed"))?;
                    whole.push('\n');
                    whole.push_str(next);
                }
            }
            _ => without_comment(value).to_owned(),
        };
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

/// Returns the text before the closing double quote, unescaped, and the rest.
///
/// It is `None` without a closing quote.
fn unquote(text: &str) -> Option<(String, String)> {
    let mut inside = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some((inside, chars.collect())),
            '\\' => match chars.next()? {
                'n' => inside.push('\n'),
                c @ ('"' | '\\') => inside.push(c),
                c => inside.extend(['\\', c]),
            },
            c => inside.push(c),
        }
    }
    None
}

fn only_comment(after: &str, number: usize) -> Result<(), (usize, &'static str)> {
    match after.trim() {
        "" => Ok(()),
        rest if rest.starts_with('#') => Ok(()),
        _ => Err((number, "goes on after the closing quote")),
    }
}

fn without_comment(value: &str) -> &str {
    let cut = value
        .char_indices()
        .find(|(at, c)| *c == '#' && value[..*at].ends_with(char::is_whitespace));
    match cut {
        Some((at, _)) => value[..at].trim_end(),
        None if value.starts_with('#') => "",
        None => value,
    }
}
