//! Plugins for their authors and operators: the chat for plugins, the example to copy, the smallest one, one that fails in every way, and the names that a plugin owns.

mod chat;
mod events;
mod example;
mod faulty;
mod migrate;
mod names;
mod polls;
mod sample;
mod skeleton;
mod task_counts;
mod timers;
