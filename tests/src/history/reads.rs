//! What lists have shown, against the log.

use std::collections::BTreeMap;

use super::{Fault, History, Kind, Listing, Step};

pub(super) fn check(history: &History, faults: &mut Vec<Fault>) {
    let reads = history.reads.iter().map(|read| (&read.name, &read.listing));
    let begun = history.watchers.iter().flat_map(|watched| {
        let listed = watched.steps.iter().filter_map(|step| match step {
            Step::Listed(listing) => Some(listing),
            Step::Event(_) => None,
        });
        listed.map(|listing| (&watched.name, listing))
    });
    let mut listings: Vec<(&String, &Listing)> = reads.chain(begun).collect();
    listings.sort_by_key(|(_, listing)| listing.revision);
    // One walk along the log, a look at every listing when its moment comes.
    let mut log = history.log.iter().peekable();
    let mut now = history.base.clone();
    for (name, listing) in listings {
        while let Some(event) = log.next_if(|event| event.revision <= listing.revision) {
            match event.kind {
                Kind::Deleted => now.remove(&event.key),
                _ => now.insert(event.key.clone(), event.revision),
            };
        }
        if let Some(key) = difference(&now, &listing.items) {
            let revision = listing.revision;
            faults.push(Fault::WrongListing { name: name.clone(), revision, key });
        }
    }
    for read in &history.reads {
        if read.listing.revision < read.not_before {
            faults.push(Fault::Stale {
                name: read.name.clone(),
                revision: read.listing.revision,
                not_before: read.not_before,
            });
        }
    }
}

/// The first key that two maps disagree about.
fn difference(one: &BTreeMap<String, i64>, other: &BTreeMap<String, i64>) -> Option<String> {
    if one == other {
        return None;
    }
    let keys = one.keys().chain(other.keys());
    keys.filter(|key| one.get(*key) != other.get(*key)).min().cloned()
}
