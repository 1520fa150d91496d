//! Messages as they arrive, with their archives on disk: what the connections of both sides read.

use crate::tasks::limits::NEWS_MS;
use crate::tasks::protocol::SpoolId;
use crate::tasks::protocol::objects::{Object, Objects, Step};
use crate::tasks::store::{Spool, Spools};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// A stream of messages.
pub struct Arrival {
    objects: Objects,
    spools: Spools,
    spool: Option<Spool>,
    /// Whether archives are kept at all.
    pub keeps: bool,
    /// Part of the archive that is on its way came when none was kept, so it cannot become whole.
    is_cut: bool,
    news: Pace,
}

/// What has arrived.
#[derive(Debug)]
pub enum Arrived {
    /// A message, and its archive, or why that was not kept.
    Whole(Object, Option<Result<SpoolId, String>>),
    /// A message that is none of ours, and why.
    Flawed(&'static str),
    /// No message, nor will there be any more.
    Broken,
}

impl Arrival {
    /// A new stream, whose archives arrive in `spools`.
    pub fn new(objects: Objects, spools: Spools) -> Arrival {
        let news = Pace::default();
        Arrival { objects, spools, spool: None, keeps: true, is_cut: false, news }
    }

    /// Takes some of `bytes` in, and takes it off their front. None: all of it was taken.
    pub fn step(&mut self, bytes: &mut &[u8]) -> Option<Arrived> {
        loop {
            match self.objects.step(bytes)? {
                Step::Bytes(bytes) => {
                    self.is_cut |= !self.keeps;
                    if !self.is_cut {
                        self.spool.get_or_insert_with(|| self.spools.begin()).push(bytes);
                    }
                }
                Step::Whole(object) => {
                    let archive = (object.text == Some(true)).then(|| self.finish());
                    self.drop_archive();
                    return Some(Arrived::Whole(object, archive));
                }
                Step::Flawed(why) => {
                    self.drop_archive();
                    return Some(Arrived::Flawed(why));
                }
                Step::Broken => {
                    self.drop_archive();
                    return Some(Arrived::Broken);
                }
            }
        }
    }

    /// What `make` makes of what has arrived. An archive that `held` does not find in it is thrown
    /// away: whoever is let in could fill the disk with such.
    pub fn message<M>(
        &self,
        object: Object,
        archive: Option<Result<SpoolId, String>>,
        make: impl FnOnce(Object, Option<Result<SpoolId, String>>) -> M,
        held: impl FnOnce(&M) -> Option<SpoolId>,
    ) -> M {
        let came = archive.as_ref().and_then(|archive| archive.as_ref().ok()).copied();
        let message = make(object, archive);
        if let Some(spool) = came.filter(|_| held(&message).is_none()) {
            self.spools.discard(spool);
        }
        message
    }

    /// The fields of a message that was too long, as far as they are known.
    pub fn beginning(&mut self) -> Option<Map<String, Value>> {
        self.objects.beginning()
    }

    /// Keeps nothing of the archive that is on its way.
    pub fn drop_archive(&mut self) {
        (self.spool, self.is_cut) = (None, false);
    }

    /// Whether part of a message is there.
    pub fn is_open(&self) -> bool {
        self.objects.is_open()
    }

    /// Whether it is time to tell that a long message is on its way.
    pub fn has_news(&mut self) -> bool {
        self.objects.has_news() && self.news.is_due()
    }

    fn finish(&mut self) -> Result<SpoolId, String> {
        if self.is_cut || !self.keeps {
            return Err("nothing is kept before the token".to_owned());
        }
        // An empty archive is one, too.
        self.spool.take().unwrap_or_else(|| self.spools.begin()).finish()
    }
}

/// How often a sign of life is told.
#[derive(Debug)]
pub struct Pace(Instant);

impl Default for Pace {
    fn default() -> Pace {
        Pace(Instant::now())
    }
}

impl Pace {
    /// Whether it is time for one; the next is due later.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.elapsed() >= Duration::from_millis(NEWS_MS);
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}
