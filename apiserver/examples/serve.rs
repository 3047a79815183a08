//! A bare API server, for trying kubectl against it, for measuring it and for killing it.
//!
//! `cargo run -p apiserver --example serve -- DIR [ADDR:PORT [DATASTORE]]` keeps its data in DIR,
//! writes `DIR/kubeconfig` and serves until SIGINT. DATASTORE is a URL, by default of an SQLite file
//! in DIR. Servers that share a datastore need the same `DIR/pki`.

use std::path::PathBuf;
use std::sync::Arc;

use apiserver::{Config, Server, pki};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: serve DIR [ADDR:PORT [DATASTORE]]")?);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    std::fs::create_dir_all(&dir)?;
    let authority = Arc::new(pki::Authority::open(&dir.join("pki"))?);
    let file = || format!("sqlite://{}", dir.join("state.db").display());
    let url = arguments.next().unwrap_or_else(file);
    let store = store::Store::open(&url, store::Options::default()).await?;
    let mut config = Config::new(store.clone(), authority.clone());
    config.listen = listen.parse()?;
    let server = Server::bind(config).await?;
    let admin = authority.client(pki::ADMIN_USER, Some(pki::MASTERS_GROUP))?;
    let address = format!("https://{}", server.local_addr());
    let kubeconfig = pki::kubeconfig("wharf", &address, authority.ca_pem(), &admin);
    std::fs::write(dir.join("kubeconfig"), kubeconfig)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let signal = async move {
        tokio::signal::ctrl_c().await?;
        stop.cancel();
        Ok::<_, std::io::Error>(())
    };
    let (ran, signalled) = tokio::join!(server.run(shutdown), signal);
    store.close().await;
    signalled?;
    Ok(ran?)
}
