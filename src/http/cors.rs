//! CORS: the pages that may call from a browser.

use hyper::{
    HeaderMap, Method,
    header::{self, HeaderValue},
};

use crate::config::Origins;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Headers that a page may send. The internal secret is not among them: it must not be in a browser.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, X-Request-Id, traceparent, Last-Event-ID",
);
/// Headers of a response that a page may read.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset",
);
/// Time for which a browser may cache the response to a preflight, in seconds: the maximum that browsers honour.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Returns the headers of the 204 response to a preflight request, beside those of [`permit`]; `None` for any other request.
pub fn preflight(origins: &Origins, method: &Method, asked: &HeaderMap) -> Option<HeaderMap> {
    let origin = asked.get(header::ORIGIN)?;
    asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if *method != Method::OPTIONS {
        return None;
    }
    let mut headers = HeaderMap::new();
    if allowed(origins, Some(origin)).is_some() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    Some(headers)
}

/// Adds the headers that let the page at `origin` read a response.
pub fn permit(origins: &Origins, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if *origins != Origins::Any {
        // A cache must not serve the response for one origin to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(allowed) = allowed(origins, origin) {
        // Browsers reject credentials together with `*`.
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

/// Returns the value of `Access-Control-Allow-Origin` for a page at `origin`.
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

    fn ask(origins: &Origins, origin: &'static str) -> HeaderMap {
        let mut asked = HeaderMap::new();
        asked.insert(header::ORIGIN, HeaderValue::from_static(origin));
        asked.insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PATCH"),
        );
        let mut headers = preflight(origins, &Method::OPTIONS, &asked).expect("a preflight");
        permit(origins, asked.get(header::ORIGIN), &mut headers);
        headers
    }

    #[test]
    fn a_listed_origin_can_send_credentials() {
        let headers = ask(&listed(), "https://shop.example");
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(
            header("access-control-allow-origin"),
            Some("https://shop.example")
        );
        assert_eq!(header("access-control-allow-credentials"), Some("true"));
        assert_eq!(header("vary"), Some("Origin"));
        assert!(header("access-control-allow-methods").is_some_and(|m| m.contains("PATCH")));
    }

    #[test]
    fn an_unlisted_origin_is_rejected() {
        let headers = ask(&listed(), "https://evil.example");
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert!(!headers.contains_key("access-control-allow-methods"));
        assert_eq!(headers["vary"], "Origin");
    }

    #[test]
    fn any_origin_can_call_without_credentials() {
        let headers = ask(&Origins::Any, "https://any.example");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn other_requests_are_not_preflights() {
        let plain = HeaderMap::new();
        assert!(preflight(&Origins::Any, &Method::OPTIONS, &plain).is_none());
    }
}
