//! Claims and volumes: who has whom stays so.

use super::{CONTROLLERS, Event};
use crate::facts::{find, is_leaving, name, text};
use crate::world::{State, row};

/// A claim keeps its volume, a volume its claim while there is one, and no controller deletes a claim of
/// a StatefulSet, whose default is to retain it.
pub(super) fn kept(state: &State, event: &Event<'_>) -> Result<(), String> {
    let Some(before) = event.before else { return Ok(()) };
    let kind = text(before, "/kind");
    let Some(now) = event.now.filter(|now| !is_leaving(now)) else {
        if kind == "PersistentVolumeClaim" && event.actor == CONTROLLERS {
            return Err(format!("claim {} is deleted", name(before)));
        }
        return Ok(());
    };
    let pointer = match kind {
        "PersistentVolumeClaim" => "/spec/volumeName",
        _ => "/spec/claimRef/uid",
    };
    let (had, has) = (text(before, pointer), text(now, pointer));
    if had.is_empty() || had == has {
        return Ok(());
    }
    let lost =
        kind == "PersistentVolume" && find(state, row("", "persistentvolumeclaims"), had).is_none();
    if lost {
        return Ok(());
    }
    Err(format!("{kind} {} goes from {had} to {has:?}", name(now)))
}
