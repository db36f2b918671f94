//! The hooks of this process, from several sources: the plugins of the program, and those that are registered at run time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use chat_sdk::{UserId, plugin::HookPoint};
use parking_lot::RwLock;

use super::registered::{HookReport, Registered};

/// Hooks of all sources, in the order in which they are asked.
type Ordered = Arc<[Arc<Registered>]>;

/// The hooks of this process.
#[derive(Default)]
pub struct Hooks {
    /// One bit per point that has a hook: the whole cost of an operation without hooks.
    points: AtomicU8,
    /// Beginnings of the ids of plugins' bots, whose operations no hook is asked about.
    bots: RwLock<Vec<String>>,
    sources: RwLock<Sources>,
}

/// The hooks of each source, and all of them in their order.
#[derive(Default)]
struct Sources {
    by_name: BTreeMap<&'static str, Vec<Arc<Registered>>>,
    ordered: Option<Ordered>,
}

fn bit(point: HookPoint) -> u8 {
    1 << (point as u8)
}

impl Hooks {
    /// Replaces the hooks of one source.
    pub fn replace(&self, source: &'static str, hooks: Vec<Arc<Registered>>) {
        let mut sources = self.sources.write();
        sources.by_name.insert(source, hooks);
        let mut all: Vec<Arc<Registered>> = sources.by_name.values().flatten().cloned().collect();
        all.sort_by(|one, other| {
            let order = one.spec().order.cmp(&other.spec().order);
            order
                .then_with(|| one.spec().name.cmp(&other.spec().name))
                .then_with(|| one.plugin().cmp(other.plugin()))
        });
        let points = all.iter().flat_map(|hook| hook.spec().points.iter());
        let points = points.fold(0, |bits, point| bits | bit(*point));
        sources.ordered = Some(all.into());
        self.points.store(points, Ordering::Release);
    }

    /// Sets the beginnings of the ids of plugins' bots. No hook is asked about what a bot does, so that no two hooks call each other for ever.
    pub fn exempt(&self, bots: Vec<String>) {
        *self.bots.write() = bots;
    }

    /// Returns true if `user` is a bot of a plugin.
    pub(super) fn is_bot(&self, user: &UserId) -> bool {
        let bots = self.bots.read();
        bots.iter()
            .any(|beginning| user.as_str().starts_with(beginning))
    }

    /// Returns true if a hook may have to be asked at `point`.
    pub fn has(&self, point: HookPoint) -> bool {
        self.points.load(Ordering::Acquire) & bit(point) != 0
    }

    /// Returns the hooks of all points, in their order.
    pub(super) fn all(&self) -> Ordered {
        self.sources.read().ordered.clone().unwrap_or_default()
    }

    /// Returns the maximum time that the hooks of `point` may take together.
    pub(in crate::domain) fn time_limit(&self, point: HookPoint) -> Duration {
        let all = self.all();
        let hooks = all
            .iter()
            .filter(|hook| !hook.spec().is_shadow && hook.spec().points.contains(&point));
        hooks.map(|hook| hook.spec().timeout).sum()
    }

    /// Returns the state of all hooks, in their order.
    pub fn report(&self) -> Vec<HookReport> {
        self.all().iter().map(|hook| hook.report()).collect()
    }
}
