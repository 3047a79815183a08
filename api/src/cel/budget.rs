//! What evaluating an expression may cost.

use super::Problem;

/// Steps of an evaluation at most, as in Kubernetes. A step is an operation, or looking at about eight
/// bytes or one item of a value.
pub(super) const LIMIT: usize = 1_000_000;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(LIMIT)
    }
}

impl Budget {
    /// Takes so many steps.
    ///
    /// # Errors
    /// There are not so many left.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Problem> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Problem::spent())
            }
        }
    }
}
