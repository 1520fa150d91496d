//! How a peer comes to a master: told where it is, or asking for it; and how both prove that they
//! know the token.

use super::Config;
use super::link::{Answers, Link};
use crate::net::failure::because;
use crate::net::stop::Stop;
use crate::tasks::discovery;
use crate::tasks::limits::ANSWER_MS_MAX;
use crate::tasks::protocol::{Asking, Heard, Proof, ask};
use crate::tasks::store::Spools;
use crate::tasks::token::{self, Side, Token};
use crossbeam_channel::{after, select_biased};
use std::net::SocketAddr;
use std::thread::Scope;
use std::time::Duration;

/// Where a peer looks for its master.
#[derive(Debug, Clone)]
pub enum Search {
    /// It was told.
    At(Vec<SocketAddr>),
    /// It asks there.
    Ask(Vec<SocketAddr>),
}

/// Whether a peer may talk to somebody there. Without a token or somebody who vouches for the
/// network, only this machine will do.
pub fn is_trusted(config: &Config, addr: SocketAddr) -> bool {
    config.trusts_network || config.token.is_some() || addr.ip().is_loopback()
}

/// Where the master may be at the moment.
pub(super) fn find(config: &Config, stop: &Stop) -> Result<Vec<SocketAddr>, String> {
    match &config.search {
        Search::At(addrs) => Ok(addrs.clone()),
        Search::Ask(targets) => {
            let is_trusted = |addr| is_trusted(config, addr);
            let found = discovery::look(targets, &config.id, stop, is_trusted);
            match found.map_err(|error| format!("cannot ask for the master: {error}"))? {
                Some(addr) => Ok(vec![addr]),
                None => Err("no master answers".to_owned()),
            }
        }
    }
}

/// Connects.
pub(super) fn dial<'scope>(
    scope: &'scope Scope<'scope, '_>,
    config: &Config,
    spools: &Spools,
    addrs: &[SocketAddr],
) -> Result<Link, String> {
    let answers = Answers::new(spools.clone(), config.message_bytes_max);
    Link::dial(scope, addrs, answers).map_err(|error| {
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        format!("cannot connect to {}: {}", addrs.join(" or "), because(&error))
    })
}

/// Says who we are.
pub(super) fn register(config: &Config, link: &Link, stop: &Stop) -> Result<(), String> {
    let say = |proof: Proof| {
        let (ip, port) = (link.local.ip().to_string(), link.local.port());
        let bytes = ask(&Asking::Register(proof), &config.id, &ip, port);
        link.say(&bytes).map_err(|error| error.to_string())?;
        let heard = hear(link, stop)?;
        if matches!(heard, Heard::Package(..)) {
            link.discard(heard);
            return Err("its answers are mixed up".to_owned());
        }
        Ok(heard)
    };
    let Some(token) = &config.token else {
        return match say(Proof::default())? {
            Heard::Yes(_) => Ok(()),
            Heard::Challenge(_) => Err("the master asks for a token".to_owned()),
            other => Err(refusal(other)),
        };
    };
    let nonce = token::nonce().map_err(|failure| failure.to_string())?;
    let first = Proof { nonce: Some(nonce.clone()), proof: None };
    let theirs = match say(first)? {
        Heard::Challenge(Proof { nonce: Some(theirs), proof: Some(proof) })
            if knows(token, config, &theirs, &nonce, &proof) =>
        {
            theirs
        }
        Heard::No(why, _) => return Err(format!("the master refuses: {why}")),
        _ => return Err("the master does not know the token".to_owned()),
    };
    let proof = token.proof(Side::Peer, &theirs, &nonce, &config.id);
    match say(Proof { nonce: Some(nonce), proof: Some(proof) })? {
        Heard::Yes(_) => Ok(()),
        other => Err(refusal(other)),
    }
}

fn knows(token: &Token, config: &Config, theirs: &str, ours: &str, proof: &str) -> bool {
    token.is_proof(Side::Master, theirs, ours, &config.id, proof)
}

fn refusal(heard: Heard) -> String {
    match heard {
        Heard::No(why, _) => format!("the master refuses: {why}"),
        _ => "the master says something else".to_owned(),
    }
}

fn hear(link: &Link, stop: &Stop) -> Result<Heard, String> {
    select_biased! {
        recv(link.heard()) -> heard => heard.map_err(|_| "the master hung up".to_owned()),
        recv(stop.channel()) -> _ => Err("stopped".to_owned()),
        recv(after(Duration::from_millis(ANSWER_MS_MAX))) -> _ => {
            Err("the master says nothing".to_owned())
        }
    }
}
