//! Flushers: a few tasks that write the pushes of all sockets of a node.
//!
//! A task per socket that is woken for every event costs more than the write itself. So the hub puts an event into the queues of its sockets and passes each
//! socket that was idle to its flusher, which writes them one after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::yield_now,
};

use super::{Socket, writer::WriteBuffer};
use crate::ws::{close::CloseReason, resume::cursor::Seal};

/// Number of sockets after which a flusher yields its thread: about 0.2 ms of work.
const TURN: usize = 32;

/// Queue of sockets with pushes to be written.
///
/// A socket is in it at most once, so the number of sockets bounds its length.
pub type FlushQueue = UnboundedSender<Arc<Socket>>;

/// The flushers of a node, one per thread.
#[derive(Debug)]
pub struct Flushers {
    queues: Vec<FlushQueue>,
}

impl Flushers {
    /// Returns the flushers and the tasks to run for them. A task ends with the last holder of its lane.
    pub fn new(seal: &Arc<Seal>) -> (Self, Vec<impl Future<Output = ()> + Send + 'static>) {
        let count = Handle::current().metrics().num_workers();
        let flusher = |_| {
            let (queue, inbox) = unbounded_channel();
            (queue, run(inbox, Arc::clone(seal)))
        };
        let (queues, runs) = (0..count).map(flusher).unzip();
        (Self { queues }, runs)
    }

    /// Returns the lane of a socket by its id. It never changes: two flushers would break the order.
    pub fn queue(&self, socket: u64) -> &FlushQueue {
        &self.queues[(socket % self.queues.len() as u64) as usize]
    }
}

async fn run(mut inbox: UnboundedReceiver<Arc<Socket>>, seal: Arc<Seal>) {
    let mut sockets = Vec::with_capacity(TURN);
    let mut scratch = WriteBuffer::default();
    while inbox.recv_many(&mut sockets, TURN).await > 0 {
        for socket in sockets.drain(..) {
            let flush = || socket.flush(&seal, &mut scratch);
            // A panic on one socket must not end the flusher of the others.
            if catch_unwind(AssertUnwindSafe(flush)).is_err() {
                scratch = WriteBuffer::default();
                socket.end(CloseReason::Restarting);
            }
        }
        yield_now().await;
    }
}
