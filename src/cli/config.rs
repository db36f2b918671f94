//! `config check` and `config show`: the effective configuration, and the origin of each value.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{self, Config, ConfigErrors, Sources};
use crate::plugins;
use chat_sdk::plugin::PluginFactory;

/// Prints "configuration is valid" with any warnings, or one line per fault.
///
/// The settings of enabled `plugins` are checked too. The exit code is 0, or 78 if there are faults.
pub fn check(sources: &Sources, plugins: &[PluginFactory]) -> ExitCode {
    finish(write_check(
        sources,
        plugins,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    ))
}

/// Prints every variable by group with its value and origin; secrets are masked.
///
/// Also works with a faulty configuration: the faults follow on standard error, and the exit code is 78.
pub fn show(sources: &Sources) -> ExitCode {
    finish(write_show(
        sources,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    ))
}

/// A reader that closes the pipe early (`| head`) is not an error.
fn finish(result: io::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(config::EXIT_CODE),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn write_check(
    sources: &Sources,
    plugins: &[PluginFactory],
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<bool> {
    match Config::load(sources) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            match plugins::configure(&loaded.config, plugins) {
                Ok(configured) => {
                    for warning in &configured.warnings {
                        writeln!(err, "warning: {warning}")?;
                    }
                    writeln!(out, "configuration is valid")?;
                    Ok(true)
                }
                Err(faults) => {
                    for fault in &faults {
                        writeln!(err, "{fault}")?;
                    }
                    Ok(false)
                }
            }
        }
        Err(errors) => write_faults(&errors, err),
    }
}

fn write_show(sources: &Sources, out: &mut impl Write, err: &mut impl Write) -> io::Result<bool> {
    let inspection = config::inspect(sources);
    let width = inspection
        .settings
        .iter()
        .map(|setting| setting.name.len())
        .max()
        .unwrap_or(0);
    let mut group = "";
    for setting in &inspection.settings {
        if setting.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            writeln!(out, "{gap}# {}", setting.group)?;
            group = setting.group;
        }
        match &setting.value {
            Some(value) => writeln!(
                out,
                "{:width$} = {value}  ({})",
                setting.name, setting.origin
            )?,
            None => writeln!(out, "{:width$}   not set", setting.name)?,
        }
    }
    match &inspection.outcome {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            Ok(true)
        }
        Err(errors) => write_faults(errors, err),
    }
}

fn write_faults(errors: &ConfigErrors, err: &mut impl Write) -> io::Result<bool> {
    writeln!(err, "{errors}")?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(env: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let env = env
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let sources = Sources {
            toml_path: None,
            dir: dir.path().to_owned(),
            env,
            plugins: plugins::variables(plugins::BUILT_IN),
        };
        (dir, sources)
    }

    const VALID: [(&str, &str); 4] = [
        ("MONGODB_URI", "mongodb://user:pa55word@localhost/shop"),
        ("NATS_URL", "nats://t0ken@localhost:4222"),
        ("AUTH_JWT_SECRET", "3f1c9a7e5b2d4860f1e2d3c4b5a69788"),
        ("INTERNAL_API_SECRET", "a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    ];

    #[test]
    fn check_says_valid() {
        let (_dir, sources) = sources(&VALID);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert!(write_check(&sources, plugins::BUILT_IN, &mut out, &mut err).expect("written"));
        assert_eq!(String::from_utf8_lossy(&out), "configuration is valid\n");
        assert!(err.is_empty());
    }

    #[test]
    fn check_lists_every_fault_on_a_line() {
        let (_dir, sources) = sources(&[("PORT", "x")]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert!(!write_check(&sources, plugins::BUILT_IN, &mut out, &mut err).expect("written"));
        assert!(out.is_empty());
        let err = String::from_utf8_lossy(&err);
        let names: Vec<&str> = err
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "MONGODB_URI",
                "NATS_URL",
                "PORT",
                "AUTH_JWT_SECRET",
                "INTERNAL_API_SECRET"
            ]
        );
    }

    #[test]
    fn show_masks_and_names_origins() {
        let (dir, sources) = sources(&VALID);
        std::fs::write(
            dir.path().join("chat.toml"),
            "port = 5000\n[plugins.webhooks]\ntoken = \"hush\"\n",
        )
        .expect("chat.toml");
        std::fs::write(dir.path().join(".env"), "LOG_LEVEL=debug\n").expect(".env");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert!(write_show(&sources, &mut out, &mut err).expect("written"));
        let out = String::from_utf8_lossy(&out);
        for hidden in ["pa55word", "t0ken", "3f1c9a", "a1b2c3", "hush"] {
            assert!(!out.contains(hidden), "{hidden} is shown");
        }
        let flat: Vec<String> = out
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "# Stores",
            "MONGODB_URI = mongodb://user:***@localhost/shop (environment)",
            "NATS_URL = nats://***@localhost:4222 (environment)",
            "AUTH_JWT_SECRET = *** (environment)",
            "PORT = 5000 (chat.toml)",
            "LOG_LEVEL = debug (.env)",
            "WS_PORT = 4001 (default)",
            "WEBHOOK_URL not set",
            "[plugins.webhooks] = token (chat.toml)",
        ] {
            assert!(
                flat.iter().any(|shown| shown == line),
                "no line {line:?} in\n{out}"
            );
        }
    }

    #[test]
    fn show_works_on_a_faulty_configuration() {
        let (_dir, sources) = sources(&[("APP_ENV", "prod")]);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert!(!write_show(&sources, &mut out, &mut err).expect("written"));
        assert!(String::from_utf8_lossy(&out).contains("APP_ENV"));
        assert!(String::from_utf8_lossy(&err).contains("APP_ENV: is \"prod\""));
    }
}
