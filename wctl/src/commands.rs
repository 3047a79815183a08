//! A file per command, and which runtime it runs on.

mod api_resources;
mod apply;
mod delete;
mod describe;
mod doctor;
mod get;
mod image;
mod logs;
mod manifest;
mod patch;
mod ps;
mod run;
mod scale;
mod top;
mod version;
mod wait;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cli::{Cli, Command};
use crate::{dev, node, server, sim, telemetry};

/// Runs the command on an executor that fits it: a cluster gets threads, a call gets none.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    // What the data folder is called unless the user says. Neither a simulation nor an agent takes that
    // of the cluster beside it.
    let named = cli.global.data_dir.clone();
    let data_dir = |name: &str| {
        named.clone().unwrap_or_else(|| crate::cluster::default_data_dir().with_file_name(name))
    };
    match cli.command {
        Command::Dev(arguments) => run_for_long(dev::run(arguments, data_dir("wharf"))),
        Command::Server(arguments) => run_for_long(server::run(arguments, data_dir("wharf"))),
        Command::Agent(arguments) => run_for_long(node::run(arguments, data_dir("wharf-agent"))),
        Command::Sim(arguments) => run_for_long(sim::run(arguments, data_dir("wharf-sim"))),
        _ => run_once(cli),
    }
}

/// A cluster, or a part of one.
fn run_for_long(cluster: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    telemetry::start("info")?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    executor.block_on(cluster)?;
    Ok(ExitCode::SUCCESS)
}

/// A call, or a few.
fn run_once(cli: Cli) -> Result<ExitCode> {
    // The client logs what it also returns, and the command says that in its own words.
    telemetry::start("error,kube_client=off")?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Dev(_) | Command::Server(_) | Command::Agent(_) | Command::Sim(_) => {
            unreachable!("taken by run")
        }
        Command::Get(arguments) => get::run(global, &arguments).await?,
        Command::Describe(arguments) => describe::run(global, &arguments).await?,
        Command::Apply(arguments) => apply::run(global, &arguments).await?,
        Command::Create(arguments) => apply::create(global, &arguments).await?,
        Command::Delete(arguments) => delete::run(global, &arguments).await?,
        Command::Logs(arguments) => logs::run(global, &arguments).await?,
        Command::Scale(arguments) => scale::run(global, &arguments).await?,
        Command::Patch(arguments) => patch::run(global, &arguments).await?,
        Command::Wait(arguments) => wait::run(global, &arguments).await?,
        Command::Run(arguments) => return run::run(global, &arguments).await,
        Command::Ps(arguments) => ps::run(global, &arguments).await?,
        Command::Top(arguments) => top::run(global, &arguments).await?,
        Command::Pull(arguments) => image::pull(global, &arguments).await?,
        Command::Push(arguments) => image::push(global, &arguments).await?,
        Command::Images(arguments) => image::list(global, &arguments).await?,
        Command::Image(arguments) => image::run(global, &arguments).await?,
        Command::ApiResources => api_resources::run(global).await?,
        Command::Doctor(arguments) => doctor::run(global, &arguments).await?,
        Command::Version(arguments) => version::run(global, &arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `10s`, `5m`, `1h30m`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(std::time::Duration::from_secs(seconds));
    }
    let mut total = std::time::Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .context(format!("\"{text}\" lacks a unit, like 10s"))?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let number: u64 = rest[..digits]
            .parse()
            .with_context(|| format!("\"{text}\" is no duration, like 10s"))?;
        let millis = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            unit => bail!("\"{text}\": unknown unit \"{unit}\"; use ms, s, m or h"),
        };
        total = number
            .checked_mul(millis)
            .and_then(|millis| total.checked_add(std::time::Duration::from_millis(millis)))
            .with_context(|| format!("\"{text}\" is longer than can be counted"))?;
        rest = &rest[unit_end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, seconds) in [("30", 30), ("10s", 10), ("5m", 300), ("1h30m", 5400)] {
            assert_eq!(super::duration(text).unwrap(), Duration::from_secs(seconds));
        }
        for text in ["x", "10y", "s", "99999999999999999h", "18446744073709551615s1h"] {
            assert!(super::duration(text).is_err(), "{text}");
        }
    }
}
