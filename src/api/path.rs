//! Ids in paths. An invalid id gets the same 404 as a missing resource, so that a caller cannot tell the two apart.

use chat_sdk::{ConversationId, MessageId, ScheduledId, UserId};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::ParseFromParameter,
};

use super::error::ApiError;
use crate::domain::DomainError;

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

impl<'a, T: PathId> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = T;
    type ParamRawType = T::RawValueType;

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        self.0.as_raw_value()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<T>,
    ) -> poem::Result<Self> {
        T::parse_from_parameters(request.raw_path_param(options.name))
            .map(Self)
            .map_err(|_| ApiError::from(T::missing()).into())
    }
}
