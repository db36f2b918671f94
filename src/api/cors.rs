//! Which pages may call from a browser, as browsers want to hear it.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

use crate::config::Origins;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may send. The internal secret is not among it: it belongs into no browser.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, X-Request-Id, Last-Event-ID");
/// What a page may read.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset",
);
/// How long a browser may remember the answer to a preflight, in seconds: the most that browsers honour.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The answer to a browser's question whether a page may call; `None` for any other request.
pub fn preflight(origins: &Origins, request: &Request) -> Option<Response> {
    let origin = request.headers().get(header::ORIGIN)?;
    request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if request.method() != Method::OPTIONS {
        return None;
    }
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    if allowed(origins, Some(origin)).is_some() {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    Some(response)
}

/// Adds to an answer what the page at `origin` may know of it.
pub fn permit(origins: &Origins, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if *origins != Origins::Any {
        // A cache must not give one page the answer to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(allowed) = allowed(origins, origin) {
        // Credentials go with a named origin only: with * browsers refuse them, rightly.
        if *origins != Origins::Any {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    }
}

/// What `Access-Control-Allow-Origin` says to a page at `origin`.
fn allowed(origins: &Origins, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    match origins {
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Listed(_) => origin
            .to_str()
            .is_ok_and(|text| origins.allows(text))
            .then(|| origin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Origins {
        Origins::Listed(vec!["https://shop.example".to_owned()])
    }

    fn ask(origins: &Origins, origin: &'static str) -> Response {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH")
            .finish();
        let mut response = preflight(origins, &request).expect("a preflight");
        permit(
            origins,
            request.headers().get(header::ORIGIN),
            response.headers_mut(),
        );
        response
    }

    #[test]
    fn a_listed_page_may_call_with_credentials() {
        let response = ask(&listed(), "https://shop.example");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let header = |name| response.header(name);
        assert_eq!(
            header("access-control-allow-origin"),
            Some("https://shop.example")
        );
        assert_eq!(header("access-control-allow-credentials"), Some("true"));
        assert_eq!(header("vary"), Some("Origin"));
        assert!(header("access-control-allow-methods").is_some_and(|m| m.contains("PATCH")));
    }

    #[test]
    fn another_page_may_not() {
        let response = ask(&listed(), "https://evil.example");
        assert!(response.header("access-control-allow-origin").is_none());
        assert!(response.header("access-control-allow-methods").is_none());
        assert_eq!(response.header("vary"), Some("Origin"));
    }

    #[test]
    fn every_page_may_call_without_credentials() {
        let response = ask(&Origins::Any, "https://any.example");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert!(
            response
                .header("access-control-allow-credentials")
                .is_none()
        );
    }

    #[test]
    fn other_requests_are_no_preflight() {
        let plain = Request::builder().method(Method::OPTIONS).finish();
        assert!(preflight(&Origins::Any, &plain).is_none());
    }
}
