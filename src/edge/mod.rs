//! What surrounds every HTTP answer, whichever role gives it: the request's id, and what a browser's page may know.
//!
//! This room knows no framework: only requests' and answers' headers.

pub mod cors;
pub mod request_id;
