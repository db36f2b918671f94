//! The contract as data: JSON Schemas, the strict parser of bodies, and the faults of a body in words.
//!
//! REST, sockets and commands of hosts check their input here, so that the same input has the same faults everywhere. It knows neither HTTP nor
//! sockets nor a broker.

pub mod commands;
pub mod faults;
pub mod json_parser;
pub mod normalise;
pub mod openapi31;
pub mod validation;
