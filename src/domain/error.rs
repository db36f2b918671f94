//! Why a verb did not do what it was asked. Layers below and above speak this type; HTTP and frames map it once each.

use std::{borrow::Cow, fmt};

use chat_sdk::text::{self, Shape};
use serde::{Deserialize, Serialize};

/// A fault of one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where: `participantIds[2]`, `content`.
    pub field: String,
    /// What is wrong there, as a sentence that can follow the field's name.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// A refusal or failure of a verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DomainError {
    /// There is no such thing for this caller: it does not exist, or it is none of theirs. The two look the same.
    NotFound(Cow<'static, str>),
    /// The caller may see the thing but not do this to it.
    Forbidden(Cow<'static, str>),
    /// The thing is in a state in which this cannot be done.
    Conflict(Cow<'static, str>),
    /// The input is wrong; every fault that was found.
    Validation(Vec<FieldError>),
    /// The event that the change would make is larger than an event may be. Nothing was stored.
    TooLarge {
        /// How many bytes it would have.
        size: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// A store could not be asked, or did not answer in time. What was asked for may or may not have happened; repeating it under the same id is
    /// safe.
    Unavailable(Cow<'static, str>),
    /// A fault of the service itself. The text is for the log, never for the caller.
    Internal(Cow<'static, str>),
}

/// The result of a verb.
pub type Result<T> = std::result::Result<T, DomainError>;

impl DomainError {
    /// No conversation that this caller could know of.
    pub fn no_conversation() -> Self {
        Self::NotFound("There is no such conversation.".into())
    }

    /// No message that this caller could know of.
    pub fn no_message() -> Self {
        Self::NotFound("There is no such message.".into())
    }

    /// No scheduled message of this caller.
    pub fn no_scheduled() -> Self {
        Self::NotFound("There is no such scheduled message.".into())
    }

    /// No user of that id.
    pub fn no_user() -> Self {
        Self::NotFound("There is no such user.".into())
    }

    /// The contract's code for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::Conflict(_) => "CONFLICT",
            Self::Validation(_) => "VALIDATION_ERROR",
            Self::TooLarge { .. } => "PAYLOAD_TOO_LARGE",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// The sentence that the caller may read: everything but the text of an internal fault.
    pub fn public_message(&self) -> String {
        match self {
            Self::Internal(_) => "Something went wrong inside the service.".to_owned(),
            Self::Validation(faults) => match faults.as_slice() {
                [fault] => format!("{} {}.", fault.field, fault.message),
                faults => format!("The request has {} faults; see details.", faults.len()),
            },
            other => other.to_string(),
        }
    }

    /// One wrong field.
    pub fn invalid(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(vec![FieldError::new(field, message)])
    }

    /// The same, with the name that the caller knows a field by.
    pub fn renamed(self, field: &str, name: &str) -> Self {
        match self {
            Self::Validation(mut faults) => {
                for fault in faults.iter_mut().filter(|fault| fault.field == field) {
                    name.clone_into(&mut fault.field);
                }
                Self::Validation(faults)
            }
            other => other,
        }
    }

    /// The store is away, or too slow; the outcome is unknown.
    pub fn store_unavailable() -> Self {
        Self::Unavailable(
            "The store did not answer in time; repeat the request, with the same clientMessageId for a message."
                .into(),
        )
    }
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(text)
            | Self::Forbidden(text)
            | Self::Conflict(text)
            | Self::Unavailable(text)
            | Self::Internal(text) => f.write_str(text),
            Self::TooLarge { size, limit } => write!(
                f,
                "The event of this request would have {size} bytes, and {limit} is the limit; \
                 shorten its text, attachments, mentions or metadata."
            ),
            Self::Validation(faults) => {
                for (index, fault) in faults.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{} {}", fault.field, fault.message)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DomainError {}

/// Collects the faults of one input, so that all of them are reported at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Notes a fault when `wrong`.
    pub fn when(
        &mut self,
        wrong: bool,
        field: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) {
        if wrong {
            self.add(field, message);
        }
    }

    /// Notes a fault of `field`.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<Cow<'static, str>>) {
        self.0.push(FieldError::new(field, message));
    }

    /// Notes what is wrong with a name or text of `field`; see [`text::fault`].
    pub fn text(
        &mut self,
        field: impl Into<String>,
        text: Option<&String>,
        shape: Shape,
        max_chars: usize,
    ) {
        if let Some(fault) = text.and_then(|text| text::fault(text, shape, max_chars)) {
            self.add(field, fault);
        }
    }

    /// `Ok` without faults.
    ///
    /// # Errors
    /// [`DomainError::Validation`] with all of them.
    pub fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DomainError::Validation(self.0))
        }
    }
}
