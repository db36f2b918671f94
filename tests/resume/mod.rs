//! Coming back: what a client gets that was away, from which node, after what, and when it is told to reload instead.

mod bounds;
mod membership;
mod random;
mod simple;
