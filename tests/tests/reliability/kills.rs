//! `kill -9` at random points: of the API server, of the database, of one API server out of two.

use tests::postgres;

use super::client::MAPS;
use super::journal::Journal;
use super::load::{CROWD, Load, judge};
use super::server::ApiServer;
use super::{Dice, rounds};

/// How many writes to wait for before the next kill.
fn a_while(dice: &mut Dice) -> u64 {
    50 + dice.below(250)
}

async fn an_api_server_is_killed(name: &str, datastore: Option<&str>) {
    let mut dice = Dice::of_test(name);
    let mut server = ApiServer::start(datastore).await;
    let mut journal = Journal::new(server.datastore());
    let mut load = Load::start(&[server.door()], &CROWD, &mut dice);
    for _ in 0..rounds() {
        load.progress(a_while(&mut dice)).await;
        server.kill();
        // The log as the dead left it.
        journal.extend().await;
        server.launch().await;
    }
    load.progress(50).await;
    let history = load.finish().await;
    server.kill();
    journal.extend().await;
    judge(name, history, journal.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_wrong_when_an_api_server_on_sqlite_is_killed() {
    an_api_server_is_killed("an API server on SQLite is killed", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_wrong_when_an_api_server_on_postgres_is_killed() {
    let url = postgres::database().unwrap();
    an_api_server_is_killed("an API server on Postgres is killed", Some(&url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_wrong_when_postgres_is_killed() {
    let name = "Postgres is killed";
    let mut dice = Dice::of_test(name);
    let mut database = postgres::Instance::start().unwrap();
    let server = ApiServer::start(Some(&database.database().unwrap())).await;
    let mut journal = Journal::new(server.datastore());
    let mut load = Load::start(&[server.door()], &CROWD, &mut dice);
    for _ in 0..rounds() {
        load.progress(a_while(&mut dice)).await;
        database.kill().unwrap();
        // Lists go on, from memory.
        server.door().get(&format!("{MAPS}?resourceVersion=0")).await.unwrap().expect(200);
        database.launch().unwrap();
    }
    load.progress(50).await;
    let history = load.finish().await;
    journal.extend().await;
    judge(name, history, journal.log);
}

/// Writers, watchers and readers change servers as they like, and one of the servers dies now and
/// then: what one of them has acknowledged the other one shows.
#[tokio::test(flavor = "multi_thread")]
async fn two_api_servers_on_one_postgres_are_one() {
    let name = "two API servers on one Postgres";
    let mut dice = Dice::of_test(name);
    let url = postgres::database().unwrap();
    let first = ApiServer::start(Some(&url)).await;
    let mut second = first.beside().await;
    let mut journal = Journal::new(&url);
    let mut load = Load::start(&[first.door(), second.door()], &CROWD, &mut dice);
    for _ in 0..rounds() {
        load.progress(a_while(&mut dice)).await;
        second.kill();
        load.progress(20).await;
        second.launch().await;
    }
    load.progress(a_while(&mut dice)).await;
    let history = load.finish().await;
    journal.extend().await;
    judge(name, history, journal.log);
}
