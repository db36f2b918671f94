//! Errors of operations. The layers below and above use this type; REST and socket frames each map it in one place.

use std::{borrow::Cow, fmt};

use chat_sdk::text::{self, Shape};
use serde::{Deserialize, Serialize};

/// An error in one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field: `participantIds[2]`, `content`.
    pub field: String,
    /// Description of the error, as a sentence that continues the field's name.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// Returns an error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Failure of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DomainError {
    /// The resource does not exist, or the caller may not know of it. The two look the same.
    NotFound(Cow<'static, str>),
    /// The caller may see the resource but may not do this.
    Forbidden(Cow<'static, str>),
    /// A hook refused this.
    Refused {
        /// Code of the hook, for programs.
        code: String,
        /// Reason of the hook, for people.
        reason: String,
    },
    /// The state of the resource does not allow this.
    Conflict(Cow<'static, str>),
    /// The input is invalid; has every error that was found.
    Validation(Vec<FieldError>),
    /// The event of the change would exceed the maximum size. Nothing was stored.
    TooLarge {
        /// Size of the event in bytes.
        size: usize,
        /// Maximum size in bytes.
        limit: usize,
    },
    /// A store is unreachable or did not answer in time.
    ///
    /// The operation may or may not have taken effect; it is safe to repeat it with the same id.
    Unavailable(Cow<'static, str>),
    /// A defect of the service itself. The text is for the log, never for the caller.
    Internal(Cow<'static, str>),
}

/// Result of an operation.
pub type Result<T> = std::result::Result<T, DomainError>;

impl DomainError {
    /// Returns the error for a conversation that does not exist or that the caller may not know of.
    pub fn no_conversation() -> Self {
        Self::NotFound("There is no such conversation.".into())
    }

    /// Returns the error for a message that does not exist or that the caller may not know of.
    pub fn no_message() -> Self {
        Self::NotFound("There is no such message.".into())
    }

    /// Returns the error for a scheduled message that the caller does not have.
    pub fn no_scheduled() -> Self {
        Self::NotFound("There is no such scheduled message.".into())
    }

    /// Returns the error for an unknown user.
    pub fn no_user() -> Self {
        Self::NotFound("There is no such user.".into())
    }

    /// Returns the error code of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::Forbidden(_) | Self::Refused { .. } => "FORBIDDEN",
            Self::Conflict(_) => "CONFLICT",
            Self::Validation(_) => "VALIDATION_ERROR",
            Self::TooLarge { .. } => "PAYLOAD_TOO_LARGE",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// Returns the text for the caller, which leaves out the text of an internal error.
    pub fn public_message(&self) -> String {
        match self {
            Self::Internal(_) => "An internal error occurred.".to_owned(),
            Self::Validation(faults) => match faults.as_slice() {
                [fault] => format!("{} {}.", fault.field, fault.message),
                faults => format!("The request has {} errors; see details.", faults.len()),
            },
            other => other.to_string(),
        }
    }

    /// Returns the details for the caller: every invalid field, or the code of the hook that refused the request.
    pub fn details(&self) -> Vec<FieldError> {
        match self {
            Self::Validation(faults) => faults.clone(),
            Self::Refused { code, .. } => vec![FieldError::new("hook", code.clone())],
            _ => Vec::new(),
        }
    }

    /// Returns a validation error of one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(vec![FieldError::new(field, message)])
    }

    /// Returns the same error with the field's name as the caller knows it.
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

    /// Returns the error for a store that is unreachable or too slow; the outcome is unknown.
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
            Self::Refused { reason, .. } => f.write_str(reason),
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

/// Collects the errors of one input, so that all of them are reported at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Adds an error if `wrong` is true.
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

    /// Adds an error of `field`.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<Cow<'static, str>>) {
        self.0.push(FieldError::new(field, message));
    }

    /// Adds an error if a name or text of `field` is invalid; see [`text::fault`].
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

    /// Returns `Ok` if there are no errors.
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
