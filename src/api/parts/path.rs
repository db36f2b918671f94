//! Ids in paths. An invalid id gets the same 404 as a missing resource, so that a caller cannot tell the two apart.

use chat_sdk::{ConversationId, MessageId, ScheduledId, UserId};
use poem::Request;
use poem_openapi::types::ParseFromParameter;

use crate::{api::error::ApiError, model::DomainError};

/// An id that is a path parameter.
pub trait PathId: ParseFromParameter {
    /// Returns the error for an id that does not exist.
    fn missing() -> DomainError;
}

impl PathId for ConversationId {
    fn missing() -> DomainError {
        DomainError::no_conversation()
    }
}

impl PathId for MessageId {
    fn missing() -> DomainError {
        DomainError::no_message()
    }
}

impl PathId for ScheduledId {
    fn missing() -> DomainError {
        DomainError::no_scheduled()
    }
}

impl PathId for UserId {
    fn missing() -> DomainError {
        DomainError::no_user()
    }
}

/// An emoji, which is not an id.
impl PathId for String {
    fn missing() -> DomainError {
        DomainError::invalid("emoji", "must be UTF-8, percent-encoded")
    }
}

/// Percent-decoded path parameter. poem-openapi's macro recognises a path parameter by the name of this type.
pub struct Path<T>(pub T);

chat_sdk::parameter!(Path, PathId, Path, parse);

fn parse<T: PathId>(request: &Request, name: &str) -> poem::Result<T> {
    T::parse_from_parameters(request.raw_path_param(name))
        .map_err(|_| ApiError::from(T::missing()).into())
}
