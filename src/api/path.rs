//! Ids in paths. One that cannot be an id answers as a missing thing does, so that nobody can tell the two apart.

use chat_sdk::{ConversationId, MessageId, ScheduledId, UserId};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::ParseFromParameter,
};

use super::error::ApiError;
use crate::domain::DomainError;

/// An id that names something in a path.
pub trait PathId: ParseFromParameter {
    /// The refusal when there is nothing of that id.
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

/// A text that is no id: an emoji.
impl PathId for String {
    fn missing() -> DomainError {
        DomainError::invalid("emoji", "must be UTF-8, percent-encoded")
    }
}

/// An id out of the path, percent-decoded. poem-openapi's macro knows a path parameter by this type's name.
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
