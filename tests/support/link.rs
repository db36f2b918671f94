//! A line to a server that can be held up: bytes wait, and the connection stays.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::AbortHandle,
};

/// A port of this machine that leads to a server, unless it is held up.
pub struct Link {
    address: SocketAddr,
    is_held: watch::Sender<bool>,
    task: AbortHandle,
}

impl Link {
    /// A line to the server of `url`.
    pub async fn to(url: &str) -> Self {
        let host = url.rsplit(['/', '@']).next().expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_held, held) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&host).await else {
                    continue;
                };
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                tokio::spawn(carry(from_near, to_far, held.clone()));
                tokio::spawn(carry(from_far, to_near, held.clone()));
            }
        });
        Self {
            address,
            is_held,
            task: task.abort_handle(),
        }
    }

    /// `url`, by way of this line.
    pub fn url(&self, url: &str) -> String {
        let (before, _) = url.rsplit_once(['/', '@']).expect("a host");
        let separator = &url[before.len()..=before.len()];
        format!("{before}{separator}{}", self.address)
    }

    /// From now on nothing passes.
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Releases the held bytes and everything that follows.
    pub fn let_go(&self) {
        self.is_held.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends with either side, or with the line.
async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
