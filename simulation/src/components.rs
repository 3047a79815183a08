//! The scheduler and the controllers, which are killed and stopped and started again.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::Faults;
use crate::laws::{CONTROLLERS, SCHEDULER};
use crate::link::Link;
use crate::random::Random;
use crate::world::World;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    /// All controllers.
    Controllers,
    /// The scheduler.
    Scheduler,
}

/// How a life ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// At once, in the middle of whatever it does; else as at a proper stop.
    pub(crate) killed: bool,
    /// Until the next life.
    pub(crate) pause: Duration,
}

/// What lives on between the lives of a component.
pub(crate) struct Site {
    pub(crate) world: Arc<World>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) random: Random,
    pub(crate) tracker: TaskTracker,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Controllers => CONTROLLERS,
            Self::Scheduler => SCHEDULER,
        }
    }

    async fn live(self, site: Arc<Site>, client: Client, stop: CancellationToken, seed: u64) {
        let failed = match self {
            Self::Controllers => {
                let clock = site.world.clock();
                let config = controllers::Config { clock, ..controllers::Config::default() };
                controllers::run(config, client, stop).await.err().map(|error| error.to_string())
            }
            Self::Scheduler => {
                let clock = site.world.clock();
                let config = scheduler::Config { clock, seed, ..scheduler::Config::default() };
                scheduler::run(config, client, stop).await.err().map(|error| error.to_string())
            }
        };
        if let Some(error) = failed {
            site.world.accuse(format!("{} does not start: {error}", self.name()));
        }
    }

    /// Runs a component, one life after the other, as long as there is somebody to end them.
    pub(crate) async fn run(self, site: Arc<Site>, mut ends: mpsc::Receiver<End>) {
        let name = self.name();
        let mut random = site.random.of(name);
        loop {
            let (cut, stop) = (CancellationToken::new(), CancellationToken::new());
            let sequence = Random::new(random.next());
            let (world, faults) = (site.world.clone(), site.faults.clone());
            let link = Link::new(name, world, faults, sequence, cut.clone());
            let client = Client::new(link, "default");
            let life = self.live(site.clone(), client, stop.clone(), random.next());
            let life = site.tracker.spawn(life);
            let Some(end) = ends.recv().await else { return };
            site.world.note(&format!("{name}: {}", if end.killed { "killed" } else { "stopped" }));
            stop.cancel();
            if !end.killed {
                // It ends by itself, within its own time for that.
                life.await.ok();
            }
            cut.cancel();
            sleep(end.pause).await;
            site.world.note(&format!("{name}: starts again"));
        }
    }
}
