//! What watchers were told, against the log.

use super::{Event, Fault, History, Step, Watched};

pub(super) fn check(history: &History, faults: &mut Vec<Fault>) {
    for watched in &history.watchers {
        check_one(&history.log, watched, faults);
    }
}

/// Walks the log beside what the watcher was told. The listings themselves are compared with the
/// log by [`super::reads`].
fn check_one(log: &[Event], watched: &Watched, faults: &mut Vec<Fault>) {
    let watcher = || watched.name.clone();
    let behind = |revision: i64| log.partition_point(|event| event.revision <= revision);
    // The last revision it has seen, and the event of the log that it has to be told next.
    let (mut seen, mut next) = (0, 0);
    for step in &watched.steps {
        match step {
            Step::Listed(listing) => {
                if listing.revision < seen {
                    let revision = listing.revision;
                    faults.push(Fault::WentBack { watcher: watcher(), revision, seen });
                }
                (seen, next) = (listing.revision, behind(listing.revision));
            }
            Step::Event(event) => {
                let at = behind(event.revision - 1);
                if log.get(at) != Some(event) {
                    faults.push(Fault::Invented { watcher: watcher(), event: event.clone() });
                    continue;
                }
                if at < next {
                    let revision = event.revision;
                    faults.push(Fault::Repeated { watcher: watcher(), revision });
                    continue;
                }
                faults.extend(
                    log[next..at].iter().map(|missed| Fault::Missed {
                        watcher: watcher(),
                        revision: missed.revision,
                    }),
                );
                (seen, next) = (event.revision, at + 1);
            }
        }
    }
    faults.extend(
        log[next..]
            .iter()
            .map(|missed| Fault::Missed { watcher: watcher(), revision: missed.revision }),
    );
}
