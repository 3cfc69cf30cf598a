/// Shows how work goes on, to whoever waits for it.
pub trait Progress: Sync {
    /// What is going on now.
    fn step(&self, what: &str);

    /// How many of how many are done.
    fn count(&self, what: &str, done: u64, of: u64);

    /// A line that stays.
    fn remark(&self, text: &str);
}

/// Progress of which nothing is shown.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str) {}
    fn count(&self, _: &str, _: u64, _: u64) {}
    fn remark(&self, _: &str) {}
}

/// Progress of a part, whose name is shown before each step.
pub(crate) struct Part<'a> {
    pub(crate) of: &'a dyn Progress,
    pub(crate) name: String,
}

impl Progress for Part<'_> {
    fn step(&self, what: &str) {
        self.of.step(&format!("{}: {what}", self.name));
    }

    fn count(&self, what: &str, done: u64, of: u64) {
        self.of.count(&format!("{}: {what}", self.name), done, of);
    }

    fn remark(&self, text: &str) {
        self.of.remark(text);
    }
}
