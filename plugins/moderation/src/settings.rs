//! Settings of the plugin: the table `[plugins.moderation]` of `chat.toml`.

use std::time::Duration;

use chat_sdk::plugin::PluginSettings;
use serde::Deserialize;

/// The table `[plugins.moderation]` of `chat.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Days for which a decided report and a decision are kept, 1 to 3,650; default 365.
    pub keep_days: u32,
    /// Seconds for which a reviewer who claims a report has it alone, 10 to 86,400; default 900.
    pub claim_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_days: 365,
            claim_seconds: 900,
        }
    }
}

impl Settings {
    /// Reads and validates the settings; `None` comes with a fault.
    pub fn read(settings: &mut PluginSettings<'_>) -> Option<Self> {
        let table: Self = settings.table()?;
        let mut is_valid = true;
        for (name, value, range) in [
            ("keep_days", table.keep_days, 1..=3650),
            ("claim_seconds", table.claim_seconds, 10..=86_400),
        ] {
            if !range.contains(&value) {
                is_valid = false;
                let (least, most) = range.into_inner();
                settings.table_fault(format!(
                    "{name} is {value}; it must be from {least} to {most}"
                ));
            }
        }
        is_valid.then_some(table)
    }

    /// Returns the time for which decided reports and decisions are kept.
    pub fn keep(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_days) * 86_400)
    }
}
