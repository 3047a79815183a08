use super::*;
use serde_json::json;

fn pod(uid: &str, priority: i32, created: &str) -> Arc<PodInfo> {
    let pod = serde_json::from_value(json!({
        "metadata": {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": created},
        "spec": {"containers": [], "priority": priority,
            "schedulerName": "default-scheduler"}}))
    .unwrap();
    Arc::new(PodInfo::read(&pod).unwrap())
}

fn queue() -> Queue {
    let delays = Delays {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(10),
        unschedulable: Duration::from_secs(300),
    };
    Queue::new(Arc::new(crate::plugins::PrioritySort), delays)
}

fn fit() -> FilterSet {
    let mut set = FilterSet::default();
    let framework = crate::framework::Framework::default();
    let fit = framework.filters.iter().position(|f| f.name() == "NodeResourcesFit");
    set.insert(fit.unwrap());
    set
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:00:09Z";

fn pop(queue: &mut Queue) -> Option<String> {
    queue.pop().map(|p| p.name.clone())
}

fn wake(queue: &mut Queue, change: Change, now: Instant) {
    queue.wake(&Frameworks::default(), change, Among::All, now, |_| true);
}

#[test]
fn priority_then_age() {
    let mut q = queue();
    q.upsert(pod("late", 0, LATE));
    q.upsert(pod("early", 0, EARLY));
    q.upsert(pod("urgent", 9, LATE));
    assert_eq!(pop(&mut q).as_deref(), Some("urgent"));
    assert_eq!(pop(&mut q).as_deref(), Some("early"));
    assert_eq!(pop(&mut q).as_deref(), Some("late"));
    assert!(!q.is_ready());
}

#[test]
fn refused_pods_wake_on_changes_that_help_and_not_before_their_backoff() {
    let (mut q, now) = (queue(), Instant::now());
    q.upsert(pod("p", 0, EARLY));
    let uid = q.pop().unwrap().uid.clone();
    q.refused(&uid, fit(), None, now);
    wake(&mut q, Change::NodeLabels, now + Duration::from_secs(60));
    assert!(!q.is_ready(), "labels do not help a pod that did not fit");
    wake(&mut q, Change::PodRemoved, now + Duration::from_millis(10));
    assert_eq!(q.next_tick(), Some(now + Duration::from_secs(1)));
    q.upsert(pod("other", -1, LATE));
    assert_eq!(pop(&mut q).as_deref(), Some("other"), "the other is still in back-off");
    q.tick(now + Duration::from_secs(1));
    q.upsert(pod("another", -1, LATE));

    // The second refusal: 2 s of back-off are over when the change comes.
    let uid = q.pop().unwrap().uid.clone();
    q.refused(&uid, fit(), None, now);
    assert_eq!(pop(&mut q).as_deref(), Some("another"));
    wake(&mut q, Change::NodeGrew, now + Duration::from_secs(3));
    assert_eq!(q.next_tick(), None);
    assert_eq!(pop(&mut q).as_deref(), Some("p"));
}

#[test]
fn refused_pods_are_tried_again_in_the_end() {
    let (mut q, now) = (queue(), Instant::now());
    q.upsert(pod("p", 0, EARLY));
    let uid = q.pop().unwrap().uid.clone();
    q.refused(&uid, fit(), None, now);
    q.tick(now + Duration::from_secs(299));
    assert!(!q.is_ready());
    q.tick(now + Duration::from_secs(300));
    assert!(q.is_ready());
}

#[test]
fn a_status_update_does_not_wake_but_a_new_demand_does() {
    let (mut q, now) = (queue(), Instant::now());
    q.upsert(pod("p", 0, EARLY));
    let popped = q.pop().unwrap();
    q.refused(&popped.uid, fit(), None, now);
    let mut same = (*popped).clone();
    same.refused = Some(("Unschedulable".into(), "…".into()));
    q.upsert(Arc::new(same));
    assert!(!q.is_ready());
    let mut other = (*popped).clone();
    other.demands.priority = 5;
    q.upsert(Arc::new(other));
    assert!(q.is_ready());
}

#[test]
fn backoff_doubles_up_to_ten_seconds() {
    let (mut q, now) = (queue(), Instant::now());
    q.upsert(pod("p", 0, EARLY));
    for expected in [1, 2, 4, 8, 10, 10] {
        let uid = q.pop().unwrap().uid.clone();
        q.failed(&uid, now);
        assert_eq!(q.next_tick(), Some(now + Duration::from_secs(expected)));
        q.tick(now + Duration::from_secs(expected));
    }
}

#[test]
fn removed_pods_leave_no_trace() {
    let (mut q, now) = (queue(), Instant::now());
    for uid in ["a", "b", "c"] {
        q.upsert(pod(uid, 0, EARLY));
    }
    let a = q.pop().unwrap();
    q.refused(&a.uid, fit(), None, now);
    let b = q.pop().unwrap();
    q.failed(&b.uid, now);
    for uid in ["a", "b", "c"] {
        q.remove(&PodUid(uid.into()));
    }
    assert!(!q.is_ready() && q.next_tick().is_none() && q.uids().count() == 0);
    q.refused(&a.uid, fit(), None, now);
    assert!(q.next_tick().is_none(), "a pod deleted in flight does not come back");
}

#[test]
fn a_woken_pod_leaves_its_backoff_early_when_nobody_else_is_active() {
    let (mut q, now) = (queue(), Instant::now());
    for (uid, priority, refused_by) in
        [("b", 0, fit()), ("a", 3, fit()), ("c", 0, FilterSet::default())]
    {
        q.upsert(pod(uid, priority, EARLY));
        let uid = q.pop().unwrap().uid.clone();
        q.refused(&uid, refused_by, None, now);
    }
    q.upsert(pod("d", 0, EARLY));
    let uid = q.pop().unwrap().uid.clone();
    q.failed(&uid, now);
    assert!(!q.is_ready(), "a failure is not retried early");
    wake(&mut q, Change::PodRemoved, now);
    q.upsert(pod("new", -5, LATE));
    assert_eq!(pop(&mut q).as_deref(), Some("new"));
    assert_eq!(pop(&mut q).as_deref(), Some("a"));
    assert_eq!(pop(&mut q).as_deref(), Some("b"));
    assert!(!q.is_ready(), "c was refused by no filter: pods like it would wake each other");
    q.tick(now + Duration::from_secs(1));
    assert_eq!((pop(&mut q).as_deref(), pop(&mut q).as_deref()), (Some("c"), Some("d")));
}

#[test]
fn pods_that_expect_room_are_listed_by_node_and_woken_apart() {
    let (mut q, now) = (queue(), Instant::now());
    let names = |q: &Queue, node: &str| -> Vec<String> {
        q.expecting(&node.into()).iter().map(|pod| pod.name.clone()).collect()
    };
    for (uid, priority, room) in
        [("a", 0, Some("n")), ("b", 5, Some("n")), ("c", 0, Some("m")), ("d", 0, None)]
    {
        q.upsert(pod(uid, priority, EARLY));
        let uid = q.pop().unwrap().uid.clone();
        q.refused(&uid, fit(), room.map(Arc::from), now);
    }
    assert_eq!((names(&q, "n"), names(&q, "m")), (vec!["b".into(), "a".into()], vec!["c".into()]));
    let later = now + Duration::from_secs(60);
    let frameworks = Frameworks::default();
    q.wake(&frameworks, Change::PodRemoved, Among::NotExpecting, later, |_| true);
    assert_eq!((pop(&mut q).as_deref(), pop(&mut q)), (Some("d"), None));
    q.activate(&PodUid("a".into()));
    assert_eq!((pop(&mut q).as_deref(), names(&q, "n")), (Some("a"), vec!["b".to_owned()]));
    q.retry(&PodUid("b".into()), later);
    assert_eq!((names(&q, "n").len(), q.next_tick()), (0, Some(later + Duration::from_secs(1))));
    wake(&mut q, Change::NodeAdded, later);
    assert_eq!((pop(&mut q).as_deref(), names(&q, "m").len()), (Some("c"), 0));
}
