//! CPU time of one write to a socket on this machine: the lower bound of a delivery's cost.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Context;

/// Approximate size of the WebSocket frame of a message of 100 bytes.
pub(super) const FRAME_BYTES: usize = 450;

/// Returns the CPU time of writing one frame to a local socket, in microseconds: the mean over `sockets` sockets. It includes the kernel's work of handing
/// the frame over to the reader's end, but not waking a reader.
///
/// # Errors
/// If the limit of open files is too low, or the kernel does not report the CPU time of threads.
pub(super) async fn measure(sockets: u32) -> anyhow::Result<f64> {
    tokio::task::spawn_blocking(move || measure_here(sockets))
        .await
        .context("the measurement of sockets ended early")?
}

fn measure_here(sockets: u32) -> anyhow::Result<f64> {
    const ROUNDS: u32 = 60;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut near = Vec::new();
    let mut far = Vec::new();
    for _ in 0..sockets {
        far.push(TcpStream::connect(address).context(
            "cannot connect a socket; the limit of open files may be too low, see ulimit -n",
        )?);
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        near.push(socket);
    }
    let frame = [b'x'; FRAME_BYTES];
    let mut heard = [0; FRAME_BYTES];
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let before = own_cpu_time()?;
        for socket in &mut near {
            socket.write_all(&frame)?;
        }
        spent += own_cpu_time()?.saturating_sub(before);
        for socket in &mut far {
            socket.read_exact(&mut heard)?;
        }
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(ROUNDS * sockets))
}

/// Returns the CPU time of this thread with nanosecond resolution; `/proc/<pid>/stat` counts in hundredths of a second.
fn own_cpu_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")
        .context("the kernel tells no CPU time of threads")?;
    let nanos = text.split_ascii_whitespace().next();
    let nanos = nanos.and_then(|nanos| nanos.parse().ok());
    Ok(Duration::from_nanos(
        nanos.context("the kernel tells no CPU time of threads")?,
    ))
}
