//! Listening ports of a process.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::{Roles, StartError};
use crate::config::Config;

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

pub(super) fn log_address(what: &'static str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} is listening");
    }
}
