//! What is wrong with a configuration, and where.

use std::error::Error;
use std::fmt;

use super::Place;

/// A configuration that was refused: everything that is wrong with it, in the order of the file, then of the
/// environment. `Display` gives one line for each problem.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` where no single place is to blame.
    pub place: Option<Place>,
    /// What is wrong, and what is accepted instead.
    pub what: String,
}

impl Problem {
    pub(super) fn at(place: Place, what: impl Into<String>) -> Self {
        Problem { place: Some(place), what: what.into() }
    }

    pub(super) fn anywhere(what: impl Into<String>) -> Self {
        Problem { place: None, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl ConfigError {
    pub(super) fn new(problem: Problem) -> Self {
        ConfigError { problems: vec![problem], source: None }
    }

    /// The problems, if there are any.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems, source: None }) }
    }

    pub(super) fn with_source(mut self, source: Box<dyn Error + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// Everything that is wrong; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
