use super::*;

fn create(key: &str, value: &'static str) -> Mutation {
    Mutation { key: key.into(), verb: Verb::Create(Bytes::from_static(value.as_bytes())) }
}

fn update(key: &str, value: &'static str, expected: i64) -> Mutation {
    let value = Bytes::from_static(value.as_bytes());
    Mutation { key: key.into(), verb: Verb::Update { value, expected: Revision(expected) } }
}

fn delete(key: &str, expected: i64) -> Mutation {
    Mutation { key: key.into(), verb: Verb::Delete { expected: Revision(expected) } }
}

fn at(key: &str, value: &'static str, created: i64, modified: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Bytes::from_static(value.as_bytes()),
        create_revision: Revision(created),
        mod_revision: Revision(modified),
    }
}

#[test]
fn mutations_of_one_key_in_one_batch_behave_as_if_serial() {
    let batch = [
        create("a", "1"),
        create("a", "x"),    // exists by now
        update("a", "2", 8), // the revision the creation takes
        update("a", "3", 8), // stale by now
        delete("a", 9),
        create("a", "4"),
    ];
    let plan = plan(&batch, vec![], Revision(7));
    assert_eq!(
        plan.outcomes,
        [
            Ok(Revision(8)),
            Err(Refusal::Exists(at("a", "1", 8, 8))),
            Ok(Revision(9)),
            Err(Refusal::Conflict(Some(at("a", "2", 8, 9)))),
            Ok(Revision(10)),
            Ok(Revision(11)),
        ]
    );
    assert_eq!(plan.changes, [Change::Insert(at("a", "4", 11, 11))]);
    let kinds: Vec<_> = plan.log.iter().map(|row| (row.event.revision.0, row.event.kind)).collect();
    assert_eq!(
        kinds,
        [
            (8, EventKind::Create),
            (9, EventKind::Update),
            (10, EventKind::Delete),
            (11, EventKind::Create)
        ]
    );
    assert_eq!(plan.log[2].prev_revision, Revision(9));
    assert_eq!(plan.log[2].event.value, "2");
}

#[test]
fn refusals_take_no_revision_and_change_nothing() {
    let batch = [create("a", "x"), update("b", "x", 1), delete("a", 2), update("a", "x", 4)];
    let plan = plan(&batch, vec![at("a", "1", 3, 3)], Revision(9));
    assert_eq!(
        plan.outcomes,
        [
            Err(Refusal::Exists(at("a", "1", 3, 3))),
            Err(Refusal::Conflict(None)),
            Err(Refusal::Conflict(Some(at("a", "1", 3, 3)))),
            Err(Refusal::Conflict(Some(at("a", "1", 3, 3)))),
        ]
    );
    assert!(plan.log.is_empty() && plan.changes.is_empty());
    assert_eq!(plan.last(Revision(9)), Revision(9));
}

#[test]
fn a_key_that_comes_and_goes_leaves_history_but_no_change() {
    let batch = [create("a", "1"), delete("a", 1), delete("b", 0)];
    let plan = plan(&batch, vec![at("b", "x", 0, 0)], Revision(0));
    assert_eq!(plan.log.len(), 3);
    assert_eq!(plan.changes, [Change::Remove("b".into())]);
    assert_eq!(plan.last(Revision(0)), Revision(3));
}

#[test]
fn only_rows_that_reach_too_far_back_carry_the_previous_value() {
    let carried = |modified: i64, newest: i64| {
        let plan =
            plan(&[update("a", "2", modified)], vec![at("a", "1", 1, modified)], Revision(newest));
        plan.log[0].carried().cloned()
    };
    assert_eq!(carried(5, 5 + REACH - 1), None);
    assert_eq!(carried(5, 5 + REACH), Some(Bytes::from_static(b"1")));
}
