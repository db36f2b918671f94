//! Operations for other parts of this process: each becomes a request to the same endpoint that serves REST, so that checks, errors and limits are the
//! same. The endpoint is built at the first use, because a process without the role `api` may never need it.

use std::{
    net::Ipv4Addr,
    sync::{Arc, OnceLock},
};

use chat_sdk::{UserId, commands::RateLimit, plugin::BoxFuture};
use http_body_util::{BodyExt, Collected};
use poem::{
    Request, Response,
    endpoint::BoxEndpoint,
    http::{Method, header},
};
use tokio_util::sync::CancellationToken;

use super::{
    ApiState,
    error::{ApiError, Code},
    serve,
};
use crate::{
    config::Origins,
    domain::{bots, plugin_events},
    http::{Client, caller::Local, edge, request_id},
    model::{
        DomainError, bounds,
        host_commands::Answer,
        local_requests::{KeptBot, LocalCaller, LocalRequest, LocalRequests},
        plugin_events::{Appended, NewPluginEvent},
    },
    trace,
};

/// Endpoint of REST.
type Endpoint = Arc<BoxEndpoint<'static, Response>>;

/// Carries out the operations of REST in this process.
pub struct LocalOperations {
    state: ApiState,
    endpoint: OnceLock<Endpoint>,
}

impl LocalOperations {
    /// Creates the operations on `state`.
    pub fn new(state: ApiState) -> Self {
        Self {
            state,
            endpoint: OnceLock::new(),
        }
    }

    /// Returns the endpoint, which the port of REST and commands of hosts use too.
    pub fn endpoint(&self) -> Endpoint {
        let build = || Arc::new(super::endpoint(self.state.clone()));
        Arc::clone(self.endpoint.get_or_init(build))
    }

    /// Counts a request of `user`.
    fn count(&self, client: &Client, user: &UserId, limit: RateLimit) -> Result<(), ApiError> {
        let limits = &self.state.callers.limits;
        client.count(match limit {
            RateLimit::Messages => limits.messages(user),
            RateLimit::Typing => limits.typing(user),
            RateLimit::Api => limits.api(user),
        })
    }

    fn prepare(&self, request: LocalRequest, client: &Client) -> Result<Request, ApiError> {
        if request.body.len() > bounds::REQUEST_BODY {
            return Err(ApiError::body_too_large());
        }
        let caller = match request.caller {
            LocalCaller::Host => Local::Host,
            LocalCaller::ActingFor(user) => Local::ActingFor(user),
            LocalCaller::User(user) => {
                self.count(client, &user, request.limit)?;
                Local::User(user)
            }
        };
        let uri = request
            .path
            .parse()
            .map_err(|_| ApiError::new(Code::NotFound, "There is no operation with this path."))?;
        let mut built = Request::builder()
            .method(client.method.clone())
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(request.body);
        if let Some(trace) = trace::current()
            && let Ok(value) = trace.to_string().parse()
        {
            built
                .headers_mut()
                .insert(chat_sdk::TraceParent::HEADER, value);
        }
        built.extensions_mut().insert(caller);
        Ok(built)
    }
}

/// Returns the client of a request that comes from no connection.
pub(super) fn client(method: Method) -> Client {
    Client::new(
        Ipv4Addr::UNSPECIFIED.into(),
        CancellationToken::new(),
        method,
    )
}

/// Sends `request` of `client` through the edge to `endpoint`.
pub(super) async fn send(endpoint: Endpoint, request: Request, client: Client) -> Answer {
    let role = |request| serve::answer(endpoint, request);
    let response = edge::answer(&Origins::Any, request.into(), client, role).await;
    read(response).await
}

/// Reads a response.
pub(super) async fn read(response: crate::http::Response) -> Answer {
    let text = |name: header::HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (status, retry_after) = (response.status().as_u16(), text(header::RETRY_AFTER));
    let request_id = text(request_id::HEADER);
    let body = response.into_body().collect().await;
    Answer {
        status,
        body: body.map(Collected::to_bytes).unwrap_or_default(),
        retry_after,
        request_id,
    }
}

impl LocalRequests for LocalOperations {
    fn answer(&self, request: LocalRequest) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let Ok(method) = Method::from_bytes(request.method.as_bytes()) else {
                let error = ApiError::method_not_allowed("the methods of its document");
                return read(error.response()).await;
            };
            let client = client(method);
            match self.prepare(request, &client) {
                Ok(request) => send(self.endpoint(), request, client).await,
                Err(error) => read(error.response()).await,
            }
        })
    }

    fn keep_bot(&self, bot: KeptBot) -> BoxFuture<'_, Result<(), DomainError>> {
        Box::pin(bots::keep(&self.state.ctx, bot))
    }

    fn publish(
        &self,
        events: Vec<NewPluginEvent>,
    ) -> BoxFuture<'_, Vec<Result<Appended, DomainError>>> {
        Box::pin(plugin_events::publish_many(&self.state.ctx, events))
    }

    fn refusal(&self, error: DomainError) -> BoxFuture<'static, Answer> {
        let response = ApiError::from(error).response();
        Box::pin(read(response))
    }
}
