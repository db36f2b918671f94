//! Reads processes from `/proc`: CPU time, resident memory, and their children.
//!
//! Linux only; elsewhere there are no figures.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, bail};
use serde::Serialize;

/// The used fields of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Pid of the parent.
    pub parent: u32,
    /// User and system time of all threads, including ended ones, in clock ticks.
    pub ticks: u64,
}

/// Parses `/proc/<pid>/stat`. The name is in parentheses and may contain spaces and parentheses itself.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    let rest = &text[text.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    // After the name: state (field 3), parent (4); utime and stime are fields 14 and 15.
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Stat {
        parent,
        ticks: user + system,
    })
}

/// Role of a process in the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    /// Counts in the total.
    Server,
    /// nginx; listed separately.
    Nginx,
    /// This program; listed separately.
    Bench,
}

/// A process to measure, with its children (the workers of nginx are children).
#[derive(Debug, Clone)]
pub(super) struct Process {
    /// Name that the caller gave it.
    pub name: String,
    /// Pids, the named process first.
    pub pids: Vec<u32>,
    /// Role in the sums.
    pub part: Part,
}

impl Process {
    /// Returns true if it may hold sockets: it is no database, no broker and no nginx.
    pub fn is_service(&self) -> bool {
        self.part == Part::Server
            && !self.name.starts_with("mongo")
            && !self.name.starts_with("nats")
    }
}

/// The processes to measure.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    /// Server processes in the given order, then the bench itself.
    pub processes: Vec<Process>,
    ticks_per_second: f64,
}

/// CPU seconds used so far by each process of a probe.
#[derive(Debug, Clone)]
pub(super) struct Sample(Vec<f64>);

/// CPU seconds of one process over a window.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CpuUse {
    /// Name that the caller gave it.
    pub process: String,
    /// Role in the sums.
    pub part: Part,
    /// CPU seconds, user and system.
    pub seconds: f64,
}

/// Resident memory of one process and its children.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    /// Resident set size (VmRSS), in KiB.
    pub rss_kib: u64,
    /// Proportional set size in KiB; `None` if it cannot be read.
    pub pss_kib: Option<u64>,
}

/// Parses `name=pid,name=pid`.
pub(super) fn parse_pids(list: &str) -> anyhow::Result<Vec<(String, u32)>> {
    let items = list.split(',').map(str::trim).filter(|s| !s.is_empty());
    items
        .map(|item| {
            let Some((name, pid)) = item.split_once('=') else {
                bail!("CHAT_BENCH_PIDS: {item:?} is not name=pid");
            };
            let pid = pid
                .trim()
                .parse()
                .with_context(|| format!("CHAT_BENCH_PIDS: {item:?} is not name=pid"))?;
            Ok((name.trim().to_owned(), pid))
        })
        .collect()
}

impl Probe {
    /// Finds the named processes.
    ///
    /// # Errors
    /// If the list is malformed or names a process that does not run.
    pub fn new(list: &str) -> anyhow::Result<Self> {
        let tree = children();
        let mut processes = Vec::new();
        for (name, pid) in parse_pids(list)? {
            if read_stat(pid).is_none() {
                bail!(
                    "CHAT_BENCH_PIDS: {name}={pid} does not run; set the pids of the running servers"
                );
            }
            let part = if name.starts_with("nginx") {
                Part::Nginx
            } else {
                Part::Server
            };
            let mut pids = vec![pid];
            let mut at = 0;
            while at < pids.len() {
                pids.extend(tree.get(&pids[at]).into_iter().flatten());
                at += 1;
            }
            processes.push(Process { name, pids, part });
        }
        processes.push(Process {
            name: "bench".to_owned(),
            pids: vec![std::process::id()],
            part: Part::Bench,
        });
        Ok(Self {
            processes,
            ticks_per_second: ticks_per_second(),
        })
    }

    /// Reads the CPU time used so far.
    pub fn sample(&self) -> Sample {
        let seconds = |process: &Process| {
            let ticks: u64 = process
                .pids
                .iter()
                .filter_map(|pid| read_stat(*pid))
                .map(|stat| stat.ticks)
                .sum();
            ticks as f64 / self.ticks_per_second
        };
        Sample(self.processes.iter().map(seconds).collect())
    }

    /// Returns the CPU time used between two samples.
    pub fn between(&self, before: &Sample, after: &Sample) -> Vec<CpuUse> {
        let pairs = before.0.iter().zip(&after.0);
        let processes = self.processes.iter().zip(pairs);
        processes
            .map(|(process, (before, after))| CpuUse {
                process: process.name.clone(),
                part: process.part,
                seconds: (after - before).max(0.0),
            })
            .collect()
    }
}

/// Returns the sum over the servers, without nginx and the bench.
pub(super) fn total(uses: &[CpuUse]) -> f64 {
    let servers = uses.iter().filter(|u| u.part == Part::Server);
    servers.fold(0.0, |sum, u| sum + u.seconds)
}

/// Returns the resident set size of a process and its children, in KiB.
pub(super) fn rss_kib(process: &Process) -> u64 {
    let status = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pids = process.pids.iter();
    pids.filter_map(|pid| kib(&status(pid), "VmRSS:")).sum()
}

/// Returns the resident and the proportional memory of a process and its children.
pub(super) fn memory(process: &Process) -> Memory {
    let mut sum = Memory {
        rss_kib: rss_kib(process),
        pss_kib: Some(0),
    };
    for pid in &process.pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.pss_kib = sum.pss_kib.zip(kib(&rollup, "Pss:")).map(|(a, b)| a + b);
    }
    sum
}

/// Parses the value of a line like `VmRSS:   1234 kB`.
pub(super) fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the soft limit of open files of a process (`self` for this one); `None` if it cannot be read.
pub(super) fn open_files_limit(process: &str) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn children() -> HashMap<u32, Vec<u32>> {
    let mut tree: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|s| s.parse().ok()) else {
            continue;
        };
        if let Some(stat) = read_stat(pid) {
            tree.entry(stat.parent).or_default().push(pid);
        }
    }
    tree
}

/// Returns the clock ticks per second, which the kernel passes to every process in its auxiliary vector (entry 17).
fn ticks_per_second() -> f64 {
    const AT_CLKTCK: usize = 17;
    const WORD: usize = size_of::<usize>();
    let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
    let words: Vec<usize> = auxv
        .chunks_exact(WORD)
        .map(|chunk| {
            let mut word = [0; WORD];
            word.copy_from_slice(chunk);
            usize::from_ne_bytes(word)
        })
        .collect();
    let found = words.chunks_exact(2).find(|pair| pair[0] == AT_CLKTCK);
    found.map_or(100.0, |pair| pair[1] as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_a_plain_name() {
        let text = "412 (mongod) S 1 412 412 0 -1 4194560 9 0 0 0 1234 566 0 0 20 0 33 0 77 1 2";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                parent: 1,
                ticks: 1800
            })
        );
    }

    #[test]
    fn stat_of_a_name_with_spaces_and_parentheses() {
        let text = "7 (a (b) S 9 9) c) R 3 7 7 0 -1 0 9 0 0 0 10 5 0 0 20 0 1 0 77 1 2";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                parent: 3,
                ticks: 15
            })
        );
    }

    #[test]
    fn stat_of_invalid_text() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("7 (x"), None);
        assert_eq!(parse_stat("7 (x) S 1 2 3"), None);
    }

    #[test]
    fn pids_are_read_and_faults_named() {
        let pids = parse_pids("mongod=12, nats-server=34,").expect("well-formed");
        assert_eq!(
            pids,
            [("mongod".to_owned(), 12), ("nats-server".to_owned(), 34)]
        );
        assert!(parse_pids("").expect("empty is fine").is_empty());
        let error = parse_pids("mongod").expect_err("no pid").to_string();
        assert!(error.contains("mongod"), "{error}");
        assert!(parse_pids("mongod=x").is_err());
    }

    #[test]
    fn the_own_process_can_be_read() {
        let probe = Probe::new(&format!("me={}", std::process::id())).expect("runs");
        assert_eq!(probe.processes.len(), 2);
        let before = probe.sample();
        let uses = probe.between(&before, &probe.sample());
        assert_eq!(uses[1].part, Part::Bench);
        assert!(memory(&probe.processes[0]).rss_kib > 0);
    }

    #[test]
    fn a_line_of_kib_is_read() {
        assert_eq!(
            kib("VmPeak:\t 9 kB\nVmRSS:\t  512 kB\n", "VmRSS:"),
            Some(512)
        );
        assert_eq!(kib("", "VmRSS:"), None);
    }
}
