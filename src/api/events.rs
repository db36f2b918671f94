//! The event stream as an operation. It needs the sockets' hub, so a process without the role `ws` answers 503 and names that role.

use std::sync::Arc;

use chat_sdk::http::Query;
use poem::{IntoResponse, Request, Response};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::{
    auth::Unchecked,
    error::{ApiError, Code},
    failure::{Failure, Status},
    state::Tag,
};
use crate::http::{self, Client, EventStreams};

/// Response 200 with events until the client disconnects.
pub struct EventStream(http::Response);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        self.0.into()
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Server-Sent Events until the client disconnects or the token expires.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "text/event-stream",
                    schema: String::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// Operation of the event stream.
pub struct EventsApi(pub Option<Arc<dyn EventStreams>>);

#[OpenApi(prefix_path = "/api")]
impl EventsApi {
    /// Follow events
    ///
    /// Sends the events of a WebSocket as Server-Sent Events: `event` is the name of the event, `data` the frame of the socket, and `id`, if present,
    /// the cursor from which a later request resumes with `lastEventId` or the header `Last-Event-ID`. Processes with the role `ws` serve it.
    ///
    /// Fails with 503 on a process without that role.
    #[oai(
        path = "/events",
        method = "get",
        operation_id = "streamEvents",
        tag = "Tag::Events"
    )]
    async fn follow(
        &self,
        request: &Request,
        _caller: Unchecked,
        /// Cursor to resume from: the `id` of the last event that the client received. The header `Last-Event-ID`, which browsers send when they
        /// reconnect, does the same and takes precedence.
        #[oai(name = "lastEventId")]
        _last_event_id: Query<Option<String>>,
        /// Access token, for browsers, whose `EventSource` sends no header. Proxies may log the URL: use the header `Authorization` if possible.
        #[oai(name = "token")]
        _token: Query<Option<String>>,
    ) -> Result<EventStream, Failure<Status<403>>> {
        let Some(streams) = &self.0 else {
            return Err(ApiError::new(
                Code::Unavailable,
                "Events are served by the nodes with the role ws: ask one of them, or the address in front of all nodes.",
            )
            .into());
        };
        let client = Client::of(request.extensions())?;
        let mut head = http::Request::new(http::body(""));
        *head.method_mut() = client.method.clone();
        *head.uri_mut() = request.original_uri().clone();
        *head.headers_mut() = request.headers().clone();
        head.extensions_mut().insert(Arc::clone(client));
        Ok(EventStream(Arc::clone(streams).open(head).await?))
    }
}
