//! Plugins, as their authors and operators see them: the example that is there to be copied, one that fails in every way, and whose name stands where.

mod example;
mod faulty;
mod migrate;
mod names;
