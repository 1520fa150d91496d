//! A role's dealings with a broker: the value, without a socket.

use malha::charging::client::session::{Effect, Event, Identity, Session, Why};
use malha::charging::limits::{BROKER_MS_MAX, KEEP_ALIVE_S, UNACKNOWLEDGED_MAX};
use malha::charging::payload::{Said, Sector};
use malha::charging::protocol::{Code, Malformed, Message, Packet, Publish, Qos};
use malha::charging::roles::{self, Post, Role};
use malha::charging::world::Quadrant;
use malha::net::clock::Millis;

fn said(number: u64) -> Said {
    Said::Sector(Sector { quadrant: Quadrant::new(number).unwrap(), is_online: true })
}

/// Notes what it is told, and says something whenever a sector server comes.
#[derive(Debug, Default)]
struct Parrot(Vec<String>);

impl Role for Parrot {
    fn filters(&self) -> Vec<(String, u8)> {
        vec![("setor/+".to_owned(), 1)]
    }

    fn will(&self) -> Option<Post> {
        Some(Post { said: said(4), retain: true, qos: 1 })
    }

    fn handle(&mut self, _: Millis, event: roles::Event) -> Vec<roles::Effect> {
        self.0.push(match &event {
            roles::Event::Heard(said, is_retained) => format!("{} {is_retained}", said.topic()),
            roles::Event::Bad(topic, _) => format!("bad {topic}"),
            other => format!("{other:?}"),
        });
        match event {
            roles::Event::Heard(said, _) => vec![Post::once((*said).clone())],
            roles::Event::Stopped => vec![Post::kept(said(4))],
            _ => Vec::new(),
        }
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }
}

fn session() -> Session<Parrot> {
    let login = Some(("ana".to_owned(), b"secret".to_vec()));
    Session::new(Parrot::default(), Identity { client: "c".to_owned(), login })
}

fn sent(effects: &[Effect]) -> Vec<Packet> {
    let packet = |effect: &Effect| match effect {
        Effect::Send(packet) => Some(packet.clone()),
        _ => None,
    };
    effects.iter().filter_map(packet).collect()
}

fn heard(session: &mut Session<Parrot>, now: Millis, packet: Packet) -> Vec<Effect> {
    session.handle(now, Event::Heard(Ok(packet)))
}

fn publish(number: u64, id: u16) -> Packet {
    let message = Message::new(&said(number).topic(), &said(number).encode());
    Packet::Publish(Publish { message, qos: Qos::AtLeastOnce, retain: true, dup: false, id })
}

/// Connects, and is let in.
fn join(session: &mut Session<Parrot>, now: Millis) -> Vec<Packet> {
    session.handle(now, Event::Opened);
    let effects = heard(session, now, Packet::ConnAck(false, Code::Accepted));
    let [Packet::Subscribe(id, _)] = sent(&effects)[..] else { panic!("{effects:?}") };
    let effects = heard(session, now, Packet::SubAck(id, vec![Some(Qos::AtLeastOnce)]));
    assert!(effects.contains(&Effect::Joined));
    sent(&effects)
}

#[test]
fn it_says_who_it_is_and_leaves_a_will() {
    let effects = session().handle(Millis(0), Event::Opened);
    let [Packet::Connect(connect)] = &sent(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((connect.client.as_str(), connect.clean), ("c", true));
    assert_eq!(connect.keep_alive_s, KEEP_ALIVE_S);
    assert_eq!(connect.password.as_deref(), Some(&b"secret"[..]));
    let (will, qos, retain) = connect.will.as_ref().unwrap();
    assert_eq!((will.topic(), *qos, *retain), ("setor/4", Qos::AtLeastOnce, true));
}

#[test]
fn what_is_retained_and_comes_before_suback_is_told_after_connected() {
    let mut session = session();
    session.handle(Millis(0), Event::Opened);
    heard(&mut session, Millis(0), Packet::ConnAck(false, Code::Accepted));
    assert_eq!(heard(&mut session, Millis(1), publish(2, 7)), []);
    let effects = heard(&mut session, Millis(2), Packet::SubAck(1, vec![Some(Qos::AtLeastOnce)]));
    assert_eq!(session.role().0, ["Connected", "setor/2 true"]);
    assert!(sent(&effects).contains(&Packet::PubAck(7)));
}

#[test]
fn what_was_not_acknowledged_is_said_again_and_before_anything_newer() {
    let mut session = session();
    join(&mut session, Millis(0));
    let first = sent(&heard(&mut session, Millis(1), publish(2, 7)));
    let second = sent(&heard(&mut session, Millis(2), publish(3, 8)));
    let ids = |packets: &[Packet]| match packets {
        [Packet::PubAck(_), Packet::Publish(publish)] => publish.id,
        other => panic!("{other:?}"),
    };
    assert_ne!(ids(&first), ids(&second));
    heard(&mut session, Millis(3), Packet::PubAck(ids(&first)));
    session.handle(Millis(4), Event::Closed);
    let again = join(&mut session, Millis(5));
    let [Packet::Publish(publish)] = &again[..] else { panic!("{again:?}") };
    assert_eq!((publish.message.topic(), publish.dup), ("setor/3", false));
    assert_eq!(session.role().0.iter().filter(|told| *told == "Lost").count(), 1);
}

#[test]
fn unacknowledged_messages_have_a_limit() {
    let mut session = session();
    join(&mut session, Millis(0));
    for id in 1..=UNACKNOWLEDGED_MAX as u16 + 5 {
        heard(&mut session, Millis(1), publish(2, id));
    }
    session.handle(Millis(2), Event::Closed);
    assert_eq!(join(&mut session, Millis(3)).len(), UNACKNOWLEDGED_MAX);
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let hang_up = vec![Effect::HangUp(Why::Silent)];
    let mut connecting = session();
    connecting.handle(Millis(0), Event::Opened);
    assert_eq!(connecting.deadline(), Some(Millis(BROKER_MS_MAX)));
    assert_eq!(connecting.handle(Millis(BROKER_MS_MAX), Event::Due), hang_up);
    let mut joined = session();
    join(&mut joined, Millis(0));
    let ping_at = joined.deadline().unwrap();
    assert!(ping_at < Millis(u64::from(KEEP_ALIVE_S) * 1_000));
    assert_eq!(sent(&joined.handle(ping_at, Event::Due)), [Packet::PingReq]);
    assert_eq!(joined.deadline(), Some(ping_at.plus(BROKER_MS_MAX)));
    assert_eq!(joined.handle(ping_at.plus(BROKER_MS_MAX), Event::Due), hang_up);
}

#[test]
fn a_pong_in_time_is_a_sign_of_life() {
    let mut session = session();
    join(&mut session, Millis(0));
    let ping_at = session.deadline().unwrap();
    session.handle(ping_at, Event::Due);
    heard(&mut session, ping_at.plus(1), Packet::PingResp);
    let next = session.deadline().unwrap();
    assert_eq!(sent(&session.handle(next, Event::Due)), [Packet::PingReq]);
}

#[test]
fn a_refusal_is_final_but_where_there_is_no_room() {
    for (code, is_final) in [
        (Code::ServerUnavailable, false),
        (Code::BadUserOrPassword, true),
        (Code::NotAuthorized, true),
        (Code::IdentifierRejected, true),
        (Code::UnacceptableVersion, true),
    ] {
        let mut session = session();
        session.handle(Millis(0), Event::Opened);
        let effects = heard(&mut session, Millis(0), Packet::ConnAck(false, code));
        let [Effect::HangUp(why)] = effects[..] else { panic!("{effects:?}") };
        assert_eq!((why, why.is_final()), (Why::Refused(code), is_final));
    }
    let mut session = session();
    session.handle(Millis(0), Event::Opened);
    heard(&mut session, Millis(0), Packet::ConnAck(false, Code::Accepted));
    let effects = heard(&mut session, Millis(0), Packet::SubAck(1, vec![None]));
    assert_eq!(effects, [Effect::HangUp(Why::Denied)]);
}

#[test]
fn what_no_broker_says_ends_the_connection() {
    let malformed = vec![Effect::HangUp(Why::Malformed)];
    let mut opened = session();
    opened.handle(Millis(0), Event::Opened);
    assert_eq!(heard(&mut opened, Millis(0), Packet::PingResp), malformed);
    let mut joined = session();
    join(&mut joined, Millis(0));
    assert_eq!(heard(&mut joined, Millis(0), Packet::PingReq), malformed);
    assert_eq!(joined.handle(Millis(0), Event::Heard(Err(Malformed("x")))), malformed);
}

#[test]
fn a_message_that_is_none_is_acknowledged_told_and_counted() {
    let mut session = session();
    join(&mut session, Millis(0));
    let message = Message::new("setor/9", b"{}");
    let publish = Publish { message, qos: Qos::AtLeastOnce, retain: false, dup: false, id: 3 };
    let effects = heard(&mut session, Millis(0), Packet::Publish(publish));
    assert_eq!(sent(&effects), [Packet::PubAck(3)]);
    assert_eq!(session.role().0.last().unwrap(), "bad setor/9");
    assert_eq!(session.bad(), 1);
}

#[test]
fn its_last_words_come_before_goodbye() {
    let mut session = session();
    join(&mut session, Millis(0));
    let effects = session.handle(Millis(1), Event::Stopped);
    assert_eq!(effects.last(), Some(&Effect::Done));
    let packets = sent(&effects);
    assert!(matches!(&packets[..], [Packet::Publish(p), Packet::Disconnect] if p.retain));
    // Away, there is nobody to say it to.
    assert_eq!(self::session().handle(Millis(0), Event::Stopped), [Effect::Done]);
}
