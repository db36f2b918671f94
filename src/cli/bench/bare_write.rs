//! What one write to a socket costs on this machine: the part of a delivery that nobody can avoid.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Context;

/// What a message of 100 bytes is as a frame of a socket, about.
pub(super) const FRAME_BYTES: usize = 450;

/// The CPU time of writing a frame to a socket of this machine, in microseconds, as a mean over `sockets` of them. The kernel's work of handing it over to
/// the reader's end is part of it; waking a reader is not.
///
/// # Errors
/// When there are too few open files, or the kernel does not tell the CPU time of threads.
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
        far.push(TcpStream::connect(address).context("too few open files? see ulimit -n")?);
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

/// The CPU time of this thread, to the nanosecond; `/proc/<pid>/stat` counts in hundredths of a second.
fn own_cpu_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")
        .context("the kernel tells no CPU time of threads")?;
    let nanos = text.split_ascii_whitespace().next();
    let nanos = nanos.and_then(|nanos| nanos.parse().ok());
    Ok(Duration::from_nanos(
        nanos.context("the kernel tells no CPU time of threads")?,
    ))
}
