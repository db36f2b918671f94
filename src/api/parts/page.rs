//! Pages of lists: the query parameters and the responses.

use chat_sdk::{
    Conversation, HeldMessage, Message, Participant, Presence, ScheduledMessage, User,
    http::query_text, whole_number,
};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

pub use chat_sdk::commands::messages::MessagePage;

use crate::{
    api::error::ApiError,
    contract::json_parser::shown,
    model::{
        DomainError,
        page::{Page, PageRequest},
    },
};

/// Checked query parameters `limit`, `before`, `after` and `around`.
pub struct PageQuery(pub PageRequest);

impl<'a> ApiExtractor<'a> for PageQuery {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        // The builder of the document recognises this parameter by its type and replaces it by the four real ones.
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

/// Fails for U+0000, which no store accepts.
fn check_texts(query: &[(String, String)]) -> Result<(), DomainError> {
    match query.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(DomainError::invalid(
            shown(name),
            "must not contain the character U+0000",
        )),
        None => Ok(()),
    }
}

/// Returns the value of query parameter `name`; `None` if it is empty, as for every parameter.
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

/// Declares pages of lists: the name of each page, and the name and type of its items.
macro_rules! pages {
    ($($(#[$doc:meta])* $page:ident { $items:ident: $noun:ty })*) => {$(
        $(#[$doc])*
        #[derive(Debug, serde::Serialize, poem_openapi::Object)]
        #[serde(rename_all = "camelCase")]
        #[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
        pub struct $page {
            /// Items of this page, in the order of the list.
            pub $items: Vec<$noun>,
            /// Value of `before` for the next page (of `after` if this page was requested with `after`); absent on the last page.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub next_cursor: Option<String>,
            /// True if there are more items in that direction.
            pub has_more: bool,
        }

        impl From<crate::model::page::Page<$noun>> for $page {
            fn from(page: crate::model::page::Page<$noun>) -> Self {
                Self {
                    $items: page.items,
                    next_cursor: page.next_cursor,
                    has_more: page.has_more,
                }
            }
        }
    )*};
}
pub(in crate::api) use pages;

pages! {
    /// Page of users.
    UserPage { users: User }
    /// Page of conversations.
    ConversationPage { conversations: Conversation }
    /// Page of members of a conversation.
    ParticipantPage { participants: Participant }
    /// Page of the presence of members.
    PresencePage { presence: Presence }
    /// Page of held messages, oldest first.
    HeldPage { held: HeldMessage }
    /// Page of scheduled messages, soonest first.
    ScheduledPage { scheduled: ScheduledMessage }
}

impl From<Page<Message>> for MessagePage {
    fn from(page: Page<Message>) -> Self {
        Self {
            messages: page.items,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        }
    }
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
    fn query_parameters_select_the_page() {
        let page = parse("limit=10&after=msg_1&unknown=1").expect("valid");
        assert_eq!((page.limit, page.after.as_deref()), (10, Some("msg_1")));
        assert_eq!(parse("").expect("valid").limit, 50);
        let page = parse("limit=&before=&after=msg_1&around=").expect("an empty one is absent");
        assert_eq!((page.limit, page.after.as_deref()), (50, Some("msg_1")));
        assert_eq!(parse("limit=1e1").expect("valid").limit, 10);
    }

    #[test]
    fn invalid_query_parameters_are_named() {
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
