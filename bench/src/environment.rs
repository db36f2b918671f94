//! Context of a result: the machine, the versions, the limits, the time.

use std::fs;
use std::process::Command;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::Host;
use super::cpu::{Part, Probe, kib, open_files_limit};
use super::report::say;

/// Environment of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Environment {
    date: String,
    cores: usize,
    cpu: String,
    memory_mib: u64,
    kernel: String,
    load_before: String,
    addresses: String,
    versions: Vec<(String, String)>,
    build: String,
    processes: Vec<(String, u32)>,
    open_files: Option<u64>,
    limits: Vec<(String, String)>,
}

impl Environment {
    /// Reads the environment.
    pub async fn read(host: &Host, probe: &Probe) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .and_then(|rest| rest.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        let mut versions = vec![(
            "service".to_owned(),
            host.version().await.unwrap_or_else(|| "unknown".to_owned()),
        )];
        let mut processes = Vec::new();
        let mut program = None;
        for process in probe.processes.iter().filter(|p| p.part != Part::Bench) {
            let pid = process.pids[0];
            processes.push((process.name.clone(), pid));
            if process.is_service() {
                program = program.or(fs::read_link(format!("/proc/{pid}/exe")).ok());
            } else if let Some(version) = version_of(pid) {
                versions.push((process.name.clone(), version));
            }
        }
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let mut limits: Vec<(String, String)> = std::env::vars()
            .filter(|(name, _)| name.starts_with("RATE_LIMIT_"))
            .collect();
        limits.sort();
        Self {
            date: OffsetDateTime::now_utc()
                .truncate_to_second()
                .format(&Rfc3339)
                .unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: model.to_owned(),
            memory_mib: kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
            addresses: host.addresses(),
            versions,
            build: match program {
                Some(program) => format!("bench {profile}, service {}", program.display()),
                None => format!("bench {profile}, service unknown"),
            },
            processes,
            open_files: open_files_limit("self"),
            limits,
        }
    }

    /// Prints the environment.
    pub fn print(&self) {
        let pairs = |list: &[(String, String)], between: &str| {
            let items = list
                .iter()
                .map(|(name, value)| format!("{name}{between}{value}"));
            items.collect::<Vec<_>>().join(", ")
        };
        say("date", &self.date);
        say(
            "machine",
            &format!(
                "{} cores, {}, {} MiB, Linux {}",
                self.cores, self.cpu, self.memory_mib, self.kernel
            ),
        );
        say("load before", &self.load_before);
        say("versions", &pairs(&self.versions, " "));
        say("build", &self.build);
        say("addresses", &self.addresses);
        let processes: Vec<String> = self
            .processes
            .iter()
            .map(|(name, pid)| format!("{name} {pid}"))
            .collect();
        say(
            "processes",
            &if processes.is_empty() {
                "none named: no CPU and memory of the servers; set CHAT_BENCH_PIDS".to_owned()
            } else {
                processes.join(", ")
            },
        );
        let files = match self.open_files {
            Some(u64::MAX) => "unlimited".to_owned(),
            Some(limit) => limit.to_string(),
            None => "unknown".to_owned(),
        };
        let rates = if self.limits.is_empty() {
            "rate limits as configured in the service".to_owned()
        } else {
            pairs(&self.limits, " = ")
        };
        say("limits", &format!("open files {files}; {rates}"));
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns the first version number that the program of a process prints.
fn version_of(pid: u32) -> Option<String> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let flag = match program.file_name()?.to_str()? {
        "nginx" => "-v",
        "mongod" | "nats-server" => "--version",
        _ => return None,
    };
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&text)).map(str::to_owned)
}

/// Returns the first word that contains digit, dot, digit, without the text before its first digit.
fn version_in(text: &str) -> Option<&str> {
    text.split_ascii_whitespace().find_map(|word| {
        let version = &word[word.find(|c: char| c.is_ascii_digit())?..];
        let (major, rest) = version.split_once('.')?;
        let numeric = major.bytes().all(|b| b.is_ascii_digit());
        (numeric && rest.starts_with(|c: char| c.is_ascii_digit())).then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found() {
        let of = |text| version_in(text);
        assert_eq!(of("db version v6.0.5\nBuild Info: {"), Some("6.0.5"));
        assert_eq!(of("nats-server: v2.15.1"), Some("2.15.1"));
        assert_eq!(of("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(of("no number 5 here"), None);
    }
}
