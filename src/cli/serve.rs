//! `ringback serve`: the service.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};

use super::{EXIT_CONFIGURATION, failed, unusable};
use crate::{
    app::App,
    clock::Clock,
    config::{Config, Environment},
    telemetry::start_logs,
};

/// Files the process asks for: each waiter is a connection, each connection a file.
const WANTED_FILES: u64 = 262_144;
/// Connections that the kernel holds ready until they are accepted: after a restart everybody comes back at once, and who finds no room tries
/// again a second later. Linux cuts it at `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;

pub(super) async fn run(environment: &Environment) -> ExitCode {
    let config = match Config::from_env(|name| environment.get(name)) {
        Ok(config) => config,
        Err(error) => return unusable(&error),
    };
    let instance = uuid::Uuid::new_v4().simple().to_string();
    let logs = match start_logs(&config.log, instance.get(..8).unwrap_or_default()) {
        Ok(logs) => logs,
        Err(error) => return failed(&error.to_string()),
    };
    let code = serve(config).await;
    // Lines that wait are written when the guard goes; a task that hangs must not keep the process.
    drop(logs);
    std::process::exit(i32::from(code));
}

async fn serve(config: Config) -> u8 {
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    raise_file_limit();
    let (host, port, webhook_url) = (config.http.host, config.http.port, config.webhook.url.clone());
    let app = match App::build(config, Clock::System).await {
        Ok(app) => app,
        Err(error) => return refuse(&error.to_string()),
    };
    let listener = match listen(host, port) {
        Ok(listener) => listener,
        Err(error) => {
            return refuse(&format!(
                "HOST and PORT: can't listen on {host} port {port}: {error}. Choose others, or stop what listens there"
            ));
        }
    };
    if let Err(error) = app.lifecycle().watch_signals() {
        return refuse(&format!("signals can't be handled: {error}"));
    }
    let address = listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default();
    info!(address, webhook_url, "listening");
    app.run(listener).await
}

fn refuse(why: &str) -> u8 {
    tracing::error!("{why}");
    EXIT_CONFIGURATION
}

/// `::` takes IPv4 as well; on a machine without IPv6, `0.0.0.0` is what was meant.
fn listen(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    match bind((host, port).into()) {
        Err(error) if host == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && error.kind() != io::ErrorKind::AddrInUse => {
            bind((Ipv4Addr::UNSPECIFIED, port).into())
        }
        outcome => outcome,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // After a restart the address is taken at once, though connections of the process before still end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Shells often allow 1,024 open files, which is as many waiters; the hard limit is what the machine really allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED_FILES, |most| most.min(WANTED_FILES));
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        warn!(%error, "The limit of open files can't be raised; it bounds how many can wait");
    }
}
