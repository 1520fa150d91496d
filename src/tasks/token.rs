//! A secret that master and peers share, and how each shows that it knows it without telling it.
//!
//! Each side draws a number; who is asked answers with the HMAC-SHA-256 of both numbers. The
//! master proves itself first, so that nobody runs tasks for a stranger.

use crate::net::failure::Failure;
use crate::tasks::limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The secret. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who proves something. Else one could give the other's proof back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The master.
    Master,
    /// A peer.
    Peer,
}

impl Token {
    /// A secret, without the white space at its ends.
    pub fn new(text: &[u8]) -> Result<Token, String> {
        let text = text.trim_ascii();
        if text.len() < TOKEN_BYTES_MIN || text.len() > TOKEN_BYTES_MAX {
            return Err(format!("a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes"));
        }
        Ok(Token(text.into()))
    }

    /// The secret that is in a file.
    pub fn read(path: &Path) -> Result<Token, Failure> {
        let what = || format!("cannot read the token {}", path.display());
        let mut text = Vec::new();
        let mut read = || File::open(path)?.take(TOKEN_BYTES_MAX as u64 + 2).read_to_end(&mut text);
        read().map_err(Failure::from_io(what()))?;
        Token::new(&text).map_err(|why| Failure { what: what(), why })
    }

    /// What `side` says to prove that it knows the token.
    pub fn proof(&self, side: Side, master_nonce: &str, peer_nonce: &str, peer: &str) -> String {
        let digest = self.mac(side, master_nonce, peer_nonce, peer).finalize().into_bytes();
        hex(&digest)
    }

    /// Whether that is what `side` says. Takes as long for one wrong proof as for another.
    pub fn is_proof(
        &self,
        side: Side,
        master_nonce: &str,
        peer_nonce: &str,
        peer: &str,
        proof: &str,
    ) -> bool {
        let Some(bytes) = unhex(proof) else { return false };
        self.mac(side, master_nonce, peer_nonce, peer).verify_slice(&bytes).is_ok()
    }

    fn mac(&self, side: Side, master_nonce: &str, peer_nonce: &str, peer: &str) -> Hmac<Sha256> {
        let mut mac: Hmac<Sha256> =
            Hmac::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        let side = match side {
            Side::Master => "master",
            Side::Peer => "peer",
        };
        for part in [side, master_nonce, peer_nonce, peer] {
            // With its length, so that no two lists of parts are the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// A number that nobody can guess, in hexadecimal.
pub fn nonce() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure {
        what: "cannot draw a number".to_owned(),
        why: error.to_string(),
    })?;
    Ok(hex(&bytes))
}

/// A new id of a peer: a random UUID (RFC 9562, 5.4).
pub fn uuid() -> Result<String, Failure> {
    let mut text = nonce()?;
    text.replace_range(12..13, "4");
    text.replace_range(16..17, "a");
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}
