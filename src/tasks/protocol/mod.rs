//! What peers ask and what they are answered (spec: Messages). How a stream is cut: [`objects`].

pub mod names;
pub mod objects;
pub mod text;

pub use names::{Name, PeerId};

use crate::tasks::limits::{PEER_BYTES_MAX, REASON_BYTES_MAX};
use objects::Object;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;

/// The long field of what a peer sends.
pub const RESULT: &str = "result_data";
/// The long field of what a master sends.
pub const PACKAGE: &str = "task_data";

/// Names an archive that has arrived and belongs to nobody yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub u64);

/// Names one handing out of a task; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// What a peer asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// It is there; and, where there is a token, that it knows it.
    Register(PeerId, Proof),
    /// It still is.
    Heartbeat(PeerId),
    /// It would work.
    RequestTask(PeerId),
    /// It has worked.
    SubmitResult(Submission),
    /// It will not finish this task (ours; the spec has no word for it).
    ReturnTask(PeerId, Name),
    /// It has worked, and what it sends of this task is longer than a message.
    TooLong(PeerId, Name),
    /// JSON that asks nothing we know, and why.
    Unknown(String),
    /// No JSON: the last of its connection.
    Broken,
    /// Nothing came for too long: the last of its connection.
    Silent,
}

/// What a peer says to prove that it knows the token: hexadecimal numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// A number that it has drawn.
    pub nonce: Option<String>,
    /// What follows from the token and both numbers.
    pub proof: Option<String>,
}

/// A result as it was sent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Whose it is.
    pub peer: PeerId,
    /// As given, or why that is no name.
    pub name: Result<Name, &'static str>,
    /// Its archive, or why that could not be kept.
    pub archive: Result<SpoolId, String>,
    /// Why the task failed, if it did (ours).
    pub failed: Option<String>,
}

/// What a peer is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It counts as a peer now.
    Registered,
    /// First prove that you know the token; we do: our number and our proof.
    Challenge(String, String),
    /// To a heartbeat.
    Alive,
    /// A task; its archive is read when it is written.
    Package(Name, LeaseId),
    /// There is none at the moment.
    NoTask,
    /// The result is kept.
    Done,
    /// No, and why.
    Error(String),
    /// Not now, and why: the same question may be answered later.
    Later(String),
}

impl Question {
    /// What was too long, if so much of it had come by then that it can be told.
    pub fn too_long(fields: &Map<String, Value>) -> Option<Question> {
        let is_result = string(fields, "action") == Some("SUBMIT_RESULT");
        let name = string(fields, "result_name").and_then(|name| Name::plain(name).ok());
        let question = Question::TooLong(peer(fields).ok()?, name?);
        is_result.then_some(question)
    }

    /// The archive that belongs to it.
    pub fn archive(&self) -> Option<SpoolId> {
        match self {
            Question::SubmitResult(submission) => submission.archive.as_ref().ok().copied(),
            _ => None,
        }
    }

    /// What an object asks. `archive` is what became of its archive.
    pub fn of(object: Object, archive: Option<Result<SpoolId, String>>) -> Question {
        let Object { mut fields, text } = object;
        let action = match fields.remove("action") {
            Some(Value::String(action)) => action,
            _ => return Question::Unknown("there is no action".to_owned()),
        };
        let peer = match peer(&fields) {
            Ok(peer) => peer,
            Err(why) => return Question::Unknown(why.to_owned()),
        };
        match action.as_str() {
            "REGISTER" => {
                let proof =
                    Proof { nonce: owned(&fields, "nonce"), proof: owned(&fields, "proof") };
                Question::Register(peer, proof)
            }
            "HEARTBEAT" => Question::Heartbeat(peer),
            "REQUEST_TASK" => Question::RequestTask(peer),
            "RETURN_TASK" => match Name::plain(string(&fields, "task_name").unwrap_or_default()) {
                Ok(name) => Question::ReturnTask(peer, name),
                Err(why) => Question::Unknown(why.to_owned()),
            },
            "SUBMIT_RESULT" => match (text, archive) {
                (Some(true), Some(archive)) => Question::SubmitResult(Submission {
                    peer,
                    name: Name::plain(string(&fields, "result_name").unwrap_or_default()),
                    archive,
                    failed: failure(&fields),
                }),
                (Some(false), _) => Question::Unknown("the result is not base64".to_owned()),
                _ => Question::Unknown("there is no result_data".to_owned()),
            },
            _ => Question::Unknown("unknown action".to_owned()),
        }
    }
}

fn peer(fields: &Map<String, Value>) -> Result<PeerId, &'static str> {
    match string(fields, "peer_id") {
        None | Some("") => Err("there is no peer_id"),
        Some(peer) if peer.len() > PEER_BYTES_MAX => Err("the peer_id is too long"),
        Some(peer) => Ok(peer.into()),
    }
}

fn string<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn owned(fields: &Map<String, Value>, name: &str) -> Option<String> {
    string(fields, name).map(str::to_owned)
}

/// Why a task failed, if it did: whatever is said there.
fn failure(fields: &Map<String, Value>) -> Option<String> {
    match fields.get("failed")? {
        Value::Null | Value::Bool(false) => None,
        Value::String(why) if why.is_empty() => Some("no reason given".to_owned()),
        Value::String(why) => Some(reason(why)),
        other => Some(reason(&other.to_string())),
    }
}

/// A reason, cut to what is worth keeping.
pub fn reason(text: &str) -> String {
    text[..text.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

impl Answer {
    /// All of it but the archive of a package, which comes before [`LONG_END`].
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let text = match self {
            Answer::Registered => "{\"status\":\"REGISTERED\"}\n".into(),
            Answer::Alive => "{\"status\":\"ALIVE\"}\n".into(),
            Answer::NoTask => "{\"status\":\"NO_TASK\"}\n".into(),
            Answer::Done => "{\"status\":\"OK\"}\n".into(),
            Answer::Package(name, _) => Cow::from(format!(
                "{{\"action\":\"TASK_PACKAGE\",\"task_name\":{},\"{PACKAGE}\":\"",
                json!(name.text())
            )),
            Answer::Challenge(nonce, proof) => Cow::from(format!(
                "{{\"status\":\"CHALLENGE\",\"nonce\":{},\"proof\":{}}}\n",
                json!(nonce),
                json!(proof)
            )),
            Answer::Error(why) => error(why, ""),
            Answer::Later(why) => error(why, ",\"again\":true"),
        };
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn error(why: &str, more: &str) -> Cow<'static, str> {
    format!("{{\"status\":\"ERROR\",\"message\":{}{more}}}\n", json!(why)).into()
}

/// What follows the archive of a message.
pub const LONG_END: &[u8] = b"\"}\n";

/// For the trace.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        f.write_str(String::from_utf8_lossy(&bytes).trim_end())
    }
}

/// What a peer of ours hears from a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A task, whose archive is kept or could not be.
    Package(Result<Name, &'static str>, Result<SpoolId, String>),
    /// No task at the moment.
    NoTask,
    /// Prove that you know the token.
    Challenge(Proof),
    /// Yes; the word that it was.
    Yes(String),
    /// No, why, and whether to ask again later.
    No(String, bool),
    /// A sign of life: more of a long message has come.
    More,
    /// No JSON.
    Broken,
}

impl Heard {
    /// The archive that belongs to it.
    pub fn archive(&self) -> Option<SpoolId> {
        match self {
            Heard::Package(_, archive) => archive.as_ref().ok().copied(),
            _ => None,
        }
    }

    /// What an object says. `archive` is what became of its archive.
    pub fn of(object: Object, archive: Option<Result<SpoolId, String>>) -> Heard {
        let Object { fields, text } = object;
        let status = string(&fields, "status").or(string(&fields, "action")).unwrap_or_default();
        match status {
            "TASK_PACKAGE" => Heard::package(&fields, text, archive),
            "NO_TASK" | "NO_TASKS" => Heard::NoTask,
            "CHALLENGE" => Heard::Challenge(Proof {
                nonce: owned(&fields, "nonce"),
                proof: owned(&fields, "proof"),
            }),
            "ERROR" => {
                let again = fields.get("again").and_then(Value::as_bool).unwrap_or(false);
                Heard::No(reason(string(&fields, "message").unwrap_or("no reason given")), again)
            }
            word => Heard::Yes(reason(word)),
        }
    }

    fn package(
        fields: &Map<String, Value>,
        text: Option<bool>,
        archive: Option<Result<SpoolId, String>>,
    ) -> Heard {
        let is_null = |name: &str| fields.get(name).is_none_or(Value::is_null);
        match (string(fields, "task_name"), text, archive) {
            (Some(name), Some(true), Some(archive)) => Heard::Package(Name::plain(name), archive),
            (Some(name), Some(false), _) => {
                Heard::Package(Name::plain(name), Err("the task is not base64".to_owned()))
            }
            _ if is_null("task_name") || is_null(PACKAGE) => Heard::NoTask,
            _ => Heard::No("a package that is none".to_owned(), true),
        }
    }
}

/// What a peer of ours says, but for the archive of a result, which comes before [`LONG_END`].
pub fn ask(question: &Asking<'_>, peer: &str, addr: &str, port: u16) -> Vec<u8> {
    let object = match question {
        Asking::Register(proof) => {
            let addr = json!([addr, port]);
            let mut object = json!({ "action": "REGISTER", "peer_id": peer, "addr": addr });
            for (name, value) in [("nonce", &proof.nonce), ("proof", &proof.proof)] {
                if let Some(value) = value {
                    object[name] = json!(value);
                }
            }
            object
        }
        Asking::Heartbeat => json!({ "action": "HEARTBEAT", "peer_id": peer }),
        Asking::Task => json!({ "action": "REQUEST_TASK", "peer_id": peer }),
        Asking::Return(name) => {
            json!({ "action": "RETURN_TASK", "peer_id": peer, "task_name": name.text() })
        }
        Asking::Submit(name, failed) => return submit(name, *failed, peer),
    };
    let mut bytes = object.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn submit(name: &Name, failed: Option<&str>, peer: &str) -> Vec<u8> {
    let (peer, name) = (json!(peer), json!(name.text()));
    let failed = failed.map(|why| format!("\"failed\":{},", json!(why))).unwrap_or_default();
    let head = format!(
        "{{\"action\":\"SUBMIT_RESULT\",\"peer_id\":{peer},\"result_name\":{name},{failed}\
         \"{RESULT}\":\""
    );
    head.into_bytes()
}

/// What a peer of ours may say.
#[derive(Debug, Clone)]
pub enum Asking<'a> {
    /// It is there.
    Register(Proof),
    /// It still is.
    Heartbeat,
    /// It would work.
    Task,
    /// It will not finish this.
    Return(&'a Name),
    /// It has worked; why the task failed, if it did.
    Submit(&'a Name, Option<&'a str>),
}
