//! Bodies of the operations, a file per resource.

pub mod decisions;
pub mod reports;
pub mod restrictions;
pub mod rules;

use std::borrow::Cow;

use chat_sdk::text::{Shape, fault};

/// Faults of a body: fields with their problems.
pub type Faults = Vec<(String, Cow<'static, str>)>;

/// Adds the fault of an optional text of at most `most` characters.
fn check_text(faults: &mut Faults, name: &str, text: Option<&str>, most: usize) {
    let fault = text.and_then(|text| fault(text, Shape::Lines, most));
    faults.extend(fault.map(|fault| (name.to_owned(), fault.into())));
}
