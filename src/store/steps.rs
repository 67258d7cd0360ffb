//! Much of something, a little at a time, so that others get their turn in between.

/// Counts what was taken, and how much may be taken next. (No function with a closure for a step: its future would not be seen to be `Send`.)
#[derive(Debug)]
pub(super) struct Steps {
    limit: usize,
    step: usize,
    taken: usize,
    is_over: bool,
}

impl Steps {
    /// At most `limit` in all, at most `step` at a time.
    pub(super) fn of(limit: usize, step: usize) -> Self {
        Self { limit, step, taken: 0, is_over: false }
    }

    /// How many may be taken now; `None` when that was all.
    pub(super) fn next(&self) -> Option<usize> {
        let next = self.step.min(self.limit - self.taken);
        (next > 0 && !self.is_over).then_some(next)
    }

    /// So many were: if they are fewer than might have been, there are no more.
    pub(super) fn took(&mut self, count: usize) {
        self.is_over = self.next().is_none_or(|most| count < most);
        self.taken = self.limit.min(self.taken + count);
    }

    /// How many were taken in all.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn nothing_is_taken_beyond_the_limit_nor_asked_for_when_nothing_is_left() {
        for (there, limit, asked) in
            [(0, 7, vec![3]), (2, 7, vec![3]), (3, 7, vec![3, 3]), (9, 7, vec![3, 3, 1]), (9, 6, vec![3, 3]), (9, 0, vec![])]
        {
            let (mut steps, mut left, mut most) = (Steps::of(limit, 3), there, Vec::new());
            while let Some(step) = steps.next() {
                let count = step.min(left);
                left -= count;
                most.push(step);
                steps.took(count);
            }
            assert_eq!((steps.taken(), most), (there.min(limit), asked), "{there} there, {limit} wanted");
        }
    }
}
