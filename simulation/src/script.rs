//! What a seed does to its cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::components::{Component, End, Site};
use crate::faults::Faults;
use crate::laws::{CONTROLLERS, SCHEDULER};
use crate::nodes::{self, Power};
use crate::random::Random;
use crate::rest::unrest;
use crate::users::Users;
use crate::world::World;

/// How long a cluster may take to come to rest. Less than the five minutes after which components
/// look again at what they missed: nobody may rely on that.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long work that ends may take.
const WORK: Duration = Duration::from_secs(900);
/// After this, whatever had failed before the calm has been tried again.
const RETRIES: Duration = Duration::from_secs(80);
/// How long it then has to stay at rest.
const QUIET: Duration = Duration::from_secs(40);

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Scale,
    Change,
    Break,
    Pause,
    Recreate,
    RemovePod,
    FailPod,
    Urgent,
    Job,
    Drain,
    CutPower,
    LoseNode,
    End(Component),
    /// Another server takes over scheduler and controllers.
    ChangeLeader,
}

/// All of them, with how often each is chosen.
const ACTS: [(Act, usize); 15] = [
    (Act::Scale, 4),
    (Act::Change, 6),
    (Act::Break, 2),
    (Act::Pause, 1),
    (Act::Recreate, 1),
    (Act::RemovePod, 2),
    (Act::FailPod, 1),
    (Act::Urgent, 2),
    (Act::Job, 2),
    (Act::Drain, 3),
    (Act::CutPower, 2),
    (Act::LoseNode, 1),
    (Act::End(Component::Controllers), 2),
    (Act::End(Component::Scheduler), 2),
    (Act::ChangeLeader, 1),
];

struct Stage {
    world: Arc<World>,
    faults: Arc<Faults>,
    random: Random,
    users: Users,
    tracker: TaskTracker,
    nodes: Vec<(String, watch::Sender<Power>)>,
    cpus: u64,
    big: bool,
    /// Users change things just when somebody does not see what it has done.
    malicious: bool,
    controllers: mpsc::Sender<End>,
    scheduler: mpsc::Sender<End>,
}

/// Plays the script of a seed. Returns the log, and what law was broken.
pub(crate) async fn play(seed: u64) -> (Vec<String>, Option<String>) {
    let mut stage = Stage::set(seed);
    stage.disturb().await;
    stage.settle().await;
    stage.world.take()
}

impl Stage {
    /// A cluster of a few nodes and a Deployment or two.
    fn set(seed: u64) -> Self {
        let seed = Random::new(seed);
        let mut random = seed.of("script");
        let faults = Arc::new(Faults::new(&seed));
        let world = World::new(&seed, faults.are_harmless());
        world.note(&format!("{:?}", faults.often));
        let tracker = TaskTracker::new();
        // Most clusters are small and soon at rest: more of them find more than larger ones.
        let big = random.happens(150);
        let malicious = random.happens(500);
        let cpus = 3 + random.below(3);
        let mut nodes = Vec::new();
        for number in 0..3 + random.below(if big { 3 } else { 2 }) {
            let (name, power) = (format!("node-{number}"), watch::Sender::new(Power::On));
            nodes::add(&world, &name, cpus);
            let sequence = seed.of(&name);
            tracker.spawn(nodes::run(world.clone(), name.clone(), sequence, power.subscribe()));
            nodes.push((name, power));
        }
        let site = Arc::new(Site {
            world: world.clone(),
            faults: faults.clone(),
            random: seed.of("components"),
            tracker: tracker.clone(),
        });
        let start = |component: Component| {
            let (ends, end) = mpsc::channel(1);
            tracker.spawn(component.run(site.clone(), end));
            ends
        };
        let (controllers, scheduler) = (start(Component::Controllers), start(Component::Scheduler));
        let users = Users::new(world.clone(), seed.of("users"));
        Self {
            world,
            faults,
            random,
            users,
            tracker,
            nodes,
            cpus,
            big,
            malicious,
            controllers,
            scheduler,
        }
    }

    /// Lets things happen for a while.
    async fn disturb(&mut self) {
        let acts = self.acts();
        self.users.begin();
        if self.random.happens(500) {
            // Time to begin in peace.
            sleep(Duration::from_secs(100)).await;
        }
        let long = self.big || self.users.have_schedule();
        let most = if long { 150_000 } else { 50_000 };
        let end = Instant::now() + self.random.millis(10_000, most);
        while Instant::now() < end && !self.is_over() {
            let pause = self.random.millis(100, 8_000);
            let act = tokio::select! {
                biased;
                () = sleep(pause) => *self.random.one(&acts),
                () = self.faults.struck(), if self.malicious => self.while_blind().await,
            };
            self.act(act);
            if act == Act::Change && self.random.happens(400) {
                // Before everybody has heard of it.
                let pause = self.random.millis(50, 2_000);
                sleep(pause).await;
                self.users.change_again();
            }
        }
    }

    /// What happens just when somebody does not see what it has done.
    async fn while_blind(&mut self) -> Act {
        let pause = self.random.millis(20, 6_000);
        sleep(pause).await;
        *self.random.one(&[Act::Change, Act::Change, Act::Scale])
    }

    /// What happens with this seed: about half of everything.
    fn acts(&mut self) -> Vec<Act> {
        let mut acts = vec![Act::Scale, Act::Change];
        for (act, weight) in ACTS {
            if self.random.happens(500) {
                acts.extend(std::iter::repeat_n(act, weight));
            }
        }
        acts
    }

    fn is_over(&self) -> bool {
        self.world.read(|state| state.broken().is_some())
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Scale => self.users.scale(),
            Act::Change => self.users.change(),
            Act::Break => self.users.break_image(),
            Act::Pause => self.users.pause(),
            Act::Recreate => self.users.recreate(),
            Act::RemovePod => self.users.remove_pod(),
            Act::FailPod => self.users.fail_pod(),
            Act::Urgent => self.users.urgent(),
            Act::Job => self.users.job(),
            Act::Drain => {
                let (name, _) = self.random.one(&self.nodes);
                self.tracker.spawn(self.users.drain(name.clone()));
            }
            Act::CutPower => {
                let (name, power) = self.random.one(&self.nodes);
                let next = match *power.borrow() {
                    Power::On => Power::Off,
                    Power::Off => Power::On,
                    Power::Gone => return,
                };
                self.world.note(&format!("{name}: power {next:?}"));
                power.send_replace(next);
            }
            Act::LoseNode => self.lose_node(),
            Act::End(component) => {
                let (killed, pause) = (self.random.happens(700), self.random.millis(0, 10_000));
                self.end(component, End { killed, pause });
            }
            Act::ChangeLeader => {
                // Who had the office has stopped before the next one begins.
                let end = End { killed: self.random.happens(500), pause: Duration::ZERO };
                self.end(Component::Controllers, end);
                self.end(Component::Scheduler, end);
            }
        }
    }

    fn end(&self, component: Component, end: End) {
        let to = match component {
            Component::Controllers => &self.controllers,
            Component::Scheduler => &self.scheduler,
        };
        // It may be between two lives already.
        to.try_send(end).ok();
    }

    /// A node goes for good, if enough are left.
    fn lose_node(&mut self) {
        let there = |(_, power): &&(String, watch::Sender<Power>)| *power.borrow() != Power::Gone;
        if self.nodes.iter().filter(there).count() < 3 {
            return;
        }
        if let Some((name, power)) = self.nodes.iter().rev().find(there) {
            power.send_replace(Power::Gone);
            self.users.remove_node(name);
        }
    }

    /// Ends all faults and waits until the cluster is as its objects say, and stays so.
    async fn settle(&mut self) {
        if self.is_over() {
            return;
        }
        self.world.note("calm");
        self.faults.end();
        let mut left = 0;
        for (name, power) in &self.nodes {
            if *power.borrow() != Power::Gone {
                power.send_replace(Power::On);
                self.users.uncordon(name);
                left += 1;
            }
        }
        // Two pods fit on a CPU.
        self.users.settle(left, self.cpus * 2);
        let begun = Instant::now();
        loop {
            sleep(Duration::from_secs(2)).await;
            self.users.help();
            self.users.clear();
            let unrest = self.world.read(unrest);
            if self.is_over() {
                return;
            }
            if unrest.is_empty() {
                break;
            }
            // A Job waits for minutes when its pods have failed.
            let patience =
                if unrest.iter().all(|it| it.starts_with("Job")) { WORK } else { PATIENCE };
            if begun.elapsed() > patience {
                return self.world.accuse(format!("no rest: {}", unrest.join("; ")));
            }
        }
        if self.random.happens(250) {
            self.stay_quiet().await;
        }
    }

    /// At rest, nobody writes anything but signs of life.
    async fn stay_quiet(&self) {
        self.world.note("at rest");
        sleep(RETRIES).await;
        let before = self.world.writes(&[CONTROLLERS, SCHEDULER]);
        sleep(QUIET).await;
        let after = self.world.writes(&[CONTROLLERS, SCHEDULER]);
        let unrest = self.world.read(unrest);
        if !unrest.is_empty() {
            self.world.accuse(format!("rest did not last: {}", unrest.join("; ")));
        } else if after > before {
            self.world.accuse(format!("{} writes while at rest", after - before));
        }
    }
}
