//! The guards, bodies and errors of this module for the operations of plugins, as `chat_sdk::http` requires them.

use std::net::IpAddr;

use chat_sdk::{
    UserId,
    http::{ApiError as PluginError, Gate},
    plugin::{BoxFuture, ChatError},
};
use poem::{Request, RequestBody};
use serde_json::Value;

use super::{
    auth::{AsHost, AsUser},
    error::{ApiError, Code},
    parts::body,
};
use crate::{
    http::{Client, limits},
    model::{DomainError, FieldError},
};

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

    fn address(&self, request: &Request) -> poem::Result<IpAddr> {
        let client = Client::of(request.extensions())?;
        Ok(limits::network(client.address))
    }

    fn body<'a>(
        &'a self,
        request: &'a Request,
        body: &'a mut RequestBody,
        schema: &'a str,
    ) -> BoxFuture<'a, poem::Result<Value>> {
        Box::pin(async move {
            let text = body::receive(request, body).await?;
            Ok(body::read(&text, schema).map_err(ApiError::from)?)
        })
    }
}

impl From<PluginError> for ApiError {
    fn from(refusal: PluginError) -> Self {
        match refusal {
            PluginError::Unauthorized(text) => Self::new(Code::Unauthorized, text),
            PluginError::Forbidden(text) => Self::new(Code::Forbidden, text),
            PluginError::RateLimited {
                message,
                retry_after,
            } => Self::new(Code::RateLimited, message)
                .with_retry_after(limits::whole_seconds(retry_after).max(1)),
            PluginError::NotFound(text) => Self::new(Code::NotFound, text),
            PluginError::Conflict(text) => Self::new(Code::Conflict, text),
            PluginError::Unavailable(text) => Self::new(Code::Unavailable, text),
            PluginError::Chat(error) => relayed(*error),
            PluginError::Internal(text) => Self::internal(text),
            PluginError::Invalid(faults) => {
                let faults = faults
                    .into_iter()
                    .map(|(field, problem)| FieldError::new(field, problem))
                    .collect();
                DomainError::Validation(faults).into()
            }
        }
    }
}

/// Returns the error of an operation that a plugin called as the error of the plugin's own operation.
fn relayed(error: ChatError) -> ApiError {
    let code = match error.status {
        400 => Code::ValidationError,
        429 => Code::RateLimited,
        503 => Code::Unavailable,
        status => match Code::of_status(status) {
            Some(code) => code,
            None => return ApiError::internal(format!("the core answered a call with {status}")),
        },
    };
    let details = error.details.into_iter();
    let details = details.map(|fault| FieldError::new(fault.field, fault.message));
    let relayed = ApiError::new(code, error.message).with_details(details.collect());
    match error.retry_after {
        Some(pause) => relayed.with_retry_after(limits::whole_seconds(pause).max(1)),
        None => relayed,
    }
}
