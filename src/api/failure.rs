//! Errors of operations that declare their statuses.

use chat_sdk::http::Fails;

use super::error::ApiError;
use crate::model::DomainError;

pub use chat_sdk::http::Status;

/// Error of an operation of the core: `Failure<SendMessage>` for a command, `Failure<Status<403>>` for another operation.
pub type Failure<D> = Fails<D, ApiError>;

impl<D> From<ApiError> for Failure<D> {
    fn from(error: ApiError) -> Self {
        Self::new(error)
    }
}

impl<D> From<DomainError> for Failure<D> {
    fn from(error: DomainError) -> Self {
        Self::new(error.into())
    }
}
