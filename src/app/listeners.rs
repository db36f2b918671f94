//! The ports of a process.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::{Roles, StartError};
use crate::config::Config;

/// How many connections the kernel keeps that were not accepted yet: a node's clients all come back at once.
const BACKLOG: u32 = 4096;

/// The ports of a process, open.
pub struct Listeners {
    /// For REST; a process that only works shows its health there.
    pub api: Option<TcpListener>,
    /// For sockets.
    pub ws: Option<TcpListener>,
}

impl Listeners {
    /// Opens the ports that `roles` need.
    ///
    /// # Errors
    /// [`StartError::Port`].
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

pub(super) fn log_address(what: &'static str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} is listening");
    }
}
