//! Plugins for their authors and operators: the example to copy, one that fails in every way, and the names that a plugin owns.

mod example;
mod faulty;
mod migrate;
mod names;
