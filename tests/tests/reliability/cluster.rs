//! `kill -9` of a whole `wctl dev` under load, as its users would see it.

use tests::cluster::Cluster;

use super::client::{Door, connect};
use super::journal::Journal;
use super::load::{CROWD, Load, judge};
use super::{Dice, rounds};

/// On one thread: the cluster's network is the thread's.
#[tokio::test]
async fn nobody_is_told_wrong_when_wctl_dev_is_killed() {
    let name = "wctl dev is killed";
    let mut dice = Dice::of_test(name);
    let mut cluster = Cluster::start().unwrap();
    let datastore = format!("sqlite://{}", cluster.data_dir().join("wharf.db").display());
    let mut journal = Journal::new(&datastore);
    let (behind, door) = Door::to(connect(&cluster.kubeconfig()).await.unwrap());
    let mut load = Load::start(&[door], &CROWD, &mut dice);
    for _ in 0..rounds() {
        load.progress(50 + dice.below(250)).await;
        cluster.kill();
        journal.extend().await;
        cluster.launch().unwrap();
        behind.send_replace(connect(&cluster.kubeconfig()).await.unwrap());
    }
    load.progress(50).await;
    let history = load.finish().await;
    cluster.stop().unwrap();
    journal.extend().await;
    judge(name, history, journal.log);
}
