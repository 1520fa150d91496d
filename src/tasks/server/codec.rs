//! A connection's bytes: questions in, with their archives to disk; answers out, with theirs from
//! it. Runs in the connection's thread, which alone waits when the disk is slow.

use crate::net::asked::Encode;
use crate::net::stream::Decode;
use crate::tasks::arrival::{Arrival, Arrived, Pace};
use crate::tasks::limits::{NEWS_BYTES, PIECE_BYTES, READ_BYTES, STALL_MS_MAX};
use crate::tasks::protocol::objects::Objects;
use crate::tasks::protocol::{Answer, LONG_END, LeaseId, Question, RESULT, text};
use crate::tasks::store::Spools;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What becomes of a package on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Some more of it has gone.
    Moved,
    /// It cannot be read.
    Unread(ErrorKind),
    /// No message is long enough for it.
    TooLarge,
}

/// Whom a connection tells about its packages.
pub type Tell = Arc<dyn Fn(LeaseId, Way) + Send + Sync>;

/// What a connection is told at its start.
#[derive(Clone)]
pub(super) struct Desk {
    /// Where tasks are.
    pub(super) tasks: Arc<Path>,
    /// Where results arrive.
    pub(super) spools: Spools,
    /// A message, in bytes.
    pub(super) message_bytes_max: u64,
    /// How long a connection may say nothing, in ms.
    pub(super) idle_ms_max: u64,
    /// Whether a connection must prove that it knows a token.
    pub(super) has_token: bool,
    pub(super) tell: Tell,
}

/// One connection's questions and answers.
pub(super) struct Codec {
    desk: Desk,
    /// Nothing is kept of who has not proved that he knows the token.
    arrival: Arrival,
    questions: VecDeque<Question>,
    news: Pace,
    /// When something came last.
    heard_at: Instant,
    /// The last question has been read.
    is_over: bool,
    package: Option<Package>,
}

/// A task on its way to its peer.
struct Package {
    file: File,
    lease: LeaseId,
    /// All of it.
    size: u64,
    /// Bytes of it that one read took; its end is told by an empty one.
    piece: Box<[u8]>,
    /// Bytes that have gone since that was told.
    untold: u64,
}

impl Codec {
    pub(super) fn new(desk: Desk) -> Codec {
        let objects = Objects::new(RESULT, desk.message_bytes_max);
        let mut arrival = Arrival::new(objects, desk.spools.clone());
        arrival.keeps = !desk.has_token;
        Codec {
            arrival,
            questions: VecDeque::new(),
            news: Pace::default(),
            heard_at: Instant::now(),
            is_over: false,
            package: None,
            desk,
        }
    }

    fn read(&self, name: &str, lease: LeaseId) -> io::Result<Package> {
        let file = File::open(self.desk.tasks.join(name))?;
        // Nothing at all is read of most tasks here: one that is small needs no more room.
        let size = file.metadata()?.len();
        let room = (size as usize).saturating_add(1).min(PIECE_BYTES).next_multiple_of(3);
        Ok(Package { file, lease, size, piece: vec![0; room].into_boxed_slice(), untold: 0 })
    }

    /// Begins a package, if a message can be so long.
    fn begin(&mut self, answer: &Answer, package: Package, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        answer.write(bytes);
        let around = (bytes.len() - start + LONG_END.trim_ascii_end().len()) as u64;
        let text = package.size.div_ceil(3).saturating_mul(4);
        if text.saturating_add(around) > self.desk.message_bytes_max {
            bytes.truncate(start);
            (self.desk.tell)(package.lease, Way::TooLarge);
            Answer::NoTask.write(bytes);
        } else {
            self.package = Some(package);
        }
    }
}

impl Decode for Codec {
    type Message = Question;

    fn feed(&mut self, mut bytes: &[u8]) {
        if self.is_over {
            return;
        }
        self.heard_at = Instant::now();
        while let Some(arrived) = self.arrival.step(&mut bytes) {
            self.questions.push_back(match arrived {
                Arrived::Whole(object, archive) => {
                    self.arrival.message(object, archive, Question::of, Question::archive)
                }
                Arrived::Flawed(why) => {
                    let fields = self.arrival.beginning();
                    let question = fields.and_then(|fields| Question::too_long(&fields));
                    question.unwrap_or_else(|| Question::Unknown(why.to_owned()))
                }
                Arrived::Broken => {
                    self.is_over = true;
                    Question::Broken
                }
            });
        }
    }

    fn next(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    fn read_bytes_max(&self) -> usize {
        READ_BYTES
    }

    fn patience_ms(&self) -> Option<u64> {
        Some(if self.arrival.is_open() { STALL_MS_MAX } else { self.desk.idle_ms_max })
    }

    fn lose(&mut self, question: Question) {
        question.archive().into_iter().for_each(|spool| self.desk.spools.discard(spool));
    }

    /// Also called at the end of the stream, which is no silence.
    fn silence(&mut self) {
        let patience = self.patience_ms().map(Duration::from_millis);
        if !self.is_over && patience.is_some_and(|patience| self.heard_at.elapsed() >= patience) {
            self.is_over = true;
            self.arrival.drop_archive();
            self.questions.push_back(Question::Silent);
        }
    }

    fn has_news(&mut self) -> bool {
        self.arrival.has_news()
    }
}

impl Encode<Answer> for Codec {
    fn encode(&mut self, answer: &Answer, bytes: &mut Vec<u8>) {
        match answer {
            Answer::Package(name, lease) => match self.read(name.text(), *lease) {
                Ok(package) => self.begin(answer, package, bytes),
                Err(error) => {
                    (self.desk.tell)(*lease, Way::Unread(error.kind()));
                    Answer::Later("the task cannot be read".to_owned()).write(bytes);
                }
            },
            Answer::Registered => {
                self.arrival.keeps = true;
                answer.write(bytes);
            }
            _ => answer.write(bytes),
        }
    }

    /// The next piece of a package.
    fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let Some(package) = &mut self.package else { return Ok(false) };
        let size = match fill(&mut package.file, &mut package.piece) {
            Ok(size) => size,
            Err(error) => {
                // Half of it has gone, so the connection must go as well.
                (self.desk.tell)(package.lease, Way::Unread(error.kind()));
                return Err(error);
            }
        };
        text::encode(&package.piece[..size], bytes);
        if size < package.piece.len() {
            bytes.extend_from_slice(LONG_END);
            self.package = None;
            return Ok(false);
        }
        package.untold += size as u64;
        if package.untold >= NEWS_BYTES && self.news.is_due() {
            package.untold = 0;
            (self.desk.tell)(package.lease, Way::Moved);
        }
        Ok(true)
    }

    /// Programs in the wild take what one `recv` gives them for one answer.
    fn joins(&self) -> bool {
        false
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        while let Some(question) = self.questions.pop_front() {
            self.lose(question);
        }
    }
}

/// Reads until `bytes` is full or the file ends.
pub fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut size = 0;
    while size < bytes.len() {
        match file.read(&mut bytes[size..]) {
            Ok(0) => break,
            Ok(more) => size += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}
