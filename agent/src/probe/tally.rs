//! Turns single answers into a verdict: enough in a row must agree.

/// Counts answers of one probe of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    run: u32,
    verdict: Option<bool>,
}

impl Tally {
    /// Nothing asked yet.
    pub(crate) fn new(success_threshold: u32, failure_threshold: u32) -> Self {
        Self { success_threshold, failure_threshold, last: None, run: 0, verdict: None }
    }

    /// Counts an answer; returns the verdict if this answer changed it.
    pub(crate) fn observe(&mut self, success: bool) -> Option<bool> {
        if self.last == Some(success) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(success);
            self.run = 1;
        }
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold || self.verdict == Some(success) {
            return None;
        }
        self.verdict = Some(success);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn thresholds() {
        let mut tally = Tally::new(2, 3);
        let answers =
            [true, true, true, false, false, true, false, false, false, false, true, true];
        let verdicts: Vec<Option<bool>> =
            answers.iter().map(|answer| tally.observe(*answer)).collect();
        let (n, up, down) = (None, Some(true), Some(false));
        assert_eq!(verdicts, [n, up, n, n, n, n, n, n, down, n, n, up]);
    }

    #[test]
    fn first_failure_can_be_the_verdict() {
        assert_eq!(Tally::new(1, 1).observe(false), Some(false));
    }
}
