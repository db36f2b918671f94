//! Listening ports of a process, and what each of them answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::net::{TcpListener, TcpSocket};

use super::{Roles, StartError, parts::Parts};
use crate::{
    api::{self, ApiState, HostCommands, LocalOperations},
    config::Config,
    http::{
        EventStreams, TrustedProxies,
        listener::{self, Terms},
    },
    ws,
};

/// Maximum number of connections that wait in the kernel to be accepted.
///
/// A node's clients all reconnect at once.
const BACKLOG: u32 = 4096;

/// Open ports of a process.
pub struct Listeners {
    /// Port of the REST API; a process without clients serves its health there.
    pub api: Option<TcpListener>,
    /// Port of the sockets.
    pub ws: Option<TcpListener>,
}

impl Listeners {
    /// Opens the ports that `roles` need.
    ///
    /// # Errors
    /// [`StartError::Port`] if a port cannot be opened.
    pub fn open(config: &Config, roles: Roles) -> Result<Self, StartError> {
        let host = config.server.host;
        Ok(Self {
            api: (roles.api || !roles.ws)
                .then(|| bind("PORT", SocketAddr::new(host, config.server.port)))
                .transpose()?,
            ws: roles
                .ws
                .then(|| bind("WS_PORT", SocketAddr::new(host, config.server.ws_port)))
                .transpose()?,
        })
    }
}

fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| StartError::Port {
        variable,
        address,
        error,
    })
}

/// Servers of the open ports, for the list of tasks.
#[derive(Default)]
pub(super) struct Ports {
    /// Health of a process without clients.
    pub health: Option<BoxFuture<'static, ()>>,
    /// REST, and event streams if the process has sockets.
    pub rest: Option<BoxFuture<'static, ()>>,
    /// WebSocket.
    pub sockets: Option<BoxFuture<'static, ()>>,
    /// Commands of hosts over NATS, which the operations of REST carry out.
    pub host_commands: Option<Arc<HostCommands>>,
}

impl Ports {
    /// Returns the servers of `listeners`.
    pub fn new(parts: &Parts, operations: &LocalOperations, listeners: Listeners) -> Self {
        let mut ports = Self::default();
        if let Some(listener) = listeners.api {
            if parts.roles.api {
                ports.serve_rest(parts, operations, listener);
            } else {
                log_address("health", &listener);
                let health = parts.health.clone();
                let answer = move |request| {
                    let health = health.clone();
                    async move {
                        let otherwise = "This process only works; it answers /health and /metrics.";
                        health.answer(&request, otherwise).await
                    }
                };
                ports.health = Some(listener::serve(listener, terms(parts), answer).boxed());
            }
        }
        if let (Some(listener), Some(node)) = (listeners.ws, &parts.node) {
            log_address("WebSocket", &listener);
            let node = Arc::clone(node);
            let answer = move |request| ws::answer(Arc::clone(&node), request);
            ports.sockets = Some(listener::serve(listener, terms(parts), answer).boxed());
        }
        ports
    }

    fn serve_rest(&mut self, parts: &Parts, operations: &LocalOperations, listener: TcpListener) {
        log_address("REST", &listener);
        let endpoint = operations.endpoint();
        if !parts.config.stores.nats_command_hosts.is_empty() {
            let secret = parts.config.auth.internal_secret.clone();
            let commands = HostCommands::new(Arc::clone(&endpoint), secret);
            self.host_commands = Some(Arc::new(commands));
        }
        let answer = move |request| api::answer(Arc::clone(&endpoint), request);
        self.rest = Some(listener::serve(listener, terms(parts), answer).boxed());
    }
}

/// Returns the operations of REST, which plugins can use while the caller keeps them.
pub(super) fn operations(parts: &Parts) -> Arc<LocalOperations> {
    let events = parts.node.clone();
    let operations = Arc::new(LocalOperations::new(ApiState {
        ctx: parts.ctx.clone(),
        callers: Arc::clone(&parts.callers),
        health: parts.health.clone(),
        events: events.map(|node| node as Arc<dyn EventStreams>),
        plugins: parts.plugins.clone(),
        consumers: parts.consumers.clone(),
        registrations: parts.registrations.clone(),
    }));
    let of_plugins: Weak<LocalOperations> = Arc::downgrade(&operations);
    // Nothing else sets it.
    let _ = parts.operations.set(of_plugins);
    operations
}

fn terms(parts: &Parts) -> Terms {
    let server = &parts.config.server;
    Terms {
        proxies: Arc::new(TrustedProxies::new(server.trusted_proxies.clone())),
        origins: Arc::new(parts.config.cors.allowed_origins.clone()),
        stop: parts.stop.clone(),
        grace: server.shutdown_grace,
    }
}

fn log_address(what: &'static str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} is listening");
    }
}
