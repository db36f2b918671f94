//! How far something long is: a bar where a person watches, else a line per step.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far something is.
pub(super) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a log.
    Lines(&'static str),
    /// Not told.
    Silent,
}

impl Progress {
    /// Something that is counted, named `what`. Nothing is told for programs, which get JSON.
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

    /// `done` of `total` are done.
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

    /// It is over.
    pub fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
