//! Verdicts of hooks, and the JSON in which plugins in other languages send them.

use std::fmt;

use serde::Deserialize;

use super::HookChange;

/// Maximum size of the reason of a refusal or a hold, in bytes.
pub const MAX_REASON: usize = 500;
/// Maximum length of the code of a refusal, in characters.
pub const MAX_CODE: usize = 64;
/// Maximum size of the answer of a hook as JSON, in bytes.
pub const MAX_ANSWER: usize = 256 * 1024;

/// Decision of a hook.
#[derive(Debug, Clone, PartialEq)]
pub enum HookVerdict {
    /// The operation goes on.
    Pass,
    /// The operation goes on with these changes. The result must pass the checks of the operation itself.
    Change(Box<HookChange>),
    /// The operation is refused with `FORBIDDEN`. The caller gets the code and the reason.
    Refuse {
        /// Code for programs: 1 to 64 capital letters, digits and `_`.
        code: String,
        /// Reason for people, at most 500 bytes.
        reason: String,
    },
    /// The message is kept outside the log until it is released or dropped. Only `message.before_send` allows it.
    Hold {
        /// Reason for the reviewers, at most 500 bytes.
        reason: String,
    },
}

/// Answer of a hook as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    action: String,
    #[serde(default)]
    data: Option<HookChange>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl HookVerdict {
    /// Reads the JSON answer of a hook.
    ///
    /// # Errors
    /// [`HookFault`] for everything but the documented answers. Its text never quotes the answer.
    pub fn parse(answer: &[u8]) -> Result<Self, HookFault> {
        if answer.len() > MAX_ANSWER {
            return Err(HookFault::new("the answer is too large"));
        }
        let answer: Answer = serde_json::from_slice(answer)
            .map_err(|_| HookFault::new("the answer is not a documented verdict"))?;
        let verdict = match answer {
            Answer {
                action,
                data: None,
                code: None,
                reason: None,
            } if action == "pass" => Self::Pass,
            Answer {
                action,
                data: Some(change),
                code: None,
                reason: None,
            } if action == "change" => Self::Change(Box::new(change)),
            Answer {
                action,
                data: None,
                code: Some(code),
                reason: Some(reason),
            } if action == "refuse" => Self::Refuse { code, reason },
            Answer {
                action,
                data: None,
                code: None,
                reason: Some(reason),
            } if action == "hold" => Self::Hold { reason },
            _ => return Err(HookFault::new("the answer is not a documented verdict")),
        };
        verdict.check()?;
        Ok(verdict)
    }

    /// Checks the texts of a verdict.
    ///
    /// # Errors
    /// [`HookFault`] if a code or a reason breaks its limits.
    pub fn check(&self) -> Result<(), HookFault> {
        let (code, reason) = match self {
            Self::Pass | Self::Change(_) => return Ok(()),
            Self::Refuse { code, reason } => (Some(code), reason),
            Self::Hold { reason } => (None, reason),
        };
        let is_code = |code: &String| {
            (1..=MAX_CODE).contains(&code.len())
                && code
                    .bytes()
                    .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
        };
        if code.is_some_and(|code| !is_code(code)) {
            return Err(HookFault::new("the code of the refusal is invalid"));
        }
        if reason.is_empty() || reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(HookFault::new("the reason of the verdict is invalid"));
        }
        Ok(())
    }

    /// Returns the name of the action.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Change(_) => "change",
            Self::Refuse { .. } => "refuse",
            Self::Hold { .. } => "hold",
        }
    }
}

/// Failure of a hook. The text is for the log and never contains content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFault(pub String);

impl HookFault {
    /// Returns a fault with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for HookFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HookFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Patch;

    #[test]
    fn documented_answers_are_read() {
        let read = |text: &str| HookVerdict::parse(text.as_bytes());
        assert_eq!(read(r#"{"action":"pass"}"#), Ok(HookVerdict::Pass));
        let refused = read(r#"{"action":"refuse","code":"BAD_WORD","reason":"No such words."}"#);
        assert!(matches!(refused, Ok(HookVerdict::Refuse { .. })));
        let held = read(r#"{"action":"hold","reason":"Links are reviewed."}"#);
        assert!(matches!(held, Ok(HookVerdict::Hold { .. })));
        let Ok(HookVerdict::Change(change)) =
            read(r#"{"action":"change","data":{"content":"x","metadata":null}}"#)
        else {
            panic!("a change");
        };
        assert_eq!(change.content, Patch::Set("x".to_owned()));
        assert_eq!(change.metadata, Patch::Clear);
        assert!(change.mentions.is_keep());
    }

    #[test]
    fn all_other_answers_are_faults() {
        let long = "x".repeat(MAX_REASON + 1);
        for text in [
            "",
            "{}",
            "null",
            "\"pass\"",
            "<html></html>",
            "{\"action\":",
            r#"{"action":"allow"}"#,
            r#"{"action":"pass","extra":1}"#,
            r#"{"action":"pass","reason":"x"}"#,
            r#"{"action":"change"}"#,
            r#"{"action":"change","data":{"seq":1}}"#,
            r#"{"action":"refuse","reason":"x"}"#,
            r#"{"action":"refuse","code":"bad word","reason":"x"}"#,
            r#"{"action":"refuse","code":"X","reason":""}"#,
            r#"{"action":"hold"}"#,
            &format!(r#"{{"action":"hold","reason":"{long}"}}"#),
            r#"{"action":"pass"}{"action":"pass"}"#,
        ] {
            assert!(HookVerdict::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(HookVerdict::parse(&vec![b' '; MAX_ANSWER + 1]).is_err());
    }
}
