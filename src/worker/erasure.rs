//! Erasures: continues what a request began or a crash left.
//!
//! One user at a time, in whichever process gets the lease first.

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Context, erasure},
    model::{Result, erasure::Erasure},
};

/// Time between two searches for work while there is some.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two searches while there is none.
///
/// The process that got the request notifies at once, so this is for jobs of dead processes.
const IDLE_PERIOD: Duration = Duration::from_secs(4);
/// Duration of a user's lease; another process continues this long after a death.
const LEASE: Duration = Duration::from_secs(10);
/// Number of unfinished jobs per read.
const PAGE: i64 = 50;

/// Works on erasures until `stop`. `holder` is this process's name for the leases.
pub async fn run(ctx: Context, holder: String, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = ctx.erasure_requested.notified() => {}
        }
        pause = PERIOD;
        let Ok(jobs) = ctx.store.find_unfinished_erasures(PAGE).await else {
            continue;
        };
        if jobs.is_empty() {
            pause = IDLE_PERIOD;
        }
        for job in jobs {
            tokio::select! {
                // Half-finished work is found again.
                () = stop.cancelled() => return,
                outcome = work(&ctx, &holder, &job) => match outcome {
                    Ok(()) => {}
                    Err(error) => {
                        counter!("chat_erasure_failures_total").increment(1);
                        tracing::warn!(%error, "an erasure was interrupted; it will continue");
                    }
                }
            }
        }
    }
}

/// Does one job, unless another process works on it.
async fn work(ctx: &Context, holder: &str, job: &Erasure) -> Result<()> {
    let lease = format!("erasure:{}", job.user);
    if !ctx.store.take_lease(&lease, holder, LEASE).await? {
        return Ok(());
    }
    // The previous lease holder may have finished it, and the user may exist again.
    let current = ctx.store.find_erasure(&job.user).await?;
    let Some(job) = current.filter(|job| job.finished_at.is_none()) else {
        return ctx.store.drop_lease(&lease, holder).await;
    };
    let renewing = async {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            if ctx.store.take_lease(&lease, holder, LEASE).await != Ok(true) {
                return;
            }
        }
    };
    let outcome = tokio::select! {
        outcome = erasure::run(ctx, &job) => outcome,
        // Another process continues.
        () = renewing => return Ok(()),
    };
    ctx.store.drop_lease(&lease, holder).await?;
    outcome
}
