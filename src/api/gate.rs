//! The guards, bodies and errors of this module for the operations of plugins, as `chat_sdk::http` requires them.

use chat_sdk::{
    UserId,
    http::{Gate, Refusal},
    plugin::BoxFuture,
};
use poem::{Request, RequestBody};
use serde_json::Value;

use super::{
    auth::{AsHost, AsUser},
    error::{ApiError, Code},
    json,
};
use crate::domain::{DomainError, FieldError};

/// Implementation of the gate by the core.
pub struct CoreGate;

impl Gate for CoreGate {
    fn host<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, poem::Result<()>> {
        Box::pin(async move {
            AsHost::find(request).await?;
            Ok(())
        })
    }

    fn user<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, poem::Result<UserId>> {
        Box::pin(async move { Ok(AsUser::find(request).await?.0) })
    }

    fn body<'a>(
        &'a self,
        request: &'a Request,
        body: &'a mut RequestBody,
        schema: &'a str,
    ) -> BoxFuture<'a, poem::Result<Value>> {
        Box::pin(async move {
            let text = json::receive(request, body).await?;
            Ok(json::read(&text, schema).map_err(ApiError::from)?)
        })
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(text) => Self::new(Code::NotFound, text),
            Refusal::Conflict(text) => Self::new(Code::Conflict, text),
            Refusal::Unavailable(text) => Self::new(Code::Unavailable, text),
            Refusal::Internal(text) => Self::internal(text),
            Refusal::Invalid(faults) => {
                let faults = faults
                    .into_iter()
                    .map(|(field, problem)| FieldError::new(field, problem))
                    .collect();
                DomainError::Validation(faults).into()
            }
        }
    }
}
