//! Compares a real answer with the JSON that a document shows, in which `…` stands for omitted parts.

use std::collections::HashMap;

use serde_json::Value;

/// A shown value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// `…`
    Left,
    /// A number, a switch or `null`.
    Plain(Value),
    Text(String),
    /// The fields, and whether others were left out.
    Object(Vec<(String, Shown)>, bool),
    /// The items, and whether others were left out.
    List(Vec<Shown>, bool),
    /// A line that is no JSON.
    Line(String),
}

/// The strictness of the comparison between a real answer and a shown one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Like {
    /// The same fields with the same values. Times, and numbers that measure something, may differ; ids may be others, but always the same others.
    Value,
    /// The same fields with values of the same kind.
    Form,
}

/// Numbers that are never the same.
const MEASURED: [&str; 12] = [
    "latencyMs",
    "behindMs",
    "missing",
    "uptimeSeconds",
    "position",
    "pending",
    "inFlight",
    "retrying",
    "oldestAgeMs",
    "retryAfterMs",
    "durationMs",
    "attempts",
];

/// The real id for each id that a document shows.
#[derive(Debug, Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// Says that `shown` is `real`. False when it is another already.
    pub fn bind(&mut self, shown: &str, real: &str) -> bool {
        let known = self.0.entry(shown.to_owned()).or_insert(real.to_owned());
        known == real
    }

    /// The text with the real ids in it.
    pub fn fill(&self, text: &str) -> String {
        let filled = self.0.iter();
        filled.fold(text.to_owned(), |text, (shown, real)| {
            text.replace(shown, real)
        })
    }
}

/// Everything that a block shows, one after the other.
pub fn all(text: &str) -> Result<Vec<Shown>, String> {
    let mut reader = Reader { rest: text };
    let mut found = Vec::new();
    while reader.skip_space() {
        found.push(if reader.rest.starts_with(['{', '[']) {
            reader.value()?
        } else {
            Shown::Line(reader.line())
        });
    }
    Ok(found)
}

/// Everything that a program printed, one after the other.
pub fn printed(text: &str) -> Vec<Shown> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let is_json = rest.starts_with(['{', '[']);
        match values.next().filter(|_| is_json) {
            Some(Ok(value)) => {
                found.push(Shown::from(value));
                rest = rest[values.byte_offset()..].trim_start();
            }
            _ => {
                let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
                found.push(Shown::Line(line.trim_end().to_owned()));
                rest = after.trim_start();
            }
        }
    }
    found
}

/// The reason why a program's output does not match what a block shows.
pub fn all_against(shown: &[Shown], output: &str, names: &mut Names) -> Result<(), String> {
    let real = printed(output);
    if shown.len() != real.len() {
        return Err(format!("shows {} answers of {}", shown.len(), real.len()));
    }
    let mut both = shown.iter().zip(&real);
    both.try_for_each(|(shown, real)| shown.against(real, Like::Value, names))
}

impl From<Value> for Shown {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect(), false),
            Value::Object(fields) => {
                let fields = fields.into_iter();
                Self::Object(fields.map(|(n, v)| (n, Self::from(v))).collect(), false)
            }
            plain => Self::Plain(plain),
        }
    }
}

impl Shown {
    /// A field of an object.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields, _) = self else {
            return None;
        };
        fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The reason why `real` does not match.
    pub fn against(&self, real: &Self, like: Like, names: &mut Names) -> Result<(), String> {
        self.compare(real, "", like, names)
    }

    fn compare(&self, real: &Self, at: &str, like: Like, names: &mut Names) -> Result<(), String> {
        match (self, real) {
            (Self::Left, _) => Ok(()),
            (Self::Text(shown), Self::Text(real)) => {
                if texts_fit(shown, real, like, names) {
                    return Ok(());
                }
                Err(format!("{at} is shown as {shown:?} and is {real:?}"))
            }
            (Self::Plain(shown), Self::Plain(real)) => {
                let name = at.rsplit('.').next().unwrap_or_default();
                let is_same_kind = (shown.is_number() && real.is_number())
                    || (shown.is_boolean() && real.is_boolean());
                if shown == real || is_same_kind && (like == Like::Form || MEASURED.contains(&name))
                {
                    return Ok(());
                }
                Err(format!("{at} is shown as {shown} and is {real}"))
            }
            (Self::Line(shown), Self::Line(real)) if line_fits(shown, real) => Ok(()),
            (Self::List(shown, is_open), Self::List(items, _)) => {
                if items.len() < shown.len() || (items.len() > shown.len() && !is_open) {
                    let (shown, real) = (shown.len(), items.len());
                    return Err(format!("{at} is shown with {shown} items and has {real}"));
                }
                for (n, (shown, real)) in shown.iter().zip(items).enumerate() {
                    shown.compare(real, &format!("{at}[{n}]"), like, names)?;
                }
                Ok(())
            }
            (Self::Object(shown, is_open), Self::Object(fields, _)) => {
                for (name, shown) in shown {
                    let Some(value) = real.field(name) else {
                        return Err(format!("{at}.{name} is shown and is not there"));
                    };
                    shown.compare(value, &format!("{at}.{name}"), like, names)?;
                }
                let mut others = fields.iter().map(|(name, _)| name);
                match others.find(|name| self.field(name).is_none()) {
                    Some(name) if !is_open => Err(format!("{at}.{name} is there and is not shown")),
                    _ => Ok(()),
                }
            }
            _ => Err(format!("{at} is shown as {self:?} and is {real:?}")),
        }
    }
}

fn texts_fit(shown: &str, real: &str, like: Like, names: &mut Names) -> bool {
    if shown.contains('…') || is_time(shown) && is_time(real) {
        return true;
    }
    match (kind_of_id(shown), kind_of_id(real)) {
        (Some(one), Some(other)) if one == other => like == Like::Form || names.bind(shown, real),
        _ => like == Like::Form || shown == real,
    }
}

/// True if a line contains all shown parts, in their order.
fn line_fits(shown: &str, real: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| real.strip_prefix(first)) else {
        return false;
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

/// `msg` of `msg_01hzx3v7k9q2m4n6p8r0s2t4v6`.
fn kind_of_id(text: &str) -> Option<&str> {
    let (kind, rest) = text.split_once('_')?;
    let is_plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (kind.len() == 3 && rest.len() == 26 && is_plain(kind) && is_plain(rest)).then_some(kind)
}

fn is_time(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Skips whitespace. Returns true if more follows.
    fn skip_space(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        !self.rest.is_empty()
    }

    fn takes(&mut self, what: &str) -> bool {
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix(what) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn line(&mut self) -> String {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line.trim_end().to_owned()
    }

    fn value(&mut self) -> Result<Shown, String> {
        if self.takes("…") {
            return Ok(Shown::Left);
        }
        if self.takes("{") {
            return self.object();
        }
        if self.takes("[") {
            return self.list();
        }
        self.skip_space();
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else {
            let near: String = self.rest.chars().take(40).collect();
            return Err(format!("no value at {near:?}"));
        };
        self.rest = &self.rest[values.byte_offset()..];
        Ok(Shown::from(value))
    }

    fn object(&mut self) -> Result<Shown, String> {
        let (mut fields, mut is_open) = (Vec::new(), false);
        while !self.takes("}") {
            if self.takes("…") {
                is_open = true;
            } else {
                let name = self.value()?;
                let name = name.text().ok_or("a field without a name")?.to_owned();
                if !self.takes(":") {
                    return Err(format!("no colon behind {name:?}"));
                }
                fields.push((name, self.value()?));
            }
            self.takes(",");
        }
        Ok(Shown::Object(fields, is_open))
    }

    fn list(&mut self) -> Result<Shown, String> {
        let (mut items, mut is_open) = (Vec::new(), false);
        while !self.takes("]") {
            if self.takes("…") {
                is_open = true;
            } else {
                items.push(self.value()?);
            }
            self.takes(",");
        }
        Ok(Shown::List(items, is_open))
    }
}

#[test]
fn shown_values_are_distinguished_from_omitted_ones() {
    let shown = all(
        r#"{"id":"msg_01hzx3v7k9q2m4n6p8r0s2t4v6",…,"list":[{"a":1},…],"at":"2026-01-15T10:30:00.000Z","cursor":"xy…"} 204"#,
    );
    let shown = shown.expect("it can be read");
    assert_eq!(shown[1], Shown::Line("204".to_owned()));
    let fits = |text: &str| {
        let real = printed(text);
        shown[0]
            .against(&real[0], Like::Value, &mut Names::default())
            .is_ok()
    };
    let real = r#"{"id":"msg_01hzx3v7k9q2m4n6p8r0s2tAAA","list":[{"a":1},2],"at":"2027-01-15T10:30:00.000Z","cursor":"z","more":1}"#;
    let real = real.replace("AAA", "zzz");
    assert!(fits(&real));
    assert!(!fits(&real.replace("msg_", "evt_")), "another kind of id");
    assert!(!fits(&real.replace(r#"{"a":1}"#, r#"{"a":2}"#)));
    assert!(
        !fits(&real.replace(r#"{"a":1}"#, r#"{"a":1,"b":2}"#)),
        "a field that is not shown"
    );
    assert!(!fits(&real.replace(r#""cursor":"z","#, "")));
    let mut names = Names::default();
    assert!(names.bind("msg_1", "msg_2") && !names.bind("msg_1", "msg_3"));
    assert_eq!(names.fill("of msg_1"), "of msg_2");
}
