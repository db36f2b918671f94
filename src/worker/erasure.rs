//! Erasures: goes on with what a request began or a crash left, one user at a time, whichever process gets to it first.

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::domain::{
    Context, Result,
    erasure::{self, Erasure},
};

/// How often it is looked for work while there is some.
const PERIOD: Duration = Duration::from_secs(1);
/// The same while there is none. The process that was asked rings a bell, so this is for jobs of processes that died.
const IDLE_PERIOD: Duration = Duration::from_secs(4);
/// How long a user's lease lasts; another process goes on this long after a death.
const LEASE: Duration = Duration::from_secs(10);
/// How many unfinished jobs are looked at at once.
const PAGE: i64 = 50;

/// Works on erasures until `stop`. `holder` is this process's name for the leases.
pub async fn run(ctx: Context, holder: String, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            _ = ctx.bells.erasing.notified() => {}
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
                // What is half done is found again.
                () = stop.cancelled() => return,
                outcome = work(&ctx, &holder, &job) => match outcome {
                    Ok(()) => {}
                    Err(error) => {
                        counter!("chat_erasure_failures_total").increment(1);
                        tracing::warn!(%error, "an erasure was interrupted; it goes on in a moment");
                    }
                }
            }
        }
    }
}

/// Does one job, if nobody else is at it.
async fn work(ctx: &Context, holder: &str, job: &Erasure) -> Result<()> {
    let lease = format!("erasure:{}", job.user);
    if !ctx.store.take_lease(&lease, holder, LEASE).await? {
        return Ok(());
    }
    // Whoever had the lease before may have finished it, and the user may be there anew.
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
        // Somebody else goes on.
        () = renewing => return Ok(()),
    };
    ctx.store.drop_lease(&lease, holder).await?;
    outcome
}
