//! Names of tasks and peers, and which of them are refused.

use crate::tasks::limits::TASK_NAME_BYTES_MAX;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The name of a task: a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// What a peer calls itself.
pub type PeerId = Arc<str>;

impl Name {
    /// Refuses what could lead out of a folder, or hide in it.
    pub fn plain(text: &str) -> Result<Name, &'static str> {
        let bad = |c: char| c == '/' || c == '\\' || c.is_control();
        if text.is_empty() {
            Err("the name is empty")
        } else if text.len() > TASK_NAME_BYTES_MAX {
            Err("the name is too long")
        } else if text.starts_with('.') {
            Err("the name begins with a dot")
        } else if text.contains(bad) || text.contains("..") {
            Err("the name is no plain file name")
        } else {
            Ok(Name(text.into()))
        }
    }

    /// As text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// As one word of the trace: quoted where it has spaces.
    pub fn word(&self) -> Cow<'_, str> {
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=';
        if self.0.contains(is_odd) { format!("{:?}", self.0).into() } else { (*self.0).into() }
    }

    /// The names that a result of this name may belong to, the likeliest first.
    pub fn tasks(&self) -> impl Iterator<Item = Name> + use<> {
        let stem = self.0.strip_suffix("_result.zip").filter(|stem| !stem.is_empty());
        let more = stem.map(|stem| [Name(stem.into()), Name(format!("{stem}.zip").into())]);
        std::iter::once(self.clone()).chain(more.into_iter().flatten())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
