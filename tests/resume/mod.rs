//! Resuming: the entries that a returning client receives, from any node, and the cases in which it must reload.

mod bounds;
mod membership;
mod random;
mod simple;
