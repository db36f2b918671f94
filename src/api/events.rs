//! The event stream as an operation of the document. The stream itself hangs on the sockets' hub, so a process with sockets answers before this room
//! is asked; a process without them says who does.

use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Query},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::{
    Tag,
    auth::Unchecked,
    error::{ApiError, Code},
};

/// 200 with events for as long as the client stays.
pub struct EventStream;

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/event-stream")
            .finish()
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Events, until the client goes or the token ends.",
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

/// The operation that follows events.
pub struct EventsApi;

#[OpenApi(prefix_path = "/api")]
impl EventsApi {
    /// Follow events
    ///
    /// What a WebSocket is pushed, as Server-Sent Events: `event` is the event's name, `data` the socket's frame, and `id`, where there is one, the
    /// cursor from which a later request resumes with `Last-Event-ID`. Served by processes with the role `ws`; a process without it answers 503.
    #[oai(
        path = "/events",
        method = "get",
        operation_id = "followEvents",
        tag = "Tag::Events"
    )]
    async fn follow(
        &self,
        _caller: Unchecked,
        /// Where to resume: the id of the last event that came. Browsers send it by themselves.
        #[oai(name = "Last-Event-ID")]
        _last_event_id: Header<Option<String>>,
        /// The same, for a page that was loaded anew.
        #[oai(name = "lastEventId")]
        _last_event_id_parameter: Query<Option<String>>,
        /// The token, for browsers, whose `EventSource` sends no header. A log on the way may keep it: prefer the header where there is a choice.
        #[oai(name = "token")]
        _token: Query<Option<String>>,
    ) -> Result<EventStream, ApiError> {
        Err(ApiError::new(
            Code::Unavailable,
            "Events are served by the nodes with the role ws: ask one of them, or the address in front of all nodes.",
        ))
    }
}
