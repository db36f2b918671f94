//! `plugins`: the plugins of this program, and how those of a running service are.

use std::process::ExitCode;

use chat_sdk::plugin::PluginFactory;
use clap::Args;
use serde_json::{Value, json};

use super::{
    process,
    webhooks::service::{Failure, Service},
};
use crate::config::{self, Caller, Sources};

/// Arguments of `plugins`.
#[derive(Debug, Args)]
pub struct PluginsArgs {
    /// Base URL of the service; default: this machine, at PORT.
    #[arg(long, env = "BASE_URL", value_name = "URL")]
    url: Option<String>,
    /// Print the plugins as JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the plugins with their hooks. The exit code is 1 if a plugin has failed, a hook does not answer or the service refuses the request, 69 if the service does not respond, 78 if the
/// configuration cannot be used.
pub fn run(args: &PluginsArgs, sources: &Sources, plugins: &[PluginFactory]) -> ExitCode {
    let caller = match Caller::load(sources) {
        Ok(caller) => caller,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(config::EXIT_CODE);
        }
    };
    process::block_on(async {
        let status = async {
            let service = Service::new(caller, args.url.as_deref())?;
            service.at("/api/status").get("").await
        };
        match status.await {
            Ok(status) => show(&rows(plugins, &status), args.json),
            Err(Failure::Refused(why)) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
            Err(Failure::Unavailable(why)) => {
                eprintln!("{why}");
                ExitCode::from(process::EXIT_UNAVAILABLE)
            }
        }
    })
}

/// Returns one row for each plugin of this program, for each of the running service, and for each in another process. A row has the plugin's hooks.
fn rows(plugins: &[PluginFactory], status: &Value) -> Vec<Value> {
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let mut running = list("plugins");
    for hook in list("hooks") {
        let plugin = hook["plugin"].clone();
        let index = match running.iter().position(|row| row["name"] == plugin) {
            Some(index) => index,
            None => {
                // A plugin in another process is known by its hook alone.
                running.push(json!({
                    "name": plugin, "state": "external", "failures": hook["failures"], "lastFailure": hook["lastFailure"],
                }));
                running.len() - 1
            }
        };
        let row = &mut running[index];
        if row["hooks"].is_null() {
            row["hooks"] = json!([]);
        }
        if let Some(hooks) = row["hooks"].as_array_mut() {
            hooks.push(hook);
        }
    }
    let off = plugins.iter().filter(|plugin| {
        let mut names = running.iter().map(|one| &one["name"]);
        !names.any(|name| name == plugin.name)
    });
    let off: Vec<Value> = off
        .map(|plugin| json!({ "name": plugin.name, "state": "off", "failures": 0 }))
        .collect();
    [running, off].concat()
}

fn show(rows: &[Value], as_json: bool) -> ExitCode {
    if as_json {
        println!("{}", Value::Array(rows.to_vec()));
    } else {
        println!(
            "{:<24} {:<10} {:>8}  LAST FAILURE",
            "PLUGIN", "STATE", "FAILURES"
        );
        for row in rows {
            println!("{}", line("", row));
            for hook in row["hooks"].as_array().into_iter().flatten() {
                println!("{}", line("  hook ", hook));
            }
        }
    }
    ExitCode::from(u8::from(rows.iter().any(has_failed)))
}

fn line(before: &str, row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or("-");
    let name = format!("{before}{}", text("name"));
    // As text, because a JSON value ignores the width.
    let failures = row["failures"].to_string();
    let (state, why) = (text("state"), text("lastFailure"));
    format!("{name:<24} {state:<10} {failures:>8}  {why}")
}

/// Returns true if the plugin of a row has failed, or one of its hooks does not answer.
fn has_failed(row: &Value) -> bool {
    let mut hooks = row["hooks"].as_array().into_iter().flatten();
    row["state"] == "failed"
        || hooks.any(|hook| hook["state"] == "failing" || hook["state"] == "leftAlone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_that_do_not_run_are_listed_as_off() {
        let running =
            json!({ "plugins": [{ "name": "other", "state": "running", "failures": 2 }] });
        let found = rows(crate::plugins::BUILT_IN, &running);
        assert_eq!(found[0]["name"], "other");
        let off: Vec<&Value> = found[1..].iter().map(|row| &row["name"]).collect();
        assert_eq!(
            off,
            [
                "accounts",
                "attachments",
                "moderation",
                "notifications",
                "webhooks"
            ]
        );
        assert!(found[1..].iter().all(|row| row["state"] == "off"));
    }

    #[test]
    fn hooks_are_listed_with_their_plugin_and_one_that_does_not_answer_is_a_failure() {
        let hook = |plugin: &str, state: &str| {
            json!({
                "plugin": plugin, "name": "filter", "state": state, "failures": 3, "lastFailure": "it did not answer in time",
            })
        };
        let mut status = json!({
            "plugins": [{ "name": "polls", "state": "running", "failures": 0 }],
            "hooks": [hook("polls", "answering"), hook("words", "unknown")],
        });
        let found = rows(&[], &status);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["hooks"][0]["state"], "answering");
        assert_eq!(
            (&found[1]["name"], &found[1]["state"]),
            (&json!("words"), &json!("external"))
        );
        assert!(!found.iter().any(has_failed));
        assert_eq!(
            line("  hook ", &found[1]["hooks"][0]),
            "  hook filter            unknown           3  it did not answer in time"
        );
        for state in ["failing", "leftAlone"] {
            status["hooks"][1]["state"] = json!(state);
            assert!(rows(&[], &status).iter().any(has_failed), "{state}");
        }
    }
}
