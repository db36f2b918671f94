//! Lists in pieces: the query that asks for one, and the answers.

use chat_sdk::{
    Conversation, Message, Participant, Presence, ScheduledMessage, User, http::query_text,
    whole_number,
};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};
use serde::Serialize;

use super::{
    error::ApiError,
    messages::MessageVersion,
    receipts::{DeliveryReceipt, ReadReceipt},
    strict::shown,
    unread::UnreadConversation,
};
use crate::domain::{
    DomainError,
    page::{Page, PageRequest},
};

/// `limit`, `before`, `after` and `around` of a request, checked.
pub struct PageQuery(pub PageRequest);

impl<'a> ApiExtractor<'a> for PageQuery {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        // The document's builder finds this parameter by its type and puts the four real ones in its place.
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("object"))))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        let query: Vec<(String, String)> = request.params().unwrap_or_default();
        Ok(Self(page_request(&query).map_err(ApiError::from)?))
    }
}

fn page_request(query: &[(String, String)]) -> Result<PageRequest, DomainError> {
    check_texts(query)?;
    let limit = number_of(query, "limit")?;
    let [before, after, around] = ["before", "after", "around"].map(|name| text(query, name));
    PageRequest::new(limit, before?, after?, around?)
}

/// Refuses what no store takes.
fn check_texts(query: &[(String, String)]) -> Result<(), DomainError> {
    match query.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(DomainError::invalid(
            shown(name),
            "must not contain the character U+0000",
        )),
        None => Ok(()),
    }
}

/// The text of query parameter `name`; absent if it is empty, as for every parameter.
fn text(query: &[(String, String)], name: &'static str) -> Result<Option<String>, DomainError> {
    match query_text(query, name) {
        Ok(value) => Ok(value.map(str::to_owned)),
        Err(problem) => Err(DomainError::invalid(name, problem)),
    }
}

fn number_of(query: &[(String, String)], name: &'static str) -> Result<Option<i64>, DomainError> {
    text(query, name)?
        .map(|text| {
            let number = text.parse().ok();
            number
                .or_else(|| whole_number::from_text(&text))
                .ok_or_else(|| DomainError::invalid(name, "must be a whole number"))
        })
        .transpose()
}

macro_rules! pages {
    ($($(#[$doc:meta])* $page:ident { $items:ident: $noun:ty })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, Object)]
        #[serde(rename_all = "camelCase")]
        #[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
        pub struct $page {
            /// The items.
            pub $items: Vec<$noun>,
            /// What to give as `before` (as `after`, when this piece was asked for with `after`) to go on; absent at the end.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub next_cursor: Option<String>,
            /// Whether there is more in that direction.
            pub has_more: bool,
        }

        impl From<Page<$noun>> for $page {
            fn from(page: Page<$noun>) -> Self {
                Self {
                    $items: page.items,
                    next_cursor: page.next_cursor,
                    has_more: page.has_more,
                }
            }
        }
    )*};
}

pages! {
    /// A piece of a list of users.
    UserPage { users: User }
    /// A piece of a list of conversations.
    ConversationPage { conversations: Conversation }
    /// A piece of a list of members.
    ParticipantPage { participants: Participant }
    /// How a piece of a list of members is.
    PresencePage { presence: Presence }
    /// A piece of a conversation's history.
    MessagePage { messages: Message }
    /// A page of the texts that a message had, oldest first; none for a deleted one.
    MessageHistory { versions: MessageVersion }
    /// A piece of a list of scheduled messages, soonest first.
    ScheduledPage { scheduled: ScheduledMessage }
    /// A piece of the list of those who read a message.
    ReadReceiptPage { receipts: ReadReceipt }
    /// A piece of the list of those at whose devices a message arrived.
    DeliveryReceiptPage { receipts: DeliveryReceipt }
    /// A piece of a list of conversations with something unread.
    UnreadPage { conversations: UnreadConversation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<PageRequest, DomainError> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        page_request(&pairs)
    }

    #[test]
    fn a_page_is_asked_for_by_the_query() {
        let page = parse("limit=10&after=msg_1&unknown=1").expect("valid");
        assert_eq!((page.limit, page.after.as_deref()), (10, Some("msg_1")));
        assert_eq!(parse("").expect("valid").limit, 50);
        let page = parse("limit=&before=&after=msg_1&around=").expect("an empty one is absent");
        assert_eq!((page.limit, page.after.as_deref()), (50, Some("msg_1")));
        assert_eq!(parse("limit=1e1").expect("valid").limit, 10);
    }

    #[test]
    fn what_is_wrong_in_the_query_is_named() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=ten", "limit"),
            ("limit=1&limit=2", "limit"),
            ("before=a&after=b", "before"),
            ("after=a%00b", "after"),
            ("q=a%00b", "q"),
        ] {
            let Err(DomainError::Validation(faults)) = parse(query) else {
                panic!("{query} was taken");
            };
            assert_eq!(faults[0].field, field, "{query}");
        }
    }
}
