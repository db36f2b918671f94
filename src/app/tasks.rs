//! The list of the long-lived tasks of a process: name, roles, and the consequence of a failure.
//!
//! A new task gets an entry here, or a panic in it stays unnoticed. Beside these tasks only work runs that ends by itself: requests, connections, one
//! group of commands. The queues of `crate::group` are not listed, because a panic in one of their groups does not end them.

use std::{sync::Arc, time::Duration};

use chat_sdk::plugin::Role::{self, Api, Ws};
use tokio_util::sync::CancellationToken;

use super::{
    listeners::Ports,
    parts::{Loops, Parts},
};
use crate::{
    bus::{
        self, commands,
        tail::{self, TailMode, TailSink},
    },
    tasks::{Routine, StopPhase, Task},
    worker::{Revoked, erasure, hosts, presence, refills::Refills, relay::Relay, timers::Timers},
    ws,
};

/// Roles of a task that runs in every process.
const EVERY: &[Role] = Role::ALL;

/// Returns all tasks; those of other roles are skipped at their start.
///
/// `restarted` tasks rebuild their state, `vital` ones cannot, so their failure ends the process. A restarted task is `required` if clients of this
/// process miss something meanwhile that another process cannot give them; the others are background duties, whose failures `GET /api/status` shows.
pub(super) fn list(parts: &Arc<Parts>, loops: Loops, ports: Ports) -> Vec<Box<dyn Task>> {
    let mut others = writing(parts, &loops);
    others.extend(following(parts, &loops));
    others.extend(duties(parts));
    let (writer, flushers) = (loops.writer, loops.flushers.into_iter());
    // Callers wait for what it has in memory.
    let mut tasks = vec![Routine::vital("writer", EVERY, |_| writer).stops(StopPhase::LastHandle)];
    tasks.extend(others);
    // Their sockets would get no pushes.
    tasks.extend(flushers.map(|run| Routine::vital("flusher", &[Ws], |_| run)));
    tasks.extend(serving(parts, ports));
    let tasks = tasks.into_iter();
    let tasks = tasks.map(|task| Box::new(task) as Box<dyn Task>);
    let has = |role| parts.roles.has_any(&[role]);
    tasks.chain(parts.plugins.tasks(has)).collect()
}

/// Returns a function that runs a task on `parts`.
fn on<Fut: 'static>(
    parts: &Arc<Parts>,
    run: fn(&Parts, CancellationToken) -> Fut,
) -> impl Fn(CancellationToken) -> Fut + Send + Sync + 'static + use<Fut> {
    let parts = Arc::clone(parts);
    move |stop| run(&parts, stop)
}

/// Tasks by which commands reach the log, and entries the stream.
fn writing(parts: &Arc<Parts>, loops: &Loops) -> Vec<Routine> {
    let (publisher, forwarder) = (loops.publisher.clone(), loops.forwarder.clone());
    vec![
        // Without it the entries of this process reach sockets only by the relay, and latest values never.
        Routine::restarted("announcer", EVERY, move |_| publisher.clone().run())
            .required()
            .stops(StopPhase::LastHandle),
        // Without it commands of this process wait.
        Routine::restarted("command-forwarder", EVERY, move |_| forwarder.clone().run())
            .required()
            .stops(StopPhase::LastHandle),
        // Without it other processes append themselves.
        Routine::restarted(
            "commands",
            &[Api],
            on(parts, |parts, stop| {
                let local = Arc::new(parts.writer.clone());
                commands::serve(parts.bus.clone(), local, Arc::clone(&parts.me), stop)
            }),
        ),
    ]
}

/// Tasks that follow the stream and the other processes for clients.
fn following(parts: &Arc<Parts>, loops: &Loops) -> Vec<Routine> {
    let follow = on(parts, |parts, stop| {
        // A process without sockets needs only facts about users.
        let mode = if parts.roles.ws {
            TailMode::Full
        } else {
            TailMode::UserEvents
        };
        let status = Arc::clone(&parts.tail);
        tail::run(parts.bus.clone(), mode, sinks(parts), status, stop)
    });
    let tail = if parts.roles.ws {
        // A panic in the middle of an event leaves the hub in an unknown state. Clients lose nothing: they resume at another node.
        Routine::vital("tail", EVERY, follow)
    } else {
        // Its sinks keep facts that may be repeated, and it starts some minutes back. Meanwhile this process does not learn of revoked tokens.
        Routine::restarted("tail", EVERY, follow).required()
    };
    let changes = Arc::clone(&loops.changes);
    let watchers = Arc::clone(&parts.watchers);
    vec![
        tail,
        Routine::restarted(
            "typing",
            &[Ws],
            on(parts, |parts, stop| {
                ws::typing::run(parts.bus.clone(), Arc::clone(&parts.typing), stop)
            }),
        ),
        // Signals are stored nowhere and may be lost.
        Routine::restarted(
            "signals",
            &[Ws],
            on(parts, |parts, stop| {
                ws::signals::run(parts.bus.clone(), Arc::clone(&parts.hub), stop)
            }),
        ),
        Routine::restarted("watchers", &[Ws], move |stop| {
            ws::presence::run(Arc::clone(&watchers), Arc::clone(&changes), stop)
        }),
        // Without it others write for this process's shards; the log's index keeps both correct.
        Routine::restarted(
            "presence",
            EVERY,
            on(parts, |parts, stop| {
                let writers = Arc::clone(&parts.shard_writers);
                presence::run(parts.bus.clone(), parts.ctx.clone(), writers, stop)
            }),
        ),
    ]
}

/// Returns the sinks of the tail, in the order in which each gets an event.
fn sinks(parts: &Parts) -> Vec<Arc<dyn TailSink>> {
    let users: [Arc<dyn TailSink>; 2] = [
        // Before the hub, which closes the sockets of revoked tokens: their next attempt must fail.
        Arc::new(Revoked(Arc::clone(&parts.ctx.known_users))),
        Arc::new(presence::PresenceSink(Arc::clone(&parts.ctx.presence))),
    ];
    if !parts.roles.ws {
        return users.into();
    }
    let mut sinks: Vec<Arc<dyn TailSink>> = vec![
        // Before the presence table is updated: they compare a change with it.
        Arc::clone(&parts.watchers) as _,
        // Before the hub delivers a message: the indicator of its sender ends first.
        Arc::clone(&parts.typing) as _,
    ];
    sinks.extend(users);
    if parts.roles.api {
        // Only the relay reads it.
        sinks.push(Arc::clone(&parts.streamed) as _);
    }
    sinks.push(Arc::clone(&parts.hub) as _);
    sinks
}

/// Background duties. Their state is in MongoDB, and leases let another process continue.
fn duties(parts: &Arc<Parts>) -> Vec<Routine> {
    let mut duties = vec![
        Routine::restarted(
            "relay",
            &[Api],
            on(parts, |parts, stop| relay(parts).run(stop)),
        ),
        Routine::restarted(
            "refills",
            &[Api],
            on(parts, |parts, stop| refills(parts).run(stop)),
        ),
        Routine::restarted(
            "timers",
            &[Api],
            on(parts, |parts, stop| timers(parts).run(stop)),
        ),
        Routine::restarted(
            "erasure",
            &[Api],
            on(parts, |parts, stop| {
                erasure::run(parts.ctx.clone(), parts.me.to_string(), stop)
            }),
        ),
        // The last known hooks stay meanwhile.
        Routine::restarted(
            "plugin-registrations",
            &[Api, Ws],
            on(parts, |parts, stop| {
                parts.registrations.clone().follow(stop)
            }),
        ),
        Routine::restarted(
            "hosts",
            &[Api],
            on(parts, |parts, stop| {
                hosts::run(parts.consumers.clone(), parts.me.to_string(), stop)
            }),
        ),
        Routine::restarted(
            "limits",
            EVERY,
            on(parts, |parts, stop| {
                Arc::clone(&parts.health.limits).keep_evicting(stop)
            }),
        ),
    ];
    if parts.callers.verifier.has_published_keys() {
        // The last keys stay in use, and an unknown key is fetched by its first use.
        let refresh = on(parts, |parts, stop| {
            parts.callers.verifier.clone().keep_fresh(stop)
        });
        duties.push(Routine::restarted("jwks", &[Api, Ws], refresh));
    }
    duties
}

fn relay(parts: &Parts) -> Relay {
    let stores = &parts.config.stores;
    let is_followed = parts.roles.ws;
    Relay {
        store: Arc::clone(&parts.store),
        bus: parts.bus.clone(),
        backend: Arc::clone(&parts.backend),
        streamed: Arc::clone(&parts.streamed),
        tail: if is_followed {
            Arc::clone(&parts.tail)
        } else {
            Arc::default()
        },
        is_followed,
        holder: parts.me.to_string(),
        retention: Duration::from_secs(u64::from(stores.event_retention_days) * 86_400),
        second_sweep_behind: stores.second_sweep,
    }
}

fn refills(parts: &Parts) -> Refills {
    Refills {
        store: Arc::clone(&parts.store),
        durables: Arc::clone(&parts.durables),
        holder: parts.me.to_string(),
    }
}

fn timers(parts: &Parts) -> Timers {
    Timers {
        ctx: parts.ctx.clone(),
        holder: parts.me.to_string(),
    }
}

/// Tasks that serve clients and hosts. Without a server on an open port, its clients would wait forever.
fn serving(parts: &Parts, ports: Ports) -> Vec<Routine> {
    let mut serving = Vec::new();
    if let Some(port) = ports.health {
        serving.push(Routine::vital("health-port", EVERY, |_| port));
    }
    if let Some(port) = ports.rest {
        serving.push(Routine::vital("rest-port", &[Api], |_| port));
    }
    if let Some(port) = ports.sockets {
        serving.push(Routine::vital("socket-port", &[Ws], |_| port));
    }
    if let Some(commands) = ports.host_commands {
        let (bus, hosts) = (
            parts.bus.clone(),
            parts.config.stores.nats_command_hosts.clone(),
        );
        // Meanwhile other processes answer hosts.
        let run = move |stop| {
            bus::hosts::serve(bus.clone(), hosts.clone(), Arc::clone(&commands) as _, stop)
        };
        serving.push(Routine::restarted("host-commands", &[Api], run));
    }
    let serving = serving.into_iter();
    serving.map(|task| task.stops(StopPhase::Signal)).collect()
}
