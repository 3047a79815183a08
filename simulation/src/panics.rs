//! Panics of components: a task that panics ends alone, and whatever waits for it waits for ever. Here
//! somebody takes note.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// The first panic of this thread since [`noted`] began.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs something on this thread. Returns what it does, unless it panics itself, and the first panic of
/// it or of any task that it ran here.
pub(crate) fn noted<T>(run: impl FnOnce() -> T) -> (Option<T>, Option<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert_with(|| info.to_string());
            });
            usual(info);
        }));
    });
    FIRST.with_borrow_mut(Option::take);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run)).ok();
    (outcome, FIRST.with_borrow_mut(Option::take))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_task_is_noted() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        let (outcome, panic) = noted(|| {
            runtime.block_on(async { tasks.spawn(async { panic!("lost") }).await.is_err() })
        });
        assert_eq!(outcome, Some(true));
        assert!(panic.unwrap().contains("lost"));
        let (outcome, panic) = noted(|| 7);
        assert_eq!((outcome, panic), (Some(7), None));
        assert!(noted(|| panic!("here")).1.unwrap().contains("here"));
    }
}
