//! Progress of a long operation: a bar on a terminal, otherwise one line per step.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress display of one operation.
pub(super) enum Progress {
    /// Progress bar, on a terminal.
    Bar(ProgressBar),
    /// One line per step, in a log.
    Lines(&'static str),
    /// No display.
    Silent,
}

impl Progress {
    /// Starts the display of a counted operation named `what`. JSON output shows no progress.
    pub fn new(what: &'static str, is_json: bool) -> Self {
        if is_json {
            return Self::Silent;
        }
        if !stderr().is_terminal() {
            return Self::Lines(what);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self::Bar(bar)
    }

    /// Shows that `done` of `total` items are complete.
    pub fn at(&self, done: u64, total: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Lines(what) => eprintln!("{what}: {done} of {total}"),
            Self::Silent => {}
        }
    }

    /// Removes the display.
    pub fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
