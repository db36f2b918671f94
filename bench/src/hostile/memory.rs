//! Samples the resident memory of the service's processes.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::cpu::{Probe, Process, rss_kib};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum resident memory of one process.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Peak {
    /// Name of the process.
    pub process: String,
    /// Maximum of the samples, in MiB.
    pub mib: f64,
}

/// Returns the present memory of the service's processes.
pub(super) fn read(probe: &Probe) -> Vec<Peak> {
    let services = services(probe);
    let sizes = services.iter().map(rss_kib).collect();
    peaks(services, sizes)
}

fn services(probe: &Probe) -> Vec<Process> {
    let services = probe.processes.iter().filter(|p| p.is_service());
    services.cloned().collect()
}

fn peaks(services: Vec<Process>, kib: Vec<u64>) -> Vec<Peak> {
    let named = services.into_iter().zip(kib);
    named
        .map(|(process, kib)| Peak {
            process: process.name,
            mib: kib as f64 / 1024.0,
        })
        .collect()
}

/// Samples until it is stopped.
pub(super) struct MemorySampler {
    stop: CancellationToken,
    task: JoinHandle<Vec<Peak>>,
}

impl MemorySampler {
    /// Starts to sample the processes of the service.
    pub fn start(probe: &Probe) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(sample(services(probe), stop.clone()));
        Self { stop, task }
    }

    /// Stops, and returns the maximum of each process.
    pub async fn stop(self) -> Vec<Peak> {
        self.stop.cancel();
        // The task neither panics nor is aborted.
        self.task.await.unwrap_or_default()
    }
}

async fn sample(services: Vec<Process>, stop: CancellationToken) -> Vec<Peak> {
    let mut highest = vec![0; services.len()];
    let mut ticks = interval(INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for (peak, process) in highest.iter_mut().zip(&services) {
            *peak = rss_kib(process).max(*peak);
        }
    }
    peaks(services, highest)
}
