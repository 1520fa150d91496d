//! The other side as a library: a role that keeps connected to a broker.

pub mod session;

use crate::charging::client::session::{Effect, Event, Identity, Session, Why};
use crate::charging::limits::{
    AHEAD_PACKETS_MAX, LEVELS_MAX, PACKET_BYTES_LIMIT, RECONNECT_MS_MAX, RECONNECT_MS_MIN, SHORT_MS,
};
use crate::charging::protocol::{Decoder, Malformed, Packet, encode};
use crate::charging::roles::{Line, Role};
use crate::net::caller::Caller;
use crate::net::clock::{Clock, Millis};
use crate::net::failure::{Failure, because};
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::net::wait::{self, Woken};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// Who connects, and whereto.
#[derive(Debug, Clone)]
pub struct Config {
    /// The broker; the first that answers.
    pub broker: Vec<SocketAddr>,
    /// Who we are.
    pub identity: Identity,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// What is told of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The broker has let it in.
    Joined,
    /// There is no broker, or none any more, and why; tried again after so many ms.
    Lost(String, u64),
    /// What the role has to say.
    Said(Line),
}

/// Plays `role` until stop is asked for. A broker that is away is tried again and again, with
/// growing pauses; one that refuses us for good is a failure.
pub fn run<R: Role>(
    config: &Config,
    role: R,
    tell: &dyn Fn(Told, &R),
    stop: &Stop,
) -> Result<(), Failure> {
    let session = Session::new(role, config.identity.clone());
    let (pause_ms, joined_at) = (RECONNECT_MS_MIN, None);
    let mut play = Play { config, session, tell, stop, pause_ms, joined_at };
    let outcome = play.run();
    if play.session.bad() > 0 {
        config.trace.warn(format_args!("bad-messages={}", play.session.bad()));
    }
    outcome
}

fn show(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// How a connection ended.
enum End {
    Stopped,
    Refused(Why),
    Lost(String),
}

struct Play<'a, R> {
    config: &'a Config,
    session: Session<R>,
    tell: &'a dyn Fn(Told, &R),
    stop: &'a Stop,
    pause_ms: u64,
    /// Since when the broker has let us in.
    joined_at: Option<Millis>,
}

type Broker = Caller<Result<Packet, Malformed>>;

impl<R: Role> Play<'_, R> {
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            match self.connect() {
                End::Stopped => return Ok(()),
                End::Refused(why) => {
                    let what = format!("cannot join the broker at {}", show(&self.config.broker));
                    return Err(Failure { what, why: why.to_string() });
                }
                End::Lost(mut why) => {
                    why += self.hint();
                    (self.tell)(Told::Lost(why, self.pause_ms), self.session.role());
                    if self.rest() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What may be behind a connection that was short; a longer one ends all pauses. Of two who say
    /// that they are the same, each throws the other out [MQTT-3.1.4-2].
    fn hint(&mut self) -> &'static str {
        let Some(joined_at) = self.joined_at.take() else { return "" };
        if self.config.clock.now() < joined_at.plus(SHORT_MS) {
            return "; is there another one of the same name?";
        }
        self.pause_ms = RECONNECT_MS_MIN;
        ""
    }

    /// One connection, from its beginning to its end.
    fn connect(&mut self) -> End {
        let end = thread::scope(|scope| {
            // What a broker sends us is as long as it lets others send; we trust it that far.
            let decoder = Decoder::new(PACKET_BYTES_LIMIT, LEVELS_MAX);
            let addrs = &self.config.broker;
            match Caller::dial(scope, addrs, decoder, AHEAD_PACKETS_MAX) {
                Ok(broker) => self.serve(&broker),
                Err(error) => End::Lost(because(&error)),
            }
        });
        let now = self.config.clock.now();
        for effect in self.session.handle(now, Event::Closed) {
            self.show(effect);
        }
        end
    }

    fn serve(&mut self, broker: &Broker) -> End {
        let mut end = self.take(broker, Event::Opened);
        loop {
            if let Some(end) = end {
                return end;
            }
            let now = self.config.clock.now();
            let timeout = self.session.deadline().map(|due| now.until(due));
            end = match wait::recv_or_stop(broker.unasked(), self.stop, timeout) {
                Woken::Item(heard) => self.take(broker, Event::Heard(heard)),
                Woken::Due => None,
                Woken::Stop => self.take(broker, Event::Stopped),
                Woken::Closed => return End::Lost("it has hung up".to_owned()),
            };
            // Also where there is always one more event.
            let now = self.config.clock.now();
            if end.is_none() && self.session.deadline().is_some_and(|due| due <= now) {
                end = self.take(broker, Event::Due);
            }
        }
    }

    /// One event, and what comes of it: all that is to be sent in one write.
    fn take(&mut self, broker: &Broker, event: Event) -> Option<End> {
        let trace = &self.config.trace;
        if let Event::Heard(heard) = &event {
            trace.wire(&"broker", '>', &format_args!("{heard:?}"));
        }
        let mut bytes = Vec::new();
        let mut end = None;
        for effect in self.session.handle(self.config.clock.now(), event) {
            match effect {
                Effect::Send(packet) => {
                    trace.wire(&"broker", '<', &format_args!("{packet:?}"));
                    encode(&packet, &mut bytes);
                }
                Effect::HangUp(why) if why.is_final() => end = Some(End::Refused(why)),
                Effect::HangUp(why) => end = Some(End::Lost(why.to_string())),
                Effect::Done => end = Some(End::Stopped),
                Effect::Joined | Effect::Told(_) => self.show(effect),
            }
        }
        match broker.say(&bytes) {
            Err(error) if end.is_none() => Some(End::Lost(error.to_string())),
            _ => end,
        }
    }

    fn show(&mut self, effect: Effect) {
        match effect {
            Effect::Joined => {
                self.joined_at = Some(self.config.clock.now());
                (self.tell)(Told::Joined, self.session.role());
            }
            Effect::Told(line) => (self.tell)(Told::Said(line), self.session.role()),
            // There is nobody to send it to.
            _ => {}
        }
    }

    /// Waits before the next attempt; the role lives on meanwhile. True when stop is asked for.
    fn rest(&mut self) -> bool {
        let until = self.config.clock.now().plus(self.pause_ms);
        self.pause_ms = (self.pause_ms * 2).min(RECONNECT_MS_MAX);
        loop {
            let now = self.config.clock.now();
            let next = self.session.deadline().map_or(until, |due| due.min(until));
            // Never nothing: a deadline that has passed must not make us spin.
            if self.stop.wait(now.until(next).max(Duration::from_millis(1))) {
                return true;
            }
            let now = self.config.clock.now();
            if now >= until {
                return false;
            }
            for effect in self.session.handle(now, Event::Due) {
                self.show(effect);
            }
        }
    }
}
