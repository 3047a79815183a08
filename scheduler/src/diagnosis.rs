//! Why a pod found no node, in Kubernetes' words.
//!
//! People and tools search for these sentences (`0/3 nodes are available: …`), so they are built
//! exactly as kube-scheduler builds them: reasons counted over nodes, sorted as text, then what
//! preemption would have to say.

use std::collections::BTreeMap;

use crate::framework::{FilterSet, Rejection};

/// The verdicts of one failed decision, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// How many nodes gave each reason.
    pub reasons: BTreeMap<String, usize>,
    /// Nodes that fewer pods on them could open.
    pub resolvable: usize,
    /// What preemption said; `None` until it was asked.
    pub preemption: Option<Preemption>,
    /// Positions of these nodes in [`crate::cache::Cache::nodes`].
    pub openable: Vec<usize>,
    /// The filters that refused a node.
    pub refused_by: FilterSet,
    /// What a post-filter that makes no room had to say.
    pub remark: Option<Remark>,
    /// What was said of all nodes alike, before the first was asked.
    pub outright: Option<Box<str>>,
}

/// What a post-filter says that makes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// The pod has no claims whose devices could be given back.
    NoClaims,
    /// Nothing it can do helps.
    StillNot,
    /// Devices of a claim are being given back.
    Deallocated,
}

impl Remark {
    fn text(self) -> &'static str {
        match self {
            Self::NoClaims => "no new claims to deallocate",
            Self::StillNot => "still not schedulable",
            Self::Deallocated => "deallocation of ResourceClaim completed",
        }
    }
}

/// What preemption has to say about a pod that found no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preemption {
    /// Room is being made.
    Helps,
    /// The pod must not ask, and why.
    NotEligible(&'static str),
    /// Nobody was there to ask.
    Off,
    /// How many of the nodes that fewer pods could open gave each reason.
    Fails(BTreeMap<String, usize>),
}

impl Diagnosis {
    /// Counts the rejection of so many nodes by the filter at `position`.
    pub fn count(&mut self, position: usize, rejection: &Rejection, nodes: usize) {
        if nodes == 0 {
            return;
        }
        self.refused_by.insert(position);
        self.resolvable += if rejection.resolvable { nodes } else { 0 };
        for reason in &rejection.reasons {
            *self.reasons.entry(reason.clone()).or_default() += nodes;
        }
    }

    /// Notes that a filter refuses all nodes alike.
    pub fn refuse_outright(&mut self, position: usize, rejection: &Rejection) {
        self.refused_by.insert(position);
        self.outright = Some(rejection.reasons.join(", ").into());
    }

    /// The message of the condition and the event.
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut counted: Vec<String> =
            self.reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
        counted.sort();
        let all = self.outright.as_deref().map(str::to_owned);
        let reasons = all.unwrap_or_else(|| counted.join(", "));
        let verdict = format!("0/{} nodes are available: {reasons}.", self.nodes);
        if self.outright.is_some() && self.remark == Some(Remark::NoClaims) {
            // Nobody had looked at the pod's claims when it was refused, and preemption is not asked.
            return format!("{verdict} not found");
        }
        let said = match self.preemption {
            Some(Preemption::Helps) => return verdict,
            Some(Preemption::Off) => None,
            _ => Some(format!("preemption: {}", self.preemption())),
        };
        let remark = self.remark.map(|remark| remark.text().to_owned());
        let all: Vec<String> = remark.into_iter().chain(said).collect();
        if all.is_empty() { verdict } else { format!("{verdict} {}", all.join(", ")) }
    }

    fn preemption(&self) -> String {
        let mut counted = match &self.preemption {
            Some(Preemption::NotEligible(why)) => return (*why).to_owned(),
            Some(Preemption::Fails(reasons)) => {
                reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect()
            }
            _ if self.resolvable > 0 => {
                vec![format!("{} No preemption victims found for incoming pod", self.resolvable)]
            }
            _ => Vec::new(),
        };
        let hopeless = self.nodes.saturating_sub(self.resolvable);
        if hopeless > 0 {
            counted.push(format!("{hopeless} Preemption is not helpful for scheduling"));
        }
        counted.sort();
        format!("0/{} nodes are available: {}.", self.nodes, counted.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_kubernetes_writes_them() {
        let mut d = Diagnosis { nodes: 1, ..Diagnosis::default() };
        d.count(4, &Rejection::unresolvable("Insufficient memory"), 1);
        assert_eq!(
            d.message(),
            "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are \
             available: 1 Preemption is not helpful for scheduling."
        );

        let mut d = Diagnosis { nodes: 3, ..Diagnosis::default() };
        d.count(4, &Rejection::resolvable("Insufficient cpu"), 2);
        d.count(5, &Rejection::resolvable("said of no node"), 0);
        d.count(0, &Rejection::unresolvable("node(s) were unschedulable"), 1);
        assert_eq!(
            d.message(),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, \
             2 No preemption victims found for incoming pod."
        );
        assert!(d.refused_by.contains(0) && d.refused_by.contains(4) && !d.refused_by.contains(1));

        assert_eq!(Diagnosis::default().message(), "no nodes available to schedule pods");
    }

    #[test]
    fn others_say_their_part_before_preemption() {
        let mut d = Diagnosis { nodes: 2, ..Diagnosis::default() };
        d.count(12, &Rejection::unresolvable("cannot allocate all claims"), 2);
        let verdict = "0/2 nodes are available: 2 cannot allocate all claims.";
        let preemption =
            "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
        for (remark, off, want) in [
            (None, false, format!("{verdict} {preemption}")),
            (
                Some(Remark::StillNot),
                false,
                format!("{verdict} still not schedulable, {preemption}"),
            ),
            (
                Some(Remark::NoClaims),
                false,
                format!("{verdict} no new claims to deallocate, {preemption}"),
            ),
            (Some(Remark::NoClaims), true, format!("{verdict} no new claims to deallocate")),
            (None, true, verdict.to_owned()),
        ] {
            (d.remark, d.preemption) = (remark, off.then_some(Preemption::Off));
            assert_eq!(d.message(), want);
        }
    }

    #[test]
    fn what_holds_for_all_nodes_is_said_once() {
        let mut d = Diagnosis { nodes: 2, ..Diagnosis::default() };
        let claims = "pod has unbound immediate PersistentVolumeClaims";
        d.refuse_outright(8, &Rejection::unresolvable(claims));
        assert_eq!(
            d.message(),
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. \
             preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        );
        assert!(d.refused_by.contains(8));
        d.preemption = Some(Preemption::Off);
        assert!(d.message().ends_with("PersistentVolumeClaims."));
        (d.remark, d.preemption) = (Some(Remark::NoClaims), None);
        assert!(d.message().ends_with("immediate PersistentVolumeClaims. not found"));
    }
}
